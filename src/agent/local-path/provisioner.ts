/**
 * The provisioner of local volumes, built into every node: makes the directories of claims whose
 * pods were given to this node, and removes them when the claims are gone.
 */
import { posix } from "node:path";
import {
  configMaps,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
} from "../../client/resources.ts";
import type { Node, PersistentVolume, PersistentVolumeClaim } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../../live/controller.ts";
import type { Host } from "../../runtime/host.ts";
import {
  configMapName,
  type LocalPathConfig,
  parseConfig,
  pathsOn,
  provisionerName,
} from "./local-path-config.ts";
import { ownPath, planVolume, type VolumePlan } from "./plan-volume.ts";

export interface LocalPathOptions {
  readonly context: ControllerContext;
  readonly host: Host;
  readonly nodeName: string;
}

type Claim = DeepReadonly<PersistentVolumeClaim>;
type Volume = DeepReadonly<PersistentVolume>;

const limits = { retryMs: 15_000 } as const;
const claimPrefix = "claim|";
const volumePrefix = "volume|";
const provisionerKeys = [
  "volume.kubernetes.io/storage-provisioner",
  "volume.beta.kubernetes.io/storage-provisioner",
];
const nodeKey = "volume.kubernetes.io/selected-node";

/** Its keys are `claim|namespace/name` and `volume|name`. */
export function createLocalPathProvisioner(options: LocalPathOptions): Controller {
  const provisioner = new Provisioner(options);
  return {
    name: "local-path-provisioner",
    concurrent: 4,
    watches: [
      watchRule(persistentVolumeClaims, ({ now }) => [`${claimPrefix}${now.key}`]),
      watchRule(persistentVolumes, ({ now }) => [`${volumePrefix}${now.key}`]),
    ],
    reconcile: async (key, signal) => {
      // On a node without a server beside it, classes come later than the claims that name them.
      await options.context.live.of(storageClasses).ready(signal);
      return await provisioner.reconcile(key);
    },
  };
}

class Provisioner {
  readonly #context: ControllerContext;
  readonly #host: Host;
  readonly #nodeName: string;

  constructor({ context, host, nodeName }: LocalPathOptions) {
    this.#context = context;
    this.#host = host;
    this.#nodeName = nodeName;
  }

  async reconcile(key: string): Promise<Outcome> {
    const { live } = this.#context;
    if (key.startsWith(claimPrefix)) {
      const found = live.of(persistentVolumeClaims).get(key.slice(claimPrefix.length));
      return found === undefined ? "done" : await this.#syncClaim(found.object);
    }
    const found = live.of(persistentVolumes).get(key.slice(volumePrefix.length));
    return found === undefined ? "done" : await this.#syncVolume(found.object);
  }

