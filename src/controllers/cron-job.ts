/** The CronJob controller: makes a Job at each scheduled time, keeps a short history of them. */
import { cronJobs, jobs } from "../client/resources.ts";
import type { CronJob, CronJobStatus, Job } from "../gen/batch-v1.ts";
import { isReason } from "../lib/api-error.ts";
import { formatInZone, parseCron } from "../lib/cron.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../live/controller.ts";
import type { LiveSet } from "../live/live-set.ts";
import type { Histogram, Metrics } from "../runtime/metrics.ts";
import { indexByController, ownedBy } from "./claim.ts";
import { conditionOf, isFinished } from "./job/job-state.ts";
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

interface Schedule {
  /** The last start that is due. */
  readonly dueMs: number | undefined;
  readonly nextMs: number | undefined;
  /** Starts since the last one that was made; an estimate when there are many. */
  readonly missed: number;
}

/** The last start that is due and the next one, as milliseconds since the epoch. */
export function planSchedule(cronJob: LiveCronJob, nowMs: number): Schedule {
  const { schedule, timeZone, startingDeadlineSeconds } = cronJob.spec;
  const cron = parseCron(schedule);
  const next = (ms: number) => cron.next(ms, timeZone);
  const lastMs = parseTime(cronJob.status?.lastScheduleTime);
  const createdMs = parseTime(cronJob.metadata.creationTimestamp);
  const deadlineMs =
    startingDeadlineSeconds === undefined ? 0 : nowMs - Number(startingDeadlineSeconds) * 1000;
  const fromMs = Math.max(lastMs || createdMs, deadlineMs);
  const nextMs = next(nowMs);
  const first = next(fromMs);
  if (first === undefined || first > nowMs) return { dueMs: undefined, nextMs, missed: 0 };
  const second = next(first);
  if (second === undefined || second > nowMs) return { dueMs: first, nextMs, missed: 1 };
  const stepMs = second - first;
  const missed = Math.floor((nowMs - first) / stepMs) + 1;
  // Near to now at once: a clock that was wrong for years costs no more than one that was right.
  let dueMs = Math.max(first, first + (missed - 2) * stepMs - 1000);
  for (let at = next(dueMs); at !== undefined && at <= nowMs; at = next(at)) dueMs = at;
  return { dueMs, nextMs, missed };
}

/** Creates the CronJob controller. */
export function createCronJobController(context: ControllerContext, metrics: Metrics): Controller {
  const cronJobSet = context.live.of(cronJobs);
  const jobSet = context.live.of(jobs);
  indexByController(jobSet);
  const reconciler = new CronReconciler(context, { cronJobs: cronJobSet, jobs: jobSet }, metrics);
  return {
    name: "cronjob",
    concurrent: 5,
    watches: [
      watchRule(cronJobs, ({ now }) => [now.key]),
      watchRule(jobs, (change) => ownerKeys(change, "CronJob", cronJobSet)),
    ],
    reconcile: (key, signal) => reconciler.reconcile(key, signal),
  };
}

/** From a second to four minutes and a half, each twice the one before. */
const skewBuckets = Array.from({ length: 10 }, (_, exponent) => 2 ** exponent);

class CronReconciler {
  readonly #context: ControllerContext;
  readonly #cronJobs: LiveSet<CronJob>;
  readonly #jobs: LiveSet<Job>;
  readonly #writes: OwnWrites<CronJob>;
  readonly #jobWrites: OwnWrites<Job>;

  readonly #skew: Histogram;

