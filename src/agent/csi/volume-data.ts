/** What the kubelet has noted of CSI volumes on disk: all it knows of them after a restart. */
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { csiPlugin, dataFile, devicesDir, escaped } from "./csi-paths.ts";

/** Upstream's keys. */
export interface VolumeData {
  readonly specVolID?: string;
  readonly volumeHandle: string;
  readonly driverName: string;
  readonly nodeName?: string;
  readonly volumeLifecycleMode?: string;
  readonly attachmentID?: string;
}

/** A volume of a pod. */
export interface PublishedVolume {
  readonly podUid: string;
  readonly data: VolumeData;
  readonly isBlock: boolean;
  /** Of a mounted volume: the directory that `mount` is in. */
  readonly dir: string;
}

/** A volume that its driver has staged on the node. */
export interface StagedVolume {
  /** The directory of the data file. */
  readonly dir: string;
  readonly data: VolumeData;
  readonly isBlock: boolean;
}

export interface VolumeNotesOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly rootDir: string;
}

export class VolumeNotes {
  readonly #options: VolumeNotesOptions;

  constructor(options: VolumeNotesOptions) {
    this.#options = options;
  }

  async write(dir: string, data: VolumeData): Promise<void> {
    const sorted = Object.fromEntries(
      Object.entries(data).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    );
    await this.#options.host.write(`${dir}/${dataFile}`, `${JSON.stringify(sorted)}\n`, 0o644);
  }

  /** Undefined where nothing was noted, or a crash has cut the note. */
  async read(dir: string): Promise<VolumeData | undefined> {
    const text = await this.#options.runtime.files.readText(`${dir}/${dataFile}`);
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text) as VolumeData;
    } catch {
      return undefined;
    }
  }

  /** The volumes of one pod. */
  async ofPod(podUid: string): Promise<readonly PublishedVolume[]> {
    const { host, rootDir } = this.#options;
    const podDir = `${rootDir}/pods/${podUid}`;
    const found: PublishedVolume[] = [];
    const mounts = `${podDir}/volumes/${escaped(csiPlugin)}`;
    for (const name of await host.list(mounts)) {
      const dir = `${mounts}/${name}`;
      const data = await this.read(dir);
      if (data !== undefined) found.push({ podUid, data, isBlock: false, dir });
    }
    const devices = `${podDir}/volumeDevices/${escaped(csiPlugin)}`;
    for (const name of await host.list(devices)) {
      const data = await this.read(`${devicesDir(rootDir, csiPlugin)}/${name}/data`);
      if (data !== undefined) found.push({ podUid, data, isBlock: true, dir: devices });
    }
    return found;
  }

  /** The volumes of all pods. */
  async published(): Promise<readonly PublishedVolume[]> {
    const { host, rootDir } = this.#options;
    const uids = await host.list(`${rootDir}/pods`);
    return (await Promise.all(uids.map((uid) => this.ofPod(uid)))).flat();
  }

  /** What drivers have staged, whether a pod has it or not. */
  async staged(): Promise<readonly StagedVolume[]> {
    const { host, rootDir } = this.#options;
    const root = `${rootDir}/plugins/${csiPlugin}`;
    const found: StagedVolume[] = [];
    for (const driver of await host.list(root)) {
      const isBlock = driver === "volumeDevices";
      for (const name of await host.list(`${root}/${driver}`)) {
        const dir = `${root}/${driver}/${name}${isBlock ? "/data" : ""}`;
        const data = await this.read(dir);
        if (data !== undefined) found.push({ dir, data, isBlock });
      }
    }
    return found;
  }
}
