/** Registers the node, keeps its status current, renews its lease. */
import type { Client } from "../../client/client.ts";
import { leases, nodes } from "../../client/resources.ts";
import type * as core from "../../gen/core-v1.ts";
import type { RuntimeHandler } from "../../gen/cri/api_pb.ts";
import { isReason } from "../../lib/api-error.ts";
import type { EventRecorder } from "../../live/events.ts";
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { CriClient } from "../cri/client.ts";
import type { Machine } from "./machine.ts";
import { nodeStatusEvents, tellOfNode } from "./node-events.ts";
import {
  type NodeFacts,
  type NodeIdentity,
  newNode,
  nodeAnnotations,
  nodeLabels,
  nodeStatus,
} from "./node-object.ts";
import { sameJson } from "./status-patch.ts";

const limits = {
  leaseSeconds: 40,
  leaseEveryMs: 10_000,
  /** How often an unchanged status is written. */
  unchangedEveryMs: 300_000,
  notReadyEveryMs: 50,
  notReadyFastMs: 30_000,
  retryMs: 200,
} as const;

type Quantities = Readonly<Record<string, string>>;

export interface NodeReporterOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly client: Client;
  readonly cri: CriClient;
  readonly identity: NodeIdentity;
  readonly machine: Machine;
  readonly events: EventRecorder;
  /** Conditions of the node that hold now. */
  readonly pressures: () => readonly string[];
  readonly isShuttingDown: () => boolean;
  readonly volumesInUse: () => readonly string[];
  /** What device plugins offer. */
  readonly devices: () => NodeFacts["devices"];
}

export class NodeReporter {
  readonly #options: NodeReporterOptions;
  #node: core.Node | undefined;
  #writtenMs = 0;
  #ready = false;
  /** The conditions that the last event was about. */
  #told: readonly core.NodeCondition[] = [];

  constructor(options: NodeReporterOptions) {
    this.#options = options;
  }

  isReady(): boolean {
    return this.#ready;
  }

