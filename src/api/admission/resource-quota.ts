/**
 * ResourceQuota: what would exceed a quota is refused, and what is let in is charged at once, by
 * compare-and-set on the quota's status. The quota controller puts right what was charged in vain.
 */
import { resourceQuotas } from "../../client/resources.ts";
import type { Pod, ResourceQuota } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { compareQuantity, subtractQuantity } from "../../lib/quantity.ts";
import { copyJson } from "../../schema/copy.ts";
import type { KubeObject } from "../../schema/object.ts";
import { addQuantities, type Quantities } from "../../schema/pod-resources.ts";
import { countsFor, matchesScopes, quotaUsage } from "../../schema/quota-usage.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { groupResource, refused } from "../errors.ts";
import { everyOf } from "./look-up.ts";

const limits = { raceTriesMax: 20 } as const;

type Quota = DeepReadonly<ResourceQuota>;
type ReadObject = DeepReadonly<KubeObject>;

/** Kinds whose use may grow by an update. */
const growing: ReadonlySet<string> = new Set(["pods", "services", "persistentvolumeclaims"]);

export const resourceQuota: AdmissionPlugin = {
  name: "ResourceQuota",
  async validate(object, context) {
    const { definition, verb, subresource, namespace, live } = context;
    if (namespace === "" || definition.storagePrefix === null) return;
    const resource = groupResource(definition);
    const isResize = resource === "pods" && subresource === "resize";
    if (subresource !== "" && !isResize) return;
    if (verb !== "CREATE" && !(verb === "UPDATE" && growing.has(resource))) return;
    if (context.old?.metadata.deletionTimestamp !== undefined) return;
    const quotas = await everyOf(live, resourceQuotas, namespace);
    for (const quota of quotas) await charge(quota, object, context);
  },
};

/** Charges one quota for what the request adds; throws Forbidden when it has no room for it. */
async function charge(first: Quota, object: ReadObject, context: AdmissionContext): Promise<void> {
  let quota = first;
  for (let tries = 1; ; tries += 1) {
    const next = plan(quota, object, context);
    if (next === undefined || context.dryRun) return;
    try {
      await context.client.update(resourceQuotas, next, { subresource: "status" });
      return;
    } catch (error) {
      if (isReason(error, "NotFound")) return;
      if (!isReason(error, "Conflict") || tries === limits.raceTriesMax) throw error;
      const { namespace = "", name = "" } = quota.metadata;
      quota = await context.client.get(resourceQuotas, namespace, name);
    }
  }
}

/** The quota after the request; undefined when the request costs it nothing. */
function plan(
  quota: Quota,
  object: ReadObject,
  context: AdmissionContext,
): ResourceQuota | undefined {
  const { definition } = context;
  const spec = quota.spec ?? {};
  if (!matchesScopes(spec, definition, object)) return undefined;
  const names = Object.keys(spec.hard ?? {}).filter((name) => countsFor(definition, name));
  if (names.length === 0) return undefined;
  const refuse = (why: string): Error => refused(definition, context.name, why);
  const quotaName = quota.metadata.name ?? "";
  if (groupResource(definition) === "pods" && context.verb === "CREATE") {
    const missing = unspecified(object as DeepReadonly<Pod>, names);
    if (missing.length > 0) {
      throw refuse(`failed quota: ${quotaName}: must specify ${missing.join("; ")}`);
    }
  }
  // What the quota did not count before, as its scopes are, is all new to it.
  const { old } = context;
  const counted = old !== undefined && matchesScopes(spec, definition, old) ? old : undefined;
  const requested = masked(deltaOf(object, counted, context), names);
  if (Object.keys(requested).length === 0) return undefined;
  const hard = quota.status?.hard ?? {};
  const used = quota.status?.used ?? {};
  const unknown = Object.keys(requested).filter((name) => hard[name] === undefined);
  if (unknown.length > 0) {
    throw refuse(`status unknown for quota: ${quotaName}, resources: ${unknown.sort().join(",")}`);
  }
  const total = addQuantities(masked(used, Object.keys(requested)), requested);
  const exceeded = Object.keys(requested).filter(
    (name) => compareQuantity(total[name] ?? "0", hard[name] ?? "0") > 0,
  );
  if (exceeded.length > 0) {
    const shown = (amounts: Quantities): string => amountsText(masked(amounts, exceeded));
    throw refuse(
      `exceeded quota: ${quotaName}, requested: ${shown(requested)}, used: ` +
        `${shown({ ...zeros(exceeded), ...used })}, limited: ${shown(hard)}`,
    );
  }
  const next = copyJson<ResourceQuota>(quota as ResourceQuota);
  next.status = { ...next.status, used: { ...used, ...total } };
  return next;
}

/** The part of `amounts` that `names` lists. */
function masked(amounts: Quantities, names: readonly string[]): Quantities {
  return Object.fromEntries(
    names.flatMap((name) => (amounts[name] === undefined ? [] : [[name, amounts[name]]])),
  );
}

function zeros(names: readonly string[]): Quantities {
  return Object.fromEntries(names.map((name) => [name, "0"]));
}

/** What is used more than before; less is given back by the controller. */
function deltaOf(
  object: ReadObject,
  old: ReadObject | undefined,
  { definition, runtime }: AdmissionContext,
): Quantities {
  const at = runtime.clock.now();
  const now = quotaUsage(definition, object, at);
  if (old === undefined) return now;
  const before = quotaUsage(definition, old, at);
  const grown: Record<string, string> = {};
  for (const [name, amount] of Object.entries(now)) {
    const change = subtractQuantity(amount, before[name] ?? "0");
    if (compareQuantity(change, "0") > 0) grown[name] = change;
  }
  return grown;
}

function amountsText(amounts: Quantities): string {
  return Object.entries(amounts)
    .map(([name, amount]) => `${name}=${amount}`)
    .sort()
    .join(",");
}

/** A quota on cpu or memory makes every container say how much of it. */
function unspecified(pod: DeepReadonly<Pod>, names: readonly string[]): readonly string[] {
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const whole = pod.spec.resources;
  const missing = new Map<string, string[]>();
  for (const name of names) {
    const [kind, bare] = name.startsWith("limits.")
      ? (["limits", name.slice("limits.".length)] as const)
      : (["requests", name.replace(/^requests\./, "")] as const);
    if (bare !== "cpu" && bare !== "memory") continue;
    if (whole?.[kind]?.[bare] !== undefined) continue;
    for (const { name: container, resources } of containers) {
      if (resources?.[kind]?.[bare] !== undefined) continue;
      missing.set(name, [...(missing.get(name) ?? []), container]);
    }
  }
  return [...missing]
    .map(([name, list]) => `${name} for: ${[...new Set(list)].sort().join(",")}`)
    .sort();
}
