/** Decides what a Deployment needs now: ReplicaSets to make, scale or drop, and its status. */
import type { DeploymentCondition, DeploymentStatus, ReplicaSet } from "../../gen/apps-v1.ts";
import type { PodTemplateSpec } from "../../gen/core-v1.ts";
import type { LabelSelector } from "../../gen/meta-v1.ts";
import { assert } from "../../lib/assert.ts";
import { byCreation, controllerReference, isDeleting, mutable } from "../objects.ts";
import type { LivePod } from "../pod-state.ts";
import { isPodTerminal } from "../pod-state.ts";
import { templateHash } from "../template-hash.ts";
import { newSetAnnotations, replicasAnnotations } from "./annotations.ts";
import {
  annotations,
  fenceposts,
  findNewReplicaSet,
  hashLabel,
  isActive,
  isRollingUpdate,
  type LiveDeployment,
  type LiveReplicaSet,
  newReplicaCount,
  nextRevision,
  planCleanup,
  progressDeadlineSeconds,
  proportionOf,
  replicasOf,
  sum,
} from "./replica-sets.ts";
import {
  calculateStatus,
  conditionOf,
  isComplete,
  rolloutStatus,
  untilDeadlineMs,
  withCondition,
} from "./status.ts";

export interface DeploymentInput {
  readonly deployment: LiveDeployment;
  /** Those the Deployment controls. */
  readonly replicaSets: readonly LiveReplicaSet[];
  /** Pods of those ReplicaSets. */
  readonly pods: readonly LivePod[];
  readonly now: Date;
}

export type DeploymentStep =
  | { readonly do: "create"; readonly replicaSet: ReplicaSet; readonly event: string | undefined }
  | { readonly do: "update"; readonly replicaSet: ReplicaSet; readonly event: string | undefined }
  | { readonly do: "delete"; readonly replicaSet: LiveReplicaSet };

export interface DeploymentPlan {
  readonly steps: readonly DeploymentStep[];
  /** The revision the Deployment's annotation must show; undefined leaves it alone. */
  readonly revision: string | undefined;
  readonly status: DeploymentStatus;
  readonly againInMs: number | undefined;
}

/** The whole decision; the same input always yields the same plan. */
export function planDeployment(input: DeploymentInput): DeploymentPlan {
  return new Rollout(input).plan();
}

class Rollout {
  readonly #input: DeploymentInput;
  readonly #steps: DeploymentStep[] = [];
  /** Every ReplicaSet as it will be after the steps. */
  #all: LiveReplicaSet[];
  #deployment: LiveDeployment;
  #newUid: string | undefined;
  #revision: string | undefined;

  constructor(input: DeploymentInput) {
    this.#input = input;
    this.#deployment = input.deployment;
    this.#all = [...input.replicaSets];
    this.#newUid = findNewReplicaSet(input.deployment, this.#all)?.metadata.uid;
  }

