/** batch/v1: Job and CronJob. */
import type { FieldError, ResourceDefinition, WriteContext } from "../api/resource-definition.ts";
import { cronJobs, jobs } from "../client/resources.ts";
import type { CronJob, Job, JobSpec } from "../gen/batch-v1.ts";
import { parseCron } from "../lib/cron.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { ageOf, humanDuration } from "../lib/human-duration.ts";
import { invalid, nonNegative, notSupported, oneOf, required } from "./field-errors.ts";
import {
  validateGeneratedSelector,
  validateJobName,
  validateJobSpec,
  validateJobUpdate,
} from "./job-validation.ts";
import {
  containerColumns,
  selectorText,
  templateDefaults,
  validateTemplateLabels,
} from "./pod-template.ts";
import { workloadWarnings } from "./pod-warnings.ts";
import { column, count, define, wide } from "./row.ts";
import { validateSelector } from "./selector-validation.ts";

type ReadJob = DeepReadonly<Job>;

function jobSpecDefaults(spec: JobSpec, isTemplate: boolean): void {
  templateDefaults(spec.template);
  for (const rule of spec.podFailurePolicy?.rules ?? [])
    for (const pattern of rule.onPodConditions ?? []) pattern.status ||= "True";
  if (isTemplate) return;
  if (spec.completions === undefined && spec.parallelism === undefined) {
    spec.completions = 1;
    spec.parallelism = 1;
  }
  spec.parallelism ??= 1;
  spec.manualSelector ??= false;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : 2147483647;
  spec.completionMode ??= "NonIndexed";
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? "Failed" : "TerminatingOrFailed";
}

/** The labels by which a job knows its pods, unless the user manages the selector. */
function generateSelector(job: Job): void {
  if (job.spec.manualSelector) return;
  const uid = job.metadata.uid ?? "";
  const name = job.metadata.name ?? "";
  job.spec.template.metadata ??= {};
  job.spec.template.metadata.labels = {
    "batch.kubernetes.io/controller-uid": uid,
    "batch.kubernetes.io/job-name": name,
    "controller-uid": uid,
    "job-name": name,
    ...job.spec.template.metadata.labels,
  };
  job.spec.selector ??= {};
  job.spec.selector.matchLabels = {
    ...job.spec.selector.matchLabels,
    "batch.kubernetes.io/controller-uid": uid,
  };
}

