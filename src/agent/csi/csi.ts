/** All that the kubelet has of the Container Storage Interface, put together. */
import type { LiveSets } from "../../live/live-set.ts";
import type { Scope } from "../../runtime/scope.ts";
import { CsiDrivers } from "./csi-drivers.ts";
import { CsiNodeReport } from "./csi-node.ts";
import { CsiVolumes, type CsiVolumesOptions } from "./csi-volumes.ts";
import { PluginRegistry } from "./plugin-registry.ts";

export interface CsiOptions extends Omit<CsiVolumesOptions, "drivers"> {
  readonly live: LiveSets;
}

export interface Csi {
  readonly volumes: CsiVolumes;
  /** Takes drivers as they announce themselves, and unstages what nobody uses. */
  start(scope: Scope): void;
}

export function createCsi(options: CsiOptions): Csi {
  const { runtime, host, rootDir } = options;
  const report = new CsiNodeReport(options);
  const drivers = new CsiDrivers({ ...options, report });
  const volumes = new CsiVolumes({ ...options, drivers });
  return {
    volumes,
    start(scope) {
      const handlers = new Map([["CSIPlugin", drivers]]);
      const dir = `${rootDir}/plugins_registry`;
      const registry = new PluginRegistry({ runtime, host, dir, handlers });
      scope.task("csi-node", (signal) => report.ensure(signal));
      scope.task("plugins", (signal) => registry.follow(signal));
      scope.task("csi-limits", (signal) => drivers.followLimits(signal));
      scope.task("csi-volumes", (signal) => volumes.follow(signal));
      scope.defer(() => drivers.closeAll());
    },
  };
}
