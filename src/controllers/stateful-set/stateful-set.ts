/** The StatefulSet controller: pods with stable names, in order, each with its own claims. */
import {
  controllerRevisions,
  persistentVolumeClaims,
  pods,
  statefulSets,
} from "../../client/resources.ts";
import type { StatefulSet, StatefulSetStatus } from "../../gen/apps-v1.ts";
import type { Pod, PodTemplateSpec } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../../live/controller.ts";
import type { LiveSet } from "../../live/live-set.ts";
import { splitKey } from "../../schema/object.ts";
import { claim, indexByController } from "../claim.ts";
import { isDeleting, mutable, sameJson } from "../objects.ts";
import { OwnWrites } from "../own-writes.ts";
import { isNamespaceTerminating, textOf } from "../pod-control.ts";
import { untilAvailableMs } from "../pod-state.ts";
import { hashOf, type LiveRevision, Revisions } from "../revisions.ts";
import { ownerKeys } from "../watch-owner.ts";
import {
  type LiveStatefulSet,
  type NamedTemplate,
  ordinalOf,
  planStatefulSet,
  planStatefulStatus,
  type StatefulInput,
  statefulClaims,
  statefulPod,
} from "./plan.ts";

/** Creates the StatefulSet controller. */
export function createStatefulSetController(context: ControllerContext): Controller {
  const setSet = context.live.of(statefulSets);
  const podSet = context.live.of(pods);
  const revisionSet = context.live.of(controllerRevisions);
  indexByController(podSet);
  indexByController(revisionSet);
  const revisions = new Revisions(context.client, revisionSet);
  const reconciler = new StatefulReconciler(context, setSet, podSet, revisions);
  return {
    name: "statefulset",
    concurrent: 5,
    watches: [
      watchRule(statefulSets, ({ now }) => [now.key]),
      watchRule(pods, (change) => ownerKeys(change, "StatefulSet", setSet)),
    ],
    reconcile: (key, signal) => reconciler.reconcile(key, signal),
  };
}

function named(revision: LiveRevision): NamedTemplate {
  const data = revision.data as { spec?: { template?: PodTemplateSpec & { $patch?: string } } };
  const template = data.spec?.template ?? { metadata: {}, spec: { containers: [] } };
  const { $patch: _replace, ...rest } = template as PodTemplateSpec & { $patch?: string };
  return { name: revision.metadata.name ?? "", template: rest as NamedTemplate["template"] };
}

class StatefulReconciler {
  readonly #context: ControllerContext;
  readonly #sets: LiveSet<StatefulSet>;
  readonly #pods: LiveSet<Pod>;
  readonly #revisions: Revisions;
  readonly #writes: OwnWrites<StatefulSet>;
  readonly #podWrites: OwnWrites<Pod>;

  constructor(
    context: ControllerContext,
    setSet: LiveSet<StatefulSet>,
    podSet: LiveSet<Pod>,
    revisions: Revisions,
  ) {
    this.#context = context;
    this.#sets = setSet;
    this.#pods = podSet;
    this.#revisions = revisions;
    this.#writes = new OwnWrites(context.client, statefulSets, setSet);
    this.#podWrites = new OwnWrites(context.client, pods, podSet);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    await this.#writes.seen(signal);
    await this.#podWrites.seen(signal);
    await this.#revisions.seen(signal);
    const set = this.#sets.get(key)?.object;
    if (set === undefined) return "done";
    const { namespace, name } = splitKey(key);
    const claimed = await claim<Pod>({
      owner: set,
      selector: set.spec.selector,
      set: this.#pods,
      writes: this.#podWrites,
      readOwner: () => this.#context.client.get(statefulSets, namespace, name),
    });
    if (isDeleting(set)) return "done";
    const { collisionCount } = set.status ?? {};
    const newest = await this.#revisions.current(set, set.spec.template, collisionCount, (count) =>
      this.#writeStatus(set, {
        ...mutable<StatefulSetStatus>(set.status ?? { replicas: 0 }),
        collisionCount: count,
      }),
    );
    const update = named(newest);
    const former = this.#revisions
      .of(set)
      .find(({ metadata }) => metadata.name === set.status?.currentRevision);
    const input: StatefulInput = {
      set,
      pods: claimed.filter((pod) => ordinalOf(set, pod) >= 0),
      current: former === undefined ? update : named(former),
      update,
      nowMs: this.#context.runtime.clock.now().getTime(),
    };
    await this.#apply(input);
    await this.#writeStatus(set, planStatefulStatus(input));
    await this.#cleanUp(input);
    const minReady = set.spec.minReadySeconds ?? 0;
    const waits = input.pods
      .map((pod) => untilAvailableMs(pod, minReady, input.nowMs))
      .filter((wait) => wait !== undefined && wait > 0) as number[];
    return waits.length === 0 ? "done" : { againInMs: Math.min(...waits) };
  }

  async #apply(input: StatefulInput): Promise<void> {
    const { set } = input;
    for (const step of planStatefulSet(input)) {
      if (step.do === "delete") {
        if (!this.#podWrites.isDeleted(step.pod)) await this.#delete(set, step.pod);
        continue;
      }
      for (const volumeClaim of statefulClaims(set, step.ordinal)) {
        try {
          await this.#context.client.create(persistentVolumeClaims, volumeClaim);
        } catch (error) {
          if (!isReason(error, "AlreadyExists")) throw error;
        }
      }
      try {
        await this.#create(set, statefulPod(set, step.ordinal, step.revision));
      } catch (error) {
        if (!isNamespaceTerminating(error)) throw error;
      }
    }
  }

  async #create(set: LiveStatefulSet, pod: Pod): Promise<void> {
    const what = `Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name}`;
    const { events } = this.#context;
    try {
      await this.#podWrites.create(pod);
      events.event(set, "Normal", "SuccessfulCreate", `create ${what} successful`);
    } catch (error) {
      const message = `create ${what} failed error: ${textOf(error)}`;
      events.event(set, "Warning", "FailedCreate", message);
      throw error;
    }
  }

  async #delete(set: LiveStatefulSet, pod: StatefulInput["pods"][number]): Promise<void> {
    const what = `Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name}`;
    await this.#podWrites.delete(pod);
    this.#context.events.event(set, "Normal", "SuccessfulDelete", `delete ${what} successful`);
  }

  async #writeStatus(set: LiveStatefulSet, status: StatefulSetStatus): Promise<void> {
    if (sameJson(set.status ?? {}, status)) return;
    await this.#writes.update({ ...mutable<StatefulSet>(set), status }, { subresource: "status" });
  }

  async #cleanUp({ set, pods: all, current, update }: StatefulInput): Promise<void> {
    const names = new Set([current.name, update.name, ...all.map(hashOf)]);
    const used = this.#revisions.of(set).filter(({ metadata }) => names.has(metadata.name ?? ""));
    const hashes = new Set(used.map(hashOf));
    await this.#revisions.cleanUp(set, set.spec.revisionHistoryLimit ?? 10, hashes);
  }
}
