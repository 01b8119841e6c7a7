/** Where programs of the node meet the kubelet: device plugins, CSI and DRA drivers, listeners. */
import type { Host } from "../../runtime/host.ts";
import type { Scope } from "../../runtime/scope.ts";
import { servePodResources } from "../devices/pod-resources.ts";
import { type PluginHandler, PluginRegistry } from "../plugin-registry.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import type { PodWorkers } from "./pod-workers.ts";

const limits = { claimsEveryMs: 60_000 } as const;

/** Opens the sockets of device plugins and of the pod resources API. */
export async function servePlugins(
  { devices, claims, rootDir }: KubeletContext,
  workers: PodWorkers,
  { host, scope }: { readonly host: Host; readonly scope: Scope },
): Promise<void> {
  const pods = () => workers.evictions.active().map(({ pod }) => pod);
  await devices.start();
  await servePodResources({ host, scope, rootDir, store: devices.store, claims, pods });
}

/** Takes drivers as they announce themselves, and gives back what pods left behind. */
export function followDrivers(
  { claims, csi, draDrivers, host, rootDir, runtime }: KubeletContext,
  workers: PodWorkers,
  scope: Scope,
): void {
  const handlers = new Map<string, PluginHandler>([
    ["CSIPlugin", csi.drivers],
    ["DRAPlugin", draDrivers],
  ]);
  const dir = `${rootDir}/plugins_registry`;
  const registry = new PluginRegistry({ runtime, host, dir, handlers });
  csi.start(scope);
  draDrivers.start();
  scope.task("plugins", (signal) => registry.follow(signal));
  scope.task("resource-claims", async (signal) => {
    while (!signal.aborted) {
      await runtime.clock.sleep(limits.claimsEveryMs, signal);
      await claims.retain(new Set(Array.from(workers.list(), ({ uid }) => uid)));
    }
  });
}
