/** The CronJob controller: makes a Job at each scheduled time, keeps a short history of them. */
import { Cron } from "croner";
import { cronJobs, jobs } from "../client/resources.ts";
import type { CronJob, CronJobStatus, Job } from "../gen/batch-v1.ts";
import { isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../live/controller.ts";
import { indexByController, ownedBy } from "./claim.ts";
import { conditionOf, isFinished } from "./job/plan.ts";
import {
  byCreation,
  controllerReference,
  formatTime,
  isDeleting,
  mutable,
  parseTime,
  sameJson,
} from "./objects.ts";
import { OwnWrites } from "./own-writes.ts";
import { isNamespaceTerminating, textOf } from "./pod-control.ts";
import { ownerKeys } from "./watch-owner.ts";

export type LiveCronJob = DeepReadonly<CronJob>;

/** More missed starts than this mean a wrong clock: only the last one is made, with a warning. */
const missedMax = 100;

/** The last start that is due and the next one, as milliseconds since the epoch. */
export function planSchedule(
  cronJob: LiveCronJob,
  nowMs: number,
): { readonly dueMs: number | undefined; readonly nextMs: number | undefined; missed: number } {
  const { schedule, timeZone, startingDeadlineSeconds } = cronJob.spec;
  const cron = new Cron(schedule, { paused: true, timezone: timeZone ?? "UTC" });
  const next = (ms: number) => cron.nextRun(new Date(ms))?.getTime();
  const lastMs = parseTime(cronJob.status?.lastScheduleTime);
  const createdMs = parseTime(cronJob.metadata.creationTimestamp);
  const deadlineMs =
    startingDeadlineSeconds === undefined ? 0 : nowMs - startingDeadlineSeconds * 1000;
  let fromMs = Math.max(lastMs || createdMs, deadlineMs);
  let dueMs: number | undefined;
  let missed = 0;
  for (let at = next(fromMs); at !== undefined && at <= nowMs; at = next(fromMs)) {
    dueMs = at;
    fromMs = at;
    missed++;
    // Far behind: leap to the present instead of counting every start since.
    if (missed > missedMax) fromMs = Math.max(fromMs, nowMs - 24 * 3_600_000);
    if (missed > missedMax * 20) break;
  }
  return { dueMs, nextMs: next(nowMs), missed };
}

/** Creates the CronJob controller. */
export function createCronJobController(context: ControllerContext): Controller {
  const cronJobSet = context.live.of(cronJobs);
  const jobSet = context.live.of(jobs);
  indexByController(jobSet);
  const { client, events, runtime } = context;
  const writes = new OwnWrites(client, cronJobs, cronJobSet);
  const jobWrites = new OwnWrites(client, jobs, jobSet);
  return {
    name: "cronjob",
    concurrent: 5,
    watches: [
      watchRule(cronJobs, ({ now }) => [now.key]),
      watchRule(jobs, (change) => ownerKeys(change, "CronJob", cronJobSet)),
    ],
    async reconcile(key, signal) {
      await writes.seen(signal);
      await jobWrites.seen(signal);
      const cronJob = cronJobSet.get(key)?.object;
      if (cronJob === undefined || isDeleting(cronJob)) return "done";
      const own = ownedBy(jobSet, cronJob.metadata.uid ?? "").filter(
        (job) => !jobWrites.isDeleted(job),
      );
      await trimHistory(cronJob, own);
      const status = noteFinished(cronJob, own);
      const nowMs = runtime.clock.now().getTime();
      const outcome = await schedule(cronJob, own, status, nowMs);
      if (!sameJson(cronJob.status ?? {}, status)) {
        await writes.update({ ...mutable<CronJob>(cronJob), status }, { subresource: "status" });
      }
      return outcome;
    },
  };

  async function trimHistory(
    cronJob: LiveCronJob,
    own: readonly DeepReadonly<Job>[],
  ): Promise<void> {
    const { successfulJobsHistoryLimit = 3, failedJobsHistoryLimit = 1 } = cronJob.spec;
    const limits = { Complete: successfulJobsHistoryLimit, Failed: failedJobsHistoryLimit };
    for (const [type, limit] of Object.entries(limits)) {
      const ended = own.filter((job) => conditionOf(job, type) !== undefined).sort(byCreation);
      for (const job of ended.slice(0, Math.max(0, ended.length - limit))) {
        await remove(cronJob, job);
      }
    }
  }

  async function remove(cronJob: LiveCronJob, job: DeepReadonly<Job>): Promise<void> {
    await jobWrites.delete(job, { propagationPolicy: "Background" });
    const message = `Deleted job ${job.metadata.name}`;
    events.event(cronJob, "Normal", "SuccessfulDelete", message);
  }

  /** The status with only those active Jobs that still run. */
  function noteFinished(cronJob: LiveCronJob, own: readonly DeepReadonly<Job>[]): CronJobStatus {
    const status = mutable<CronJobStatus>(cronJob.status ?? {});
    for (const job of own) {
      const wasActive = status.active?.some(({ uid }) => uid === job.metadata.uid) === true;
      const complete = conditionOf(job, "Complete");
      if (complete !== undefined && wasActive) {
        const { completionTime } = job.status ?? {};
        if (completionTime) status.lastSuccessfulTime = completionTime;
      }
      if (wasActive && isFinished(job)) {
        const how = complete === undefined ? "Failed" : "Complete";
        const message = `Saw completed job: ${job.metadata.name}, condition: ${how}`;
        events.event(cronJob, "Normal", "SawCompletedJob", message);
      }
    }
    const running = own.filter((job) => !isFinished(job)).sort(byCreation);
    const { active: _old, ...rest } = status;
    return running.length === 0 ? rest : { ...rest, active: running.map(referenceTo) };
  }

  async function schedule(
    cronJob: LiveCronJob,
    own: readonly DeepReadonly<Job>[],
    status: CronJobStatus,
    nowMs: number,
  ): Promise<Outcome> {
    if (cronJob.spec.suspend === true) return "done";
    const plan = planSchedule(cronJob, nowMs);
    const outcome: Outcome =
      plan.nextMs === undefined ? "done" : { againInMs: Math.max(1, plan.nextMs - nowMs + 100) };
    if (plan.missed > missedMax) {
      const message =
        "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check " +
        "clock skew";
      events.event(cronJob, "Warning", "TooManyMissedTimes", message);
    }
    if (plan.dueMs === undefined) return outcome;
    const running = own.filter((job) => !isFinished(job));
    const policy = cronJob.spec.concurrencyPolicy ?? "Allow";
    if (policy === "Forbid" && running.length > 0) {
      const message =
        "Not starting job because prior execution is running and concurrency policy is Forbid";
      events.event(cronJob, "Normal", "JobAlreadyActive", message);
      return outcome;
    }
    if (policy === "Replace") for (const job of running) await remove(cronJob, job);
    if (policy === "Replace") status.active = [];
    await start(cronJob, plan.dueMs, status);
    return outcome;
  }

  async function start(cronJob: LiveCronJob, dueMs: number, status: CronJobStatus): Promise<void> {
    try {
      const job = await jobWrites.create(jobAt(cronJob, dueMs));
      const message = `Created job ${job.metadata.name}`;
      events.event(cronJob, "Normal", "SuccessfulCreate", message);
      status.active = [...(status.active ?? []), referenceTo(job)];
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      // It was made before, by a reconcile that did not get to write the status.
      if (!isReason(error, "AlreadyExists")) {
        const message = `Error creating job: ${textOf(error)}`;
        events.event(cronJob, "Warning", "FailedCreate", message);
        throw error;
      }
    }
    status.lastScheduleTime = formatTime(new Date(dueMs));
  }
}

function referenceTo(job: DeepReadonly<Job>) {
  const { name = "", namespace = "", uid = "", resourceVersion = "" } = job.metadata;
  return { apiVersion: "batch/v1", kind: "Job", name, namespace, uid, resourceVersion };
}

/** Named after its minute, so that one start never makes two Jobs. */
export function jobAt(cronJob: LiveCronJob, dueMs: number): Job {
  const template = mutable<CronJob["spec"]["jobTemplate"]>(cronJob.spec.jobTemplate);
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: `${cronJob.metadata.name}-${Math.floor(dueMs / 60_000)}`,
      namespace: cronJob.metadata.namespace ?? "",
      ...(template.metadata?.labels === undefined ? {} : { labels: template.metadata.labels }),
      annotations: {
        ...template.metadata?.annotations,
        "batch.kubernetes.io/cronjob-scheduled-timestamp": formatTime(new Date(dueMs)),
      },
      ownerReferences: [controllerReference(cronJob)],
    },
    spec: template.spec,
  };
}
