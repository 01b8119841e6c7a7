/** The disruption controller: what PodDisruptionBudgets allow, and evictions that never came. */
import type { Resource } from "../../client/client.ts";
import { podDisruptionBudgets, pods } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import type { OwnerReference } from "../../gen/meta-v1.ts";
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from "../../gen/policy-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { formatSelector, labelSelectorOf, matchesLabels } from "../../lib/selector.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../../live/controller.ts";
import type { LiveChange, LiveSet } from "../../live/live-set.ts";
import type { KubeObject } from "../../schema/object.ts";
import { controllerOf, mutable, sameJson, timeNow } from "../objects.ts";
import { OwnWrites } from "../own-writes.ts";
import { textOf } from "../pod-control.ts";
import type { LivePod } from "../pod-state.ts";
import { failedStatus, type LiveBudget, needsScale, planBudget, staleAtMs } from "./plan.ts";

export interface DisruptionOptions {
  /** Every namespaced resource of the API, custom ones included; some have a size. */
  readonly namespacedResources: () =>
    | readonly Resource<KubeObject>[]
    | Promise<readonly Resource<KubeObject>[]>;
}

/** Creates the controller that keeps the status of PodDisruptionBudgets. */
export function createDisruptionController(
  context: ControllerContext,
  options: DisruptionOptions,
): Controller {
  const budgetSet = context.live.of(podDisruptionBudgets);
  const podSet = context.live.of(pods);
  const reconciler = new BudgetReconciler(context, options, budgetSet, podSet);
  return {
    name: "disruption",
    concurrent: 5,
    watches: [
      watchRule(podDisruptionBudgets, ({ now }) => [now.key]),
      watchRule(pods, (change) => budgetsOf(change, budgetSet)),
    ],
    reconcile: (key, signal) => reconciler.reconcile(key, signal),
  };
}

/** Budgets that select the pod as it is or as it was. */
function* budgetsOf(
  { now, before }: LiveChange<Pod>,
  budgets: LiveSet<PodDisruptionBudget>,
): Iterable<string> {
  for (const { key, object } of budgets.list(`${now.object.metadata.namespace}/`)) {
    const selector = labelSelectorOf(object.spec.selector);
    const isSelected = [now, before].some(
      (live) => live !== undefined && matchesLabels(selector, live.object.metadata.labels),
    );
    if (isSelected) yield key;
  }
}

interface Scale extends KubeObject {
  readonly spec?: { readonly replicas?: number };
}

class BudgetReconciler {
  readonly #context: ControllerContext;
  readonly #options: DisruptionOptions;
  readonly #budgets: LiveSet<PodDisruptionBudget>;
  readonly #pods: LiveSet<Pod>;
  readonly #writes: OwnWrites<PodDisruptionBudget>;

  constructor(
    context: ControllerContext,
    options: DisruptionOptions,
    budgets: LiveSet<PodDisruptionBudget>,
    podSet: LiveSet<Pod>,
  ) {
    this.#context = context;
    this.#options = options;
    this.#budgets = budgets;
    this.#pods = podSet;
    this.#writes = new OwnWrites(context.client, podDisruptionBudgets, budgets);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    await this.#writes.seen(signal);
    const budget = this.#budgets.get(key)?.object;
    if (budget === undefined) return "done";
    const now = this.#context.runtime.clock.now();
    const selected = this.#select(budget);
    const { events } = this.#context;
    if (selected.length === 0) {
      events.event(budget, "Normal", "NoPods", "No matching pods found");
    }
    let expectedScale = 0;
    try {
      if (needsScale(budget)) expectedScale = await this.#expectedScale(budget, selected);
    } catch (error) {
      const message = `Failed to calculate the number of expected pods: ${textOf(error)}`;
      events.event(budget, "Warning", "CalculateExpectedPodCountFailed", message);
      await this.#write(budget, failedStatus(budget, textOf(error), now));
      throw error;
    }
    const plan = planBudget({ budget, pods: selected, expectedScale, now });
    for (const pod of plan.notDeleted) {
      const message = `Pod was expected by PDB ${key} to be deleted but it wasn't`;
      events.event(pod, "Warning", "NotDeleted", message);
    }
    await this.#write(budget, plan.status);
    return plan.againInMs === undefined ? "done" : { againInMs: plan.againInMs };
  }

