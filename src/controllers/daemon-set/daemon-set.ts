/** The DaemonSet controller: one pod on every node that fits. */
import { controllerRevisions, daemonSets, nodes, pods } from "../../client/resources.ts";
import type { DaemonSet, DaemonSetStatus } from "../../gen/apps-v1.ts";
import type { Node, Pod } from "../../gen/core-v1.ts";
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
import { inGrowingBatches, isNamespaceTerminating, PodControl } from "../pod-control.ts";
import { type LivePod, untilAvailableMs } from "../pod-state.ts";
import { hashOf, Revisions } from "../revisions.ts";
import { ownerKeys } from "../watch-owner.ts";
import {
  type DaemonInput,
  daemonPod,
  type LiveDaemonSet,
  planDaemonRollout,
  planDaemonStatus,
  planDaemons,
} from "./plan.ts";

/** Creates the DaemonSet controller. */
export function createDaemonSetController(context: ControllerContext): Controller {
  const { live } = context;
  const sets = { daemonSets: live.of(daemonSets), pods: live.of(pods), nodes: live.of(nodes) };
  indexByController(sets.pods);
  const revisionSet = live.of(controllerRevisions);
  indexByController(revisionSet);
  const revisions = new Revisions(context.client, revisionSet);
  const reconciler = new DaemonReconciler(context, sets, revisions);
  return {
    name: "daemonset",
    concurrent: 2,
    watches: [
      watchRule(daemonSets, ({ now }) => [now.key]),
      watchRule(pods, (change) => ownerKeys(change, "DaemonSet", sets.daemonSets)),
      watchRule(nodes, ({ type, now, before }) => {
        const matters = ({ metadata, spec }: typeof now.object) => [metadata.labels, spec?.taints];
        const isSame =
          type === "modified" && before && sameJson(matters(before.object), matters(now.object));
        return isSame ? [] : Array.from(sets.daemonSets.list(), ({ key }) => key);
      }),
    ],
    reconcile: (key, signal) => reconciler.reconcile(key, signal),
  };
}

