/**
 * The ResourceQuota controller: counts again what a namespace uses when something went away or
 * changed its size; what comes is charged by admission.
 */
import type { Resource } from "../client/client.ts";
import { persistentVolumeClaims, pods, resourceQuotas, services } from "../client/resources.ts";
import type { Pod, ResourceQuota } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { canonicalQuantity, compareQuantity } from "../lib/quantity.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../live/controller.ts";
import type { LiveChange, LiveSet } from "../live/live-set.ts";
import type { KubeObject } from "../schema/object.ts";
import { addQuantities, type Quantities } from "../schema/pod-resources.ts";
import {
  countsFor,
  isQuotaPod,
  isTerminating,
  matchesScopes,
  type QuotaSpec,
  quotaUsage,
} from "../schema/quota-usage.ts";
import { mutable, sameJson } from "./objects.ts";

export interface QuotaOptions {
  /** Built-in resources that can be listed and watched. */
  readonly collectable: readonly Resource<KubeObject>[];
  /** Every namespaced resource of the API, custom ones included. */
  readonly namespacedResources: () =>
    | readonly Resource<KubeObject>[]
    | Promise<readonly Resource<KubeObject>[]>;
}

/** Everything is counted again so often, for what no change told (upstream's sync period). */
const resyncMs = 5 * 60_000;
/** So often where resources count that are not watched here: custom ones. */
const customResyncMs = 5_000;

/** Creates the ResourceQuota controller. */
export function createResourceQuotaController(
  context: ControllerContext,
  options: QuotaOptions,
): Controller {
  const quotas = context.live.of(resourceQuotas);
  const namespaced = options.collectable.filter(
    (resource) => resource.namespaced && resource.plural !== "events",
  );
  return {
    name: "resourcequota",
    concurrent: 5,
    watches: [
      // A charge of admission comes before its object: counting then would give it back.
      watchRule(resourceQuotas, ({ now, before }) =>
        before !== undefined && sameJson(now.object.spec, before.object.spec) ? [] : [now.key],
      ),
      ...namespaced.map((resource) =>
        watchRule(resource, (change) =>
          setsFree(resource, change, context) ? quotasIn(quotas, change, resource) : [],
        ),
      ),
    ],
    async reconcile(key): Promise<Outcome> {
      const quota = quotas.get(key)?.object;
      if (quota === undefined) return "done";
      const used = await countUsage(quota, context, options);
      const hard = { ...quota.spec?.hard };
      if (!sameAmounts(quota.status?.hard, hard) || !sameAmounts(quota.status?.used, used)) {
        const changed = { ...mutable<ResourceQuota>(quota), status: { hard, used } };
        await context.client.update(resourceQuotas, changed, { subresource: "status" });
      }
      const counts = Object.keys(hard).filter((name) => name.startsWith("count/"));
      const isWatched = (name: string): boolean => namespaced.some((one) => countsFor(one, name));
      return { againInMs: counts.every(isWatched) ? resyncMs : customResyncMs };
    },
  };
}

function sameAmounts(a: Quantities | undefined, b: Quantities): boolean {
  const names = Object.keys(a ?? {});
  if (!sameJson(names.toSorted(), Object.keys(b).toSorted())) return false;
  return names.every((name) => compareQuantity(a?.[name] ?? "0", b[name] ?? "0") === 0);
}

function quotasIn(
  quotas: LiveSet<ResourceQuota>,
  { now }: LiveChange<KubeObject>,
  resource: Resource<KubeObject>,
): string[] {
  const keys: string[] = [];
  for (const { key, object } of quotas.list(`${now.object.metadata.namespace}/`)) {
    if (Object.keys(object.spec?.hard ?? {}).some((name) => countsFor(resource, name))) {
      keys.push(key);
    }
  }
  return keys;
}

/** True when the change may have freed something; admission knows of everything that came. */
function setsFree(
  resource: Resource<KubeObject>,
  { type, now, before }: LiveChange<KubeObject>,
  context: ControllerContext,
): boolean {
  if (type === "deleted") return true;
  if (before === undefined) return false;
  if (resource.group !== "") return false;
  if (resource.plural === pods.plural) {
    const at = context.runtime.clock.now();
    const [pod, old] = [now.object as DeepReadonly<Pod>, before.object as DeepReadonly<Pod>];
    if (isTerminating(pod) !== isTerminating(old)) return true;
    return isQuotaPod(old, at) && !isQuotaPod(pod, at);
  }
  const isSized = resource.plural === services.plural || resource.plural === claimsPlural;
  if (!isSized) return false;
  const at = context.runtime.clock.now();
  return !sameJson(quotaUsage(resource, before.object, at), quotaUsage(resource, now.object, at));
}
const claimsPlural = persistentVolumeClaims.plural;

/** What the namespace uses of each resource that the quota limits. */
async function countUsage(
  quota: DeepReadonly<ResourceQuota>,
  { live, runtime }: ControllerContext,
  options: QuotaOptions,
): Promise<Quantities> {
  const spec: QuotaSpec = quota.spec ?? {};
  const names = Object.keys(spec.hard ?? {});
  const { namespace = "" } = quota.metadata;
  const now = runtime.clock.now();
  let total: Quantities = {};
  for (const resource of await options.namespacedResources()) {
    const wanted = names.filter((name) => countsFor(resource, name));
    if (wanted.length === 0) continue;
    total = { ...Object.fromEntries(wanted.map((name) => [name, "0"])), ...total };
    for (const { object } of live.of(resource).list(`${namespace}/`)) {
      if (!matchesScopes(spec, resource, object)) continue;
      total = addQuantities(total, quotaUsage(resource, object, now));
    }
  }
  const counted = names.filter((name) => total[name] !== undefined);
  return Object.fromEntries(
    counted.sort().map((name) => [name, canonicalQuantity(total[name] ?? "0")]),
  );
}
