/** The settings of a kubelet that an administrator may change, with K3s' defaults. */
import type { EvictionStatements } from "./eviction-thresholds.ts";

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
};