  plan(): DeploymentPlan {
    if (isDeleting(this.#deployment)) return this.#finish("counts");
    this.#notePause();
    if (this.#deployment.spec.paused === true) {
      this.#syncNewSet();
      this.#scale();
      this.#cleanUp();
      return this.#finish("counts");
    }
    if (this.#isScaling()) {
      this.#syncNewSet();
      this.#scale();
      return this.#finish("counts");
    }
    if (isRollingUpdate(this.#deployment)) this.#roll();
    else this.#recreate();
    return this.#finish("rollout");
  }

  get #newSet(): LiveReplicaSet | undefined {
    return this.#newUid === undefined
      ? undefined
      : this.#all.find((rs) => rs.metadata.uid === this.#newUid);
  }

  get #oldSets(): LiveReplicaSet[] {
    return this.#all.filter((rs) => rs.metadata.uid !== this.#newUid);
  }

  #finish(kind: "counts" | "rollout"): DeploymentPlan {
    const { now } = this.#input;
    const calculate = kind === "counts" ? calculateStatus : rolloutStatus;
    const status = calculate(this.#deployment, this.#all, this.#newSet, now);
    return {
      steps: this.#steps,
      revision: this.#revision,
      status,
      againInMs: kind === "counts" ? undefined : untilDeadlineMs(this.#deployment, status, now),
    };
  }

  #setProgress(status: string, reason: string, message: string): void {
    const conditions = withCondition(
      this.#deployment.status?.conditions ?? [],
      { type: "Progressing", status, reason, message },
      this.#input.now,
    );
    this.#deployment = {
      ...this.#deployment,
      status: { ...this.#deployment.status, conditions: conditions as DeploymentCondition[] },
    };
  }

  /** A pause stops the deadline's clock, a resume restarts it. */
  #notePause(): void {
    if (progressDeadlineSeconds(this.#deployment) === undefined) return;
    const condition = conditionOf(this.#deployment.status?.conditions, "Progressing");
    if (condition?.reason === "ProgressDeadlineExceeded") return;
    const paused = this.#deployment.spec.paused === true;
    const noted = condition?.reason === "DeploymentPaused";
    if (paused && !noted) {
      this.#setProgress("Unknown", "DeploymentPaused", "Deployment is paused");
    }
    if (!paused && noted) {
      this.#setProgress("Unknown", "DeploymentResumed", "Deployment is resumed");
    }
  }

  /** True when someone changed `spec.replicas` since the ReplicaSets were last scaled. */
  #isScaling(): boolean {
    return this.#all.filter(isActive).some((rs) => {
      const desired = rs.metadata.annotations?.[annotations.desiredReplicas];
      return desired !== undefined && Number(desired) !== replicasOf(this.#deployment);
    });
  }

  #replace(changed: ReplicaSet, event: string | undefined): void {
    const earlier = this.#steps.findIndex(
      (step) => step.do !== "delete" && step.replicaSet.metadata.uid === changed.metadata.uid,
    );
    const before = this.#steps[earlier];
    if (before !== undefined && before.do !== "delete") {
      this.#steps[earlier] = { ...before, replicaSet: changed, event: event ?? before.event };
    } else {
      this.#steps.push({ do: "update", replicaSet: changed, event });
    }
    this.#all = this.#all.map((rs) =>
      rs.metadata.uid === changed.metadata.uid ? (changed as LiveReplicaSet) : rs,
    );
  }

  /** Gives the new ReplicaSet its revision and the Deployment's annotations. */
  #syncNewSet(): void {
    const current = this.#newSet;
    if (current === undefined) return;
    const newRevision = nextRevision(this.#oldSets);
    const wanted = newSetAnnotations(this.#deployment, current.metadata.annotations, newRevision);
    const minReadySeconds = this.#deployment.spec.minReadySeconds ?? 0;
    if (wanted !== undefined || (current.spec.minReadySeconds ?? 0) !== minReadySeconds) {
      const changed = mutable<ReplicaSet>(current);
      if (wanted !== undefined) changed.metadata.annotations = wanted;
      changed.spec.minReadySeconds = minReadySeconds;
      this.#replace(changed, undefined);
    }
    this.#revision = this.#newSet?.metadata.annotations?.[annotations.revision];
    const hasProgress = conditionOf(this.#deployment.status?.conditions, "Progressing");
    if (progressDeadlineSeconds(this.#deployment) !== undefined && hasProgress === undefined) {
      const message = `Found new replica set "${current.metadata.name}"`;
      this.#setProgress("True", "FoundNewReplicaSet", message);
    }
  }

  #createNewSet(): void {
    const deployment = this.#deployment;
    const template = mutable<PodTemplateSpec>(deployment.spec.template);
    const hash = templateHash(template, deployment.status?.collisionCount);
    const labels = { ...template.metadata.labels, [hashLabel]: hash };
    const selector = mutable<LabelSelector>(deployment.spec.selector);
    const replicas = newReplicaCount(deployment, this.#all, 0);
    const newRevision = nextRevision(this.#oldSets);
    const name = `${deployment.metadata.name}-${hash}`;
    const replicaSet: ReplicaSet = {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: {
        name,
        // It has no uid yet; "" stands for it within the plan.
        uid: "",
        namespace: deployment.metadata.namespace ?? "",
        labels,
        annotations: {
          ...newSetAnnotations(deployment, {}, newRevision),
          ...replicasAnnotations(deployment),
        },
        ownerReferences: [controllerReference(deployment)],
      },
      spec: {
        replicas,
        minReadySeconds: deployment.spec.minReadySeconds ?? 0,
        selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
        template: { ...template, metadata: { ...template.metadata, labels } },
      },
    };
    const event = replicas > 0 ? `Scaled up replica set ${name} from 0 to ${replicas}` : undefined;
    this.#steps.push({ do: "create", replicaSet, event });
    this.#all.push(replicaSet as LiveReplicaSet);
    this.#newUid = "";
    this.#revision = String(newRevision);
    if (progressDeadlineSeconds(deployment) !== undefined) {
      this.#setProgress("True", "NewReplicaSetCreated", `Created new replica set "${name}"`);
    }
  }

  #ensureNewSet(): void {
    if (this.#newSet === undefined) this.#createNewSet();
    else this.#syncNewSet();
  }

  /** Returns true when the size changed. */
  #resize(replicaSet: LiveReplicaSet, size: number): boolean {
    const before = replicasOf(replicaSet);
    const noted = replicasAnnotations(this.#deployment);
    const present = replicaSet.metadata.annotations ?? {};
    const isNoted = Object.entries(noted).every(([key, value]) => present[key] === value);
    if (before === size && isNoted) return false;
    const changed = mutable<ReplicaSet>(replicaSet);
    changed.spec.replicas = size;
    changed.metadata.annotations = { ...changed.metadata.annotations, ...noted };
    const direction = before < size ? "up" : "down";
    const event =
      before === size
        ? undefined
        : `Scaled ${direction} replica set ${replicaSet.metadata.name} from ${before} to ${size}`;
    this.#replace(changed, event);
    return before !== size;
  }

  /** Scales outside a rollout: the only or latest set, or all in proportion. */
  #scale(): void {
    const wanted = replicasOf(this.#deployment);
    const active = this.#all.filter(isActive);
    const latest = this.#newSet ?? this.#oldSets.toSorted(byCreation).at(-1);
    if (active.length <= 1) {
      const only = active[0] ?? latest;
      if (only !== undefined) this.#resize(only, wanted);
      return;
    }
    const newSet = this.#newSet;
    if (newSet !== undefined && this.#isSaturated(newSet)) {
      for (const old of this.#oldSets.filter(isActive)) this.#resize(old, 0);
      return;
    }
    if (isRollingUpdate(this.#deployment)) this.#scaleInProportion(active);
  }

  #isSaturated(newSet: LiveReplicaSet): boolean {
    const wanted = replicasOf(this.#deployment);
    return (
      Number(newSet.metadata.annotations?.[annotations.desiredReplicas]) === wanted &&
      replicasOf(newSet) === wanted &&
      (newSet.status?.availableReplicas ?? 0) === wanted
    );
  }

  #scaleInProportion(active: readonly LiveReplicaSet[]): void {
    const wanted = replicasOf(this.#deployment);
    const allowed = wanted > 0 ? wanted + fenceposts(this.#deployment).maxSurge : 0;
    const toAdd = allowed - sum(active, replicasOf);
    const age = toAdd > 0 ? 1 : -1;
    const ordered = active.toSorted(
      (a, b) => replicasOf(b) - replicasOf(a) || -age * byCreation(a, b),
    );
    let added = 0;
    const sizes = ordered.map((rs) => {
      const part = proportionOf(rs, this.#deployment, toAdd, added);
      added += part;
      return replicasOf(rs) + part;
    });
    ordered.forEach((rs, index) => {
      const leftover = index === 0 && toAdd !== 0 ? toAdd - added : 0;
      this.#resize(rs, Math.max(0, (sizes[index] ?? 0) + leftover));
    });
  }

  #roll(): void {
    this.#ensureNewSet();
    const newSet = this.#newSet;
    assert(newSet !== undefined, "a rolling Deployment has a new ReplicaSet");
    const wanted = replicasOf(this.#deployment);
    const size = replicasOf(newSet);
    const target = size > wanted ? wanted : newReplicaCount(this.#deployment, this.#all, size);
    if (target !== size && this.#resize(newSet, target)) return;
    if (this.#shrinkOld(newSet)) return;
    if (isComplete(this.#deployment, this.#deployment.status ?? {})) this.#cleanUp();
  }

  /** Takes pods from old sets: broken ones first, then as many as availability allows. */
  #shrinkOld(newSet: LiveReplicaSet): boolean {
    const old = this.#oldSets.filter(isActive).toSorted(byCreation);
    if (old.length === 0) return false;
    const minAvailable = replicasOf(this.#deployment) - fenceposts(this.#deployment).maxUnavailable;
    const newUnavailable = replicasOf(newSet) - (newSet.status?.availableReplicas ?? 0);
    const most = sum(this.#all, replicasOf) - minAvailable - newUnavailable;
    if (most <= 0) return false;
    const broken = this.#take(old, most, (rs) =>
      Math.max(0, replicasOf(rs) - (rs.status?.availableReplicas ?? 0)),
    );
    const available = sum(this.#all, (rs) => rs.status?.availableReplicas ?? 0);
    const spare = available - minAvailable;
    const left = this.#oldSets.filter(isActive).toSorted(byCreation);
    const healthy = spare > 0 ? this.#take(left, spare, replicasOf) : 0;
    return broken + healthy > 0;
  }

  #take(
    sets: readonly LiveReplicaSet[],
    most: number,
    surplusOf: (rs: LiveReplicaSet) => number,
  ): number {
    let taken = 0;
    for (const rs of sets) {
      const count = Math.min(most - taken, surplusOf(rs));
      if (count <= 0) continue;
      this.#resize(rs, replicasOf(rs) - count);
      taken += count;
    }
    return taken;
  }

  #recreate(): void {
    this.#syncNewSet();
    const active = this.#oldSets.filter(isActive);
    if (active.length > 0) {
      for (const rs of active) this.#resize(rs, 0);
      return;
    }
    if (this.#oldPodsRun()) return;
    this.#ensureNewSet();
    const newSet = this.#newSet;
    assert(newSet !== undefined, "a recreated Deployment has a new ReplicaSet");
    this.#resize(newSet, replicasOf(this.#deployment));
    if (isComplete(this.#deployment, this.#deployment.status ?? {})) this.#cleanUp();
  }

  #oldPodsRun(): boolean {
    if (this.#oldSets.some((rs) => (rs.status?.replicas ?? 0) > 0)) return true;
    return this.#input.pods.some(
      (pod) =>
        !isPodTerminal(pod) &&
        !pod.metadata.ownerReferences?.some((owner) => owner.uid === this.#newUid),
    );
  }

  #cleanUp(): void {
    for (const replicaSet of planCleanup(this.#deployment, this.#oldSets)) {
      this.#steps.push({ do: "delete", replicaSet });
    }
  }
}
