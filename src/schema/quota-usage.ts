/**
 * What one object takes from a ResourceQuota, and which quotas concern it: shared by the admission
 * that charges and the controller that counts again.
 */
import type { PersistentVolumeClaim, Pod, ResourceQuotaSpec, Service } from "../gen/core-v1.ts";
import type { ResourceClaimSpec } from "../gen/resource-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { compareQuantity } from "../lib/quantity.ts";
import type { KubeObject } from "./object.ts";
import { isBestEffort, podLimits, podRequests, type Quantities } from "./pod-resources.ts";

type LivePod = DeepReadonly<Pod>;
type LiveClaim = DeepReadonly<PersistentVolumeClaim>;
export type QuotaSpec = DeepReadonly<ResourceQuotaSpec>;

interface GroupResource {
  readonly group: string;
  readonly plural: string;
}

/** Kinds that may also be counted by their plain name, as before `count/` existed. */
const plainCounts: ReadonlySet<string> = new Set([
  "configmaps",
  "persistentvolumeclaims",
  "pods",
  "replicationcontrollers",
  "resourcequotas",
  "secrets",
  "services",
]);

const computeNames: ReadonlySet<string> = new Set([
  "cpu",
  "memory",
  "ephemeral-storage",
  "requests.cpu",
  "requests.memory",
  "requests.ephemeral-storage",
  "limits.cpu",
  "limits.memory",
  "limits.ephemeral-storage",
]);
const classStorage = ".storageclass.storage.k8s.io/";
const deviceClassSuffix = ".deviceclass.resource.k8s.io/devices";

/** `count/pods` or `count/deployments.apps`. */
function countName({ group, plural }: GroupResource): string {
  return group === "" ? `count/${plural}` : `count/${plural}.${group}`;
}

function is(resource: GroupResource, group: string, plural: string): boolean {
  return resource.group === group && resource.plural === plural;
}

/** Requests of extended and huge page resources are limited as `requests.<name>`. */
function isNamedRequest(name: string): boolean {
  if (!name.startsWith("requests.")) return false;
  return name.startsWith("requests.hugepages-") || name.includes("/");
}

/** True when objects of the resource count for the quota's resource `name`. */
export function countsFor(resource: GroupResource, name: string): boolean {
  if (name === countName(resource)) return true;
  if (resource.group === "" && name === resource.plural && plainCounts.has(name)) return true;
  if (is(resource, "", "pods")) {
    return computeNames.has(name) || name.startsWith("hugepages-") || isNamedRequest(name);
  }
  if (is(resource, "", "services")) {
    return name === "services.nodeports" || name === "services.loadbalancers";
  }
  if (is(resource, "", "persistentvolumeclaims")) {
    return name === "requests.storage" || name.includes(classStorage);
  }
  return is(resource, "resource.k8s.io", "resourceclaims") && name.endsWith(deviceClassSuffix);
}

/** What the object takes of every resource a quota may limit. */
export function quotaUsage(
  resource: GroupResource,
  object: DeepReadonly<KubeObject>,
  now: Date,
): Quantities {
  const usage: Record<string, string> = { [countName(resource)]: "1" };
  if (is(resource, "", "pods")) {
    return { ...usage, ...podUsage(object as LivePod, now) };
  }
  if (resource.group === "" && plainCounts.has(resource.plural)) usage[resource.plural] = "1";
  if (is(resource, "", "services")) {
    return { ...usage, ...serviceUsage(object as DeepReadonly<Service>) };
  }
  if (is(resource, "", "persistentvolumeclaims")) {
    return { ...usage, ...claimUsage(object as LiveClaim) };
  }
  if (is(resource, "resource.k8s.io", "resourceclaims")) {
    const { spec } = object as { spec?: DeepReadonly<ResourceClaimSpec> };
    return { ...usage, ...deviceUsage(spec) };
  }
  return usage;
}

/** A pod that is over, or should be gone by now, holds nothing but its name. */
export function isQuotaPod({ metadata, status }: LivePod, now: Date): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadata;
  if (deletionTimestamp && deletionGracePeriodSeconds !== undefined) {
    const endMs = Date.parse(deletionTimestamp) + Number(deletionGracePeriodSeconds) * 1000;
    if (now.getTime() > endMs) return false;
  }
  return status?.phase !== "Failed" && status?.phase !== "Succeeded";
}

function podUsage(pod: LivePod, now: Date): Quantities {
  if (!isQuotaPod(pod, now)) return {};
  const usage: Record<string, string> = { pods: "1" };
  for (const [name, amount] of Object.entries(podRequests(pod))) {
    if (computeNames.has(name)) {
      usage[name] = amount;
      usage[`requests.${name}`] = amount;
    } else if (name.startsWith("hugepages-")) {
      usage[name] = amount;
      usage[`requests.${name}`] = amount;
    } else if (name.includes("/")) {
      usage[`requests.${name}`] = amount;
    }
  }
  for (const [name, amount] of Object.entries(podLimits(pod))) {
    if (computeNames.has(name)) usage[`limits.${name}`] = amount;
  }
  return usage;
}

