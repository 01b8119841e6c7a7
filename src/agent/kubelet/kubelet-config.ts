/** The settings this kubelet works with, as `/configz` shows them. Pure. */
import { formatDuration } from "../../lib/duration.ts";
import type { KubeletSettings } from "./kubelet-settings.ts";

export interface ConfigFacts {
  readonly port: number;
  readonly settings: KubeletSettings;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly staticPodPath: string;
  readonly systemdCgroup: boolean;
  readonly criSocket: string;
}

/** The fields of kubelet.config.k8s.io/v1beta1 that hold here. */
export function kubeletConfig(facts: ConfigFacts): Record<string, unknown> {
  const { settings } = facts;
  return {
    kind: "KubeletConfiguration",
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    enableServer: true,
    staticPodPath: facts.staticPodPath,
    syncFrequency: "1m0s",
    port: facts.port,
    authentication: {
      x509: {},
      webhook: { enabled: true, cacheTTL: "2m0s" },
      anonymous: { enabled: false },
    },
    authorization: {
      mode: "Webhook",
      webhook: { cacheAuthorizedTTL: "5m0s", cacheUnauthorizedTTL: "30s" },
    },
    healthzPort: 10248,
    healthzBindAddress: "127.0.0.1",
    clusterDomain: facts.clusterDomain,
    clusterDNS: facts.clusterDns,
    nodeStatusUpdateFrequency: formatDuration(settings.nodeStatusUpdateMs),
    nodeStatusReportFrequency: "5m0s",
    nodeLeaseDurationSeconds: 40,
    cgroupsPerQOS: true,
    cgroupDriver: facts.systemdCgroup ? "systemd" : "cgroupfs",
    maxPods: settings.maxPods,
    ...evictionConfig(settings),
    podPidsLimit: -1,
    cpuCFSQuota: true,
    cpuCFSQuotaPeriod: "100ms",
    serializeImagePulls: false,
    failSwapOn: false,
    configMapAndSecretChangeDetectionStrategy: "Watch",
    containerLogMaxSize: sizeText(settings.containerLog.bytesMax),
    containerLogMaxFiles: settings.containerLog.filesMax,
    containerLogMonitorInterval: formatDuration(settings.containerLog.everyMs),
    ...(settings.podsPerCore === 0 ? {} : { podsPerCore: settings.podsPerCore }),
    seccompDefault: settings.seccompDefault,
    ...(settings.allowedUnsafeSysctls.length === 0
      ? {}
      : { allowedUnsafeSysctls: settings.allowedUnsafeSysctls }),
    nodeStatusMaxImages: settings.nodeStatusMaxImages,
    ...shutdownConfig(settings),
    enforceNodeAllocatable: ["pods"],
    containerRuntimeEndpoint: facts.criSocket,
  };
}

function sizeText(bytes: number): string {
  return bytes % 2 ** 20 === 0 ? `${bytes / 2 ** 20}Mi` : `${bytes}`;
}

function shutdownConfig({ shutdownGraces }: KubeletSettings): Record<string, unknown> {
  if (shutdownGraces.length === 0) return {};
  const shutdownGracePeriodByPodPriority = shutdownGraces.map(({ priority, seconds }) => ({
    priority,
    shutdownGracePeriodSeconds: seconds,
  }));
  return { shutdownGracePeriodByPodPriority };
}

function evictionConfig(settings: KubeletSettings): Record<string, unknown> {
  const given = (name: string, list: Readonly<Record<string, unknown>>): object =>
    Object.keys(list).length === 0 ? {} : { [name]: list };
  const { evictionSoftGracePeriodMs: grace } = settings;
  const graces = Object.entries(grace).map(([name, ms]) => [name, formatDuration(ms)]);
  return {
    imageMinimumGCAge: formatDuration(settings.imageMinimumGcAgeMs),
    imageMaximumGCAge: formatDuration(settings.imageMaximumGcAgeMs),
    imageGCHighThresholdPercent: settings.imageGcHighPercent,
    imageGCLowThresholdPercent: settings.imageGcLowPercent,
    evictionHard: settings.evictionHard,
    ...given("evictionSoft", settings.evictionSoft),
    ...given("evictionSoftGracePeriod", Object.fromEntries(graces)),
    evictionPressureTransitionPeriod: formatDuration(settings.evictionPressureTransitionMs),
    evictionMaxPodGracePeriod: settings.evictionMaxPodGraceSeconds,
    ...given("evictionMinimumReclaim", settings.evictionMinimumReclaim),
    ...given("systemReserved", settings.systemReserved),
    ...given("kubeReserved", settings.kubeReserved),
  };
}
