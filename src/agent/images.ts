/**
 * Images of this node: archives imported from `agent/images`, and what a container needs before it
 * starts (pull policies, back-off, credentials).
 */

import type { Image } from "../gen/cri/api_pb.ts";
import type { Host } from "../runtime/host.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type CriClient, criMessage, criPullMessage } from "./cri/client.ts";
import { type PullSecret, pullAuth } from "./pull-auth.ts";

const limits = {
  backoffMsMin: 10_000,
  backoffMsMax: 300_000,
} as const;

export interface ImportOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly socketPath: string;
  readonly binDir: string;
  readonly dataDir: string;
  readonly cri: CriClient;
}

const archivePattern = /\.(tar|tar\.gz|tgz|tar\.zst)$/;

/** Imports one archive through containerd's own `ctr`; answers what it printed. */
export async function importArchive(
  options: Pick<ImportOptions, "runtime" | "socketPath" | "binDir">,
  file: string,
  signal: AbortSignal,
): Promise<string> {
  const { runtime, socketPath, binDir } = options;
  const result = await runtime.exec.run(
    {
      argv: [
        `${binDir}/ctr`,
        "--address",
        socketPath,
        "--namespace",
        "k8s.io",
        "images",
        "import",
        "--all-platforms=false",
        "--label",
        "io.cri-containerd.image=managed",
        file,
      ],
    },
    signal,
  );
  if (result.exitCode !== 0) {
    throw new Error(`Cannot import images from "${file}": ${result.stderr.trim()}`);
  }
  return result.stdout;
}

/** Imports `archive` unless the runtime has `image` already: the pause image of the payload. */
export async function ensureArchive(
  options: Pick<ImportOptions, "runtime" | "socketPath" | "binDir" | "cri">,
  image: string,
  archive: string,
  signal: AbortSignal,
): Promise<void> {
  const status = await options.cri.images.imageStatus({ image: { image } });
  if (status.image !== undefined) return;
  await importArchive(options, archive, signal);
}

/**
 * Imports the archives of `<data-dir>/agent/images` that changed since the last start, and pulls
 * what its `.txt` files name. A broken archive is logged and does not stop the others.
 */
export async function importImagesDir(options: ImportOptions, signal: AbortSignal): Promise<void> {
  const { runtime, host, dataDir } = options;
  const dir = `${dataDir}/agent/images`;
  // Kept below containerd's root, so that removing the images removes the memory of them.
  const seenPath = `${dataDir}/agent/containerd/k3-imported.json`;
  const seen = parseSeen(await runtime.files.readText(seenPath));
  const now: Record<string, string> = {};
  for (const name of await runtime.files.list(dir)) {
    const path = `${dir}/${name}`;
    const info = await host.stat(path, true);
    if (info?.kind !== "file") continue;
    const mark = `${info.size} ${info.mtimeMs}`;
    if (seen[name] === mark) {
      now[name] = mark;
      continue;
    }
    try {
      if (archivePattern.test(name)) await importArchive(options, path, signal);
      else if (name.endsWith(".txt")) await pullListed(options, path);
      else continue;
      now[name] = mark;
      runtime.log.info("Imported images", { file: path });
    } catch (error) {
      runtime.log.error("Cannot import images", { file: path, error: criMessage(error) });
    }
  }
  if (JSON.stringify(now) !== JSON.stringify(seen)) {
    await runtime.files.writeAtomic(seenPath, JSON.stringify(now), 0o600);
  }
}

function parseSeen(text: string | undefined): Record<string, string> {
  if (text === undefined) return {};
  try {
    return JSON.parse(text) as Record<string, string>;
  } catch {
    // A torn cache only costs another import.
    return {};
  }
}

async function pullListed(options: ImportOptions, path: string): Promise<void> {
  const text = (await options.runtime.files.readText(path)) ?? "";
  const names = text.split("\n").map((line) => line.trim());
  for (const image of names.filter((name) => name !== "" && !name.startsWith("#"))) {
    await options.cri.images.pullImage({ image: { image } });
  }
}

export type PullReason =
  | "ErrImagePull"
  | "ImagePullBackOff"
  | "ErrImageNeverPull"
  | "InvalidImageName";

/** Why a container waits for its image; `retryInMs` says when another try makes sense. */
export class ImageError extends Error {
  override readonly name = "ImageError";
  readonly reason: PullReason;
  readonly retryInMs: number;

  constructor(reason: PullReason, message: string, retryInMs: number) {
    super(message);
    this.reason = reason;
    this.retryInMs = retryInMs;
  }
}

export interface ImageWish {
  readonly podUid: string;
  readonly image: string;
  readonly policy: "Always" | "IfNotPresent" | "Never";
  readonly secrets: readonly PullSecret[];
  /** Called with Kubernetes' event about the image. */
  readonly event: (type: "Normal" | "Warning", reason: string, message: string) => void;
}

/** What a container needs to know of its image. */
export interface PresentImage {
  /** The reference to create the container with. */
  readonly id: string;
  readonly user: { readonly uid: number | undefined; readonly username: string };
}

interface Backoff {
  readonly delayMs: number;
  readonly until: number;
  readonly cause: string;
}

/** "busybox" → "busybox:latest"; what CRI and the credentials are asked with. */
export function withDefaultTag(image: string): string {
  if (image.includes("@")) return image;
  return image.slice(image.lastIndexOf("/") + 1).includes(":") ? image : `${image}:latest`;
}

