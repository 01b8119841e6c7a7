/** The StatefulSet controller: pods with stable names, in order, each with its own claims. */
import {
  controllerRevisions,
  persistentVolumeClaims,
  pods,
  statefulSets,
} from "../../client/resources.ts";
import type { StatefulSet, StatefulSetStatus } from "../../gen/apps-v1.ts";
import type { PersistentVolumeClaim, Pod, PodTemplateSpec } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
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
import { type LivePod, untilAvailableMs } from "../pod-state.ts";
import { hashOf, type LiveRevision, Revisions } from "../revisions.ts";
import { ownerKeys } from "../watch-owner.ts";
import { StatefulClaims } from "./claims.ts";
import {
  condemnedPods,
  identityLabels,
  type LiveStatefulSet,
  type NamedTemplate,
  ordinalOf,
  planStatefulSet,
  planStatefulStatus,
  type StatefulInput,
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
      // A claim that is gone at last makes room for the next one of its name.
      watchRule(persistentVolumeClaims, ({ type, now }) =>
        type === "deleted" ? claimantsOf(now.object, setSet) : [],
      ),
    ],
    reconcile: (key, signal) => reconciler.reconcile(key, signal),
  };
}

/** Sets that may be waiting for the claim to go: by its name. */
function* claimantsOf(
  { metadata }: DeepReadonly<PersistentVolumeClaim>,
  sets: LiveSet<StatefulSet>,
): Iterable<string> {
  for (const { key, object } of sets.list(`${metadata.namespace}/`)) {
    const isTheirs = (object.spec.volumeClaimTemplates ?? []).some((template) =>
      metadata.name?.startsWith(`${template.metadata.name}-${object.metadata.name}-`),
    );
    if (isTheirs) yield key;
  }
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
  readonly #claims: StatefulClaims;

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
    this.#claims = new StatefulClaims(context);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    await this.#writes.seen(signal);
    await this.#podWrites.seen(signal);
    await this.#revisions.seen(signal);
    await this.#claims.seen(signal);
    const set = this.#sets.get(key)?.object;
    if (set === undefined) return "done";
    const { namespace, name } = splitKey(key);
    const readOwner = () => this.#context.client.get(statefulSets, namespace, name);
    const claimed = await claim<Pod>({
      owner: set,
      selector: set.spec.selector,
      set: this.#pods,
      writes: this.#podWrites,
      readOwner,
    });
    if (isDeleting(set)) return "done";
    await this.#revisions.adopt(set, set.spec.selector, readOwner);
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
    await this.#keepIdentities(input);
    for (const step of planStatefulSet(input)) {
      if (step.do === "delete") {
        if (step.isOver === true) this.#tellOver(set, step.pod);
        if (!this.#podWrites.isDeleted(step.pod)) await this.#delete(set, step.pod);
        continue;
      }
      try {
        await this.#claims.ensure(set, step.ordinal);
        await this.#create(set, statefulPod(set, step.ordinal, step.revision));
      } catch (error) {
        if (!isNamespaceTerminating(error)) throw error;
      }
    }
  }

  /** Pods that were adopted get their labels, claims their owners, lost claims come again. */
  async #keepIdentities({ set, pods: all }: StatefulInput): Promise<void> {
    const condemned = new Set(condemnedPods(set, all));
    for (const pod of all) {
      const ordinal = ordinalOf(set, pod);
      await this.#claims.retain(set, ordinal, pod, condemned.has(pod));
      if (condemned.has(pod) || isDeleting(pod)) continue;
      if (pod.status?.phase === "Pending") await this.#claims.ensure(set, ordinal);
      const labels = identityLabels(set, pod);
      if (labels !== undefined) await this.#podWrites.merge(pod, { metadata: { labels } });
    }
  }

  #tellOver(set: LiveStatefulSet, pod: LivePod): void {
    const { namespace, name } = set.metadata;
    const what = `StatefulSet ${namespace}/${name} is recreating`;
    const isFailed = pod.status?.phase === "Failed";
    this.#context.events.event(
      set,
      isFailed ? "Warning" : "Normal",
      isFailed ? "RecreatingFailedPod" : "RecreatingTerminatedPod",
      `${what} ${isFailed ? "failed" : "terminated"} Pod ${pod.metadata.name}`,
    );
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
