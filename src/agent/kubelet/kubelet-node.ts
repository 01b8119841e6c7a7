/** The parts of a kubelet that look after the Node object. */
import { DeviceManager } from "../devices/device-manager.ts";
import { NodeShutdown } from "../shutdown/node-shutdown.ts";
import type { KubeletOptions } from "./kubelet.ts";
import { defaultSettings, type KubeletSettings } from "./kubelet-settings.ts";
import type { NodeIdentity } from "./node-object.ts";
import { NodeReporter, type NodeReporterOptions } from "./node-reporter.ts";
import type { PodWorkers } from "./pod-workers.ts";

/** Where systemd listens and is told. */
const systemd = {
  busPath: "/run/dbus/system_bus_socket",
  confDir: "/etc/systemd/logind.conf.d",
} as const;

export function identityOf(options: KubeletOptions): NodeIdentity {
  return {
    name: options.nodeName,
    ips: options.nodeIps,
    addresses: options.nodeAddresses ?? { externalIps: [], internalDns: [], externalDns: [] },
    isServer: options.isServer,
    labels: options.nodeLabels ?? {},
    taints: options.nodeTaints ?? [],
    annotations: options.nodeAnnotations ?? {},
    kubeletVersion: options.kubeletVersion,
    kubeletPort: options.kubeletPort ?? 10250,
    settings: options.settings ?? defaultSettings,
  };
}

/** What the node tells of itself, devices of plugins among it. */
export function makeReporter(
  options: KubeletOptions,
  facts: Pick<
    NodeReporterOptions,
    "identity" | "machine" | "pressures" | "isShuttingDown" | "volumesInUse"
  >,
  rootDir: string,
): { readonly reporter: NodeReporter; readonly devices: DeviceManager } {
  const { log } = options.runtime;
  const onChange = (): void => {
    void reporter.update(false).catch((error: unknown) => {
      log.warn("Cannot report the devices of the node", { error: `${error}` });
    });
  };
  const devices = new DeviceManager({ ...options, rootDir, onChange });
  const totals = () => devices.store.totals();
  const reporter = new NodeReporter({ ...options, ...facts, devices: totals });
  return { reporter, devices };
}

export function shutdownOf(
  options: KubeletOptions,
  { shutdownGraces, rootDir }: KubeletSettings,
  reporter: NodeReporter,
  { evictions }: PodWorkers,
): NodeShutdown {
  const { runtime } = options;
  const onChange = (): void => {
    void reporter.update(true).catch((error: unknown) => {
      runtime.log.warn("Cannot tell that the node shuts down", { error: `${error}` });
    });
  };
  return new NodeShutdown({
    ...options,
    ...systemd,
    graces: shutdownGraces,
    rootDir,
    pods: evictions,
    onChange,
  });
}
