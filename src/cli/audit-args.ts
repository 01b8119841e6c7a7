/** The `audit-*` arguments of kube-apiserver, with its defaults. */
import {
  type AuditOptions,
  auditFormats,
  auditModes,
  type BackendOptions,
} from "../api/audit/audit-options.ts";
import {
  type ComponentValues,
  choice,
  count,
  duration,
  positive,
  rate,
  switched,
  text,
} from "./component-args.ts";
import { UsageError } from "./flags.ts";

const version = choice(["audit.k8s.io/v1"], "audit.k8s.io/v1");

export const auditArgs = {
  "audit-policy-file": text(""),
  "audit-log-path": text(""),
  "audit-log-format": choice(auditFormats, "json"),
  "audit-log-maxage": count(366),
  "audit-log-maxbackup": count(100),
  "audit-log-maxsize": count(100),
  "audit-log-compress": switched(false),
  "audit-log-version": version,
  "audit-log-mode": choice(auditModes, "blocking"),
  "audit-log-batch-buffer-size": positive(10_000),
  "audit-log-batch-max-size": positive(1),
  "audit-log-batch-max-wait": duration(0),
  "audit-log-batch-throttle-enable": switched(false),
  "audit-log-batch-throttle-qps": rate(10),
  "audit-log-batch-throttle-burst": positive(15),
  "audit-log-truncate-enabled": switched(false),
  "audit-log-truncate-max-batch-size": positive(10 * 1024 * 1024),
  "audit-log-truncate-max-event-size": positive(100 * 1024),
  "audit-webhook-config-file": text(""),
  "audit-webhook-initial-backoff": duration(10_000),
  "audit-webhook-batch-initial-backoff": duration(10_000),
  "audit-webhook-version": version,
  "audit-webhook-mode": choice(auditModes, "batch"),
  "audit-webhook-batch-buffer-size": positive(10_000),
  "audit-webhook-batch-max-size": positive(400),
  "audit-webhook-batch-max-wait": duration(30_000),
  "audit-webhook-batch-throttle-enable": switched(true),
  "audit-webhook-batch-throttle-qps": rate(10),
  "audit-webhook-batch-throttle-burst": positive(15),
  "audit-webhook-truncate-enabled": switched(false),
  "audit-webhook-truncate-max-batch-size": positive(10 * 1024 * 1024),
  "audit-webhook-truncate-max-event-size": positive(100 * 1024),
} as const;

type AuditArgs = ComponentValues<typeof auditArgs>;

/** `absolute` completes relative paths. Throws UsageError for what does not fit together. */
export function auditOptionsOf(args: AuditArgs, absolute: (path: string) => string): AuditOptions {
  const policy = args["audit-policy-file"];
  const path = args["audit-log-path"];
  const configFile = args["audit-webhook-config-file"];
  return {
    policyFile: policy === "" ? undefined : absolute(policy),
    log:
      path === ""
        ? undefined
        : {
            path: path === "-" ? path : absolute(path),
            format: args["audit-log-format"],
            ageDaysMax: args["audit-log-maxage"],
            backupsMax: args["audit-log-maxbackup"],
            megabytesMax: args["audit-log-maxsize"],
            compress: args["audit-log-compress"],
            ...backendOf(args, "log"),
          },
    webhook:
      configFile === ""
        ? undefined
        : {
            configFile: absolute(configFile),
            initialBackoffMs: initialBackoffOf(args),
            ...backendOf(args, "webhook"),
          },
  };
}

/** The second name is the old one of the first. */
function initialBackoffOf(args: AuditArgs): number {
  const old = args["audit-webhook-batch-initial-backoff"];
  const isGiven = old !== auditArgs["audit-webhook-batch-initial-backoff"].default;
  return isGiven ? old : args["audit-webhook-initial-backoff"];
}

function backendOf(args: AuditArgs, plugin: "log" | "webhook"): BackendOptions {
  const batchBytesMax = args[`audit-${plugin}-truncate-max-batch-size`];
  const eventBytesMax = args[`audit-${plugin}-truncate-max-event-size`];
  if (batchBytesMax < eventBytesMax) {
    throw new UsageError(
      `Cannot use --kube-apiserver-arg=audit-${plugin}-truncate-max-batch-size=${batchBytesMax}: ` +
        `it must not be less than the maximum size of an event (${eventBytesMax})`,
    );
  }
  return {
    mode: args[`audit-${plugin}-mode`],
    batch: {
      bufferSize: args[`audit-${plugin}-batch-buffer-size`],
      maxSize: args[`audit-${plugin}-batch-max-size`],
      maxWaitMs: args[`audit-${plugin}-batch-max-wait`],
      throttle: args[`audit-${plugin}-batch-throttle-enable`]
        ? {
            qps: args[`audit-${plugin}-batch-throttle-qps`],
            burst: args[`audit-${plugin}-batch-throttle-burst`],
          }
        : undefined,
    },
    truncate: args[`audit-${plugin}-truncate-enabled`]
      ? { batchBytesMax, eventBytesMax }
      : undefined,
  };
}
