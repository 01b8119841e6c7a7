/** What a container needs of its image before it starts: pull policies, back-off, credentials. */

import type { Image } from "../gen/cri/api_pb.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { CredentialProviders } from "./credentials/credential-providers.ts";
import { type CriClient, criPullMessage } from "./cri/client.ts";
import { type PullAuth, type PullSecret, pullAuth } from "./pull-auth.ts";

const limits = {
  backoffMsMin: 10_000,
  backoffMsMax: 300_000,
} as const;

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

/** Where images and what they are pulled with may come from besides registry and pod. */
export interface ImageSources {
  /** An image that is not there yet may be in an archive that is being imported. */
  readonly imports?: { idle(): Promise<void> } | undefined;
  /** Passwords that programs of the node know. */
  readonly credentials?: Pick<CredentialProviders, "credentials"> | undefined;
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
  readonly #sources: ImageSources;

  constructor(runtime: Runtime, cri: CriClient, sources: ImageSources) {
    this.#runtime = runtime;
    this.#cri = cri;
    this.#sources = sources;
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
    let present = await this.#status(image);
    const { imports } = this.#sources;
    if (present === undefined && imports !== undefined) {
      await imports.idle();
      present = await this.#status(image);
    }
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
      const id = await this.#pullOnce(image, await this.#authFor(image, wish.secrets), signal);
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

  /** The pod's own secrets go before what the node knows. */
  async #authFor(image: string, secrets: readonly PullSecret[]): Promise<PullAuth | undefined> {
    const own = pullAuth(image, secrets);
    return own ?? (await this.#sources.credentials?.credentials(image))?.[0];
  }

  async #pullOnce(image: string, auth: PullAuth | undefined, signal: AbortSignal): Promise<string> {
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
