/** What `--kubelet-arg` may hold: the kubelet's own names and forms, with K3s' defaults. */
import {
  reclaimValue,
  signalOf,
  thresholdsOf,
  thresholdValue,
} from "../agent/kubelet/eviction-thresholds.ts";
import { defaultSettings, type KubeletSettings } from "../agent/kubelet/kubelet-settings.ts";
import { gracesOf, type ShutdownGrace } from "../agent/shutdown/plan-shutdown.ts";
import { parseDuration } from "../lib/duration.ts";
import { parseQuantity } from "../lib/quantity.ts";
import {
  type ComponentArg,
  type ComponentValues,
  componentArgsOf,
  count,
  duration,
  switched,
  texts,
} from "./component-args.ts";
import { bad, type FlagValues } from "./flags.ts";
import {
  type ConfigFiles,
  configArguments,
  type FieldText,
  listText,
  pairsText,
  readKubeletConfig,
} from "./kubelet-config-files.ts";
import { fixedKubeletArgs, fixedRows } from "./kubelet-fixed.ts";

type Pairs<T> = Readonly<Record<string, T>>;

/** `name<value,name<value`; `read` checks one entry. */
function pairs<T>(
  fallback: Pairs<T>,
  separator: "<" | "=",
  read: (name: string, value: string) => T,
): ComponentArg<Pairs<T>> {
  return {
    default: fallback,
    read(text) {
      const entries = text.split(",").filter((part) => part.trim() !== "");
      return Object.fromEntries(
        entries.map((part) => {
          const at = part.indexOf(separator);
          const form = `name${separator}value`;
          if (at < 0) throw new RangeError(`malformed pair ${part}, it must be ${form}`);
          const name = part.slice(0, at).trim();
          return [name, read(name, part.slice(at + 1).trim())];
        }),
      );
    },
  };
}

function threshold(signal: string, text: string): string {
  thresholdValue(signalOf(signal), text);
  return text;
}

function reclaim(signal: string, text: string): string {
  reclaimValue(signalOf(signal), text);
  return text;
}

const reservable: readonly string[] = ["cpu", "memory", "ephemeral-storage", "pid"];

function reservation(name: string, text: string): string {
  if (!reservable.includes(name)) {
    throw new RangeError(`cannot reserve ${JSON.stringify(name)} resource`);
  }
  if (parseQuantity(text).nano < 0n) {
    throw new RangeError(`resource quantity for ${JSON.stringify(name)} cannot be negative`);
  }
  return text;
}

function path(fallback: string): ComponentArg<string> {
  return {
    default: fallback,
    read(text) {
      if (!text.startsWith("/")) throw new RangeError("it must be an absolute path");
      return text;
    },
  };
}

const base = defaultSettings;

/** A quantity of bytes. */
function bytes(fallback: number): ComponentArg<number> {
  return {
    default: fallback,
    read(text) {
      const value = Number(parseQuantity(text).nano / 1_000_000_000n);
      if (value <= 0) throw new RangeError("it must be a positive quantity");
      return value;
    },
  };
}

/** A number, or -1 for as many as there are. */
function countOrAll(fallback: number): ComponentArg<number> {
  const { read } = count(fallback);
  return { default: fallback, read: (value) => (value === "-1" ? -1 : read(value)) };
}

