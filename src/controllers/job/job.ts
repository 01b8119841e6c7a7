/** The Job controller and the one that removes finished Jobs when their time to live is over. */
import { jobs, pods } from "../../client/resources.ts";
import type { Job } from "../../gen/batch-v1.ts";
import type { Pod } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../../live/controller.ts";
import type { LiveSet } from "../../live/live-set.ts";
import type { Metrics } from "../../runtime/metrics.ts";
import { splitKey } from "../../schema/object.ts";
import { claim, indexByController } from "../claim.ts";
import { controllerOf, isDeleting, mutable, parseTime, sameJson } from "../objects.ts";
import { OwnWrites } from "../own-writes.ts";
import {
  inGrowingBatches,
  isNamespaceTerminating,
  PodControl,
  podFromTemplate,
} from "../pod-control.ts";
import type { LivePod } from "../pod-state.ts";
import { ownerKeys } from "../watch-owner.ts";
import {
  conditionOf,
  failuresKey,
  ignoredFailuresKey,
  indexKey,
  type LiveJob,
  trackingFinalizer,
} from "./job-state.ts";
import { JobMetrics } from "./metrics.ts";
import { type JobPlan, planJob } from "./plan.ts";
import type { NewPod } from "./pods.ts";

/** Creates the Job controller. */
export function createJobController(context: ControllerContext, metrics: Metrics): Controller {
  const jobSet = context.live.of(jobs);
  const podSet = context.live.of(pods);
  indexByController(podSet);
  podSet.addIndex(trackedByJob, makerOf);
  const reconciler = new JobReconciler(context, { jobs: jobSet, pods: podSet }, metrics);
  return {
    name: "job",
    concurrent: 5,
    watches: [
      watchRule(jobs, ({ now }) => [now.key]),
      watchRule(pods, (change) => [
        ...ownerKeys(change, "Job", jobSet),
        ...makerOf(change.now.object),
      ]),
    ],
    reconcile: (key, signal) => reconciler.reconcile(key, signal),
  };
}

class JobReconciler {
  readonly #context: ControllerContext;
  readonly #jobs: LiveSet<Job>;
  readonly #pods: LiveSet<Pod>;
  readonly #jobWrites: OwnWrites<Job>;
  readonly #podWrites: OwnWrites<Pod>;
  readonly #podControl: PodControl;

  readonly #metrics: JobMetrics;

  constructor(
    context: ControllerContext,
    sets: { readonly jobs: LiveSet<Job>; readonly pods: LiveSet<Pod> },
    metrics: Metrics,
  ) {
    const { jobs: jobSet, pods: podSet } = sets;
    this.#context = context;
    this.#metrics = new JobMetrics(metrics);
    this.#jobs = jobSet;
    this.#pods = podSet;
    this.#jobWrites = new OwnWrites(context.client, jobs, jobSet);
    this.#podWrites = new OwnWrites(context.client, pods, podSet);
    this.#podControl = new PodControl(this.#podWrites, context.events);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    await this.#jobWrites.seen(signal);
    await this.#podWrites.seen(signal);
    const job = this.#jobs.get(key)?.object;
    await this.#letGo(key, job);
    if (job === undefined) return "done";
    if (job.spec.managedBy !== undefined && job.spec.managedBy !== "kubernetes.io/job-controller") {
      return "done";
    }
    const { namespace, name } = splitKey(key);
    const present = await claim<Pod>({
      owner: job,
      selector: job.spec.selector ?? { matchLabels: { "controller-uid": job.metadata.uid ?? "" } },
      set: this.#pods,
      writes: this.#podWrites,
      finalizer: trackingFinalizer,
      readOwner: () => this.#context.client.get(jobs, namespace, name),
    });
    const { clock } = this.#context.runtime;
    const plan = planJob(job, present, clock.now());
    const begunMs = clock.monotonicMs();
    let result: "success" | "error" = "error";
    try {
      await this.#apply(job, plan);
      result = "success";
    } finally {
      this.#metrics.synced(job, plan, result, clock.monotonicMs() - begunMs);
    }
    return plan.againInMs === undefined ? "done" : { againInMs: plan.againInMs };
  }

