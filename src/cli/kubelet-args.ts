/** What `--kubelet-arg` may hold: the kubelet's own names and forms, with K3s' defaults. */
import {
  reclaimValue,
  signalOf,
  thresholdsOf,
  thresholdValue,
} from "../agent/kubelet/eviction-thresholds.ts";
import { defaultSettings, type KubeletSettings } from "../agent/kubelet/kubelet-settings.ts";
import { parseDuration } from "../lib/duration.ts";
import { parseQuantity } from "../lib/quantity.ts";
import { type ComponentArg, componentArgsOf, count, duration } from "./component-args.ts";
import { bad, type FlagValues } from "./flags.ts";

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
} as const;

export function kubeletSettingsOf(flags: FlagValues): KubeletSettings {
  const args = componentArgsOf(flags, "kubelet-arg", kubeletArgs);
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
  };
  checkTogether(settings);
  return settings;
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