const sysctlPattern =
  /^[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*([./]\*)?$/;

function sysctls(text: string): readonly string[] {
  const patterns = texts([]).read(text);
  for (const one of patterns) {
    if (!sysctlPattern.test(one)) throw new RangeError(`invalid sysctl pattern ${one}`);
  }
  return patterns;
}

const none: readonly ShutdownGrace[] = [];

/** What only a file can set: upstream has no flags for these. */
const fieldArgs = {
  shutdownGracePeriod: duration(0),
  shutdownGracePeriodCriticalPods: duration(0),
  shutdownGracePeriodByPodPriority: { default: none, read: gracesByPriority },
  containerLogMonitorInterval: duration(base.containerLog.everyMs),
} as const;

function gracesByPriority(text: string): readonly ShutdownGrace[] {
  const rows: unknown = JSON.parse(text);
  if (!Array.isArray(rows)) throw new RangeError("it must be a list");
  return rows.map((row) => {
    const { priority, shutdownGracePeriodSeconds: seconds } = row ?? {};
    if (!Number.isInteger(priority) || !Number.isInteger(seconds) || seconds < 0) {
      throw new RangeError("each entry needs a priority and shutdownGracePeriodSeconds");
    }
    return { priority, seconds };
  });
}

export const kubeletArgs = {
  "eviction-hard": pairs(base.evictionHard, "<", threshold),
  "eviction-soft": pairs(base.evictionSoft, "<", threshold),
  "eviction-soft-grace-period": pairs(base.evictionSoftGracePeriodMs, "=", (signal, text) => {
    signalOf(signal);
    const ms = parseDuration(text);
    if (ms >= 0) return ms;
    throw new RangeError(`invalid eviction grace period specified: ${text}, must be positive`);
  }),
  "eviction-minimum-reclaim": pairs(base.evictionMinimumReclaim, "=", reclaim),
  "eviction-pressure-transition-period": duration(base.evictionPressureTransitionMs),
  "eviction-max-pod-grace-period": count(base.evictionMaxPodGraceSeconds),
  "image-gc-high-threshold": count(base.imageGcHighPercent),
  "image-gc-low-threshold": count(base.imageGcLowPercent),
  "minimum-image-ttl-duration": duration(base.imageMinimumGcAgeMs),
  "maximum-image-ttl-duration": duration(base.imageMaximumGcAgeMs),
  "system-reserved": pairs(base.systemReserved, "=", reservation),
  "kube-reserved": pairs(base.kubeReserved, "=", reservation),
  "max-pods": count(base.maxPods),
  "root-dir": path(base.rootDir),
  "pods-per-core": count(base.podsPerCore),
  "seccomp-default": switched(base.seccompDefault),
  "allowed-unsafe-sysctls": { default: base.allowedUnsafeSysctls, read: sysctls },
  "node-status-max-images": countOrAll(base.nodeStatusMaxImages),
  "node-status-update-frequency": duration(base.nodeStatusUpdateMs),
  "container-log-max-size": bytes(base.containerLog.bytesMax),
  "container-log-max-files": count(base.containerLog.filesMax),
  config: path(""),
  "config-dir": path(""),
} as const;

/** Fields of KubeletConfiguration by the argument that they stand for. */
const fields: Readonly<Record<string, { readonly argument: string; readonly text?: FieldText }>> = {
  evictionHard: { argument: "eviction-hard", text: pairsText("<") },
  evictionSoft: { argument: "eviction-soft", text: pairsText("<") },
  evictionSoftGracePeriod: { argument: "eviction-soft-grace-period", text: pairsText("=") },
  evictionMinimumReclaim: { argument: "eviction-minimum-reclaim", text: pairsText("=") },
  evictionPressureTransitionPeriod: { argument: "eviction-pressure-transition-period" },
  evictionMaxPodGracePeriod: { argument: "eviction-max-pod-grace-period" },
  imageGCHighThresholdPercent: { argument: "image-gc-high-threshold" },
  imageGCLowThresholdPercent: { argument: "image-gc-low-threshold" },
  imageMinimumGCAge: { argument: "minimum-image-ttl-duration" },
  imageMaximumGCAge: { argument: "maximum-image-ttl-duration" },
  systemReserved: { argument: "system-reserved", text: pairsText("=") },
  kubeReserved: { argument: "kube-reserved", text: pairsText("=") },
  maxPods: { argument: "max-pods" },
  podsPerCore: { argument: "pods-per-core" },
  seccompDefault: { argument: "seccomp-default" },
  allowedUnsafeSysctls: { argument: "allowed-unsafe-sysctls", text: listText },
  nodeStatusMaxImages: { argument: "node-status-max-images" },
  nodeStatusUpdateFrequency: { argument: "node-status-update-frequency" },
  containerLogMaxSize: { argument: "container-log-max-size" },
  containerLogMaxFiles: { argument: "container-log-max-files" },
};

const fieldRows = new Map([
  ...Object.entries(fields),
  ...Object.keys(fieldArgs).map((name) => [name, { argument: name }] as const),
  ...fixedKubeletArgs
    .filter(({ field }) => field !== "")
    .map(
      ({ flag, field }) =>
        [field, { argument: flag === "" ? field : flag, text: listText }] as const,
    ),
]);

/** Files first, then the arguments themselves: who starts k3 has the last word. */
export async function kubeletSettingsOf(
  flags: FlagValues,
  { files, dropInDir }: Pick<ConfigFiles, "files" | "dropInDir">,
): Promise<KubeletSettings> {
  const own = { ...kubeletArgs, ...fixedRows };
  const { config, "config-dir": dir } = componentArgsOf(flags, "kubelet-arg", own);
  const told = await readKubeletConfig({
    files,
    dropInDir,
    file: config || undefined,
    dir: dir || undefined,
  });
  const given = [...configArguments(told, fieldRows), ...flags.list("kubelet-arg")];
  const args = componentArgsOf({ list: () => given }, "kubelet-arg", { ...own, ...fieldArgs });
  const settings: KubeletSettings = {
    evictionHard: args["eviction-hard"],
    evictionSoft: args["eviction-soft"],
    evictionSoftGracePeriodMs: args["eviction-soft-grace-period"],
    evictionMinimumReclaim: args["eviction-minimum-reclaim"],
    evictionPressureTransitionMs: args["eviction-pressure-transition-period"],
    evictionMaxPodGraceSeconds: args["eviction-max-pod-grace-period"],
    imageGcHighPercent: args["image-gc-high-threshold"],
    imageGcLowPercent: args["image-gc-low-threshold"],
    imageMinimumGcAgeMs: args["minimum-image-ttl-duration"],
    imageMaximumGcAgeMs: args["maximum-image-ttl-duration"],
    systemReserved: args["system-reserved"],
    kubeReserved: args["kube-reserved"],
    maxPods: args["max-pods"],
    rootDir: args["root-dir"],
    podsPerCore: args["pods-per-core"],
    seccompDefault: args["seccomp-default"],
    allowedUnsafeSysctls: args["allowed-unsafe-sysctls"],
    nodeStatusMaxImages: args["node-status-max-images"],
    nodeStatusUpdateMs: args["node-status-update-frequency"],
    containerLog: {
      bytesMax: args["container-log-max-size"],
      filesMax: args["container-log-max-files"],
      everyMs: args.containerLogMonitorInterval,
    },
    shutdownGraces: shutdownGracesOf(args),
  };
  checkTogether(settings);
  return settings;
}

function shutdownGracesOf(args: ComponentValues<typeof fieldArgs>): readonly ShutdownGrace[] {
  const { shutdownGracePeriod: total, shutdownGracePeriodCriticalPods: critical } = args;
  const { shutdownGracePeriodByPodPriority: listed } = args;
  const refuse = (why: string) => bad("kubelet-arg", "config: shutdownGracePeriod", why);
  if (critical > total) {
    throw refuse("shutdownGracePeriodCriticalPods must be <= shutdownGracePeriod");
  }
  for (const ms of [total, critical]) {
    if (ms > 0 && ms < 1000) throw refuse("it must be either zero or otherwise >= 1 sec");
  }
  if (listed.length === 0) return gracesOf(total, critical);
  if (total === 0) return listed;
  throw refuse("cannot be used together with shutdownGracePeriodByPodPriority");
}

/** What no argument can be blamed for alone. */
function checkTogether(settings: KubeletSettings): void {
  const { imageGcHighPercent: high, imageGcLowPercent: low } = settings;
  const refuse = (argument: string, why: string) => bad("kubelet-arg", argument, why);
  if (high > 100) throw refuse(`image-gc-high-threshold=${high}`, "it must be within 0 and 100");
  if (low >= high) {
    throw refuse(`image-gc-low-threshold=${low}`, `it must be below the high threshold ${high}`);
  }
  try {
    thresholdsOf(settings);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw refuse("eviction-soft", error.message);
  }
}
