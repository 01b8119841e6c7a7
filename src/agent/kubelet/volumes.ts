/** Sets up the volumes of pods, keeps their contents fresh, removes them. */
import type { Client } from "../../client/client.ts";
import { persistentVolumeClaims, persistentVolumes } from "../../client/resources.ts";
import { isReason } from "../../lib/api-error.ts";
import { Lanes } from "../../lib/lanes.ts";
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { writePayload } from "./atomic-writer.ts";
import type { PodPlace } from "./field-ref.ts";
import { checkHostPath } from "./host-path.ts";
import type { ObjectSource } from "./object-source.ts";
import { wholeValue } from "./resources.ts";
import type { ServiceAccountTokens } from "./service-account-tokens.ts";
import { type Pod, podDir, uidOf, type Volume } from "./types.ts";
import { type PayloadContext, VolumeError, volumePayload } from "./volume-payload.ts";

export interface VolumeOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly client: Client;
  readonly objects: ObjectSource;
  readonly tokens: ServiceAccountTokens;
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
  /** Pods whose files may be written. */
  readonly #open = new Set<string>();
  /** One piece of work on a pod's files at a time. */
  readonly #lanes = new Lanes();

  constructor(options: VolumeOptions) {
    this.#options = options;
  }

  /** Where the volume is on the host; undefined for image volumes, which the runtime mounts. */
  pathOf(pod: Pod, volume: Volume): string | undefined {
    if (volume.hostPath !== undefined) return volume.hostPath.path;
    const plugin = pluginOf(volume);
    const dir = podDir(this.#options.rootDir, uidOf(pod));
    if (plugin !== undefined) return `${dir}/volumes/${plugins[plugin]}/${volume.name}`;
    return this.#claimed.get(`${uidOf(pod)} ${volume.name}`);
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
      if (!isWrittenByUs(volume)) continue;
      try {
        await this.#writeFiles(pod, volume, place);
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
    const { host, rootDir } = this.#options;
    const dir = podDir(rootDir, uid);
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

  async #mountsBelow(dir: string): Promise<string[]> {
    const table = (await this.#options.runtime.files.readText("/proc/self/mountinfo")) ?? "";
    const points = table.split("\n").map((line) => line.split(" ")[4] ?? "");
    // The kernel writes spaces and backslashes in octal; the deepest mounts go first.
    const plain = points.map((point) =>
      point.replace(/\\([0-7]{3})/g, (_all, octal) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    );
    return plain.filter((point) => point.startsWith(`${dir}/`)).reverse();
  }

  async #prepareOne(pod: Pod, volume: Volume, place: PodPlace, signal: AbortSignal): Promise<void> {
    try {
      if (volume.hostPath !== undefined) {
        return await checkHostPath(this.#options.host, volume.hostPath);
      }
      if (volume.emptyDir !== undefined) return await this.#emptyDir(pod, volume);
      if (volume.image !== undefined) return;
      if (volume.persistentVolumeClaim !== undefined || volume.ephemeral !== undefined) {
        return await this.#claim(pod, volume);
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
    const mounted = (await runtime.files.readText("/proc/self/mountinfo")) ?? "";
    if (mounted.includes(` ${path} `)) return;
    host.mountTmpfs(path, size);
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

  /** A claim is usable here when its volume is a path of this machine. */
  async #claim(pod: Pod, volume: Volume): Promise<void> {
    const { client, host } = this.#options;
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
    const persistent = await client.get(persistentVolumes, "", bound);
    const { hostPath, local } = persistent.spec;
    const path = hostPath?.path ?? local?.path;
    if (path === undefined) throw new VolumeError("no volume plugin matched");
    await checkHostPath(host, hostPath ?? { path, type: "" });
    const group = pod.spec.securityContext?.fsGroup;
    if (group !== undefined && (await host.stat(path, true)) !== undefined) {
      await host.chown(path, -1, group);
      await host.chmod(path, 0o2775);
    }
    this.#claimed.set(`${uidOf(pod)} ${volume.name}`, path);
  }
}