/** Makes images present; one pull per image at a time, with upstream's back-off per pod. */
export class ImageManager {
  readonly #runtime: Runtime;
  readonly #cri: CriClient;
  readonly #backoffs = new Map<string, Backoff>();
  readonly #pulls = new Map<string, Promise<string>>();

  constructor(runtime: Runtime, cri: CriClient) {
    this.#runtime = runtime;
    this.#cri = cri;
  }

  /** Answers the image once it is there; throws `ImageError`. */
  async ensure(wish: ImageWish, signal: AbortSignal): Promise<PresentImage> {
    const image = withDefaultTag(wish.image);
    if (/\s|[A-Z].*\//.test(image.split("@")[0] ?? "") || image === ":latest") {
      const detail = "couldn't parse image name: invalid reference format";
      const message = `Failed to apply default image tag "${wish.image}": ${detail}`;
      wish.event("Warning", "InspectFailed", message);
      throw new ImageError("InvalidImageName", message, limits.backoffMsMax);
    }
    const present = await this.#status(image);
    if (wish.policy !== "Always" && present !== undefined) {
      const text = "already present on machine and can be accessed by the pod";
      wish.event("Normal", "Pulled", `Container image "${wish.image}" ${text}`);
      return presentImage(present.id, present);
    }
    if (wish.policy === "Never") {
      const message = `Container image "${wish.image}" is not present with pull policy of Never`;
      wish.event("Warning", "ErrImageNeverPull", message);
      throw new ImageError("ErrImageNeverPull", message, limits.backoffMsMin);
    }
    return await this.#pull(wish, image, signal);
  }

  forgetPod(uid: string): void {
    for (const key of this.#backoffs.keys()) {
      if (key.startsWith(`${uid} `)) this.#backoffs.delete(key);
    }
  }

  async #status(image: string): Promise<Image | undefined> {
    return (await this.#cri.images.imageStatus({ image: { image } })).image;
  }

  async #pull(wish: ImageWish, image: string, signal: AbortSignal): Promise<PresentImage> {
    const key = `${wish.podUid} ${image}`;
    const backoff = this.#backoffs.get(key);
    const now = this.#runtime.clock.monotonicMs();
    if (backoff !== undefined && now < backoff.until) {
      wish.event("Normal", "BackOff", `Back-off pulling image "${wish.image}"`);
      const message = `Back-off pulling image "${wish.image}": ${backoff.cause}`;
      throw new ImageError("ImagePullBackOff", message, backoff.until - now);
    }
    wish.event("Normal", "Pulling", `Pulling image "${wish.image}"`);
    try {
      const id = await this.#pullOnce(image, wish.secrets, signal);
      const status = await this.#status(image);
      const took = goDuration(this.#runtime.clock.monotonicMs() - now);
      const timing = `${took} (${took} including waiting)`;
      const pulled = `Successfully pulled image "${wish.image}" in ${timing}`;
      wish.event("Normal", "Pulled", `${pulled}. Image size: ${status?.size ?? 0n} bytes.`);
      this.#backoffs.delete(key);
      return presentImage(id, status);
    } catch (error) {
      signal.throwIfAborted();
      throw this.#failed(wish, key, backoff, criPullMessage(error));
    }
  }

  #failed(wish: ImageWish, key: string, before: Backoff | undefined, message: string): ImageError {
    const now = this.#runtime.clock.monotonicMs();
    // A long quiet time forgives: the next failure starts at the shortest delay again.
    const fresh = before === undefined || now - before.until > 2 * limits.backoffMsMax;
    const delayMs = fresh ? limits.backoffMsMin : Math.min(before.delayMs * 2, limits.backoffMsMax);
    const text = `failed to pull image "${wish.image}": ${message}`;
    this.#backoffs.set(key, { delayMs, until: now + delayMs, cause: `ErrImagePull: ${text}` });
    wish.event("Warning", "Failed", `Failed to pull image "${wish.image}": ${message}`);
    wish.event("Warning", "Failed", "Error: ErrImagePull");
    // The worker looks again at once to show ImagePullBackOff, as upstream's next sync does.
    return new ImageError("ErrImagePull", text, 1_000);
  }

  async #pullOnce(
    image: string,
    secrets: readonly PullSecret[],
    signal: AbortSignal,
  ): Promise<string> {
    const auth = pullAuth(image, secrets);
    const key = `${image} ${auth === undefined ? "" : JSON.stringify(auth)}`;
    const running = this.#pulls.get(key);
    if (running !== undefined) return await running;
    const request = { image: { image }, ...(auth === undefined ? {} : { auth }) };
    const pull = this.#cri.images
      .pullImage(request, { signal })
      .then((answer) => answer.imageRef)
      .finally(() => this.#pulls.delete(key));
    this.#pulls.set(key, pull);
    return await pull;
  }
}

function presentImage(id: string, status: Image | undefined): PresentImage {
  const uid = status?.uid === undefined ? undefined : Number(status.uid.value);
  return { id, user: { uid, username: status?.username ?? "" } };
}

/** Milliseconds as Go prints a duration: 812ms, 1.234s, 2m3.5s. */
export function goDuration(ms: number): string {
  const whole = Math.round(ms);
  if (whole < 1000) return `${whole}ms`;
  const minutes = Math.floor(whole / 60_000);
  const seconds = `${(whole % 60_000) / 1000}s`;
  return minutes === 0 ? seconds : `${minutes}m${seconds}`;
}
