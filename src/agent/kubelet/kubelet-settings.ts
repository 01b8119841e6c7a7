/** The settings of a kubelet that an administrator may change, with K3s' defaults. */
import type { ShutdownGrace } from "../shutdown/plan-shutdown.ts";
import type { EvictionStatements } from "./eviction-thresholds.ts";
import type { LogLimits } from "./log-rotation.ts";

export interface KubeletSettings extends EvictionStatements {
  readonly evictionPressureTransitionMs: number;
  readonly evictionMaxPodGraceSeconds: number;
  readonly imageGcHighPercent: number;
  readonly imageGcLowPercent: number;
  readonly imageMinimumGcAgeMs: number;
  /** Zero: an image may stay unused for ever. */
  readonly imageMaximumGcAgeMs: number;
  readonly systemReserved: Readonly<Record<string, string>>;
  readonly kubeReserved: Readonly<Record<string, string>>;
  readonly maxPods: number;
  readonly rootDir: string;
  /** Zero: the number of processors does not matter. */
  readonly podsPerCore: number;
  /** Containers that name no seccomp profile get the runtime's own. */
  readonly seccompDefault: boolean;
  /** Names, or beginnings of names with a * at their end. */
  readonly allowedUnsafeSysctls: readonly string[];
  /** -1: all of them. */
  readonly nodeStatusMaxImages: number;
  readonly nodeStatusUpdateMs: number;
  readonly containerLog: LogLimits;
  /** What pods get when the machine goes down; empty: nothing waits for them. */
  readonly shutdownGraces: readonly ShutdownGrace[];
}

export const defaultSettings: KubeletSettings = {
  evictionHard: { "imagefs.available": "5%", "nodefs.available": "5%" },
  evictionSoft: {},
  evictionSoftGracePeriodMs: {},
  evictionMinimumReclaim: { "imagefs.available": "10%", "nodefs.available": "10%" },
  evictionPressureTransitionMs: 300_000,
  evictionMaxPodGraceSeconds: 0,
  imageGcHighPercent: 85,
  imageGcLowPercent: 80,
  imageMinimumGcAgeMs: 120_000,
  imageMaximumGcAgeMs: 0,
  systemReserved: {},
  kubeReserved: {},
  maxPods: 110,
  rootDir: "/var/lib/kubelet",
  podsPerCore: 0,
  seccompDefault: false,
  allowedUnsafeSysctls: [],
  nodeStatusMaxImages: 50,
  nodeStatusUpdateMs: 10_000,
  containerLog: { bytesMax: 10 * 2 ** 20, filesMax: 5, everyMs: 10_000 },
  shutdownGraces: [],
};
