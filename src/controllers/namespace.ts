/** Empties a namespace that is being deleted, then lets it go. */
import type { Resource } from "../client/client.ts";
import { namespaces, pods } from "../client/resources.ts";
import type { Namespace, NamespaceCondition } from "../gen/core-v1.ts";
import { isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../live/controller.ts";
import type { KubeObject } from "../schema/object.ts";
import { formatTime, isDeleting, mutable, sameJson } from "./objects.ts";
import { textOf } from "./pod-control.ts";

export interface NamespaceOptions {
  /** Every namespaced resource that can be listed and deleted, custom ones included. */
  readonly namespacedResources: () =>
    | readonly Resource<KubeObject>[]
    | Promise<readonly Resource<KubeObject>[]>;
}

const ownFinalizer = "kubernetes";
const pageObjectsMax = 500;

/** What is left of one resource after a round of deletions. */
export interface Remainder {
  readonly resource: Resource<KubeObject>;
  readonly count: number;
  /** How many of them hold each finalizer. */
  readonly finalizers: Readonly<Record<string, number>>;
  /** The longest time a remaining pod may take to stop. */
  readonly graceSeconds: number;
}

export interface NamespaceFailures {
  readonly discovery: string | undefined;
  readonly deletion: readonly string[];
}

/** Creates the namespace controller. */
export function createNamespaceController(
  context: ControllerContext,
  options: NamespaceOptions,
): Controller {
  const reconciler = new NamespaceReconciler(context, options);
  return {
    name: "namespace",
    concurrent: 10,
    watches: [watchRule(namespaces, ({ now }) => (isDeleting(now.object) ? [now.key] : []))],
    reconcile: (key) => reconciler.reconcile(key),
  };
}

class NamespaceReconciler {
  readonly #context: ControllerContext;
  readonly #options: NamespaceOptions;

  constructor(context: ControllerContext, options: NamespaceOptions) {
    this.#context = context;
    this.#options = options;
  }

  async reconcile(name: string): Promise<Outcome> {
    const { client } = this.#context;
    let namespace: Namespace;
    try {
      namespace = await client.get(namespaces, "", name);
    } catch (error) {
      if (isReason(error, "NotFound")) return "done";
      throw error;
    }
    if (!isDeleting(namespace)) return "done";
    if (namespace.status?.phase !== "Terminating") {
      const status = { ...namespace.status, phase: "Terminating" };
      namespace = await client.update(
        namespaces,
        { ...namespace, status },
        { subresource: "status" },
      );
    }
    if (!namespace.spec?.finalizers?.includes(ownFinalizer)) return "done";
    const { remainders, failures } = await this.#empty(name);
    const conditions = planNamespaceConditions(
      namespace,
      remainders,
      failures,
      this.#context.runtime.clock.now(),
    );
    if (!sameJson(namespace.status?.conditions ?? [], conditions)) {
      const status = { ...namespace.status, phase: "Terminating", conditions };
      namespace = await client.update(
        namespaces,
        { ...namespace, status },
        { subresource: "status" },
      );
    }
    const problems = [...failures.deletion, failures.discovery].filter((text) => text);
    if (problems.length > 0) throw new Error(`Cannot empty namespace "${name}": ${problems[0]}`);
    if (remainders.length > 0) return { againInMs: waitMs(remainders) };
    const finalizers = namespace.spec?.finalizers?.filter((item) => item !== ownFinalizer) ?? [];
    const emptied = { ...namespace, spec: { ...namespace.spec, finalizers } };
    await client.update(namespaces, emptied, { subresource: "finalize" });
    return "done";
  }

  /** Pods go first: nothing they use (secrets, claims) may vanish while they run. */
  async #empty(
    namespace: string,
  ): Promise<{ remainders: Remainder[]; failures: NamespaceFailures }> {
    let resources: readonly Resource<KubeObject>[];
    try {
      resources = await this.#options.namespacedResources();
    } catch (error) {
      return { remainders: [], failures: { discovery: textOf(error), deletion: [] } };
    }
    const deletion: string[] = [];
    const round = async (batch: readonly Resource<KubeObject>[]) => {
      const results = await Promise.all(
        batch.map(async (resource) => {
          try {
            return await this.#emptyResource(resource, namespace);
          } catch (error) {
            deletion.push(textOf(error));
            return undefined;
          }
        }),
      );
      return results.filter((result) => result !== undefined && result.count > 0) as Remainder[];
    };
    const isPods = ({ group, plural }: Resource<KubeObject>) =>
      group === "" && plural === pods.plural;
    const first = await round(resources.filter(isPods));
    const failures = { discovery: undefined, deletion };
    if (first.length > 0 || deletion.length > 0) return { remainders: first, failures };
    const rest = await round(resources.filter((resource) => !isPods(resource)));
    return { remainders: rest, failures };
  }

  async #emptyResource(
    resource: Resource<KubeObject>,
    namespace: string,
  ): Promise<Remainder | undefined> {
    const { client } = this.#context;
    for (const object of await this.#listAll(resource, namespace)) {
      if (isDeleting(object)) continue;
      try {
        await client.delete(resource, namespace, object.metadata.name ?? "", {
          propagationPolicy: "Background",
        });
      } catch (error) {
        if (!isReason(error, "NotFound") && !isReason(error, "MethodNotAllowed")) throw error;
      }
    }
    return remainderOf(resource, await this.#listAll(resource, namespace));
  }

  async #listAll(resource: Resource<KubeObject>, namespace: string): Promise<KubeObject[]> {
    const found: KubeObject[] = [];
    let next = "";
    do {
      try {
        const page = await this.#context.client.list(resource, namespace, {
          limit: pageObjectsMax,
          ...(next === "" ? {} : { continue: next }),
        });
        found.push(...page.items);
        next = page.continue;
      } catch (error) {
        // A resource without list, or a custom one that was removed meanwhile, has no content.
        if (isReason(error, "NotFound") || isReason(error, "MethodNotAllowed")) return found;
        throw error;
      }
    } while (next !== "");
    return found;
  }
}

