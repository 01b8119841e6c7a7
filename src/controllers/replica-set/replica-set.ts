/** The ReplicaSet controller, and the ReplicationController's by the same code. */
import type { Client, Resource } from "../../client/client.ts";
import { pods, replicaSets, replicationControllers } from "../../client/resources.ts";
import type { ReplicaSet, ReplicaSetStatus } from "../../gen/apps-v1.ts";
import type { Pod, ReplicationController } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { Controller, ControllerContext, Outcome } from "../../live/controller.ts";
import { watchRule } from "../../live/controller.ts";
import type { LiveSet } from "../../live/live-set.ts";
import { type KubeObject, splitKey } from "../../schema/object.ts";
import { claim, indexByController, ownedBy } from "../claim.ts";
import { controllerOf, isDeleting, mutable, sameJson } from "../objects.ts";
import { OwnWrites } from "../own-writes.ts";
import {
  inGrowingBatches,
  isNamespaceTerminating,
  PodControl,
  podFromTemplate,
  textOf,
} from "../pod-control.ts";
import type { LivePod } from "../pod-state.ts";
import { ownerKeys } from "../watch-owner.ts";
import {
  planReplicaStatus,
  planReplicas,
  type ReplicaFailure,
  type ReplicaOwner,
  type ReplicaStep,
} from "./plan.ts";

interface ReplicaKind<T extends KubeObject> {
  readonly name: string;
  readonly kind: string;
  readonly resource: Resource<T>;
  readonly ownerOf: (object: DeepReadonly<T>) => ReplicaOwner;
  readonly withStatus: (object: T, status: ReplicaSetStatus) => T;
}

const replicaSetKind: ReplicaKind<ReplicaSet> = {
  name: "replicaset",
  kind: "ReplicaSet",
  resource: replicaSets,
  ownerOf: (object) => ({
    object,
    replicas: object.spec.replicas ?? 1,
    minReadySeconds: object.spec.minReadySeconds ?? 0,
    selector: object.spec.selector,
    template: object.spec.template ?? { metadata: {}, spec: { containers: [] } },
    status: object.status,
  }),
  withStatus: (object, status) => ({ ...object, status }),
};

const replicationControllerKind: ReplicaKind<ReplicationController> = {
  name: "replicationcontroller",
  kind: "ReplicationController",
  resource: replicationControllers,
  ownerOf: (object) => ({
    object,
    replicas: object.spec.replicas ?? 1,
    minReadySeconds: object.spec.minReadySeconds ?? 0,
    selector: { matchLabels: object.spec.selector ?? {} },
    template: object.spec.template ?? { metadata: {}, spec: { containers: [] } },
    status: object.status,
  }),
  withStatus: (object, { terminatingReplicas: _unknown, ...status }) => ({ ...object, status }),
};

/** Creates the ReplicaSet controller. */
export function createReplicaSetController(context: ControllerContext): Controller {
  return createReplicaController(context, replicaSetKind);
}

/** Creates the ReplicationController controller. */
export function createReplicationControllerController(context: ControllerContext): Controller {
  return createReplicaController(context, replicationControllerKind);
}

function createReplicaController<T extends KubeObject>(
  context: ControllerContext,
  kind: ReplicaKind<T>,
): Controller {
  const owners = context.live.of(kind.resource);
  const podSet = context.live.of(pods);
  indexByController(owners);
  indexByController(podSet);
  const reconciler = new ReplicaReconciler(context, kind, owners, podSet);
  return {
    name: kind.name,
    concurrent: 5,
    watches: [
      watchRule(kind.resource, ({ now }) => [now.key]),
      watchRule(pods, (change) => ownerKeys(change, kind.kind, owners)),
    ],
    reconcile: (key, signal) => reconciler.reconcile(key, signal),
  };
}

