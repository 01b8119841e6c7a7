/**
 * The CSI volumes of this node's pods: attached, staged, published, kept fresh and taken back. What
 * lies on disk is the truth, so that a new kubelet goes on where another one ended.
 */
import type { Client } from "../../client/client.ts";
import type { PersistentVolumeClaim } from "../../gen/core-v1.ts";
import { VolumeUsage_Unit as Unit } from "../../gen/cri/csi_pb.ts";
import { Lanes } from "../../lib/lanes.ts";
import type { EventRecorder } from "../../live/events.ts";
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { uniqueName } from "../../schema/csi-names.ts";
import { isMountPoint } from "../kubelet/mount-table.ts";
import type { ObjectSource } from "../kubelet/object-source.ts";
import type { ServiceAccountTokens } from "../kubelet/service-account-tokens.ts";
import { type Pod, uidOf } from "../kubelet/types.ts";
import type { DriverUse } from "../kubelet/volume-stats.ts";
import { BlockDevices } from "./block-devices.ts";
import { AttachLimitError, CsiAttachments, MountError, mountError } from "./csi-attachments.ts";
import type { CsiDrivers } from "./csi-drivers.ts";
import { CsiExpander } from "./csi-expander.ts";
import { CsiPublisher } from "./csi-publisher.ts";
import { CsiStager, type StagedPlace } from "./csi-stager.ts";
import {
  type CsiVolume,
  type DriverObject,
  isAttachable,
  type PersistentVolume,
} from "./csi-volume.ts";
import { VolumeNotes } from "./volume-data.ts";

export interface CsiVolumesOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly client: Client;
  readonly events: EventRecorder;
  readonly objects: ObjectSource;
  readonly tokens: ServiceAccountTokens;
  readonly drivers: CsiDrivers;
  /** /var/lib/kubelet */
  readonly rootDir: string;
  readonly nodeName: string;
  /** The Node's `volumesInUse` is to change; resolves when it has. */
  readonly onInUse: () => Promise<void>;
}

/** A volume as a pod names it, with the objects behind it. */
export interface VolumeOfPod {
  readonly pod: Pod;
  /** The name in the pod's spec. */
  readonly name: string;
  readonly volume: CsiVolume;
  /** Absent for inline volumes. */
  readonly claim?: PersistentVolumeClaim;
  readonly persistent?: PersistentVolume;
}

interface Held {
  readonly of: VolumeOfPod;
  readonly size: string | undefined;
}

const limits = { releaseEveryMs: 10_000 } as const;

export class CsiVolumes {
  readonly attachments: CsiAttachments;
  readonly #options: CsiVolumesOptions;
  readonly #notes: VolumeNotes;
  readonly #stager: CsiStager;
  readonly #publisher: CsiPublisher;
  readonly #expander: CsiExpander;
  /** What pods have been given since the start, by uid and volume name. */
  readonly #held = new Map<string, Held>();
  /** One piece of work on a volume at a time, whichever pod it is for. */
  readonly #lanes = new Lanes();

  constructor(options: CsiVolumesOptions) {
    this.#options = options;
    this.#notes = new VolumeNotes(options);
    this.attachments = new CsiAttachments(options);
    this.#expander = new CsiExpander(options);
    const notes = this.#notes;
    this.#stager = new CsiStager({ ...options, notes });
    const blocks = new BlockDevices(options);
    this.#publisher = new CsiPublisher({ ...options, notes, blocks, stager: this.#stager });
  }

