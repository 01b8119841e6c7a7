/** All that the kubelet has of the Container Storage Interface, put together. */
import type { LiveSets } from "../../live/live-set.ts";
import type { Scope } from "../../runtime/scope.ts";
import { CsiDrivers } from "./csi-drivers.ts";
import { CsiNodeReport } from "./csi-node.ts";
import { CsiVolumes, type CsiVolumesOptions } from "./csi-volumes.ts";

export interface CsiOptions extends Omit<CsiVolumesOptions, "drivers"> {
  readonly live: LiveSets;
}

export interface Csi {
  readonly volumes: CsiVolumes;
  /** Takes drivers as they announce themselves. */
  readonly drivers: CsiDrivers;
  /** Follows what drivers say, and unstages what nobody uses. */
  start(scope: Scope): void;
}

export function createCsi(options: CsiOptions): Csi {
  const report = new CsiNodeReport(options);
  const drivers = new CsiDrivers({ ...options, report });
  const volumes = new CsiVolumes({ ...options, drivers });
  return {
    volumes,
    drivers,
    start(scope) {
      scope.task("csi-node", (signal) => report.ensure(signal));
      scope.task("csi-limits", (signal) => drivers.followLimits(signal));
      scope.task("csi-volumes", (signal) => volumes.follow(signal));
      scope.defer(() => drivers.closeAll());
    },
  };
}
