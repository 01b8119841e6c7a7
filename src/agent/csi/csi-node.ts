/** What CSI drivers say of this node: its CSINode, and labels and an annotation of its Node. */
import type { Client } from "../../client/client.ts";
import { csiNodes, nodes } from "../../client/resources.ts";
import type { Node } from "../../gen/core-v1.ts";
import type { CSINode, CSINodeDriver } from "../../gen/storage-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import { Lanes } from "../../lib/lanes.ts";
import type { Runtime } from "../../runtime/runtime.ts";

/** What a driver answers when it is asked about the node. */
export interface DriverNode {
  readonly driver: string;
  readonly nodeId: string;
  /** Zero: the driver knows no limit. */
  readonly volumesMax: number;
  readonly topology: Readonly<Record<string, string>>;
}

export interface CsiNodeReportOptions {
  readonly runtime: Runtime;
  readonly client: Client;
  readonly nodeName: string;
}

const nodeIds = "csi.volume.kubernetes.io/nodeid";
const migratedKey = "storage.alpha.kubernetes.io/migrated-plugins";
/** In-tree plugins whose volumes upstream leaves to CSI drivers, always. */
const migrated = [
  "kubernetes.io/aws-ebs",
  "kubernetes.io/azure-disk",
  "kubernetes.io/azure-file",
  "kubernetes.io/cinder",
  "kubernetes.io/gce-pd",
  "kubernetes.io/portworx-volume",
  "kubernetes.io/vsphere-volume",
].join(",");
const limits = { pausesMs: [10, 50, 250], countMax: 2 ** 31 - 1 } as const;
const never = new AbortController().signal;

export class CsiNodeReport {
  readonly #options: CsiNodeReportOptions;
  /** One write at a time: drivers register together when the node starts. */
  readonly #lane = new Lanes();

  constructor(options: CsiNodeReportOptions) {
    this.#options = options;
  }

  /** Makes the CSINode of this node, without drivers; one of an earlier Node goes. */
  async ensure(signal: AbortSignal): Promise<void> {
    const { runtime } = this.#options;
    let pauseMs = 30;
    while (!signal.aborted) {
      try {
        await this.#writeNode((found) => found);
        return;
      } catch (error) {
        runtime.log.warn("Cannot make the CSINode", { error: `${error}` });
        await runtime.clock.sleep(pauseMs, signal);
        pauseMs = Math.min(pauseMs * 8, 30_000);
      }
    }
  }

  /** A driver has registered. */
  async install(found: DriverNode): Promise<void> {
    if (found.nodeId === "") {
      throw new Error("error adding CSI driver node info: driverNodeID must not be empty");
    }
    await this.#retried("error updating Node object with CSI driver node info", "node", () =>
      this.#patchNode((node) => installedNode(node, found)),
    );
    await this.update(found);
  }

  /** A driver has said something new of the node. */
  async update(found: DriverNode): Promise<void> {
    await this.#retried("error updating CSINode object with CSI driver node info", "CSINode", () =>
      this.#writeNode((node) => withDriver(node, found)),
    );
  }

  /** The driver is gone. */
  async uninstall(driver: string): Promise<void> {
    await this.#retried("error uninstalling CSI driver from CSINode object", "CSINode", () =>
      this.#writeNode((node) => withoutDriver(node, driver)),
    );
    await this.#retried("error removing CSI driver node info from Node object", "node", () =>
      this.#patchNode((node) => {
        const { [driver]: _gone, ...left } = nodeIdsOf(node);
        const text = Object.keys(left).length === 0 ? null : JSON.stringify(left);
        return { annotations: { [nodeIds]: text } };
      }),
    );
  }

  async #retried(what: string, object: string, act: () => Promise<void>): Promise<void> {
    const { clock } = this.#options.runtime;
    const causes: unknown[] = [];
    for (const pauseMs of [0, ...limits.pausesMs]) {
      await clock.sleep(pauseMs, never);
      try {
        return await act();
      } catch (error) {
        causes.push(error);
      }
    }
    const texts = [
      ...new Set(causes.map((cause) => (cause instanceof Error ? cause.message : `${cause}`))),
    ];
    const caused = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
    throw new Error(
      `${what}: error updating ${object}: timed out waiting for the condition; ` +
        `caused by: ${caused}`,
    );
  }

  async #patchNode(change: (node: Node) => NodeChange): Promise<void> {
    const { client, nodeName } = this.#options;
    await this.#lane.run("", async () => {
      const node = await client.get(nodes, "", nodeName);
      const metadata = change(node);
      const before = { ...node.metadata.labels, ...node.metadata.annotations };
      const wanted = Object.entries({ ...metadata.labels, ...metadata.annotations });
      if (wanted.every(([key, value]) => (before[key] ?? null) === value)) return;
      await client.patch(nodes, "", nodeName, "merge", { metadata });
    });
  }

  /** Writes what `change` makes of the CSINode, which is made when it is not there. */
  async #writeNode(change: (found: CSINode) => CSINode): Promise<void> {
    const { client, nodeName } = this.#options;
    await this.#lane.run("", async () => {
      const found = await client.get(csiNodes, "", nodeName).catch((error: unknown) => {
        if (!isReason(error, "NotFound")) throw error;
        return undefined;
      });
      const owner = await client.get(nodes, "", nodeName);
      const uid = owner.metadata.uid ?? "";
      if (found === undefined) {
        await client.create(csiNodes, change(newCsiNode(nodeName, uid)));
        return;
      }
      const owners = found.metadata.ownerReferences ?? [];
      const isOurs = owners.some((one) => one.name === nodeName && one.uid === uid);
      if (!isOurs) {
        await client.delete(csiNodes, "", nodeName);
        const old = owners.find(({ kind }) => kind === "Node")?.uid ?? "";
        throw new Error(
          `CSINode "${nodeName}" was owned by different node (oldNodeID="${old}", ` +
            `newNodeID="${uid}"), deleted it`,
        );
      }
      const wanted = change(withMigrated(found));
      if (wanted !== found) await client.update(csiNodes, wanted);
    });
  }
}

