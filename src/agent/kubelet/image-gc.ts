/** Removes images that nothing uses: those unused for too long, and as many as the disk needs. */
import type { Image } from "../../gen/cri/api_pb.ts";
import type { EventRecorder } from "../../live/events.ts";
import type { FileSystemInfo, Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { CriClient } from "../cri/client.ts";
import type { KubeletSettings } from "./kubelet-settings.ts";
import { tellOfNode } from "./node-events.ts";

export interface ImageGcOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly cri: CriClient;
  readonly events: EventRecorder;
  readonly nodeName: string;
  readonly imageDir: string;
  readonly settings: KubeletSettings;
}

export interface ImageRecord {
  readonly id: string;
  readonly sizeBytes: number;
  readonly firstSeenMs: number;
  /** Zero for one that was never seen in use. */
  readonly lastUsedMs: number;
}

const limits = { collectEveryMs: 300_000 } as const;

export class ImageGc {
  readonly #options: ImageGcOptions;
  readonly #records = new Map<string, ImageRecord>();
  #startedMs = 0;

  constructor(options: ImageGcOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options.runtime;
    this.#startedMs = clock.monotonicMs();
    while (!signal.aborted) {
      await this.collect().catch((error: unknown) => {
        log.warn("Cannot remove unused images", { error: `${error}` });
      });
      await clock.sleep(limits.collectEveryMs, signal);
    }
  }

  /** What upstream does every five minutes: old images first, then as many as have to go. */
  async collect(): Promise<void> {
    const { settings, host, imageDir, runtime } = this.#options;
    const unused = await this.#unused();
    const nowMs = runtime.clock.monotonicMs();
    const { imageMaximumGcAgeMs: ageMaxMs } = settings;
    const isKnownLongEnough = ageMaxMs > 0 && nowMs - this.#startedMs > ageMaxMs;
    const old = isKnownLongEnough
      ? unused.filter(({ lastUsedMs }) => nowMs - lastUsedMs > ageMaxMs)
      : [];
    for (const image of old) await this.#remove(image);
    const disk = await host.fileSystem(imageDir);
    const bytes = bytesToFree(disk, settings);
    if (bytes <= 0) return;
    const freed = await this.#free(
      unused.filter((image) => !old.includes(image)),
      bytes,
    );
    if (freed < bytes) this.#tellShortage(disk, freed);
  }

  /** Removes everything that may go. */
  async removeUnused(): Promise<void> {
    await this.#free(await this.#unused(), Number.POSITIVE_INFINITY);
  }

  async #free(images: readonly ImageRecord[], bytes: number): Promise<number> {
    const nowMs = this.#options.runtime.clock.monotonicMs();
    const victims = imagesToFree(images, {
      bytes,
      nowMs,
      ageMinMs: this.#options.settings.imageMinimumGcAgeMs,
    });
    let freed = 0;
    for (const image of victims) if (await this.#remove(image)) freed += image.sizeBytes;
    return freed;
  }

  async #remove({ id, sizeBytes }: ImageRecord): Promise<boolean> {
    const { cri, runtime } = this.#options;
    try {
      await cri.images.removeImage({ image: { image: id } });
      this.#records.delete(id);
      runtime.log.info("Removed an unused image", { id, sizeBytes });
      return true;
    } catch (error) {
      runtime.log.warn("Cannot remove an image", { id, error: `${error}` });
      return false;
    }
  }

  /** Notes what is there and what of it is used; answers what nothing uses and nobody pinned. */
  async #unused(): Promise<readonly ImageRecord[]> {
    const { cri, runtime } = this.#options;
    const [{ images }, used] = await Promise.all([cri.images.listImages({}), usedImages(cri)]);
    const nowMs = runtime.clock.monotonicMs();
    const isUsed = ({ id, repoTags, repoDigests }: Image): boolean =>
      [id, ...repoTags, ...repoDigests].some((name) => used.has(name));
    for (const image of images) {
      const before = this.#records.get(image.id);
      this.#records.set(image.id, {
        id: image.id,
        sizeBytes: Number(image.size),
        firstSeenMs: before?.firstSeenMs ?? nowMs,
        lastUsedMs: isUsed(image) ? nowMs : (before?.lastUsedMs ?? 0),
      });
    }
    const ids = new Set(images.map(({ id }) => id));
    for (const id of this.#records.keys()) if (!ids.has(id)) this.#records.delete(id);
    return images
      .filter((image) => !image.pinned && !isUsed(image))
      .map(({ id }) => this.#records.get(id))
      .filter((record) => record !== undefined);
  }

  #tellShortage(disk: FileSystemInfo, freed: number): void {
    const { events, nodeName } = this.#options;
    const used = `(${usedPercent(disk)}% of ${sizeText(disk.totalBytes)} used)`;
    const message =
      `Insufficient free disk space on the node's image filesystem ${used}. ` +
      `Failed to free sufficient space by deleting unused images (freed ${freed} bytes). ` +
      "Investigate disk usage, as it could be used by active images, logs, volumes, or other data.";
    tellOfNode(events, nodeName, "FreeDiskSpaceFailed", { message, type: "Warning" });
  }
}

/** Images of containers, dead ones too, and those that containers have mounted. */
async function usedImages(cri: CriClient): Promise<ReadonlySet<string>> {
  const { containers } = await cri.runtime.listContainers({});
  const mounted = await Promise.all(
    containers.map(async ({ id }) => {
      const answer = await cri.runtime.containerStatus({ containerId: id }).catch(() => undefined);
      return (answer?.status?.mounts ?? []).map(({ image }) => image?.image ?? "");
    }),
  );
  const own = containers.flatMap(({ image, imageRef, imageId }) => [
    image?.image ?? "",
    imageRef,
    imageId,
  ]);
  return new Set([...own, ...mounted.flat()].filter((name) => name !== ""));
}

function usedPercent({ totalBytes, freeBytes }: FileSystemInfo): number {
  return 100 - Math.floor((Math.min(freeBytes, totalBytes) * 100) / totalBytes);
}

/** Down to the low mark once the high one is reached; else nothing. */
export function bytesToFree(
  disk: FileSystemInfo,
  marks: Pick<KubeletSettings, "imageGcHighPercent" | "imageGcLowPercent">,
): number {
  if (disk.totalBytes === 0 || usedPercent(disk) < marks.imageGcHighPercent) return 0;
  return Math.floor((disk.totalBytes * (100 - marks.imageGcLowPercent)) / 100) - disk.freeBytes;
}

/** Least recently used first, of those the one that was there first; the youngest are spared. */
export function imagesToFree(
  images: readonly ImageRecord[],
  need: { readonly bytes: number; readonly nowMs: number; readonly ageMinMs: number },
): readonly ImageRecord[] {
  const order = images
    .filter(({ lastUsedMs }) => lastUsedMs < need.nowMs)
    .filter(({ firstSeenMs }) => need.nowMs - firstSeenMs >= need.ageMinMs)
    .toSorted((a, b) => a.lastUsedMs - b.lastUsedMs || a.firstSeenMs - b.firstSeenMs);
  let freed = 0;
  return order.filter(({ sizeBytes }) => {
    const isNeeded = freed < need.bytes;
    if (isNeeded) freed += sizeBytes;
    return isNeeded;
  });
}

function sizeText(bytes: number): string {
  const units = ["KiB", "MiB", "GiB", "TiB"];
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(units.length, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}