  /** Creates the Node or takes over the one that is there; tries until it works. */
  async register(signal: AbortSignal): Promise<void> {
    const { runtime, client, identity, machine, events } = this.#options;
    tellOfNode(events, identity.name, "Starting", { message: "Starting kubelet." });
    while (!signal.aborted) {
      try {
        const fresh = newNode(identity, await this.#facts());
        this.#node = await client.create(nodes, fresh).catch(async (error: unknown) => {
          if (!isReason(error, "AlreadyExists")) throw error;
          const metadata = {
            labels: nodeLabels(identity, machine.architecture),
            annotations: nodeAnnotations(identity),
          };
          const found = await client.patch(nodes, "", identity.name, "merge", { metadata });
          this.#told = found.status?.conditions ?? [];
          return found;
        });
        return await this.update(true);
      } catch (error) {
        runtime.log.warn("Cannot register the node", { error: `${error}` });
        await runtime.clock.sleep(limits.retryMs, signal);
      }
    }
  }

  /** Keeps the status current: fast while the node is not ready yet, slowly after. */
  async run(signal: AbortSignal): Promise<void> {
    const { runtime, identity } = this.#options;
    const { nodeStatusUpdateMs } = identity.settings;
    const begun = runtime.clock.monotonicMs();
    while (!signal.aborted) {
      const young = runtime.clock.monotonicMs() - begun < limits.notReadyFastMs;
      const pause = !this.#ready && young ? limits.notReadyEveryMs : nodeStatusUpdateMs;
      await runtime.clock.sleep(pause, signal);
      if (signal.aborted) return;
      await this.#correct().catch((error: unknown) => {
        runtime.log.warn("Cannot update the node status", { error: `${error}` });
      });
    }
  }

  async renewLease(signal: AbortSignal): Promise<void> {
    const { runtime } = this.#options;
    while (!signal.aborted) {
      const done = await this.#renewOnce().catch((error: unknown) => {
        runtime.log.warn("Cannot renew the node lease", { error: `${error}` });
        return false;
      });
      await runtime.clock.sleep(done ? limits.leaseEveryMs : limits.retryMs * 5, signal);
    }
  }

  /** What others have made of the node meanwhile is set right: that nobody heard of it, say. */
  async #correct(): Promise<void> {
    const { client, identity } = this.#options;
    this.#node = await client.get(nodes, "", identity.name).catch((error: unknown) => {
      if (!isReason(error, "NotFound")) throw error;
      return undefined;
    });
    await this.update(false);
  }

  async update(force: boolean): Promise<void> {
    const { runtime, client, identity } = this.#options;
    const facts = await this.#facts();
    const status = nodeStatus(identity, facts, this.#node);
    const conditions = status.conditions ?? [];
    this.#ready = conditions.some(({ type, status: s }) => type === "Ready" && s === "True");
    const now = runtime.clock.monotonicMs();
    const due = force || now - this.#writtenMs > limits.unchangedEveryMs;
    if (!due && sameStatus(this.#node?.status, status)) return;
    const options = { subresource: "status" };
    const replaced = [...(status.addresses ?? []), { $patch: "replace" }];
    const volumesInUse = status.volumesInUse ?? null;
    const body = { status: { ...status, addresses: replaced, volumesInUse } };
    const answer = client.patch(nodes, "", identity.name, "strategic", body, options);
    this.#node = await answer.catch(async (error: unknown) => {
      // Deleted by hand: the node comes back as a new one, as upstream's kubelet does.
      if (!isReason(error, "NotFound")) throw error;
      return await client.create(nodes, newNode(identity, facts));
    });
    this.#writtenMs = now;
    for (const reason of nodeStatusEvents(this.#told, conditions))
      tellOfNode(this.#options.events, identity.name, reason);
    this.#told = conditions;
  }

  async #facts(): Promise<NodeFacts> {
    const { runtime, host, cri, machine, identity } = this.#options;
    const [disk, version, status, images] = await Promise.all([
      host.fileSystem(identity.settings.rootDir),
      cri.runtime.version({}).catch(() => undefined),
      cri.runtime.status({}).catch(() => undefined),
      cri.images.listImages({}).catch(() => undefined),
    ]);
    const name = version?.runtimeName ?? "containerd";
    const imagesMax = identity.settings.nodeStatusMaxImages;
    return {
      machine,
      disk,
      pressures: this.#options.pressures(),
      isShuttingDown: this.#options.isShuttingDown(),
      devices: this.#options.devices(),
      volumesInUse: this.#options.volumesInUse(),
      runtimeVersion: `${name}://${version?.runtimeVersion ?? "unknown"}`,
      runtime: status?.status?.conditions,
      handlers: (status?.runtimeHandlers ?? []).map(handlerStatus),
      supplementalGroupsPolicy: status?.features?.supplementalGroupsPolicy === true,
      images: (images?.images ?? [])
        .map(({ repoTags, repoDigests, size }) => ({
          names: [...repoDigests, ...repoTags],
          sizeBytes: Number(size),
        }))
        .toSorted((a, b) => b.sizeBytes - a.sizeBytes)
        .slice(0, imagesMax === -1 ? undefined : imagesMax),
      nowMs: runtime.clock.now().getTime(),
    };
  }

  async #renewOnce(): Promise<boolean> {
    const { runtime, client, identity } = this.#options;
    const namespace = "kube-node-lease";
    const renewTime = runtime.clock.now().toISOString().replace(/Z$/, "000Z");
    const owner = {
      apiVersion: "v1",
      kind: "Node",
      name: identity.name,
      uid: this.#node?.metadata.uid ?? "",
    };
    const spec = {
      holderIdentity: identity.name,
      leaseDurationSeconds: limits.leaseSeconds,
      renewTime,
    };
    try {
      await client.patch(leases, namespace, identity.name, "merge", { spec });
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
      await client.create(leases, {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name: identity.name, namespace, ownerReferences: [owner] },
        spec,
      });
    }
    return true;
  }
}

function handlerStatus({ name, features }: RuntimeHandler): core.NodeRuntimeHandler {
  const recursiveReadOnlyMounts = features?.recursiveReadOnlyMounts === true;
  const userNamespaces = features?.userNamespaces === true;
  return { name, features: { recursiveReadOnlyMounts, userNamespaces } };
}

/** Heartbeats and free space apart, has anything changed? */
/** Entries of `all` whose keys `own` has too. */
function only(all: Quantities = {}, own: Quantities = {}): Quantities {
  return Object.fromEntries(Object.entries(all).filter(([key]) => Object.hasOwn(own, key)));
}

function sameStatus(before: core.NodeStatus | undefined, now: core.NodeStatus): boolean {
  const strip = (status: core.NodeStatus | undefined): unknown => ({
    addresses: status?.addresses,
    // Resources that others have added are left as they are.
    capacity: only(status?.capacity, now.capacity),
    allocatable: only(status?.allocatable, now.allocatable),
    images: status?.images?.map((image) => image.names),
    volumesInUse: status?.volumesInUse,
    nodeInfo: status?.nodeInfo,
    runtimeHandlers: status?.runtimeHandlers,
    features: status?.features,
    daemonEndpoints: status?.daemonEndpoints,
  });
  const own = (now.conditions ?? []).every((condition) => {
    const old = before?.conditions?.find((entry) => entry.type === condition.type);
    return old?.status === condition.status && old.reason === condition.reason;
  });
  return own && sameJson(strip(before), strip(now));
}
