/** Sets up the volumes of pods, keeps their contents fresh, removes them. */
import type { Client } from "../../client/client.ts";
import { nodes, persistentVolumeClaims, persistentVolumes } from "../../client/resources.ts";
import type { PersistentVolumeClaim } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import { Lanes } from "../../lib/lanes.ts";
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { reaches } from "../../schema/volume-match.ts";
import { BlockDevices, localBlock } from "../csi/block-devices.ts";
import { AttachLimitError, MountError } from "../csi/csi-attachments.ts";
import { claimedVolume, inlineVolume, type PersistentVolume } from "../csi/csi-volume.ts";
import type { CsiVolumes, VolumeOfPod } from "../csi/csi-volumes.ts";
import { writePayload } from "./atomic-writer.ts";
import type { PodPlace } from "./field-ref.ts";
import { checkHostPath } from "./host-path.ts";
import { isMountPoint, mountPoints } from "./mount-table.ts";
import type { ObjectSource } from "./object-source.ts";
import { wholeValue } from "./resources.ts";
import type { ServiceAccountTokens } from "./service-account-tokens.ts";
import { containersOf, type Pod, podDir, uidOf, type Volume } from "./types.ts";
import { type PayloadContext, VolumeError, volumePayload } from "./volume-payload.ts";
import type { DriverUse } from "./volume-stats.ts";

export interface VolumeOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly client: Client;
  readonly objects: ObjectSource;
  readonly tokens: ServiceAccountTokens;
  readonly csi: Pick<CsiVolumes, "setUp" | "refresh" | "tearDown" | "usage">;
  /** /var/lib/kubelet */
  readonly rootDir: string;
}

const plugins = {
  emptyDir: "kubernetes.io~empty-dir",
  configMap: "kubernetes.io~configmap",
  secret: "kubernetes.io~secret",
  projected: "kubernetes.io~projected",
  downwardAPI: "kubernetes.io~downward-api",
} as const;

type Plugin = keyof typeof plugins;

/** Whether the kubelet writes the volume: what a container puts there would be lost. */
export function isWrittenByUs(volume: Volume): boolean {
  const plugin = pluginOf(volume);
  return plugin !== undefined && plugin !== "emptyDir";
}

function pluginOf(volume: Volume): Plugin | undefined {
  return (Object.keys(plugins) as Plugin[]).find((plugin) => volume[plugin] !== undefined);
}

export class Volumes {
  readonly #options: VolumeOptions;
  /** Hash of what was last written, by directory. */
  readonly #written = new Map<string, string>();
  /** Host paths of claims, found when the pod was prepared. */
  readonly #claimed = new Map<string, string>();
  /** What lies on CSI volumes, by uid and volume name. */
  readonly #csi = new Map<string, VolumeOfPod>();
  readonly #blocks: BlockDevices;
  /** Pods whose files may be written. */
  readonly #open = new Set<string>();
  /** One piece of work on a pod's files at a time. */
  readonly #lanes = new Lanes();

  constructor(options: VolumeOptions) {
    this.#options = options;
    this.#blocks = new BlockDevices(options);
  }

  /** Where the volume is on the host; undefined for image volumes, which the runtime mounts. */
  pathOf(pod: Pod, volume: Volume): string | undefined {
    if (volume.hostPath !== undefined) return volume.hostPath.path;
    const plugin = pluginOf(volume);
    const dir = podDir(this.#options.rootDir, uidOf(pod));
    if (plugin !== undefined) return `${dir}/volumes/${plugins[plugin]}/${volume.name}`;
    return this.#claimed.get(`${uidOf(pod)} ${volume.name}`);
  }

  /** What the driver of a CSI volume says of it, if it says anything; undefined for others. */
  usageOf(pod: Pod, volume: Volume): Promise<DriverUse | undefined> | undefined {
    const of = this.#csi.get(`${uidOf(pod)} ${volume.name}`);
    return of && this.#options.csi.usage(of);
  }

  /** Makes every volume of the pod usable; throws VolumeError naming the first that is not. */
  async prepare(pod: Pod, place: PodPlace, signal: AbortSignal): Promise<void> {
    const { host, rootDir } = this.#options;
    this.#open.add(uidOf(pod));
    await this.#lanes.run(uidOf(pod), async () => {
      await host.mkdir(podDir(rootDir, uidOf(pod)), 0o750);
      const settled = await Promise.allSettled(
        (pod.spec.volumes ?? []).map((volume) => this.#prepareOne(pod, volume, place, signal)),
      );
      for (const result of settled) if (result.status === "rejected") throw result.reason;
    });
  }