  constructor(
    context: ControllerContext,
    sets: { readonly cronJobs: LiveSet<CronJob>; readonly jobs: LiveSet<Job> },
    metrics: Metrics,
  ) {
    const { cronJobs: cronJobSet, jobs: jobSet } = sets;
    this.#skew = metrics.histogram(
      "cronjob_controller_job_creation_skew_duration_seconds",
      "Seconds from the time a Job was due until it was made.",
      skewBuckets,
    );
    this.#context = context;
    this.#cronJobs = cronJobSet;
    this.#jobs = jobSet;
    this.#writes = new OwnWrites(context.client, cronJobs, cronJobSet);
    this.#jobWrites = new OwnWrites(context.client, jobs, jobSet);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    await this.#writes.seen(signal);
    await this.#jobWrites.seen(signal);
    const cronJob = this.#cronJobs.get(key)?.object;
    if (cronJob === undefined || isDeleting(cronJob)) return "done";
    const own = ownedBy(this.#jobs, cronJob.metadata.uid ?? "").filter(
      (job) => !this.#jobWrites.isDeleted(job),
    );
    await this.#trimHistory(cronJob, own);
    const status = this.#noteFinished(cronJob, own);
    const nowMs = this.#context.runtime.clock.now().getTime();
    const outcome = await this.#schedule(cronJob, own, status, nowMs);
    if (!sameJson(cronJob.status ?? {}, status)) {
      const changed = { ...mutable<CronJob>(cronJob), status };
      await this.#writes.update(changed, { subresource: "status" });
    }
    return outcome;
  }

  async #trimHistory(cronJob: LiveCronJob, own: readonly DeepReadonly<Job>[]): Promise<void> {
    const { successfulJobsHistoryLimit = 3, failedJobsHistoryLimit = 1 } = cronJob.spec;
    const limits = { Complete: successfulJobsHistoryLimit, Failed: failedJobsHistoryLimit };
    for (const [type, limit] of Object.entries(limits)) {
      const ended = own.filter((job) => conditionOf(job, type) !== undefined).sort(byCreation);
      for (const job of ended.slice(0, Math.max(0, ended.length - limit))) {
        await this.#remove(cronJob, job);
      }
    }
  }

  async #remove(cronJob: LiveCronJob, job: DeepReadonly<Job>): Promise<void> {
    await this.#jobWrites.delete(job, { propagationPolicy: "Background" });
    const message = `Deleted job ${job.metadata.name}`;
    this.#context.events.event(cronJob, "Normal", "SuccessfulDelete", message);
  }

  /** The status with only those active Jobs that still run. */
  #noteFinished(cronJob: LiveCronJob, own: readonly DeepReadonly<Job>[]): CronJobStatus {
    const status = mutable<CronJobStatus>(cronJob.status ?? {});
    const { events } = this.#context;
    for (const job of own) {
      const wasActive = status.active?.some(({ uid }) => uid === job.metadata.uid) === true;
      const complete = conditionOf(job, "Complete");
      const { completionTime } = job.status ?? {};
      const isLater = parseTime(completionTime) > parseTime(status.lastSuccessfulTime);
      if (complete !== undefined && completionTime && isLater) {
        status.lastSuccessfulTime = completionTime;
      }
      if (wasActive && isFinished(job)) {
        const how = complete === undefined ? "Failed" : "Complete";
        const message = `Saw completed job: ${job.metadata.name}, condition: ${how}`;
        events.event(cronJob, "Normal", "SawCompletedJob", message);
      }
    }
    for (const { name, uid } of status.active ?? []) {
      if (own.some((job) => job.metadata.uid === uid)) continue;
      events.event(cronJob, "Normal", "MissingJob", `Active job went missing: ${name}`);
    }
    const running = own.filter((job) => !isFinished(job)).sort(byCreation);
    const { active: _old, ...rest } = status;
    return running.length === 0 ? rest : { ...rest, active: running.map(referenceTo) };
  }

  async #schedule(
    cronJob: LiveCronJob,
    own: readonly DeepReadonly<Job>[],
    status: CronJobStatus,
    nowMs: number,
  ): Promise<Outcome> {
    if (cronJob.spec.suspend === true) return "done";
    const plan = this.#plan(cronJob, nowMs);
    if (plan === undefined) return "done";
    const outcome: Outcome =
      plan.nextMs === undefined ? "done" : { againInMs: Math.max(1, plan.nextMs - nowMs + 100) };
    const { dueMs } = plan;
    if (dueMs === undefined || this.#isTooLate(cronJob, dueMs, nowMs)) return outcome;
    const running = own.filter((job) => !isFinished(job));
    const isMade = running.some(({ metadata }) => metadata.name === jobName(cronJob, dueMs));
    if (isMade || parseTime(status.lastScheduleTime) === dueMs) return outcome;
    const policy = cronJob.spec.concurrencyPolicy ?? "Allow";
    if (policy === "Forbid" && running.length > 0) {
      const message =
        "Not starting job because prior execution is running and concurrency policy is Forbid";
      this.#context.events.event(cronJob, "Normal", "JobAlreadyActive", message);
      return outcome;
    }
    if (policy === "Replace") {
      for (const job of running) await this.#remove(cronJob, job);
      status.active = [];
    }
    await this.#start(cronJob, dueMs, status);
    return outcome;
  }

  /**
   * Undefined when the schedule cannot be read or names a day that never comes: only an update of
   * the CronJob mends that.
   */
  #plan(cronJob: LiveCronJob, nowMs: number): Schedule | undefined {
    const { events } = this.#context;
    try {
      const plan = planSchedule(cronJob, nowMs);
      if (plan.nextMs === undefined) {
        const message =
          `invalid schedule: ${cronJob.spec.schedule} : ` +
          "time difference between two schedules is less than 1 second";
        events.event(cronJob, "Warning", "InvalidSchedule", message);
        return undefined;
      }
      if (plan.missed > missedMax) {
        const message =
          "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check " +
          "clock skew";
        events.event(cronJob, "Warning", "TooManyMissedTimes", message);
      }
      return plan;
    } catch (error) {
      const { schedule, timeZone } = cronJob.spec;
      if (error instanceof RangeError) {
        const message = `invalid timeZone: ${JSON.stringify(timeZone)}: ${textOf(error)}`;
        events.event(cronJob, "Warning", "UnknownTimeZone", message);
      } else {
        const message = `unparseable schedule: ${JSON.stringify(schedule)} : ${textOf(error)}`;
        events.event(cronJob, "Warning", "UnParseableCronJobSchedule", message);
      }
      return undefined;
    }
  }

  #isTooLate(cronJob: LiveCronJob, dueMs: number, nowMs: number): boolean {
    const { startingDeadlineSeconds } = cronJob.spec;
    if (startingDeadlineSeconds === undefined) return false;
    if (dueMs + Number(startingDeadlineSeconds) * 1000 >= nowMs) return false;
    const message = `Missed scheduled time to start a job: ${formatTime(new Date(dueMs))}`;
    this.#context.events.event(cronJob, "Warning", "MissSchedule", message);
    return true;
  }

  async #start(cronJob: LiveCronJob, dueMs: number, status: CronJobStatus): Promise<void> {
    try {
      const job = await this.#jobWrites.create(jobAt(cronJob, dueMs));
      const { clock } = this.#context.runtime;
      this.#skew.observe({}, (clock.now().getTime() - dueMs) / 1000);
      const message = `Created job ${job.metadata.name}`;
      this.#context.events.event(cronJob, "Normal", "SuccessfulCreate", message);
      status.active = [...(status.active ?? []), referenceTo(job)];
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      // It was made before, by a reconcile that did not get to write the status.
      if (!isReason(error, "AlreadyExists")) {
        const message = `Error creating job: ${textOf(error)}`;
        this.#context.events.event(cronJob, "Warning", "FailedCreate", message);
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
function jobName(cronJob: LiveCronJob, dueMs: number): string {
  return `${cronJob.metadata.name}-${Math.floor(dueMs / 60_000)}`;
}

export function jobAt(cronJob: LiveCronJob, dueMs: number): Job {
  const template = mutable<CronJob["spec"]["jobTemplate"]>(cronJob.spec.jobTemplate);
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: jobName(cronJob, dueMs),
      namespace: cronJob.metadata.namespace ?? "",
      ...(template.metadata?.labels === undefined ? {} : { labels: template.metadata.labels }),
      annotations: {
        ...template.metadata?.annotations,
        "batch.kubernetes.io/cronjob-scheduled-timestamp": formatInZone(
          dueMs,
          cronJob.spec.timeZone,
        ),
      },
      ownerReferences: [controllerReference(cronJob)],
    },
    spec: template.spec,
  };
}
