/**
 * Raw block volumes in upstream's layout: the device is bound to a file of the plugin for each pod,
 * linked to from the pod's directory, and held by a loop device, so that no other device takes its
 * number while the pod uses it.
 */
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { isMountPoint } from "../kubelet/mount-table.ts";
import { podDir } from "../kubelet/types.ts";
import { devicesDir, escaped, podDevicePath } from "./csi-paths.ts";

export interface BlockVolume {
  readonly plugin: string;
  readonly specName: string;
  readonly podUid: string;
  /** The directory that the device is bound to a file of. */
  readonly mapDir: string;
}

const localPlugin = "kubernetes.io/local-volume";

/** A device of this machine that a PersistentVolume names. */
export function localBlock(rootDir: string, specName: string, podUid: string): BlockVolume {
  const mapDir = `${devicesDir(rootDir, localPlugin)}/${specName}`;
  return { plugin: localPlugin, specName, podUid, mapDir };
}

export interface BlockDevicesOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly rootDir: string;
}

export class BlockDevices {
  readonly #options: BlockDevicesOptions;

  constructor(options: BlockDevicesOptions) {
    this.#options = options;
  }

  /** Where the pod finds the volume's device. */
  pathOf({ plugin, specName, podUid }: BlockVolume): string {
    return podDevicePath(podDir(this.#options.rootDir, podUid), plugin, specName);
  }

  /** Safe to repeat. */
  async map(volume: BlockVolume, device: string): Promise<void> {
    const { runtime, host } = this.#options;
    const source = await host.realPath(device);
    const kind = source === undefined ? undefined : (await host.stat(source, true))?.kind;
    if (source === undefined || kind !== "block") {
      throw new Error(`${device} is not a block device`);
    }
    const bound = `${volume.mapDir}/${volume.podUid}`;
    await host.mkdir(volume.mapDir, 0o750);
    if (!(await isMountPoint(runtime, bound))) {
      await host.write(bound, "", 0o600);
      host.bindMount(source, bound);
    }
    const link = this.pathOf(volume);
    await host.mkdir(link.slice(0, link.lastIndexOf("/")), 0o750);
    if ((await host.readLink(link)) !== device) {
      await host.remove(link);
      await host.symlink(device, link);
    }
    if ((await this.#loopOf(bound)) === undefined) host.attachLoop(bound);
  }

  /** Safe to repeat; the pod's link goes last, for it is what shows that there is work left. */
  async unmap(volume: BlockVolume): Promise<void> {
    const { runtime, host } = this.#options;
    const bound = `${volume.mapDir}/${volume.podUid}`;
    const loop = await this.#loopOf(bound);
    if (loop !== undefined) host.detachLoop(loop);
    if (await isMountPoint(runtime, bound)) host.unmount(bound);
    await host.remove(bound);
  }

  async unlink(volume: BlockVolume): Promise<void> {
    await this.#options.host.remove(this.pathOf(volume));
  }

  /** Of the pod's devices those that no driver has to do with. Safe to repeat. */
  async unmapAll(podUid: string): Promise<void> {
    const { host, rootDir } = this.#options;
    const links = `${podDir(rootDir, podUid)}/volumeDevices/${escaped(localPlugin)}`;
    for (const name of await host.list(links)) {
      const block = localBlock(rootDir, name, podUid);
      await this.unmap(block);
      await this.unlink(block);
    }
  }

  /** The loop device over the file. */
  async #loopOf(path: string): Promise<string | undefined> {
    const { runtime, host } = this.#options;
    for (const name of await host.list("/sys/block")) {
      if (!name.startsWith("loop")) continue;
      const text = await runtime.files.readText(`/sys/block/${name}/loop/backing_file`);
      if (text?.trim().replace(/ ?\(deleted\)$/, "") === path) return `/dev/${name}`;
    }
    return undefined;
  }
}