  /** Writes what changed in the objects behind the volumes; missing objects leave the old files. */
  async refresh(pod: Pod, place: PodPlace): Promise<void> {
    await this.#lanes.run(uidOf(pod), async () => {
      // A pod that was taken down while we waited must not get its directories back.
      if (this.#open.has(uidOf(pod))) await this.#refresh(pod, place);
    });
  }

  async #refresh(pod: Pod, place: PodPlace): Promise<void> {
    for (const volume of pod.spec.volumes ?? []) {
      try {
        if (isWrittenByUs(volume)) await this.#writeFiles(pod, volume, place);
        else await this.#refreshCsi(pod, volume);
      } catch (error) {
        this.#options.runtime.log.debug("Cannot refresh a volume", {
          pod: `${pod.metadata.namespace}/${pod.metadata.name}`,
          volume: volume.name,
          error: `${error}`,
        });
      }
    }
  }

  /** Unmounts and removes everything of the pod; repeats are fine. */
  async tearDown(uid: string): Promise<void> {
    this.#open.delete(uid);
    await this.#lanes.run(uid, () => this.#tearDown(uid));
  }

  async #tearDown(uid: string): Promise<void> {
    const { host, rootDir, csi } = this.#options;
    const dir = podDir(rootDir, uid);
    await csi.tearDown(uid);
    await this.#blocks.unmapAll(uid);
    for (const [key, of] of this.#csi) if (uidOf(of.pod) === uid) this.#csi.delete(key);
    for (const key of this.#written.keys())
      if (key.startsWith(`${dir}/`)) this.#written.delete(key);
    for (const key of this.#claimed.keys())
      if (key.startsWith(`${uid} `)) this.#claimed.delete(key);
    if ((await host.stat(dir, false)) === undefined) return;
    const mounts = await this.#mountsBelow(dir);
    if (mounts.length > 0) {
      let failure: unknown;
      for (const mount of mounts) {
        try {
          host.unmount(mount);
        } catch (error) {
          failure = error;
        }
      }
      const left = await this.#mountsBelow(dir);
      // Removing files through a mount that stayed would reach what it shows.
      if (left.length > 0) throw new Error(`Cannot unmount ${left.join(", ")}: ${failure}`);
    }
    await host.remove(dir);
  }

  /** The pods that have a directory here. */
  podsOnDisk(): Promise<readonly string[]> {
    return this.#options.host.list(`${this.#options.rootDir}/pods`);
  }

  /** The deepest first. */
  async #mountsBelow(dir: string): Promise<string[]> {
    const points = await mountPoints(this.#options.runtime);
    return points.filter((point) => point.startsWith(`${dir}/`)).toReversed();
  }

  async #prepareOne(pod: Pod, volume: Volume, place: PodPlace, signal: AbortSignal): Promise<void> {
    try {
      if (volume.hostPath !== undefined) {
        return await checkHostPath(this.#options.host, volume.hostPath);
      }
      if (volume.emptyDir !== undefined) return await this.#emptyDir(pod, volume);
      if (volume.image !== undefined) return;
      if (volume.persistentVolumeClaim !== undefined || volume.ephemeral !== undefined) {
        return await this.#claim(pod, volume, place, signal);
      }
      if (volume.csi !== undefined) {
        const of = this.#csiOf(pod, volume, undefined);
        if (of !== undefined) return await this.#setUpCsi(of, signal);
      }
      const plugin = pluginOf(volume);
      if (plugin === undefined) {
        throw new VolumeError("no volume plugin matched");
      }
      if (plugin === "secret" || plugin === "projected") {
        await this.#tmpfs(this.pathOf(pod, volume) ?? "", "");
      }
      await this.#writeFiles(pod, volume, place);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AttachLimitError) throw error;
      if (error instanceof MountError) throw new VolumeError(error.message);
      const message = error instanceof Error ? error.message : `${error}`;
      throw new VolumeError(`MountVolume.SetUp failed for volume "${volume.name}" : ${message}`);
    }
  }

  async #emptyDir(pod: Pod, volume: Volume): Promise<void> {
    const { host } = this.#options;
    const path = this.pathOf(pod, volume) ?? "";
    const { medium = "", sizeLimit } = volume.emptyDir ?? {};
    if (medium === "Memory") {
      const bytes = wholeValue(sizeLimit);
      await this.#tmpfs(path, bytes === 0 ? "" : `size=${bytes}`);
    } else if (medium !== "") {
      throw new VolumeError(`the medium "${medium}" is not supported by this node`);
    }
    await host.mkdir(path, 0o777);
    const group = pod.spec.securityContext?.fsGroup;
    if (group === undefined) return;
    await host.chown(path, -1, group);
    await host.chmod(path, 0o2777);
  }

  async #tmpfs(path: string, size: string): Promise<void> {
    const { runtime, host } = this.#options;
    await host.mkdir(path, 0o755);
    if (!(await isMountPoint(runtime, path))) host.mountTmpfs(path, size);
  }

  async #writeFiles(pod: Pod, volume: Volume, place: PodPlace): Promise<void> {
    const { runtime, host, objects, tokens } = this.#options;
    const context: PayloadContext = {
      pod,
      place,
      objects,
      token: (audience, seconds) => tokens.token(pod, audience, seconds),
    };
    const payload = await volumePayload(context, volume);
    if (payload === undefined) return;
    const dir = this.pathOf(pod, volume) ?? "";
    const hash = [...payload]
      .map(([path, file]) => `${path} ${file.mode} ${Bun.hash(file.data)}`)
      .join("\n");
    if (this.#written.get(dir) === hash) return;
    await host.mkdir(dir, 0o777);
    const fsGroup = pod.spec.securityContext?.fsGroup;
    const stamp = runtime.clock
      .now()
      .toISOString()
      .replace(/[-:.TZ]/g, "_");
    const version = `${stamp}.${runtime.random.int(1_000_000_000)}`;
    await writePayload(host, { dir, fsGroup, version }, payload);
    this.#written.set(dir, hash);
  }

  /** A claim is usable here when its volume is a path of this machine or a CSI driver's. */
  async #claim(pod: Pod, volume: Volume, place: PodPlace, signal: AbortSignal): Promise<void> {
    const { client, host } = this.#options;
    const objects = await this.#claimOf(pod, volume);
    const { persistent } = objects;
    const isBlock = persistent.spec.volumeMode === "Block";
    refuseMode(pod, volume, isBlock);
    const isPlaced = persistent.spec.nodeAffinity !== undefined;
    if (isPlaced && !reaches(persistent, await client.get(nodes, "", place.nodeName))) {
      const step = `${isBlock ? "MapVolume" : "MountVolume"}.NodeAffinity check failed`;
      throw new MountError(
        `${step} for volume "${persistent.metadata.name}" : no matching NodeSelectorTerms`,
      );
    }
    const of = this.#csiOf(pod, volume, objects);
    if (of !== undefined) return await this.#setUpCsi(of, signal);
    const { hostPath, local } = persistent.spec;
    const path = hostPath?.path ?? local?.path;
    if (path === undefined) throw new VolumeError("no volume plugin matched");
    const key = `${uidOf(pod)} ${volume.name}`;
    if (local !== undefined && isBlock) {
      const block = localBlock(this.#options.rootDir, persistent.metadata.name ?? "", uidOf(pod));
      await this.#blocks.map(block, path);
      this.#claimed.set(key, this.#blocks.pathOf(block));
      return;
    }
    await checkHostPath(host, hostPath ?? { path, type: "" });
    const group = pod.spec.securityContext?.fsGroup;
    if (group !== undefined && (await host.stat(path, true)) !== undefined) {
      await host.chown(path, -1, group);
      await host.chmod(path, 0o2775);
    }
    this.#claimed.set(key, path);
  }

  async #claimOf(pod: Pod, volume: Volume): Promise<ClaimObjects> {
    const { client } = this.#options;
    const namespace = pod.metadata.namespace ?? "";
    const name = volume.persistentVolumeClaim?.claimName ?? `${pod.metadata.name}-${volume.name}`;
    const claim = await client.get(persistentVolumeClaims, namespace, name).catch((error) => {
      if (!isReason(error, "NotFound")) throw error;
      throw new VolumeError(`persistentvolumeclaim "${name}" not found`);
    });
    const bound = claim.spec.volumeName ?? "";
    if (claim.status?.phase !== "Bound" || bound === "") {
      throw new VolumeError(`PVC ${namespace}/${name} is not bound`);
    }
    return { claim, persistent: await client.get(persistentVolumes, "", bound) };
  }

  /** Undefined for a volume that no CSI driver has to do with. */
  #csiOf(pod: Pod, volume: Volume, objects: ClaimObjects | undefined): VolumeOfPod | undefined {
    const found =
      objects === undefined ? inlineVolume(pod, volume) : claimedVolume(volume, objects.persistent);
    return found && { pod, name: volume.name, volume: found, ...objects };
  }

  async #setUpCsi(of: VolumeOfPod, signal: AbortSignal): Promise<void> {
    const key = `${uidOf(of.pod)} ${of.name}`;
    this.#claimed.set(key, await this.#options.csi.setUp(of, signal));
    this.#csi.set(key, of);
  }

  async #refreshCsi(pod: Pod, volume: Volume): Promise<void> {
    const known = this.#csi.get(`${uidOf(pod)} ${volume.name}`);
    if (known === undefined) return;
    const objects = known.claim === undefined ? undefined : await this.#claimOf(pod, volume);
    const of = this.#csiOf(pod, volume, objects);
    if (of !== undefined) await this.#options.csi.refresh(of, new AbortController().signal);
  }
}

interface ClaimObjects {
  readonly claim: PersistentVolumeClaim;
  readonly persistent: PersistentVolume;
}

/** A volume is either a file system or a device, and containers must want it as that. */
function refuseMode(pod: Pod, { name }: Volume, isBlock: boolean): void {
  const containers = containersOf(pod).map(({ container }) => container);
  const wrong = containers.some(({ volumeMounts = [], volumeDevices = [] }) =>
    (isBlock ? volumeMounts : volumeDevices).some((use) => use.name === name),
  );
  if (!wrong) return;
  const mode = isBlock ? "Block" : "Filesystem";
  const place = isBlock ? "volumeMounts" : "volumeDevices";
  throw new MountError(
    `Unable to attach or mount volumes: unmounted volumes=[${name}], unattached volumes=[], ` +
      `failed to process volumes=[${name}]: volume ${name} has volumeMode ${mode}, but is ` +
      `specified in ${place}`,
  );
}
