/** What the volumes of pods hold. A look at every file takes time: answers are kept a while. */
import type { FileSystemInfo, Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { DiskUse } from "./eviction-rank.ts";
import { treeUse } from "./storage-limits.ts";
import { type Pod, uidOf, type Volume } from "./types.ts";

export interface VolumeUse {
  readonly name: string;
  /** The claim behind the volume. */
  readonly claim: { readonly name: string; readonly namespace: string } | undefined;
  /** It lies on the node's disk and goes with the pod. */
  readonly isEphemeral: boolean;
  readonly used: DiskUse;
  /** The file system it lies on. */
  readonly fs: FileSystemInfo;
}

/** What a driver tells of a volume of its own. */
export type DriverUse = Pick<VolumeUse, "used" | "fs">;

export type VolumeUses = ReadonlyMap<string, readonly VolumeUse[]>;

export interface VolumeStatsOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly volumes: {
    pathOf(pod: Pod, volume: Volume): string | undefined;
    usageOf(pod: Pod, volume: Volume): Promise<DriverUse | undefined> | undefined;
  };
}

/** Upstream's volumeStatsAggPeriod. */
const limits = { freshMs: 60_000 } as const;

interface Answer {
  readonly atMs: number;
  readonly uses: readonly VolumeUse[];
}

export class VolumeStats {
  readonly #options: VolumeStatsOptions;
  #answers = new Map<string, Answer>();

  constructor(options: VolumeStatsOptions) {
    this.#options = options;
  }

  /** By the uid of the pod. */
  async read(pods: readonly Pod[]): Promise<VolumeUses> {
    const nowMs = this.#options.runtime.clock.monotonicMs();
    const answers = new Map<string, Answer>();
    for (const pod of pods) {
      const known = this.#answers.get(uidOf(pod));
      const isFresh = known !== undefined && nowMs - known.atMs < limits.freshMs;
      answers.set(uidOf(pod), isFresh ? known : { atMs: nowMs, uses: await this.#measure(pod) });
    }
    this.#answers = answers;
    return new Map([...answers].map(([uid, { uses }]) => [uid, uses]));
  }

  async #measure(pod: Pod): Promise<readonly VolumeUse[]> {
    const uses = (pod.spec.volumes ?? []).map((volume) => this.#measureOne(pod, volume));
    return (await Promise.all(uses)).filter((use) => use !== undefined);
  }

  /** Host paths are others' affair; what is not there yet holds nothing. */
  async #measureOne(pod: Pod, volume: Volume): Promise<VolumeUse | undefined> {
    const { host, volumes } = this.#options;
    const path = volumes.pathOf(pod, volume);
    if (path === undefined || volume.hostPath !== undefined) return undefined;
    const claim = claimOf(pod, volume);
    try {
      const driver = volumes.usageOf(pod, volume);
      if (driver !== undefined) {
        const use = await driver;
        return use && { name: volume.name, claim, isEphemeral: false, ...use };
      }
      const [fs, used] = await Promise.all([host.fileSystem(path), treeUse(host, path)]);
      const { emptyDir, configMap, downwardAPI } = volume;
      const onDisk = emptyDir !== undefined && emptyDir.medium !== "Memory";
      const isEphemeral = onDisk || configMap !== undefined || downwardAPI !== undefined;
      return { name: volume.name, claim, isEphemeral, used, fs };
    } catch {
      return undefined;
    }
  }
}

function claimOf({ metadata }: Pod, volume: Volume): VolumeUse["claim"] {
  const { name: podName = "", namespace = "" } = metadata;
  if (volume.ephemeral !== undefined) return { name: `${podName}-${volume.name}`, namespace };
  const name = volume.persistentVolumeClaim?.claimName;
  return name === undefined ? undefined : { name, namespace };
}