/** A job without labels has its template's, the generated ones included. */
function takeTemplateLabels({ metadata, spec }: Job): void {
  const labels = spec.template?.metadata?.labels;
  if (labels && Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = labels;
}

function jobStatusCell(job: ReadJob): string {
  const has = (type: string): boolean =>
    (job.status?.conditions ?? []).some((one) => one.type === type && one.status === "True");
  if (has("Complete")) return "Complete";
  if (has("Failed")) return "Failed";
  if (job.metadata.deletionTimestamp) return "Terminating";
  if (has("Suspended")) return "Suspended";
  if (has("FailureTarget")) return "FailureTarget";
  if (has("SuccessCriteriaMet")) return "SuccessCriteriaMet";
  return "Running";
}

function completionsCell(job: ReadJob): string {
  const succeeded = job.status?.succeeded ?? 0;
  const { completions, parallelism = 0 } = job.spec;
  if (completions !== undefined) return `${succeeded}/${completions}`;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function durationCell(job: ReadJob, now: Date): string {
  const { startTime, completionTime } = job.status ?? {};
  if (!startTime) return "";
  const endMs = completionTime ? Date.parse(completionTime) : now.getTime();
  return humanDuration(endMs - Date.parse(startTime));
}

function prepareJob(job: Job, context: WriteContext<Job>): void {
  if (context.verb !== "create") return;
  job.status = {};
  const { metadata, spec } = job;
  // Upstream's defaults lend the very labels of the template.
  if (metadata.labels === spec.template.metadata?.labels) delete metadata.labels;
  generateSelector(job);
  takeTemplateLabels(job);
}

const job = define<Job>(jobs, {
  columns: [
    column("Status", jobStatusCell),
    column("Completions", completionsCell),
    column("Duration", durationCell),
    ...containerColumns<Job>((one) => one.spec.template),
    wide("Selector", (one) => selectorText(one.spec.selector)),
  ],
  categories: ["all"],
  fields: { "status.successful": (one) => String(one.status?.succeeded ?? 0) },
  defaults(object) {
    jobSpecDefaults(object.spec, false);
    takeTemplateLabels(object);
  },
  status: true,
  generation: true,
  strategy: {
    warn: (one, context) => workloadWarnings<Job>(one, context, ({ spec }) => spec.template),
  },
  prepare: prepareJob,
  validate(object, { old }) {
    const errors = [
      ...(old === undefined ? validateGeneratedSelector(object) : []),
      ...validateJobSpec(object.spec, "spec"),
      ...(object.spec.selector === undefined ? [required("spec.selector")] : []),
      ...validateSelector(object.spec.selector, "spec.selector"),
      ...(old === undefined ? validateJobName(object) : []),
    ];
    errors.push(...validateTemplateLabels(object.spec.selector, object.spec.template));
    if (old !== undefined) errors.push(...validateJobUpdate(object, old));
    return errors;
  },
});

/** What is wrong with a cron schedule, or undefined. */
function scheduleError(schedule: string): string | undefined {
  try {
    parseCron(schedule);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function validateCronJob(object: DeepReadonly<CronJob>): FieldError[] {
  const { spec } = object;
  const errors: FieldError[] = [];
  if (!spec.schedule) errors.push(required("spec.schedule"));
  else {
    const problem = scheduleError(spec.schedule);
    if (problem !== undefined) errors.push(invalid("spec.schedule", spec.schedule, problem));
    if (/TZ/.test(spec.schedule))
      errors.push(
        invalid(
          "spec.schedule",
          spec.schedule,
          "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ),
      );
  }
  errors.push(...nonNegative("spec.startingDeadlineSeconds", spec.startingDeadlineSeconds));
  if (spec.timeZone !== undefined && spec.timeZone !== null) {
    if (spec.timeZone === "")
      errors.push(invalid("spec.timeZone", "", "timeZone must be nil or non-empty string"));
    else if (spec.timeZone.toLowerCase() === "local" || !isTimeZone(spec.timeZone))
      errors.push(invalid("spec.timeZone", spec.timeZone, `unknown time zone ${spec.timeZone}`));
  }
  errors.push(
    ...oneOf("spec.concurrencyPolicy", spec.concurrencyPolicy, ["Allow", "Forbid", "Replace"]),
    ...validateJobSpec(spec.jobTemplate.spec, "spec.jobTemplate.spec"),
    ...validateNoSelector(spec.jobTemplate.spec, "spec.jobTemplate.spec"),
    ...nonNegative("spec.successfulJobsHistoryLimit", spec.successfulJobsHistoryLimit),
    ...nonNegative("spec.failedJobsHistoryLimit", spec.failedJobsHistoryLimit),
  );
  const name = object.metadata.name ?? "";
  if (name.length > 52)
    errors.push(invalid("metadata.name", name, "must be no more than 52 characters"));
  return errors;
}

/** Every job of a cron job gets a selector of its own. */
function validateNoSelector(spec: DeepReadonly<JobSpec>, field: string): FieldError[] {
  const { selector, manualSelector } = spec;
  const errors: FieldError[] = [];
  if (selector !== undefined)
    errors.push(invalid(`${field}.selector`, selector, "`selector` will be auto-generated"));
  if (manualSelector) errors.push(notSupported(`${field}.manualSelector`, true, ["nil", "false"]));
  return errors;
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    // RangeError is how Intl says that it does not know the zone.
    return false;
  }
}

const cronJob = define<CronJob>(cronJobs, {
  shortNames: ["cj"],
  categories: ["all"],
  columns: [
    column("Schedule", (one) => one.spec.schedule ?? ""),
    column("Timezone", (one) => one.spec.timeZone ?? "<none>"),
    column("Suspend", (one) => (one.spec.suspend ? "True" : "False"), "", "boolean"),
    count("Active", (one) => (one.status?.active ?? []).length),
    column("Last Schedule", (one, now) =>
      one.status?.lastScheduleTime ? ageOf(one.status.lastScheduleTime, now) : "<none>",
    ),
    ...containerColumns<CronJob>((one) => one.spec.jobTemplate?.spec?.template),
    wide("Selector", (one) => selectorText(one.spec.jobTemplate?.spec?.selector)),
  ],
  defaults({ spec }) {
    spec.concurrencyPolicy ||= "Allow";
    spec.suspend ??= false;
    spec.successfulJobsHistoryLimit ??= 3;
    spec.failedJobsHistoryLimit ??= 1;
    if (spec.jobTemplate?.spec) jobSpecDefaults(spec.jobTemplate.spec, true);
  },
  status: true,
  generation: true,
  strategy: {
    warn: (one, context) =>
      workloadWarnings<CronJob>(
        one,
        context,
        ({ spec }) => spec.jobTemplate.spec.template,
        "spec.jobTemplate.spec.template",
      ),
  },
  validate: (object) => validateCronJob(object),
});

export const batch: readonly ResourceDefinition[] = [cronJob, job];