export function remainderOf(
  resource: Resource<KubeObject>,
  objects: readonly DeepReadonly<KubeObject>[],
): Remainder {
  const finalizers: Record<string, number> = {};
  let graceSeconds = 0;
  for (const { metadata } of objects) {
    for (const finalizer of metadata.finalizers ?? []) {
      finalizers[finalizer] = (finalizers[finalizer] ?? 0) + 1;
    }
    graceSeconds = Math.max(graceSeconds, Number(metadata.deletionGracePeriodSeconds ?? 0));
  }
  return { resource, count: objects.length, finalizers, graceSeconds };
}

/** Pods get half of their grace time before the next look, other content a moment. */
function waitMs(remainders: readonly Remainder[]): number {
  const grace = Math.max(...remainders.map(({ graceSeconds }) => graceSeconds));
  return Math.min(5_000, Math.max(500, (grace * 1000) / 10));
}

interface ConditionRow {
  readonly type: string;
  readonly ok: { readonly reason: string; readonly message: string };
  readonly failed: { readonly reason: string; readonly message: string } | undefined;
}

/** The five conditions of a namespace that is being deleted, in upstream's order and words. */
export function planNamespaceConditions(
  namespace: DeepReadonly<Namespace>,
  remainders: readonly Remainder[],
  failures: NamespaceFailures,
  now: Date,
): NamespaceCondition[] {
  const present = namespace.status?.conditions ?? [];
  const rows = conditionRows(remainders, failures);
  const own = new Set(rows.map(({ type }) => type));
  const kept = present.filter(({ type }) => !own.has(type));
  const set = rows.map(({ type, ok, failed }) => {
    const status = failed === undefined ? "False" : "True";
    const { reason, message } = failed ?? ok;
    const current = present.find((condition) => condition.type === type);
    const lastTransitionTime =
      current?.status === status
        ? (current.lastTransitionTime ?? formatTime(now))
        : formatTime(now);
    return { type, status, lastTransitionTime, reason, message };
  });
  return mutable<NamespaceCondition[]>([...kept, ...set]);
}

function conditionRows(
  remainders: readonly Remainder[],
  failures: NamespaceFailures,
): readonly ConditionRow[] {
  return [
    {
      type: "NamespaceDeletionDiscoveryFailure",
      ok: { reason: "ResourcesDiscovered", message: "All resources successfully discovered" },
      failed:
        failures.discovery === undefined
          ? undefined
          : { reason: "DiscoveryFailed", message: failures.discovery },
    },
    {
      type: "NamespaceDeletionGroupVersionParsingFailure",
      ok: { reason: "ParsedGroupVersions", message: "All legacy kube types successfully parsed" },
      failed: undefined,
    },
    {
      type: "NamespaceDeletionContentFailure",
      ok: {
        reason: "ContentDeleted",
        message: "All content successfully deleted, may be waiting on finalization",
      },
      failed:
        failures.deletion.length === 0
          ? undefined
          : {
              reason: "ContentDeletionFailed",
              message:
                `Failed to delete all resource types, ${failures.deletion.length} remaining: ` +
                failures.deletion.toSorted().join(", "),
            },
    },
    {
      type: "NamespaceContentRemaining",
      ok: { reason: "ContentRemoved", message: "All content successfully removed" },
      failed: contentRemaining(remainders),
    },
    {
      type: "NamespaceFinalizersRemaining",
      ok: {
        reason: "ContentHasNoFinalizers",
        message: "All content-preserving finalizers finished",
      },
      failed: finalizersRemaining(remainders),
    },
  ];
}

function contentRemaining(remainders: readonly Remainder[]): ConditionRow["failed"] {
  if (remainders.length === 0) return undefined;
  const parts = remainders
    .map(({ resource, count }) => {
      const name =
        resource.group === "" ? `${resource.plural}.` : `${resource.plural}.${resource.group}`;
      return `${name} has ${count} resource instances`;
    })
    .sort();
  const message = `Some resources are remaining: ${parts.join(", ")}`;
  return { reason: "SomeResourcesRemain", message };
}

function finalizersRemaining(remainders: readonly Remainder[]): ConditionRow["failed"] {
  const totals = new Map<string, number>();
  for (const { finalizers } of remainders) {
    for (const [finalizer, count] of Object.entries(finalizers)) {
      totals.set(finalizer, (totals.get(finalizer) ?? 0) + count);
    }
  }
  if (totals.size === 0) return undefined;
  const parts = [...totals]
    .map(([finalizer, count]) => `${finalizer} in ${count} resource instances`)
    .sort();
  const message = `Some content in the namespace has finalizers remaining: ${parts.join(", ")}`;
  return { reason: "SomeFinalizersRemain", message };
}
