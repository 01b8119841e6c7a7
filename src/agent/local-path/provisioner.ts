/**
 * The provisioner of local volumes: gives claims their volumes and removes these when the claims
 * are gone. Every node does it for its own directories (`node-directories.ts`); where the cluster
 * has scripts of its own, a server does it by pods that run them (`helper-runner.ts`).
 */
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
import {
  type Action,
  configMapName,
  type LocalPathConfig,
  parseConfig,
  provisionerName,
} from "./local-path-config.ts";
import { type FoundVolume, findVolume, isOn, planVolume, type VolumePlan } from "./plan-volume.ts";

/** Who makes and removes what lies on the nodes. */
export interface VolumeMeans {
  /** The only node whose volumes it sees to; a server sees to those of all. */
  readonly nodeName: string | undefined;
  /** Whether it does what the cluster's own scripts say, or what needs none. */
  readonly runsScripts: boolean;
  make(plan: VolumePlan, config: LocalPathConfig): Promise<void>;
  remove(volume: FoundVolume, config: LocalPathConfig): Promise<void>;
}

export interface LocalPathOptions {
  readonly context: ControllerContext;
  readonly means: VolumeMeans;
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
  const { live } = options.context;
  return {
    name: options.means.runsScripts ? "local-path-scripts" : "local-path-provisioner",
    concurrent: 4,
    watches: [
      watchRule(persistentVolumeClaims, ({ now }) => [`${claimPrefix}${now.key}`]),
      watchRule(persistentVolumes, ({ now }) => [`${volumePrefix}${now.key}`]),
      watchRule(nodes, ({ type }) =>
        type === "deleted" && options.means.nodeName === undefined
          ? Array.from(live.of(persistentVolumes).list(), ({ key }) => `${volumePrefix}${key}`)
          : [],
      ),
    ],
    reconcile: async (key, signal) => {
      // On a node without a server beside it, classes come later than the claims that name them.
      await live.of(storageClasses).ready(signal);
      return await provisioner.reconcile(key);
    },
  };
}

class Provisioner {
  readonly #context: ControllerContext;
  readonly #means: VolumeMeans;

  constructor({ context, means }: LocalPathOptions) {
    this.#context = context;
    this.#means = means;
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
    const nodeName = annotations?.[nodeKey];
    // A claim that no node was chosen for is answered by the node that sees it.
    const isOfOther = ![undefined, nodeName].includes(this.#means.nodeName);
    const isElsewhere = nodeName !== undefined && isOfOther;
    if (!isAsked || isBound || isElsewhere || deletionTimestamp !== undefined) return "done";
    try {
      const config = await this.#config();
      if (!this.#fits("create", config)) return { againInMs: limits.retryMs };
      return await this.#provision(claim, nodeName, config);
    } catch (error) {
      const message = error instanceof Error ? error.message : `${error}`;
      this.#context.events.event(claim, "Warning", "ProvisioningFailed", message);
      return { againInMs: limits.retryMs };
    }
  }

  /** Who does it changes with the configuration: whoever does not looks again. */
  #fits(action: Action, { helper }: LocalPathConfig): boolean {
    return helper.actions.has(action) === this.#means.runsScripts;
  }

  async #provision(
    claim: Claim,
    nodeName: string | undefined,
    config: LocalPathConfig,
  ): Promise<Outcome> {
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
      const node = nodeName === undefined ? undefined : await this.#node(nodeName);
      const pick = (below: number): number => runtime.random.int(below);
      plan = planVolume({ claim, storageClass, node, config, pick });
      await this.#means.make(plan, config);
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

  async #node(name: string): Promise<Node> {
    return await this.#context.client.get(nodes, "", name);
  }

  async #config(): Promise<LocalPathConfig> {
    const found = await this.#context.client.get(configMaps, "kube-system", configMapName);
    return parseConfig(found.data ?? {});
  }

  async #syncVolume(volume: Volume): Promise<Outcome> {
    const { spec, status, metadata } = volume;
    const isFree = status?.phase === "Released" || status?.phase === "Failed";
    const isRemoved = spec.persistentVolumeReclaimPolicy === "Delete";
    if (!isFree || !isRemoved || metadata.deletionTimestamp !== undefined) return "done";
    const found = findVolume(volume);
    if (found === undefined) return "done";
    try {
      const left = await this.#remove(volume, found);
      if (left !== undefined) return left;
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

  /** Undefined once nothing of the volume is left. */
  async #remove(volume: Volume, found: FoundVolume): Promise<Outcome | undefined> {
    const { nodeName } = this.#means;
    if (nodeName !== undefined && !isOn(volume, await this.#node(nodeName))) return "done";
    if (nodeName === undefined && (await this.#isNodeGone(found))) return undefined;
    const config = await this.#config();
    if (!this.#fits("delete", config)) return { againInMs: limits.retryMs };
    await this.#means.remove(found, config);
    return undefined;
  }

  async #isNodeGone({ nodeName }: FoundVolume): Promise<boolean> {
    if (nodeName === undefined) return false;
    return await this.#node(nodeName).then(
      () => false,
      (error: unknown) => {
        if (isReason(error, "NotFound")) return true;
        throw error;
      },
    );
  }
}