function serviceUsage({ spec }: DeepReadonly<Service>): Quantities {
  const ports = spec.ports ?? [];
  const allocates = spec.type === "NodePort" || spec.allocateLoadBalancerNodePorts !== false;
  const counted = allocates ? ports : ports.filter(({ nodePort = 0 }) => nodePort !== 0);
  const hasNodePorts = spec.type === "NodePort" || spec.type === "LoadBalancer";
  return {
    "services.nodeports": String(hasNodePorts ? counted.length : 0),
    "services.loadbalancers": spec.type === "LoadBalancer" ? "1" : "0",
  };
}

function claimUsage({ spec, status, metadata }: LiveClaim): Quantities {
  const asked = spec.resources?.requests?.storage;
  const granted = status?.allocatedResources?.storage;
  const isMore = asked && granted && compareQuantity(granted, asked) > 0;
  const storage = isMore ? granted : asked;
  const annotated = metadata.annotations?.["volume.beta.kubernetes.io/storage-class"];
  const storageClass = annotated ?? spec.storageClassName ?? "";
  const usage: Record<string, string> = {};
  if (storage !== undefined) usage["requests.storage"] = storage;
  if (storageClass === "") return usage;
  usage[`${storageClass}${classStorage}persistentvolumeclaims`] = "1";
  if (storage !== undefined) usage[`${storageClass}${classStorage}requests.storage`] = storage;
  return usage;
}

function deviceUsage(spec: DeepReadonly<ResourceClaimSpec> | undefined): Quantities {
  const counts: Record<string, number> = {};
  for (const { exactly, firstAvailable } of spec?.devices?.requests ?? []) {
    for (const wanted of exactly === undefined ? (firstAvailable ?? []) : [exactly]) {
      const name = `${wanted.deviceClassName}${deviceClassSuffix}`;
      // "All" may be as many as one claim can hold.
      const count = wanted.allocationMode === "All" ? 32 : Number(wanted.count ?? 1);
      counts[name] = (counts[name] ?? 0) + count;
    }
  }
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, `${count}`]));
}

interface ScopeRule {
  readonly scope: string;
  readonly operator: string;
  readonly values: readonly string[];
}

/** Plain scopes and those of the selector, in one form. */
export function scopeRules(spec: QuotaSpec): ScopeRule[] {
  return [
    ...(spec.scopes ?? []).map((scope) => ({ scope, operator: "Exists", values: [] })),
    ...(spec.scopeSelector?.matchExpressions ?? []).map(({ scopeName, operator, values = [] }) => ({
      scope: scopeName,
      operator,
      values,
    })),
  ];
}

/** True when the object is one that the quota's scopes speak of. */
export function matchesScopes(
  spec: QuotaSpec,
  resource: GroupResource,
  object: DeepReadonly<KubeObject>,
): boolean {
  return scopeRules(spec).every((rule) => matchesScope(rule, resource, object));
}

export function matchesScope(
  rule: ScopeRule,
  resource: GroupResource,
  object: DeepReadonly<KubeObject>,
): boolean {
  if (is(resource, "", "persistentvolumeclaims")) {
    return rule.scope === "VolumeAttributesClass" && matchesAttributes(rule, object as LiveClaim);
  }
  return is(resource, "", "pods") && matchesPodScope(rule, object as LivePod);
}

function matchesPodScope(rule: ScopeRule, pod: LivePod): boolean {
  switch (rule.scope) {
    case "Terminating":
      return isTerminating(pod);
    case "NotTerminating":
      return !isTerminating(pod);
    case "BestEffort":
      return isBestEffort(pod);
    case "NotBestEffort":
      return !isBestEffort(pod);
    case "PriorityClass":
      return matchesValue(rule, pod.spec.priorityClassName ?? "");
    case "CrossNamespacePodAffinity":
      return usesCrossNamespaceAffinity(pod);
    default:
      return false;
  }
}

export function isTerminating({ spec }: LivePod): boolean {
  return spec.activeDeadlineSeconds !== undefined && spec.activeDeadlineSeconds >= 0;
}

function matchesValue({ operator, values }: ScopeRule, value: string): boolean {
  switch (operator) {
    case "In":
      return values.includes(value);
    case "NotIn":
      return !values.includes(value);
    case "DoesNotExist":
      return value === "";
    default:
      return value !== "";
  }
}

function matchesAttributes(rule: ScopeRule, { spec, status }: LiveClaim): boolean {
  const names = [
    spec.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ].filter((name) => name !== undefined && name !== "");
  if (names.length === 0) return rule.operator === "DoesNotExist" || rule.operator === "NotIn";
  return names.some((name) => matchesValue(rule, name ?? ""));
}

function usesCrossNamespaceAffinity({ spec }: LivePod): boolean {
  const { podAffinity, podAntiAffinity } = spec.affinity ?? {};
  const terms = [podAffinity, podAntiAffinity].flatMap((affinity) => [
    ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(
      ({ podAffinityTerm }) => podAffinityTerm,
    ),
  ]);
  return terms.some(
    ({ namespaces = [], namespaceSelector }) =>
      namespaces.length > 0 || namespaceSelector !== undefined,
  );
}