interface NodeChange {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string | null>>;
}

function nodeIdsOf(node: Node): Record<string, string> {
  const text = node.metadata.annotations?.[nodeIds] ?? "";
  if (text === "") return {};
  try {
    return JSON.parse(text) as Record<string, string>;
  } catch (error) {
    throw new Error(
      `failed to parse node's "${nodeIds}" annotation value (${JSON.stringify(text)}) err=${error}`,
    );
  }
}

function installedNode(node: Node, { driver, nodeId, topology }: DriverNode): NodeChange {
  for (const [key, value] of Object.entries(topology)) {
    const current = node.metadata.labels?.[key];
    if (current === undefined || current === value) continue;
    throw new Error(
      `detected topology value collision: driver reported "${key}":"${value}" but existing label ` +
        `is "${key}":"${current}"`,
    );
  }
  const ids = { ...nodeIdsOf(node), [driver]: nodeId };
  const sorted = Object.fromEntries(Object.entries(ids).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return { labels: topology, annotations: { [nodeIds]: JSON.stringify(sorted) } };
}

function newCsiNode(name: string, uid: string): CSINode {
  return {
    apiVersion: "storage.k8s.io/v1",
    kind: "CSINode",
    metadata: {
      name,
      annotations: { [migratedKey]: migrated },
      ownerReferences: [{ apiVersion: "v1", kind: "Node", name, uid }],
    },
    spec: { drivers: [] },
  };
}

function withMigrated(node: CSINode): CSINode {
  const { annotations } = node.metadata;
  if (annotations?.[migratedKey] === migrated) return node;
  const metadata = { ...node.metadata, annotations: { ...annotations, [migratedKey]: migrated } };
  return { ...node, metadata };
}

function withDriver(node: CSINode, found: DriverNode): CSINode {
  const count = Math.min(found.volumesMax, limits.countMax);
  const wanted: CSINodeDriver = {
    name: found.driver,
    nodeID: found.nodeId,
    topologyKeys: Object.keys(found.topology).toSorted(),
    ...(count > 0 ? { allocatable: { count } } : {}),
  };
  const known = node.spec.drivers.find(({ name }) => name === found.driver);
  if (known !== undefined && sameDriver(known, wanted)) return node;
  const others = node.spec.drivers.filter(({ name }) => name !== found.driver);
  return { ...node, spec: { ...node.spec, drivers: [...others, wanted] } };
}

function sameDriver(a: CSINodeDriver, b: CSINodeDriver): boolean {
  const keys = ({ topologyKeys = [] }: CSINodeDriver): string => topologyKeys.toSorted().join();
  const sameLimit = a.allocatable?.count === b.allocatable?.count;
  return a.nodeID === b.nodeID && sameLimit && keys(a) === keys(b);
}

function withoutDriver(node: CSINode, driver: string): CSINode {
  const drivers = node.spec.drivers.filter(({ name }) => name !== driver);
  return drivers.length === node.spec.drivers.length ? node : { ...node, spec: { drivers } };
}
