/** Volumes that drivers stage once for all pods of the node: NodeStageVolume and its opposite. */
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { criMessage } from "../cri/client.ts";
import { isMountPoint } from "../kubelet/mount-table.ts";
import { mountError } from "./csi-attachments.ts";
import { isFinal, type VolumeUseWish } from "./csi-client.ts";
import type { CsiDrivers } from "./csi-drivers.ts";
import { csiPlugin, dataFile, devicesDir, globalDir, stagingPath } from "./csi-paths.ts";
import { type CsiSecrets, secretTexts } from "./csi-secrets.ts";
import type { CsiVolume } from "./csi-volume.ts";
import type { StagedVolume, VolumeNotes } from "./volume-data.ts";

export interface CsiStagerOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly rootDir: string;
  readonly nodeName: string;
  readonly drivers: CsiDrivers;
  readonly objects: CsiSecrets;
  readonly notes: VolumeNotes;
}

/** Where a volume is staged and noted. */
export interface StagedPlace {
  readonly driver: string;
  readonly handle: string;
  readonly isBlock: boolean;
  readonly staging: string;
  /** The directory of the data file. */
  readonly dataDir: string;
}

export function wishOf(volume: CsiVolume, group: number | undefined): VolumeUseWish {
  const { isBlock, fsType, mountOptions, accessModes } = volume;
  const accessMode = accessModes[0] ?? "ReadWriteOnce";
  if (isBlock) return { accessMode, kind: { is: "block" } };
  return { accessMode, kind: { is: "mount", fsType, mountOptions, group } };
}

export class CsiStager {
  readonly #options: CsiStagerOptions;
  /** Paths staged since the start. */
  readonly #staged = new Set<string>();

  constructor(options: CsiStagerOptions) {
    this.#options = options;
  }

  placeOf({ driver, handle, specName, isBlock }: CsiVolume): StagedPlace {
    const { rootDir } = this.#options;
    const devices = devicesDir(rootDir, csiPlugin);
    const [staging, dataDir] = isBlock
      ? [`${devices}/staging/${specName}`, `${devices}/${specName}/data`]
      : [stagingPath(rootDir, driver, handle), globalDir(rootDir, driver, handle)];
    return { driver, handle, isBlock, staging, dataDir };
  }

  noted({ dir, data, isBlock }: StagedVolume): StagedPlace {
    const { driverName: driver, volumeHandle: handle, specVolID = "" } = data;
    const devices = devicesDir(this.#options.rootDir, csiPlugin);
    const staging = isBlock ? `${devices}/staging/${specVolID}` : `${dir}/globalmount`;
    return { driver, handle, isBlock, staging, dataDir: dir };
  }

  /** Safe to repeat; does nothing for drivers that do not stage. */
  async stage(
    volume: CsiVolume,
    publishContext: Readonly<Record<string, string>>,
    group: number | undefined,
  ): Promise<void> {
    const step = volume.isBlock ? "MapVolume.SetUpDevice" : "MountVolume.MountDevice";
    const place = this.placeOf(volume);
    if (this.#staged.has(place.staging)) return;
    try {
      await this.#stage(volume, place, publishContext, group);
    } catch (error) {
      throw mountError(step, volume, criMessage(error));
    }
  }

  async #stage(
    volume: CsiVolume,
    place: StagedPlace,
    publishContext: Readonly<Record<string, string>>,
    group: number | undefined,
  ): Promise<void> {
    const { host, notes, drivers, objects, nodeName } = this.#options;
    const client = clientOf(
      drivers,
      volume.driver,
      "attacher.MountDevice failed to create newCsiDriverClient",
    );
    if (volume.isBlock) {
      await host.mkdir(place.dataDir, 0o750);
      const { specName: specVolID, handle: volumeHandle, driver: driverName } = volume;
      await notes.write(place.dataDir, { specVolID, volumeHandle, driverName, nodeName });
    }
    if (!(await client.can("STAGE_UNSTAGE_VOLUME"))) return;
    const secrets = await secretTexts(objects, "NodeStageSecretRef", volume.stageSecret);
    await host.mkdir(place.staging, 0o750);
    if (!volume.isBlock) {
      const { handle: volumeHandle, driver: driverName } = volume;
      await notes.write(place.dataDir, { volumeHandle, driverName });
    }
    const takesGroup = group !== undefined && (await client.can("VOLUME_MOUNT_GROUP"));
    try {
      await client.stage({
        volumeId: volume.handle,
        stagingPath: place.staging,
        publishContext,
        secrets,
        context: volume.attributes,
        wish: wishOf(volume, takesGroup ? group : undefined),
      });
    } catch (error) {
      if (isFinal(error)) await this.#clear(place);
      throw error;
    }
    this.#staged.add(place.staging);
  }

  /** Safe to repeat. */
  async unstage(place: StagedPlace): Promise<void> {
    const { host, drivers } = this.#options;
    const client = clientOf(
      drivers,
      place.driver,
      "attacher.UnmountDevice failed to create newCsiDriverClient",
    );
    const isStaged = (await host.stat(place.staging, false)) !== undefined;
    if (isStaged && (await client.can("STAGE_UNSTAGE_VOLUME"))) {
      await client.unstage(place.handle, place.staging);
    }
    await this.#clear(place);
    this.#staged.delete(place.staging);
  }

  /** Removes the kubelet's own files, unless something is mounted there still. */
  async #clear({ staging, dataDir, isBlock }: StagedPlace): Promise<void> {
    const { host, runtime } = this.#options;
    if (await isMountPoint(runtime, staging)) return;
    await host.remove(staging);
    if (isBlock) {
      const volumeDir = dataDir.slice(0, dataDir.lastIndexOf("/"));
      const specName = volumeDir.slice(volumeDir.lastIndexOf("/") + 1);
      const publish = `${devicesDir(this.#options.rootDir, csiPlugin)}/publish/${specName}`;
      for (const dir of [publish, `${volumeDir}/dev`]) {
        if ((await host.list(dir)).length === 0) await host.remove(dir);
      }
      await host.remove(dataDir);
      if ((await host.list(volumeDir)).length === 0) await host.remove(volumeDir);
      return;
    }
    await host.remove(`${dataDir}/${dataFile}`);
    if ((await host.list(dataDir)).length === 0) await host.remove(dataDir);
  }
}

/** The client of a driver, or upstream's words for one that is not there. */
export function clientOf(drivers: CsiDrivers, driver: string, what: string) {
  try {
    return drivers.client(driver);
  } catch (error) {
    const why = error instanceof Error ? error.message : `${error}`;
    throw new Error(`kubernetes.io/csi: ${what}: ${why}`);
  }
}