  /** Learns from the disk what an earlier kubelet has mounted, before the Node is reported. */
  async load(): Promise<void> {
    const published = (await this.#notes.published()).map(({ data }) => data);
    const staged = (await this.#notes.staged()).map(({ data }) => data);
    for (const { driverName, volumeHandle, volumeLifecycleMode } of [...published, ...staged]) {
      if (volumeLifecycleMode === "Ephemeral") continue;
      this.attachments.found(uniqueName(driverName, volumeHandle));
    }
  }

  /** Makes the volume usable by the pod; resolves with its path. Safe to repeat. */
  async setUp(of: VolumeOfPod, signal: AbortSignal): Promise<string> {
    const { pod, volume } = of;
    const key = keyOf(of);
    const path = this.#publisher.pathOf(pod, volume);
    if (this.#held.has(key)) return path;
    const name = uniqueName(volume.driver, volume.handle);
    const object = await this.#options.drivers.object(volume.driver, signal);
    await this.#refuseSecondPod(of);
    const needsAttach = isAttachable(volume, object);
    if (needsAttach) await this.attachments.want(name, uidOf(pod));
    if (await this.#isMounted(of, path)) {
      this.#held.set(key, { of, size: of.claim?.status?.capacity?.storage });
      return path;
    }
    const publishContext = needsAttach ? await this.#attached(of, object, signal) : {};
    await this.#lanes.run(name, async () => {
      signal.throwIfAborted();
      const group = pod.spec.securityContext?.fsGroup;
      if (volume.lifecycle === "Persistent") {
        await this.#stager.stage(volume, publishContext, group);
      }
      await this.#publisher.publish({ pod, volume, object, publishContext, isRemount: false });
    });
    this.#held.set(key, { of, size: await this.#expand(of, undefined) });
    return path;
  }

  /** Publishes again where the driver wants that, and makes the volume grow where it has grown. */
  async refresh(of: VolumeOfPod, signal: AbortSignal): Promise<void> {
    const held = this.#held.get(keyOf(of));
    if (held === undefined) return;
    const { pod, volume } = of;
    const object = await this.#options.drivers.object(volume.driver, signal);
    if (object?.spec.requiresRepublish === true && !volume.isBlock) {
      const publishContext = isAttachable(volume, object)
        ? await this.attachments.contextOf(volume)
        : {};
      await this.#lanes.run(uniqueName(volume.driver, volume.handle), () =>
        this.#publisher.publish({ pod, volume, object, publishContext, isRemount: true }),
      );
    }
    const size = await this.#expand(of, held.size).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : `${error}`;
      this.#options.events.event(pod, "Warning", "VolumeResizeFailed", message);
      return held.size;
    });
    this.#held.set(keyOf(of), { of, size });
  }

  /** Takes back all that the pod has on disk; throws where a driver cannot. Safe to repeat. */
  async tearDown(podUid: string): Promise<void> {
    for (const one of await this.#notes.ofPod(podUid)) {
      const name = uniqueName(one.data.driverName, one.data.volumeHandle);
      await this.#lanes.run(name, () => this.#publisher.unpublish(one));
    }
    for (const key of this.#held.keys()) if (key.startsWith(`${podUid} `)) this.#held.delete(key);
    this.attachments.leave(podUid);
    void this.releaseUnused();
  }

  /** Unstages what no pod of this node has or wants any more. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.runtime.clock.sleep(limits.releaseEveryMs, signal);
      if (!signal.aborted) await this.releaseUnused();
    }
  }

  /** Failures are told in the log and tried again later. */
  async releaseUnused(): Promise<void> {
    try {
      const places = await this.#stagedPlaces();
      const staged = new Set(places.map(({ driver, handle }) => uniqueName(driver, handle)));
      for (const place of places) await this.#release(place);
      for (const name of this.attachments.inUse()) {
        if (!staged.has(name) && !(await this.#isUsed(name))) await this.attachments.drop(name);
      }
    } catch (error) {
      this.#options.runtime.log.warn("Cannot release volumes", { error: `${error}` });
    }
  }

  /** What the driver says of the volume; undefined where it says nothing. */
  async usage({ pod, volume }: VolumeOfPod): Promise<DriverUse | undefined> {
    if (volume.isBlock) return undefined;
    const client = this.#options.drivers.client(volume.driver);
    if (!(await client.can("GET_VOLUME_STATS"))) return undefined;
    const path = this.#publisher.pathOf(pod, volume);
    const { staging } = this.#stager.placeOf(volume);
    const isStaged =
      volume.lifecycle === "Persistent" && (await client.can("STAGE_UNSTAGE_VOLUME"));
    const usages = await client.stats(volume.handle, path, isStaged ? staging : "");
    const of = (unit: Unit) => {
      const found = usages.find((one) => one.unit === unit);
      const { total = 0n, available = 0n, used = 0n } = found ?? {};
      return { total: Number(total), free: Number(available), used: Number(used) };
    };
    const [bytes, inodes] = [of(Unit.BYTES), of(Unit.INODES)];
    return {
      used: { bytes: bytes.used, inodes: inodes.used },
      fs: {
        totalBytes: bytes.total,
        freeBytes: bytes.free,
        totalInodes: inodes.total,
        freeInodes: inodes.free,
      },
    };
  }

  /** Where limits may change a full node is told of at once, and its pod is not kept waiting. */
  async #attached(
    { volume, name }: VolumeOfPod,
    object: DriverObject | undefined,
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, string>>> {
    try {
      return await this.attachments.attached(volume, name, signal);
    } catch (error) {
      if (!(error instanceof AttachLimitError)) throw error;
      if (object?.spec.nodeAllocatableUpdatePeriodSeconds === undefined) {
        const why = error.message.slice(error.message.indexOf("unmounted"));
        throw new MountError(`Unable to attach or mount volumes: ${why}`);
      }
      await this.#options.drivers.refreshLimits(volume.driver);
      throw error;
    }
  }

  /** A volume for one pod alone is that, whatever the scheduler has done. */
  async #refuseSecondPod({ pod, volume }: VolumeOfPod): Promise<void> {
    const isExclusive = volume.accessModes.join() === "ReadWriteOncePod";
    if (!isExclusive || volume.lifecycle !== "Persistent") return;
    const others = (await this.#notes.published()).filter(
      ({ podUid, data }) =>
        podUid !== uidOf(pod) &&
        data.driverName === volume.driver &&
        data.volumeHandle === volume.handle,
    );
    if (others.length === 0) return;
    const step = volume.isBlock ? "MapVolume.SetUpDevice" : "MountVolume.SetUp";
    const why = "volume uses the ReadWriteOncePod access mode and is already in use by another pod";
    throw mountError(step, volume, why);
  }

  /** Set up by an earlier kubelet: the pod's containers have run with it. */
  async #isMounted({ pod, volume }: VolumeOfPod, path: string): Promise<boolean> {
    const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
    const statuses = [...containerStatuses, ...initContainerStatuses];
    if (!statuses.some(({ containerID = "" }) => containerID !== "")) return false;
    if (volume.isBlock) return (await this.#options.host.stat(path, true))?.kind === "block";
    return await isMountPoint(this.#options.runtime, path);
  }

  async #expand(of: VolumeOfPod, knownSize: string | undefined): Promise<string | undefined> {
    const { pod, volume, claim, persistent } = of;
    if (claim === undefined || persistent === undefined) return undefined;
    const path = this.#publisher.pathOf(pod, volume);
    const { staging } = this.#stager.placeOf(volume);
    const wish = { pod, volume, claim, persistent, knownSize, path, staging };
    return await this.#expander.expand(wish);
  }

  async #stagedPlaces(): Promise<readonly StagedPlace[]> {
    return (await this.#notes.staged()).map((staged) => this.#stager.noted(staged));
  }

  async #isUsed(name: string): Promise<boolean> {
    if (this.attachments.isWanted(name)) return true;
    return (await this.#notes.published()).some(
      ({ data }) => uniqueName(data.driverName, data.volumeHandle) === name,
    );
  }

  async #release(place: StagedPlace): Promise<void> {
    const name = uniqueName(place.driver, place.handle);
    if (await this.#isUsed(name)) return;
    await this.#lanes.run(name, async () => {
      // Looked at again: a pod may have come while others were at work on the volume.
      if (await this.#isUsed(name)) return;
      try {
        await this.#stager.unstage(place);
        await this.attachments.drop(name);
      } catch (error) {
        const told = { driver: place.driver, volume: place.handle, error: `${error}` };
        this.#options.runtime.log.warn("Cannot unstage a volume", told);
      }
    });
  }
}

function keyOf({ pod, name }: VolumeOfPod): string {
  return `${uidOf(pod)} ${name}`;
}
