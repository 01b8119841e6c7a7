/** Rules of requests and limits, and the QoS class that follows from them. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { Container, Pod, PodSpec, ResourceRequirements } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors } from "../../lib/names.ts";
import { podRequests } from "../../schema/pod-resources.ts";
import { duplicate, forbidden, invalid, invalids, notFound, required } from "../field-errors.ts";
import { compareQuantities } from "../quantities.ts";
import { amountErrors, hugePageErrors, isHugePage, nameErrors } from "./resource-names.ts";

type Quantities = Readonly<Record<string, string>>;

/** Only cpu, memory and ephemeral storage may be promised more often than they exist. */
export function isOvercommitAllowed(name: string): boolean {
  return !isHugePage(name) && !name.includes("/");
}

type ReadRequirements = DeepReadonly<ResourceRequirements>;

/**
 * The errors of the `resources` of a container or, as `use` says, of a pod, which may name the
 * `claims` of the pod.
 */
export function validateResources(
  resources: ReadRequirements = {},
  field: string,
  {
    use = "container",
    claims = [],
  }: { use?: "container" | "pod"; claims?: readonly string[] } = {},
): FieldError[] {
  const limits: Quantities = resources.limits ?? {};
  const requests: Quantities = resources.requests ?? {};
  const errors: FieldError[] = [];
  for (const [name, amount] of Object.entries(limits)) {
    const at = `${field}.limits[${name}]`;
    errors.push(...nameErrors(at, name, use), ...amountErrors(at, name, amount));
    errors.push(...hugePageErrors(at, name, amount));
  }
  for (const [name, amount] of Object.entries(requests)) {
    const at = `${field}.requests[${name}]`;
    errors.push(...nameErrors(at, name, use), ...amountErrors(at, name, amount));
    errors.push(...againstLimit(name, amount, limits[name], field));
    errors.push(...hugePageErrors(at, name, amount));
  }
  const names = [...Object.keys(limits), ...Object.keys(requests)];
  const isAlone = !names.includes("cpu") && !names.includes("memory");
  if (isAlone && names.some(isHugePage))
    errors.push(forbidden(field, "HugePages require cpu or memory"));
  return [...errors, ...validateClaims(resources.claims ?? [], claims, `${field}.claims`)];
}

function againstLimit(
  name: string,
  amount: string,
  limit: string | undefined,
  field: string,
): FieldError[] {
  const isSoft = isOvercommitAllowed(name);
  if (limit === undefined) {
    const detail = "Limit must be set for non overcommitable resources";
    return isSoft ? [] : [required(`${field}.limits`, detail)];
  }
  const order = compareQuantities(amount, limit);
  const relation = isSoft ? "less than or equal" : "equal";
  if (order === 0 || (isSoft && order < 0)) return [];
  return [invalid(`${field}.requests`, amount, `must be ${relation} to ${name} limit of ${limit}`)];
}

/** Claims are named once, or once per request of theirs. */
function validateClaims(
  used: NonNullable<ReadRequirements["claims"]>,
  claims: readonly string[],
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  used.forEach(({ name, request = "" }, index) => {
    const at = `${field}[${index}]`;
    if (!name) {
      errors.push(required(at));
      return;
    }
    const key = request === "" ? name : `${name}/${request}`;
    const isPartUsed = request === "" && [...seen].some((one) => one.startsWith(`${name}/`));
    if (seen.has(name)) errors.push(duplicate(at, name));
    else {
      if (request !== "") errors.push(...invalids(`${at}.request`, request, labelErrors(request)));
      if (seen.has(key) || isPartUsed) errors.push(duplicate(at, key));
      seen.add(key);
    }
    const known = claims.length === 0 ? " which is empty" : `: ${claims.toSorted().join(", ")}`;
    const detail = `must be one of the names in pod.spec.resourceClaims${known}`;
    if (!claims.includes(name)) errors.push({ ...notFound(at, name), detail });
  });
  return errors;
}

/** The errors of what a pod as a whole asks for, and of its containers against that. */
export function validatePodResources(spec: DeepReadonly<PodSpec>, field: string): FieldError[] {
  const { resources } = spec;
  if (resources === undefined) return [];
  const at = `${field}.resources`;
  if (spec.os?.name === "windows") return [forbidden(at, "may not be set for a windows pod")];
  const claims = (spec.resourceClaims ?? []).map(({ name }) => name);
  const noClaims = "claims may not be set for Resources at pod-level";
  return [
    ...(resources.claims === undefined ? [] : [forbidden(`${at}.claims`, noClaims)]),
    ...validateResources(resources, at, { use: "pod", claims }),
    ...validateShares(spec, resources, at),
  ];
}

/** Containers together request no more than the pod, and each is bounded by the pod's limits. */
function validateShares(
  spec: DeepReadonly<PodSpec>,
  pod: ReadRequirements,
  at: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const { resources: _, overhead: _overhead, ...containersOnly } = spec;
  const requests = podRequests({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {},
    spec: containersOnly,
  });
  for (const [name, sum] of Object.entries(requests)) {
    const own = pod.requests?.[name];
    if (own !== undefined && compareQuantities(sum, own) > 0) {
      const detail = `must be greater than or equal to aggregate container requests of ${sum}`;
      errors.push(invalid(`${at}.requests[${name}]`, own, detail));
    }
  }
  spec.containers.forEach(({ resources }, index) => {
    for (const [name, limit] of Object.entries(resources?.limits ?? {})) {
      const bound = pod.limits?.[name];
      if (bound === undefined || compareQuantities(limit, bound) <= 0) continue;
      const place = `${at}.containers[${index}][${name}].limits`;
      errors.push(invalid(place, limit, `must be less than or equal to pod limits of ${bound}`));
    }
  });
  return errors;
}

const qosResources = ["cpu", "memory"] as const;

function hasAmount(quantities: Quantities | undefined, name: string): boolean {
  const amount = quantities?.[name];
  return amount !== undefined && compareQuantities(amount, "0") > 0;
}

function isGuaranteed(container: DeepReadonly<Container>): boolean {
  const { limits, requests } = container.resources ?? {};
  return qosResources.every((name) => {
    const limit = limits?.[name];
    const request = requests?.[name] ?? limit;
    return (
      limit !== undefined &&
      request !== undefined &&
      hasAmount(limits, name) &&
      compareQuantities(limit, request) === 0
    );
  });
}

/** BestEffort without any request or limit, Guaranteed with equal ones everywhere. */
export function qosClassOf(pod: DeepReadonly<Pod>): "Guaranteed" | "Burstable" | "BestEffort" {
  const all = [...(pod.spec.initContainers ?? []), ...(pod.spec.containers ?? [])];
  const whole =
    pod.spec.resources === undefined ? [] : [{ name: "", resources: pod.spec.resources }];
  const counted = whole.length > 0 ? (whole as DeepReadonly<Container>[]) : all;
  const isBestEffort = counted.every((container) =>
    qosResources.every(
      (name) =>
        !hasAmount(container.resources?.requests, name) &&
        !hasAmount(container.resources?.limits, name),
    ),
  );
  if (isBestEffort) return "BestEffort";
  return counted.every(isGuaranteed) ? "Guaranteed" : "Burstable";
}