  #select(budget: LiveBudget): LivePod[] {
    const selector = labelSelectorOf(budget.spec.selector);
    const prefix = `${budget.metadata.namespace}/`;
    return Array.from(this.#pods.list(prefix), ({ object }) => object).filter((pod) =>
      matchesLabels(selector, pod.metadata.labels),
    );
  }

  async #write(budget: LiveBudget, status: PodDisruptionBudgetStatus): Promise<void> {
    if (sameJson(budget.status ?? {}, status)) return;
    const changed = { ...mutable<PodDisruptionBudget>(budget), status };
    await this.#writes.update(changed, { subresource: "status" });
  }

  /** What the pods' owners want together; pods without an owner are told and count for nothing. */
  async #expectedScale(budget: LiveBudget, selected: readonly LivePod[]): Promise<number> {
    const scales = new Map<string, number>();
    const resources = await this.#options.namespacedResources();
    const unmanaged: LivePod[] = [];
    for (const pod of selected) {
      const owner = controllerOf(pod);
      if (owner === undefined) {
        unmanaged.push(pod);
        continue;
      }
      const top = this.#topOwner(owner, pod, resources);
      if (scales.has(top.uid)) continue;
      scales.set(top.uid, await this.#scaleOf(top, pod, resources));
    }
    if (unmanaged.length > 0) this.#tellUnmanaged(budget);
    return [...scales.values()].reduce((sum, scale) => sum + scale, 0);
  }

  /** A ReplicaSet of a Deployment is a part only: the whole has the size. */
  #topOwner(
    owner: DeepReadonly<OwnerReference>,
    pod: LivePod,
    resources: readonly Resource<KubeObject>[],
  ): DeepReadonly<OwnerReference> {
    const resource = resourceOf(owner, resources);
    if (owner.kind !== "ReplicaSet" || resource === undefined) return owner;
    const key = `${pod.metadata.namespace}/${owner.name}`;
    const middle = this.#context.live.of(resource).get(key)?.object;
    const top = middle?.metadata.uid === owner.uid && middle ? controllerOf(middle) : undefined;
    return top ?? owner;
  }

  async #scaleOf(
    owner: DeepReadonly<OwnerReference>,
    pod: LivePod,
    resources: readonly Resource<KubeObject>[],
  ): Promise<number> {
    const resource = resourceOf(owner, resources);
    const { namespace = "", name = "" } = pod.metadata;
    const missing = `found no controllers for pod "${name}"`;
    if (resource === undefined) throw new Error(missing);
    try {
      const scale = await this.#context.client.get<Scale>(
        resource as Resource<Scale>,
        namespace,
        owner.name,
        { subresource: "scale" },
      );
      if (scale.metadata.uid === owner.uid) return scale.spec?.replicas ?? 0;
    } catch (error) {
      if (isReason(error, "MethodNotAllowed")) {
        const group = resource.group === "" ? "" : `.${resource.group}`;
        throw new Error(`${resource.plural}${group} does not implement the scale subresource`);
      }
      if (!isReason(error, "NotFound")) throw error;
      if (await this.#exists(resource, namespace, owner.name)) {
        const group = resource.group === "" ? "" : `.${resource.group}`;
        throw new Error(`${resource.plural}${group} does not implement the scale subresource`);
      }
    }
    // The owner has just gone, its pods follow.
    return 0;
  }

  async #exists(resource: Resource<KubeObject>, namespace: string, name: string): Promise<boolean> {
    const key = resource.namespaced ? `${namespace}/${name}` : name;
    const set = this.#context.live.of(resource);
    return set.get(key) !== undefined;
  }

  #tellUnmanaged(budget: LiveBudget): void {
    const selector = formatSelector(labelSelectorOf(budget.spec.selector));
    const message =
      `Pods selected by this PodDisruptionBudget (selector: ${selector}) were found to be ` +
      "unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may " +
      'result in undefined behavior. To account for these pods please set ".spec.minAvailable" ' +
      "field of the PDB to an integer value.";
    this.#context.events.event(budget, "Warning", "UnmanagedPods", message);
  }
}

function resourceOf(
  owner: DeepReadonly<OwnerReference>,
  resources: readonly Resource<KubeObject>[],
): Resource<KubeObject> | undefined {
  const slash = owner.apiVersion.indexOf("/");
  const group = slash < 0 ? "" : owner.apiVersion.slice(0, slash);
  return resources.find((resource) => resource.kind === owner.kind && resource.group === group);
}

/** Creates the controller that takes back DisruptionTarget where no disruption followed. */
export function createStaleDisruptionController(context: ControllerContext): Controller {
  const podSet = context.live.of(pods);
  return {
    name: "stale-disruption",
    concurrent: 2,
    watches: [watchRule(pods, ({ now }) => (staleAtMs(now.object) === undefined ? [] : [now.key]))],
    async reconcile(key) {
      const pod = podSet.get(key)?.object;
      const atMs = pod && staleAtMs(pod);
      if (pod === undefined || atMs === undefined) return "done";
      const leftMs = atMs - context.runtime.clock.now().getTime();
      if (leftMs > 0) return { againInMs: leftMs };
      const { namespace = "", name = "", uid } = pod.metadata;
      const lastTransitionTime = timeNow(context.runtime.clock);
      const condition = {
        type: "DisruptionTarget",
        status: "False",
        reason: "",
        message: "",
        lastTransitionTime,
      };
      const body = { metadata: { uid }, status: { conditions: [condition] } };
      await context.client.patch(pods, namespace, name, "strategic", body, {
        subresource: "status",
      });
      return "done";
    },
  };
}
