/**
 * Volumes that pods of this node want attached: told of in the Node's status, so that nobody
 * detaches them, and waited for.
 */
import { Code } from "@connectrpc/connect";
import type { Client } from "../../client/client.ts";
import { nodes, volumeAttachments } from "../../client/resources.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { attachmentName, uniqueName } from "../../schema/csi-names.ts";

import type { CsiVolume } from "./csi-volume.ts";

/** A volume cannot be had now, in upstream's words for the pod's events. */
export class MountError extends Error {
  override readonly name = "MountError";
}

/** The node cannot have the volume attached: the pod has to go elsewhere. */
export class AttachLimitError extends Error {
  override readonly name = "AttachLimitError";
}

export function mountError(step: string, { specName }: CsiVolume, why: string): MountError {
  return new MountError(`${step} failed for volume "${specName}" : ${why}`);
}

export interface CsiAttachmentsOptions {
  readonly runtime: Runtime;
  readonly client: Client;
  readonly nodeName: string;
  /** The names in use have changed; resolves when the Node says so. */
  readonly onInUse: () => Promise<void>;
}

const limits = { pollMsMin: 100, pollMsMax: 1_000, waitMs: 123_000 } as const;

export class CsiAttachments {
  readonly #options: CsiAttachmentsOptions;
  /** The pods that want a volume, by its unique name; none while it is still staged. */
  readonly #wanted = new Map<string, Set<string>>();

  constructor(options: CsiAttachmentsOptions) {
    this.#options = options;
  }

  /** What the Node's `volumesInUse` shows. */
  inUse(): readonly string[] {
    return [...this.#wanted.keys()].toSorted();
  }

  /** Found on disk at the start. */
  found(name: string): void {
    if (!this.#wanted.has(name)) this.#wanted.set(name, new Set());
  }

  async want(name: string, podUid: string): Promise<void> {
    const pods = this.#wanted.get(name);
    if (pods !== undefined) {
      pods.add(podUid);
      return;
    }
    this.#wanted.set(name, new Set([podUid]));
    await this.#options.onInUse();
  }

  /** The pod wants nothing any more. */
  leave(podUid: string): void {
    for (const pods of this.#wanted.values()) pods.delete(podUid);
  }

  isWanted(name: string): boolean {
    return (this.#wanted.get(name)?.size ?? 0) > 0;
  }

  /** Nothing of the volume is on this node any more. */
  async drop(name: string): Promise<void> {
    if (this.#wanted.delete(name)) await this.#options.onInUse();
  }

  /** Resolves with what the driver's controller says of the attached volume. */
  async attached(
    volume: CsiVolume,
    podVolume: string,
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, string>>> {
    const { runtime, client, nodeName } = this.#options;
    const name = uniqueName(volume.driver, volume.handle);
    const deadlineMs = runtime.clock.monotonicMs() + limits.waitMs;
    let pauseMs: number = limits.pollMsMin;
    for (;;) {
      const { status } = await client.get(nodes, "", nodeName);
      if (status?.volumesAttached?.some((one) => one.name === name) === true) break;
      if (runtime.clock.monotonicMs() > deadlineMs) {
        const text =
          `unmounted volumes=[${podVolume}], unattached volumes=[${podVolume}], failed to ` +
          "process volumes=[]: context deadline exceeded";
        if (!(await this.#isExhausted(volume))) {
          throw new MountError(`Unable to attach or mount volumes: ${text}`);
        }
        const full = "Node has reached its volume attachment limit, rejecting pod.";
        throw new AttachLimitError(`${full} ${text}`);
      }
      await runtime.clock.sleep(pauseMs, signal);
      signal.throwIfAborted();
      pauseMs = Math.min(pauseMs * 2, limits.pollMsMax);
    }
    return await this.contextOf(volume);
  }

  /** Whether the driver's controller has said that the node has no room for it. */
  async #isExhausted({ driver, handle }: CsiVolume): Promise<boolean> {
    const { client, nodeName } = this.#options;
    const id = attachmentName(handle, driver, nodeName);
    const found = await client.get(volumeAttachments, "", id).catch(() => undefined);
    return found?.status?.attachError?.errorCode === Code.ResourceExhausted;
  }

  /** What the driver's controller has said of an attached volume. */
  async contextOf(volume: CsiVolume): Promise<Readonly<Record<string, string>>> {
    const { client, nodeName } = this.#options;
    const id = attachmentName(volume.handle, volume.driver, nodeName);
    const failed = (why: string) => mountError("MountVolume.WaitForAttach", volume, why);
    const found = await client.get(volumeAttachments, "", id).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : `${error}`;
      throw failed(`volume ${volume.handle} has GET error for volume attachment ${id}: ${why}`);
    });
    if (found.metadata.deletionTimestamp !== undefined) {
      throw failed("volume attachment is being deleted");
    }
    if (found.status?.attached === true) return found.status.attachmentMetadata ?? {};
    throw failed(
      found.status?.attachError?.message ??
        `volume ${volume.handle} is not attached for volume attachment ${id}`,
    );
  }
}
