/** Opens the audit log and the audit webhook that the arguments of kube-apiserver ask for. */
import type {
  AuditLogOptions,
  AuditOptions,
  AuditWebhookOptions,
  BackendOptions,
} from "../api/audit/audit-options.ts";
import { Auditor } from "../api/audit/auditor.ts";
import { BufferedSink } from "../api/audit/buffered-sink.ts";
import { type AuditSink, eventLine, legacyLine, type OnLost } from "../api/audit/event.ts";
import {
  type AuditPolicy,
  auditEvaluator,
  decodePolicy,
  policyWarnings,
} from "../api/audit/policy.ts";
import { ignoreErrors, lineSink, truncatingSink, unionSink } from "../api/audit/sinks.ts";
import { openWebhookSink } from "../api/audit/webhook-sink.ts";
import { LogFile, writeStandardOutput } from "../runtime/log-file.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";
import { parseBody } from "../schema/parse.ts";
import { StartError } from "./start-error.ts";

const msPerDay = 24 * 60 * 60 * 1000;

/** Undefined when nothing is to be recorded; throws StartError for what cannot be used. */
export async function openAuditor(
  options: AuditOptions,
  runtime: Runtime,
  scope: Scope,
): Promise<Auditor | undefined> {
  const { policyFile, log, webhook } = options;
  if (policyFile === undefined) return undefined;
  const policy = await readPolicy(policyFile, runtime);
  // The events themselves may hold secrets and stay out of the server's own log.
  const onLost: OnLost = (plugin, error, events) =>
    runtime.log.error("Cannot record audit events", { plugin, error, count: events.length });
  const sinks = [
    ...(log === undefined ? [] : [openLog(log, runtime, onLost)]),
    ...(webhook === undefined ? [] : [await openWebhook(webhook, runtime, onLost)]),
  ];
  const [first, ...others] = sinks;
  if (first === undefined) return undefined;
  const sink = others.length === 0 ? first : unionSink(sinks);
  scope.defer(() => sink.close());
  return new Auditor({ evaluate: auditEvaluator(policy), sink, runtime });
}

async function readPolicy(file: string, runtime: Runtime): Promise<AuditPolicy> {
  const bytes = await runtime.files.read(file);
  if (bytes === undefined) throw new StartError(`Cannot read ${file}: it does not exist`);
  try {
    const { value } = parseBody(bytes, "application/yaml");
    const warnings = policyWarnings(value);
    if (warnings.length > 0) {
      runtime.log.warn("The audit policy says what nobody knows", { file, warnings });
    }
    return decodePolicy(value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(`Cannot use ${file} as the audit policy: ${why}`);
  }
}

function openLog(options: AuditLogOptions, runtime: Runtime, onLost: OnLost): AuditSink {
  const lineOf = options.format === "json" ? eventLine : legacyLine;
  const lines = lineSink(lineOf, lineWriter(options, runtime), onLost);
  return wrapped(lines, { options, runtime, onLost, isParallel: false });
}

function lineWriter(options: AuditLogOptions, { clock }: Runtime): (line: string) => void {
  const { path, megabytesMax, backupsMax, ageDaysMax, compress } = options;
  if (path === "-") return writeStandardOutput;
  const unlessZero = (value: number): number => (value === 0 ? Number.POSITIVE_INFINITY : value);
  try {
    const file = new LogFile({
      path,
      now: () => clock.now(),
      bytesMax: unlessZero(megabytesMax) * 1024 * 1024,
      backupsMax: unlessZero(backupsMax),
      ageMsMax: unlessZero(ageDaysMax) * msPerDay,
      compress,
      directoryMode: 0o700,
    });
    return (line) => file.write(line);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(`Cannot write the audit log ${path}: ${why}`);
  }
}

async function openWebhook(
  options: AuditWebhookOptions,
  runtime: Runtime,
  onLost: OnLost,
): Promise<AuditSink> {
  try {
    const sink = await openWebhookSink(options, runtime, onLost);
    return wrapped(sink, { options, runtime, onLost, isParallel: true });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(`Cannot use ${options.configFile} for the audit webhook: ${why}`);
  }
}

function wrapped(
  sink: AuditSink,
  by: {
    readonly options: BackendOptions;
    readonly runtime: Runtime;
    readonly onLost: OnLost;
    readonly isParallel: boolean;
  },
): AuditSink {
  const { options, onLost } = by;
  const inMode = inModeOf(sink, by);
  return options.truncate === undefined ? inMode : truncatingSink(inMode, options.truncate, onLost);
}

function inModeOf(sink: AuditSink, by: Parameters<typeof wrapped>[1]): AuditSink {
  const { options, runtime, onLost, isParallel } = by;
  switch (options.mode) {
    case "blocking-strict":
      return sink;
    case "blocking":
      return ignoreErrors(sink);
    case "batch":
      return new BufferedSink({
        sink,
        batch: options.batch,
        isParallel,
        clock: runtime.clock,
        onLost,
      });
  }
}