class DaemonReconciler {
  readonly #context: ControllerContext;
  readonly #sets: {
    readonly daemonSets: LiveSet<DaemonSet>;
    readonly pods: LiveSet<Pod>;
    readonly nodes: LiveSet<Node>;
  };
  readonly #revisions: Revisions;
  readonly #owners: OwnWrites<DaemonSet>;
  readonly #podWrites: OwnWrites<Pod>;
  readonly #podControl: PodControl;
  /** How often pods failed on a node, and when the next may be made. */
  readonly #failures = new Map<string, { readonly times: number; readonly untilMs: number }>();

  constructor(
    context: ControllerContext,
    sets: { daemonSets: LiveSet<DaemonSet>; pods: LiveSet<Pod>; nodes: LiveSet<Node> },
    revisions: Revisions,
  ) {
    this.#context = context;
    this.#sets = sets;
    this.#revisions = revisions;
    this.#owners = new OwnWrites(context.client, daemonSets, sets.daemonSets);
    this.#podWrites = new OwnWrites(context.client, pods, sets.pods);
    this.#podControl = new PodControl(this.#podWrites, context.events);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    await this.#owners.seen(signal);
    await this.#podWrites.seen(signal);
    await this.#revisions.seen(signal);
    const daemonSet = this.#sets.daemonSets.get(key)?.object;
    if (daemonSet === undefined || isDeleting(daemonSet)) return "done";
    const { namespace, name } = splitKey(key);
    const readOwner = () => this.#context.client.get(daemonSets, namespace, name);
    const { selector } = daemonSet.spec;
    const claimed = await claim<Pod>({
      owner: daemonSet,
      selector,
      set: this.#sets.pods,
      writes: this.#podWrites,
      readOwner,
    });
    await this.#revisions.adopt(daemonSet, selector, readOwner);
    const base: DaemonInput = {
      daemonSet,
      nodes: Array.from(this.#sets.nodes.list(), ({ object }) => object),
      pods: claimed.filter((pod) => !this.#podWrites.isDeleted(pod) || isDeleting(pod)),
      hash: "",
      nowMs: this.#context.runtime.clock.now().getTime(),
    };
    const { collisionCount } = daemonSet.status ?? {};
    const revision = await this.#revisions.current(
      daemonSet,
      daemonSet.spec.template,
      collisionCount,
      (count) => this.#writeStatus(daemonSet, { ...planDaemonStatus(base), collisionCount: count }),
    );
    const input = { ...base, hash: hashOf(revision) };
    const waitMs = await this.#apply(input);
    await this.#writeStatus(daemonSet, planDaemonStatus(input));
    const used = new Set([...claimed.map(hashOf), hashOf(revision)]);
    await this.#revisions.cleanUp(daemonSet, daemonSet.spec.revisionHistoryLimit ?? 10, used);
    return waitMs === undefined ? "done" : { againInMs: waitMs };
  }

  async #apply(input: DaemonInput): Promise<number | undefined> {
    const { daemonSet, nowMs } = input;
    const plan = planDaemons(input);
    let waitMs = soonestAvailable(input);
    const doomed: LivePod[] = [];
    for (const pod of plan.delete) {
      if (!plan.over.includes(pod)) {
        doomed.push(pod);
        continue;
      }
      const leftMs = this.#backoff(daemonSet, pod, nowMs);
      if (leftMs === 0) doomed.push(pod);
      else waitMs = Math.min(waitMs ?? leftMs, leftMs);
    }
    const rollout =
      plan.create.length + doomed.length === 0
        ? planDaemonRollout(input)
        : { create: [], delete: [] };
    for (const pod of [...doomed, ...rollout.delete]) await this.#podControl.delete(pod, daemonSet);
    const names = [...plan.create, ...rollout.create];
    try {
      await inGrowingBatches(names.length, async (index) => {
        const pod = daemonPod(daemonSet, names[index] ?? "", input.hash);
        await this.#podControl.create(pod, daemonSet);
      });
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
    return waitMs;
  }

  /** Milliseconds until the ended pod may be replaced; 0 counts as one more failure. */
  #backoff(daemonSet: LiveDaemonSet, pod: LivePod, nowMs: number): number {
    const { namespace, name } = pod.metadata;
    const node = pod.spec.nodeName ?? "";
    const isFailed = pod.status?.phase === "Failed";
    const reason = isFailed ? "FailedDaemonPod" : "SucceededDaemonPod";
    const what = isFailed ? "failed" : "succeeded";
    const key = `${daemonSet.metadata.uid}/${node}`;
    const known = this.#failures.get(key) ?? { times: 0, untilMs: 0 };
    if (isFailed && nowMs < known.untilMs) return known.untilMs - nowMs;
    const backoffMs = Math.min(1_000 * 2 ** known.times, 15 * 60_000);
    this.#failures.set(key, { times: known.times + 1, untilMs: nowMs + backoffMs });
    const action = isFailed ? "will try to kill it" : "will try to delete it";
    const message = `Found ${what} daemon pod ${namespace}/${name} on node ${node}, ${action}`;
    this.#context.events.event(daemonSet, isFailed ? "Warning" : "Normal", reason, message);
    return 0;
  }

  async #writeStatus(daemonSet: LiveDaemonSet, status: DaemonSetStatus): Promise<void> {
    const { conditions: _kept, ...present } = daemonSet.status ?? {};
    if (sameJson(present, status)) return;
    const copy = mutable<DaemonSet>(daemonSet);
    const { conditions } = copy.status ?? {};
    await this.#owners.update(
      { ...copy, status: { ...status, ...(conditions === undefined ? {} : { conditions }) } },
      { subresource: "status" },
    );
  }
}

function soonestAvailable({ daemonSet, pods: all, nowMs }: DaemonInput): number | undefined {
  const minReady = daemonSet.spec.minReadySeconds ?? 0;
  const waits = all
    .map((pod) => untilAvailableMs(pod, minReady, nowMs))
    .filter((wait) => wait !== undefined && wait > 0) as number[];
  return waits.length === 0 ? undefined : Math.min(...waits);
}