  async #syncClaim(claim: Claim): Promise<Outcome> {
    const { annotations, deletionTimestamp } = claim.metadata;
    const isAsked = provisionerKeys.some((key) => annotations?.[key] === provisionerName);
    const isBound = (claim.spec.volumeName ?? "") !== "";
    const selected = annotations?.[nodeKey];
    // A claim that no node was chosen for is answered by the node that sees it.
    const isOurs = selected === undefined || selected === this.#nodeName;
    if (!isAsked || isBound || !isOurs || deletionTimestamp !== undefined) return "done";
    try {
      return await this.#provision(claim, selected !== undefined);
    } catch (error) {
      const message = error instanceof Error ? error.message : `${error}`;
      this.#context.events.event(claim, "Warning", "ProvisioningFailed", message);
      return { againInMs: limits.retryMs };
    }
  }

  async #provision(claim: Claim, hasNode: boolean): Promise<Outcome> {
    const { client, live, events, runtime } = this.#context;
    const className = claim.spec.storageClassName ?? "";
    const storageClass = live.of(storageClasses).get(className)?.object;
    if (storageClass === undefined) return "done";
    const name = `pvc-${claim.metadata.uid}`;
    if (live.of(persistentVolumes).get(name) !== undefined) return "done";
    if (claim.spec.volumeMode === "Block") {
      throw new Error(`${provisionerName} does not support block volume provisioning`);
    }
    const where = `${claim.metadata.namespace}/${claim.metadata.name}`;
    const begins = `External provisioner is provisioning volume for claim "${where}"`;
    events.event(claim, "Normal", "Provisioning", begins);
    let plan: VolumePlan;
    try {
      const node = hasNode ? await this.#node() : undefined;
      const pick = (below: number): number => runtime.random.int(below);
      const config = await this.#config();
      plan = planVolume({ claim, storageClass, node, config, pick });
      await this.#makeDirectory(plan);
    } catch (error) {
      const message = error instanceof Error ? error.message : `${error}`;
      throw new Error(`failed to provision volume with StorageClass "${className}": ${message}`);
    }
    await client.create(persistentVolumes, plan.volume).catch((error: unknown) => {
      if (!isReason(error, "AlreadyExists")) throw error;
    });
    events.event(
      claim,
      "Normal",
      "ProvisioningSucceeded",
      `Successfully provisioned volume ${name}`,
    );
    return "done";
  }

  async #node(): Promise<Node> {
    return await this.#context.client.get(nodes, "", this.#nodeName);
  }

  async #config(): Promise<LocalPathConfig> {
    const found = await this.#context.client.get(configMaps, "kube-system", configMapName);
    return parseConfig(found.data?.["config.json"] ?? "");
  }

  /** As K3s' setup script: open to all, within a parent that only root enters. */
  async #makeDirectory({ path, base, mode, uid, gid }: VolumePlan): Promise<void> {
    const parent = posix.dirname(path);
    await this.#host.mkdir(parent, 0o700);
    const [realBase, realParent] = await Promise.all([
      this.#host.realPath(base),
      this.#host.realPath(parent),
    ]);
    if (realBase === undefined || realParent !== realBase + parent.slice(base.length)) {
      throw new Error(`${path} leads out of ${base}`);
    }
    await this.#host.mkdir(path, mode);
    if (uid >= 0 || gid >= 0) await this.#host.chown(path, uid, gid);
  }

  async #syncVolume(volume: Volume): Promise<Outcome> {
    const { spec, status, metadata } = volume;
    const isFree = status?.phase === "Released" || status?.phase === "Failed";
    const isRemoved = spec.persistentVolumeReclaimPolicy === "Delete";
    if (!isFree || !isRemoved || metadata.deletionTimestamp !== undefined) return "done";
    if (metadata.annotations?.["pv.kubernetes.io/provisioned-by"] !== provisionerName) {
      return "done";
    }
    try {
      const path = ownPath(volume, await this.#node());
      if (path === undefined) return "done";
      await this.#removeDirectory(path);
    } catch (error) {
      const message = error instanceof Error ? error.message : `${error}`;
      const text = `failed to delete volume ${metadata.name}: ${message}`;
      this.#context.events.event(volume, "Warning", "VolumeFailedDelete", text);
      return { againInMs: limits.retryMs };
    }
    const preconditions = { uid: metadata.uid ?? "" };
    const { client } = this.#context;
    await client
      .delete(persistentVolumes, "", metadata.name ?? "", { preconditions })
      .catch((error: unknown) => {
        if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
      });
    return "done";
  }

  /** Nothing outside the configured paths is ever removed, whatever a volume says. */
  async #removeDirectory(path: string): Promise<void> {
    const config = await this.#config();
    const all = [config.base, ...config.classes.values()].filter((one) => one !== undefined);
    const bases = all.flatMap((places) => {
      try {
        return pathsOn(places, this.#nodeName);
      } catch {
        // The node is not listed for this class.
        return [];
      }
    });
    const clean = posix.normalize(path);
    const base = bases.find((one) => clean.startsWith(`${one}/`));
    if (base === undefined || clean !== path.replace(/\/+$/, "")) {
      throw new Error(`${path} is not below a path of local-path-config`);
    }
    const parent = posix.dirname(clean);
    const [realBase, realParent] = await Promise.all([
      this.#host.realPath(base),
      this.#host.realPath(parent),
    ]);
    if (realParent === undefined) return;
    if (realBase === undefined || realParent !== realBase + parent.slice(base.length)) {
      throw new Error(`${path} leads out of ${base}`);
    }
    await this.#host.remove(clean);
  }
}
