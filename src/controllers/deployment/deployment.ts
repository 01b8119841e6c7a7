/** The Deployment controller: ReplicaSets that move pods to a new template step by step. */

import { deployments, pods, replicaSets } from "../../client/resources.ts";
import type {
  Deployment,
  DeploymentCondition,
  DeploymentStatus,
  ReplicaSet,
} from "../../gen/apps-v1.ts";
import type { Pod } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { Controller, ControllerContext, Outcome } from "../../live/controller.ts";
import { watchRule } from "../../live/controller.ts";
import type { LiveSet } from "../../live/live-set.ts";
import { splitKey } from "../../schema/object.ts";
import { claim, indexByController, ownedBy } from "../claim.ts";
import { controllerOf, isControlledBy, mutable, sameJson } from "../objects.ts";
import { OwnWrites } from "../own-writes.ts";
import { isNamespaceTerminating, textOf } from "../pod-control.ts";
import { ownerKeys } from "../watch-owner.ts";
import { type DeploymentPlan, type DeploymentStep, planDeployment } from "./plan.ts";
import {
  annotations,
  type LiveDeployment,
  progressDeadlineSeconds,
  sameTemplate,
} from "./replica-sets.ts";
import { withCondition } from "./status.ts";

/** Creates the controller; it acts through `context.client` and records events on Deployments. */
export function createDeploymentController(context: ControllerContext): Controller {
  const sets = {
    deployments: context.live.of(deployments),
    replicaSets: context.live.of(replicaSets),
    pods: context.live.of(pods),
  };
  indexByController(sets.replicaSets);
  indexByController(sets.pods);
  const reconciler = new DeploymentReconciler(context, sets);
  return {
    name: "deployment",
    concurrent: 5,
    watches: [
      watchRule(deployments, ({ now }) => [now.key]),
      watchRule(replicaSets, (change) => ownerKeys(change, "Deployment", sets.deployments)),
      watchRule(pods, ({ type, now }) => {
        // Recreate waits for the last pod of old ReplicaSets to be gone.
        if (type !== "deleted") return [];
        const owner = controllerOf(now.object);
        if (owner?.kind !== "ReplicaSet") return [];
        const { namespace = "" } = now.object.metadata;
        const set = sets.replicaSets.get(`${namespace}/${owner.name}`)?.object;
        const top = set === undefined ? undefined : controllerOf(set);
        return top?.kind === "Deployment" ? [`${namespace}/${top.name}`] : [];
      }),
    ],
    reconcile: (key, signal) => reconciler.reconcile(key, signal),
  };
}

interface Sets {
  readonly deployments: LiveSet<Deployment>;
  readonly replicaSets: LiveSet<ReplicaSet>;
  readonly pods: LiveSet<Pod>;
}

class DeploymentReconciler {
  readonly #context: ControllerContext;
  readonly #sets: Sets;
  readonly #deployments: OwnWrites<Deployment>;
  readonly #replicaSets: OwnWrites<ReplicaSet>;