class ReplicaReconciler<T extends KubeObject> {
  readonly #context: ControllerContext;
  readonly #client: Client;
  readonly #kind: ReplicaKind<T>;
  readonly #owners: LiveSet<T>;
  readonly #pods: LiveSet<Pod>;
  readonly #ownerWrites: OwnWrites<T>;
  readonly #podWrites: OwnWrites<Pod>;
  readonly #podControl: PodControl;

  constructor(
    context: ControllerContext,
    kind: ReplicaKind<T>,
    owners: LiveSet<T>,
    podSet: LiveSet<Pod>,
  ) {
    this.#context = context;
    this.#client = context.client;
    this.#kind = kind;
    this.#owners = owners;
    this.#pods = podSet;
    this.#ownerWrites = new OwnWrites(context.client, kind.resource, owners);
    this.#podWrites = new OwnWrites(context.client, pods, podSet);
    this.#podControl = new PodControl(this.#podWrites, context.events);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    await this.#ownerWrites.seen(signal);
    await this.#podWrites.seen(signal);
    const object = this.#owners.get(key)?.object;
    if (object === undefined) return "done";
    const owner = this.#kind.ownerOf(object);
    const { namespace, name } = splitKey(key);
    const claimed = await claim<Pod>({
      owner: owner.object,
      selector: owner.selector,
      set: this.#pods,
      writes: this.#podWrites,
      readOwner: () => this.#client.get(this.#kind.resource, namespace, name),
    });
    const present = claimed.filter((pod) => !this.#podWrites.isDeleted(pod));
    const failure = isDeleting(owner.object) ? undefined : await this.#manage(owner, present);
    const now = this.#context.runtime.clock.now();
    const { status, againInMs } = planReplicaStatus(owner, present, failure?.condition, now);
    await this.#writeStatus(object, owner, status);
    if (failure !== undefined) throw failure.error;
    return againInMs === undefined ? "done" : { againInMs };
  }

  /** Makes or removes pods; a failure is told in the status before it is retried. */
  async #manage(
    owner: ReplicaOwner,
    present: readonly LivePod[],
  ): Promise<{ readonly error: unknown; readonly condition: ReplicaFailure } | undefined> {
    const nowMs = this.#context.runtime.clock.now().getTime();
    const step = planReplicas(owner.replicas, present, this.#related(owner), nowMs);
    try {
      await this.#applyStep(owner, step);
      return undefined;
    } catch (error) {
      const reason = step.do === "create" ? "FailedCreate" : "FailedDelete";
      return { error, condition: { reason, message: textOf(error) } };
    }
  }

  async #applyStep(owner: ReplicaOwner, step: ReplicaStep): Promise<void> {
    if (step.do === "create") {
      await inGrowingBatches(step.count, async () => {
        try {
          await this.#podControl.create(
            podFromTemplate(owner.template, owner.object),
            owner.object,
          );
        } catch (error) {
          if (!isNamespaceTerminating(error)) throw error;
        }
      });
    }
    if (step.do === "delete") {
      const results = await Promise.allSettled(
        step.pods.map((pod) => this.#podControl.delete(pod, owner.object)),
      );
      const failed = results.find((result) => result.status === "rejected");
      if (failed !== undefined) throw failed.reason;
    }
  }

  /** Pods of every set with the same controlling owner: a Deployment's old and new ones. */
  #related(owner: ReplicaOwner): LivePod[] {
    const top = controllerOf(owner.object);
    const uids =
      top === undefined
        ? [owner.object.metadata.uid ?? ""]
        : ownedBy(this.#owners, top.uid).map((set) => set.metadata.uid ?? "");
    return uids.flatMap((uid) => ownedBy(this.#pods, uid));
  }

  async #writeStatus(
    object: DeepReadonly<T>,
    owner: ReplicaOwner,
    status: ReplicaSetStatus,
  ): Promise<void> {
    const changed = this.#kind.withStatus(mutable<T>(object), status);
    if (sameJson((changed as { status?: unknown }).status, owner.status ?? {})) return;
    await this.#ownerWrites.update(changed, { subresource: "status" });
  }
}
