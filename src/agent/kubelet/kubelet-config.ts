/** The settings this kubelet works with, as `/configz` shows them. Pure. */
import { logLimits } from "./log-rotation.ts";

export interface ConfigFacts {
  readonly port: number;
  readonly maxPods: number;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly staticPodPath: string;
  readonly systemdCgroup: boolean;
  readonly criSocket: string;
}

/** The fields of kubelet.config.k8s.io/v1beta1 that hold here. */
export function kubeletConfig(facts: ConfigFacts): Record<string, unknown> {
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
    nodeStatusUpdateFrequency: "10s",
    nodeStatusReportFrequency: "5m0s",
    nodeLeaseDurationSeconds: 40,
    cgroupsPerQOS: true,
    cgroupDriver: facts.systemdCgroup ? "systemd" : "cgroupfs",
    maxPods: facts.maxPods,
    podPidsLimit: -1,
    cpuCFSQuota: true,
    cpuCFSQuotaPeriod: "100ms",
    serializeImagePulls: false,
    failSwapOn: false,
    configMapAndSecretChangeDetectionStrategy: "Watch",
    containerLogMaxSize: `${logLimits.bytesMax / 2 ** 20}Mi`,
    containerLogMaxFiles: logLimits.filesMax,
    containerLogMonitorInterval: `${logLimits.everyMs / 1000}s`,
    enforceNodeAllocatable: ["pods"],
    containerRuntimeEndpoint: facts.criSocket,
  };
}
