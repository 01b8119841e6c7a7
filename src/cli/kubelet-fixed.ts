/**
 * What a kubelet can be told but this one does one way only: each by its flag and by its field of
 * KubeletConfiguration, with the values that say what is so anyway, and where else to look.
 */
import type { ComponentArg } from "./component-args.ts";

interface Fixed {
  /** Empty where upstream has no flag for the field. */
  readonly flag: string;
  readonly field: string;
  readonly values: readonly string[];
  readonly why: string;
}

const always = "this kubelet has no other way";
const byK3s = (flag: string): string => `k3 sets it: use --${flag}`;
const ownProgram = "containers are started by the containerd that k3 brings";

function fixed(flag: string, field: string, values: string, why = always): Fixed {
  return { flag, field, values: values === "" ? [] : values.split("|"), why };
}

export const fixedKubeletArgs: readonly Fixed[] = [
  fixed("enable-server", "enableServer", "true"),
  fixed("pod-manifest-path", "staticPodPath", "", "static pods lie in agent/pod-manifests"),
  fixed("", "podLogsDir", "/var/log/pods|/var/log/pods/"),
  fixed("sync-frequency", "syncFrequency", "1m0s|1m"),
  fixed("file-check-frequency", "fileCheckFrequency", "20s", "files are followed as they change"),
  fixed("http-check-frequency", "httpCheckFrequency", "20s"),
  fixed("manifest-url", "staticPodURL", "", "static pods lie in agent/pod-manifests"),
  fixed("manifest-url-header", "staticPodURLHeader", ""),
  fixed("address", "address", "0.0.0.0", byK3s("bind-address")),
  fixed("port", "port", "10250"),
  fixed("read-only-port", "readOnlyPort", "0", "nothing is served without authentication"),
  fixed("tls-cert-file", "tlsCertFile", "", "k3 makes and renews the certificate"),
  fixed("tls-private-key-file", "tlsPrivateKeyFile", "", "k3 makes and renews the certificate"),
  fixed("tls-cipher-suites", "tlsCipherSuites", ""),
  fixed("", "tlsCurvePreferences", ""),
  fixed("tls-min-version", "tlsMinVersion", "VersionTLS12"),
  fixed("rotate-certificates", "rotateCertificates", "false", "k3 renews certificates itself"),
  fixed("rotate-server-certificates", "serverTLSBootstrap", "false", "k3 renews them itself"),
  fixed("anonymous-auth", "authentication.anonymous.enabled", "false"),
  fixed("client-ca-file", "authentication.x509.clientCAFile", "", "the cluster's own is used"),
  fixed("authentication-token-webhook", "authentication.webhook.enabled", "true"),
  fixed("authentication-token-webhook-cache-ttl", "authentication.webhook.cacheTTL", "2m0s|2m|0s"),
  fixed("authorization-mode", "authorization.mode", "Webhook"),
  fixed(
    "authorization-webhook-cache-authorized-ttl",
    "authorization.webhook.cacheAuthorizedTTL",
    "5m0s|5m|0s",
  ),
  fixed(
    "authorization-webhook-cache-unauthorized-ttl",
    "authorization.webhook.cacheUnauthorizedTTL",
    "30s|0s",
  ),
  fixed("registry-qps", "registryPullQPS", "0|5"),
  fixed("registry-burst", "registryBurst", "10"),
  fixed("", "imagePullCredentialsVerificationPolicy", "NeverVerifyPreloadedImages"),
  fixed("", "preloadedImagesVerificationAllowlist", ""),
  fixed("event-qps", "eventRecordQPS", "0|50"),
  fixed("event-burst", "eventBurst", "100"),
  fixed("enable-debugging-handlers", "enableDebuggingHandlers", "true"),
  fixed("contention-profiling", "enableContentionProfiling", "false"),
  fixed("healthz-port", "healthzPort", "10248"),
  fixed("healthz-bind-address", "healthzBindAddress", "127.0.0.1"),
  fixed("oom-score-adj", "oomScoreAdj", "-999"),
  fixed("cluster-domain", "clusterDomain", "", byK3s("cluster-domain")),
  fixed("cluster-dns", "clusterDNS", "", byK3s("cluster-dns")),
  fixed("streaming-connection-idle-timeout", "streamingConnectionIdleTimeout", "4h0m0s|4h"),
  fixed("", "nodeStatusReportFrequency", "5m0s|5m"),
  fixed("", "nodeLeaseDurationSeconds", "40"),
  fixed("volume-stats-agg-period", "volumeStatsAggPeriod", "1m0s|1m"),
  fixed("kubelet-cgroups", "kubeletCgroups", "", "k3 is one process with other parts"),
  fixed("runtime-cgroups", "", "", ownProgram),
  fixed("system-cgroups", "systemCgroups", ""),
  fixed("cgroup-root", "cgroupRoot", "/"),
  fixed("cgroups-per-qos", "cgroupsPerQOS", "true"),
  fixed("cgroup-driver", "cgroupDriver", "", "k3 takes systemd where systemd runs version 2"),
  fixed("cpu-manager-policy", "cpuManagerPolicy", "none"),
  fixed("cpu-manager-policy-options", "cpuManagerPolicyOptions", ""),
  fixed("cpu-manager-reconcile-period", "cpuManagerReconcilePeriod", "10s"),
  fixed("", "singleProcessOOMKill", "false"),
  fixed("memory-manager-policy", "memoryManagerPolicy", "None"),
  fixed("topology-manager-policy", "topologyManagerPolicy", "none"),
  fixed("topology-manager-scope", "topologyManagerScope", "container"),
  fixed("topology-manager-policy-options", "topologyManagerPolicyOptions", ""),
  fixed("qos-reserved", "qosReserved", ""),
  fixed("runtime-request-timeout", "runtimeRequestTimeout", "2m0s|2m"),
  fixed("hairpin-mode", "hairpinMode", "hairpin-veth|promiscuous-bridge"),
  fixed("pod-cidr", "podCIDR", "", "the API server gives the node its range"),
  fixed("pod-max-pids", "podPidsLimit", "-1"),
  fixed("resolv-conf", "resolvConf", "", byK3s("resolv-conf")),
  fixed("runonce", "runOnce", "false"),
  fixed("cpu-cfs-quota", "cpuCFSQuota", "true"),
  fixed("cpu-cfs-quota-period", "cpuCFSQuotaPeriod", "100ms"),
  fixed("max-open-files", "maxOpenFiles", "1000000"),
  fixed("kube-api-content-type", "contentType", "application/json"),
  fixed("kube-api-qps", "kubeAPIQPS", "50"),
  fixed("kube-api-burst", "kubeAPIBurst", "100"),
  fixed("serialize-image-pulls", "serializeImagePulls", "false"),
  fixed("", "maxParallelImagePulls", ""),
  fixed("", "mergeDefaultEvictionSettings", "false"),
  fixed("enable-controller-attach-detach", "enableControllerAttachDetach", "true"),
  fixed("protect-kernel-defaults", "protectKernelDefaults", "false"),
  fixed("make-iptables-util-chains", "makeIPTablesUtilChains", "true|false", "k3 uses nftables"),
  fixed("", "iptablesMasqueradeBit", "14"),
  fixed("", "iptablesDropBit", "15"),
  fixed("fail-swap-on", "failSwapOn", "false", "K3s runs on machines with swap"),
  fixed("", "memorySwap.swapBehavior", "NoSwap"),
  fixed("", "containerLogMaxWorkers", "1"),
  fixed("", "configMapAndSecretChangeDetectionStrategy", "Watch"),
  fixed("reserved-cpus", "reservedSystemCPUs", ""),
  fixed("", "showHiddenMetricsForVersion", ""),
  fixed("system-reserved-cgroup", "systemReservedCgroup", ""),
  fixed("kube-reserved-cgroup", "kubeReservedCgroup", ""),
  fixed("enforce-node-allocatable", "enforceNodeAllocatable", "pods"),
  fixed("volume-plugin-dir", "volumePluginDir", "", "FlexVolumes are not supported"),
  fixed("provider-id", "providerID", "", "the cloud controller gives it"),
  fixed("kernel-memcg-notification", "kernelMemcgNotification", "false"),
  fixed("", "enableSystemLogHandler", "false|true"),
  fixed("", "enableSystemLogQuery", "false"),
  fixed("", "crashLoopBackOff.maxContainerRestartPeriod", "5m0s|5m|300s"),
  fixed("reserved-memory", "reservedMemory", ""),
  fixed("", "enableProfilingHandler", "true|false"),
  fixed("", "enableDebugFlagsHandler", "true|false"),
  fixed("", "memoryThrottlingFactor", "0.9"),
  fixed("", "memoryReservationPolicy", "None"),
  fixed("register-node", "registerNode", "true"),
  fixed("register-with-taints", "registerWithTaints", "", byK3s("node-taint")),
  fixed("", "localStorageCapacityIsolation", "true"),
  fixed("local-storage-capacity-isolation", "", "true"),
  fixed("container-runtime-endpoint", "containerRuntimeEndpoint", "", ownProgram),
  fixed("image-service-endpoint", "imageServiceEndpoint", "", ownProgram),
  fixed("fail-cgroupv1", "failCgroupV1", "false"),
  fixed("", "userNamespaces.idsPerPod", "65536"),
  fixed("feature-gates", "featureGates", "", "features are on as they are by default in v1.36"),
  fixed("", "logging.format", "text"),
  fixed("", "logging.verbosity", "", "use -v"),
  fixed("", "tracing", "", "nothing is traced"),
  fixed("minimum-container-ttl-duration", "", "0s|0", "dead containers go by number"),
  fixed("maximum-dead-containers-per-container", "", "1"),
  fixed("maximum-dead-containers", "", "-1"),
  fixed("experimental-mounter-path", "", ""),
  fixed("experimental-allocatable-ignore-eviction", "", "false"),
  fixed("hostname-override", "", "", byK3s("node-name")),
  fixed("node-ip", "", "", byK3s("node-ip")),
  fixed("node-labels", "", "", byK3s("node-label")),
  fixed("kubeconfig", "", "", "k3 makes it"),
  fixed("bootstrap-kubeconfig", "", "", "k3 makes it"),
  fixed("cert-dir", "", "", "certificates lie in the data directory"),
  fixed("cloud-provider", "", "external", "k3 brings its own"),
  fixed("lock-file", "", ""),
  fixed("exit-on-lock-contention", "", "false"),
  fixed("image-credential-provider-config", "", "", byK3s("image-credential-provider-config")),
  fixed("image-credential-provider-bin-dir", "", "", byK3s("image-credential-provider-bin-dir")),
];

/** The rows as arguments: a value that says what is so anyway is taken, any other is refused. */
export const fixedRows: Readonly<Record<string, ComponentArg<string>>> = Object.fromEntries(
  fixedKubeletArgs.map((row) => [row.flag === "" ? row.field : row.flag, readerOf(row)]),
);

function readerOf({ values, why }: Fixed): ComponentArg<string> {
  const isSwitch = values.includes("true");
  return {
    default: values[0] ?? "",
    isSwitch,
    read(text) {
      if (values.includes(text)) return text;
      const only = values[0] === undefined ? "it cannot be set" : `it is always ${values[0]}`;
      throw new RangeError(`${only}: ${why}`);
    },
  };
}