  /** The status goes first: a pod is let go only after it was counted. */
  async #apply(job: LiveJob, plan: JobPlan): Promise<void> {
    if (!sameJson(job.status ?? {}, plan.status)) {
      const changed = { ...mutable<Job>(job), status: plan.status };
      await this.#jobWrites.update(changed, { subresource: "status" });
    }
    for (const [type, reason, message] of plan.events) {
      this.#context.events.event(job, type, reason, message);
    }
    const doomed = plan.delete.filter((pod) => !this.#podWrites.isDeleted(pod));
    await Promise.all(doomed.map((pod) => this.#podControl.delete(pod, job)));
    await Promise.all(plan.release.map((pod) => this.#release(pod)));
    try {
      await inGrowingBatches(plan.create.length, async (at) => {
        await this.#podControl.create(jobPod(job, plan.create[at] ?? {}), job);
      });
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
  }

  async #release(pod: LivePod): Promise<void> {
    const finalizers = (pod.metadata.finalizers ?? []).filter((name) => name !== trackingFinalizer);
    try {
      await this.#podWrites.merge(pod, { metadata: { finalizers } });
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }

  /** Pods that no Job counts any more, as it is gone or they were cut loose, are let go. */
  async #letGo(key: string, job: LiveJob | undefined): Promise<void> {
    for (const { object } of this.#pods.by(trackedByJob, key)) {
      const owner = controllerOf(object);
      if (owner === undefined ? job !== undefined : owner.uid === job?.metadata.uid) continue;
      await this.#release(object);
    }
  }
}

const trackedByJob = "trackedByJob";
const jobNameLabel = "batch.kubernetes.io/job-name";

/** The Job that made the pod: by its owner, or by its label when it was cut loose. */
function makerOf({ metadata }: LivePod): readonly string[] {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner !== undefined && owner.kind !== "Job") return [];
  const name = owner?.name ?? metadata.labels?.[jobNameLabel];
  const isHeld = metadata.finalizers?.includes(trackingFinalizer) === true;
  return name !== undefined && isHeld ? [`${metadata.namespace}/${name}`] : [];
}

/** A pod of the Job; one with an index knows it by annotation, label, host name and environment. */
export function jobPod(job: LiveJob, { index, failures, ignoredFailures }: NewPod): Pod {
  const pod = podFromTemplate(job.spec.template, job);
  pod.metadata.finalizers = [...(pod.metadata.finalizers ?? []), trackingFinalizer];
  if (index === undefined) return pod;
  const text = String(index);
  pod.metadata.generateName = `${job.metadata.name}-${text}-`;
  pod.metadata.annotations = {
    ...pod.metadata.annotations,
    [indexKey]: text,
    ...(failures === undefined ? {} : { [failuresKey]: String(failures) }),
    ...(ignoredFailures ? { [ignoredFailuresKey]: String(ignoredFailures) } : {}),
  };
  pod.metadata.labels = { ...pod.metadata.labels, [indexKey]: text };
  pod.spec.hostname = `${job.metadata.name}-${text}`;
  const variable = {
    name: "JOB_COMPLETION_INDEX",
    valueFrom: { fieldRef: { fieldPath: `metadata.labels['${indexKey}']` } },
  };
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
    const hasIt = container.env?.some(({ name }) => name === variable.name) === true;
    if (!hasIt) container.env = [...(container.env ?? []), variable];
  }
  return pod;
}

/** Creates the controller that deletes Jobs `ttlSecondsAfterFinished` after their end. */
export function createTtlAfterFinishedController(context: ControllerContext): Controller {
  const jobSet = context.live.of(jobs);
  return {
    name: "ttl-after-finished",
    concurrent: 5,
    watches: [watchRule(jobs, ({ now }) => [now.key])],
    async reconcile(key) {
      const job = jobSet.get(key)?.object;
      const ttl = job?.spec.ttlSecondsAfterFinished;
      if (job === undefined || ttl === undefined || isDeleting(job)) return "done";
      const end = conditionOf(job, "Complete") ?? conditionOf(job, "Failed");
      if (end === undefined) return "done";
      const dueMs = parseTime(end.lastTransitionTime) + ttl * 1000;
      const leftMs = dueMs - context.runtime.clock.now().getTime();
      if (leftMs > 0) return { againInMs: leftMs };
      const { namespace = "", name = "", uid = "" } = job.metadata;
      try {
        await context.client.delete(jobs, namespace, name, {
          propagationPolicy: "Foreground",
          preconditions: { uid },
        });
      } catch (error) {
        if (!isReason(error, "NotFound")) throw error;
      }
      return "done";
    },
  };
}
