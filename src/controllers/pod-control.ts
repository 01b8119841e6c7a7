/** Makes pods from templates and removes them, with the events upstream's pod control records. */
import type { Pod, PodSpec, PodTemplateSpec } from "../gen/core-v1.ts";
import type { ObjectMeta } from "../gen/meta-v1.ts";
import { type ApiError, isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { EventRecorder } from "../live/events.ts";
import type { KubeObject } from "../schema/object.ts";
import { controllerReference, mutable } from "./objects.ts";
import type { OwnWrites } from "./own-writes.ts";
import type { LivePod } from "./pod-state.ts";

/** The pod that `template` describes, managed by `owner`; its name is made by the API. */
export function podFromTemplate(
  template: DeepReadonly<PodTemplateSpec>,
  owner: DeepReadonly<KubeObject>,
): Pod {
  const { labels, annotations, finalizers } = mutable<ObjectMeta>(template.metadata ?? {});
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...(owner.metadata.namespace === undefined ? {} : { namespace: owner.metadata.namespace }),
      generateName: `${owner.metadata.name}-`,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ownerReferences: [controllerReference(owner)],
    },
    spec: mutable<PodSpec>(template.spec),
  };
}

export class PodControl {
  readonly #writes: OwnWrites<Pod>;
  readonly #events: EventRecorder;

  constructor(writes: OwnWrites<Pod>, events: EventRecorder) {
    this.#writes = writes;
    this.#events = events;
  }

  async create(pod: Pod, owner: DeepReadonly<KubeObject>): Promise<Pod> {
    try {
      const created = await this.#writes.create(pod);
      const message = `Created pod: ${created.metadata.name}`;
      this.#events.event(owner, "Normal", "SuccessfulCreate", message);
      return created;
    } catch (error) {
      if (!isNamespaceTerminating(error)) {
        this.#events.event(owner, "Warning", "FailedCreate", `Error creating: ${textOf(error)}`);
      }
      throw error;
    }
  }

  async delete(pod: LivePod, owner: DeepReadonly<KubeObject>): Promise<void> {
    try {
      await this.#writes.delete(pod);
      const message = `Deleted pod: ${pod.metadata.name}`;
      this.#events.event(owner, "Normal", "SuccessfulDelete", message);
    } catch (error) {
      this.#events.event(owner, "Warning", "FailedDelete", `Error deleting: ${textOf(error)}`);
      throw error;
    }
  }
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True when the API refuses to create as the namespace is going away: not worth a retry. */
export function isNamespaceTerminating(error: unknown): boolean {
  return (
    isReason(error, "Forbidden") &&
    (error as ApiError).details?.causes?.some(
      (cause) => cause.reason === "NamespaceTerminating",
    ) === true
  );
}

/**
 * Runs `work` for 0..count-1 in batches of 1, 2, 4, ...: a quota that refuses everything costs one
 * refusal and not `count`. Stops after the first batch with a failure and throws it.
 */
export async function inGrowingBatches(
  count: number,
  work: (index: number) => Promise<void>,
): Promise<number> {
  let done = 0;
  for (let size = Math.min(1, count); size > 0; size = Math.min(size * 2, count - done)) {
    const first = done;
    const results = await Promise.allSettled(
      Array.from({ length: size }, (_, offset) => work(first + offset)),
    );
    done += results.filter((result) => result.status === "fulfilled").length;
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }
  return done;
}