  constructor(context: ControllerContext, sets: Sets) {
    this.#context = context;
    this.#sets = sets;
    this.#deployments = new OwnWrites(context.client, deployments, sets.deployments);
    this.#replicaSets = new OwnWrites(context.client, replicaSets, sets.replicaSets);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    await this.#deployments.seen(signal);
    await this.#replicaSets.seen(signal);
    const deployment = this.#sets.deployments.get(key)?.object;
    if (deployment === undefined) return "done";
    if (sameJson(deployment.spec.selector, {})) return await this.#refuse(deployment);
    const { namespace, name } = splitKey(key);
    const claimed = await claim<ReplicaSet>({
      owner: deployment,
      selector: deployment.spec.selector,
      set: this.#sets.replicaSets,
      writes: this.#replicaSets,
      readOwner: () => this.#context.client.get(deployments, namespace, name),
    });
    const own = claimed.filter((rs) => !this.#replicaSets.isDeleted(rs));
    const plan = planDeployment({
      deployment,
      replicaSets: own,
      pods: own.flatMap((rs) => ownedBy(this.#sets.pods, rs.metadata.uid ?? "")),
      now: this.#context.runtime.clock.now(),
    });
    await this.#apply(deployment, plan);
    return plan.againInMs === undefined ? "done" : { againInMs: plan.againInMs };
  }

  async #refuse(deployment: LiveDeployment): Promise<Outcome> {
    this.#context.events.event(
      deployment,
      "Warning",
      "SelectingAll",
      "This deployment is selecting all pods. A non-empty selector is required.",
    );
    const observedGeneration = deployment.metadata.generation ?? 0;
    if ((deployment.status?.observedGeneration ?? 0) < observedGeneration) {
      await this.#writeStatus(deployment, {
        ...mutable<DeploymentStatus>(deployment.status ?? {}),
        observedGeneration,
      });
    }
    return "done";
  }

  async #apply(deployment: LiveDeployment, plan: DeploymentPlan): Promise<void> {
    for (const step of plan.steps) await this.#applyStep(deployment, step);
    let current = deployment;
    const { revision } = plan;
    if (
      revision !== undefined &&
      deployment.metadata.annotations?.[annotations.revision] !== revision
    ) {
      const changed = mutable<Deployment>(deployment);
      changed.metadata.annotations = {
        ...changed.metadata.annotations,
        [annotations.revision]: revision,
      };
      current = (await this.#deployments.update(changed)) as LiveDeployment;
    }
    if (!sameJson(deployment.status ?? {}, plan.status)) {
      await this.#writeStatus(current, plan.status);
    }
  }

  async #writeStatus(deployment: LiveDeployment, status: DeploymentStatus): Promise<void> {
    const changed = { ...mutable<Deployment>(deployment), status };
    await this.#deployments.update(changed, { subresource: "status" });
  }

  async #applyStep(deployment: LiveDeployment, step: DeploymentStep): Promise<void> {
    if (step.do === "delete") {
      await this.#replicaSets.delete(step.replicaSet);
      return;
    }
    if (step.do === "update") await this.#replicaSets.update(step.replicaSet);
    if (step.do === "create") {
      const isNew = await this.#create(deployment, step.replicaSet);
      if (!isNew) return;
    }
    if (step.event !== undefined) {
      this.#context.events.event(deployment, "Normal", "ScalingReplicaSet", step.event);
    }
  }

  /** Returns false when the set exists already, from a reconcile that did not see its end. */
  async #create(deployment: LiveDeployment, replicaSet: ReplicaSet): Promise<boolean> {
    const { uid: _planned, ...metadata } = replicaSet.metadata;
    try {
      await this.#replicaSets.create({ ...replicaSet, metadata });
      return true;
    } catch (error) {
      if (isReason(error, "AlreadyExists")) {
        await this.#resolveCollision(deployment, replicaSet);
        return false;
      }
      if (!isNamespaceTerminating(error))
        await this.#reportFailure(deployment, metadata.name, error);
      throw error;
    }
  }

  /** Another template took the name: the next hash must differ. */
  async #resolveCollision(deployment: LiveDeployment, replicaSet: ReplicaSet): Promise<void> {
    const { namespace = "", name = "" } = replicaSet.metadata;
    const present = await this.#context.client.get(replicaSets, namespace, name);
    if (isControlledBy(present, deployment) && sameTemplate(deployment, present)) return;
    const status = mutable<DeploymentStatus>(deployment.status ?? {});
    const collisionCount = (status.collisionCount ?? 0) + 1;
    await this.#writeStatus(deployment, { ...status, collisionCount });
    throw new Error(`Cannot create ReplicaSet "${name}": the name is taken by another template`);
  }

  async #reportFailure(
    deployment: LiveDeployment,
    name: string | undefined,
    error: unknown,
  ): Promise<void> {
    const reason = "ReplicaSetCreateError";
    const message = `Failed to create new replica set "${name}": ${textOf(error)}`;
    this.#context.events.event(deployment, "Warning", reason, message);
    if (progressDeadlineSeconds(deployment) === undefined) return;
    const conditions = withCondition(
      deployment.status?.conditions ?? [],
      { type: "Progressing", status: "False", reason, message },
      this.#context.runtime.clock.now(),
    );
    if (conditions === deployment.status?.conditions) return;
    await this.#writeStatus(deployment, {
      ...mutable<DeploymentStatus>(deployment.status ?? {}),
      conditions: mutable(conditions) as DeploymentCondition[],
    });
  }
}
