/** What resources may be called, and how much of them there may be. */
import type { FieldError } from "../../api/resource-definition.ts";
import { labelKeyErrors } from "../../lib/names.ts";
import { quantityMilliValue, quantityValue, tryParseQuantity } from "../../lib/quantity.ts";
import { invalid, invalids, nonNegativeDetail, notSupported } from "../field-errors.ts";
import { compareQuantities, quantityErrors } from "../quantities.ts";

/** Of these there are only whole ones. */
const counted = new Set([
  "pods",
  "resourcequotas",
  "services",
  "replicationcontrollers",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "services.nodeports",
  "services.loadbalancers",
]);

/** What pods ask for, as quotas call it. */
export const podCompute = new Set([
  "cpu",
  "memory",
  "limits.cpu",
  "limits.memory",
  "requests.cpu",
  "requests.memory",
]);

const quotaResources = new Set([
  ...counted,
  ...podCompute,
  "ephemeral-storage",
  "requests.storage",
  "requests.ephemeral-storage",
  "limits.ephemeral-storage",
]);

const containerResources = new Set(["cpu", "memory", "ephemeral-storage"]);

/** Of the nodes, or as quotas call them. */
function isHugePages(name: string): boolean {
  return name.startsWith("hugepages-") || name.startsWith("requests.hugepages-");
}

/** True for what a quota may bound without a prefix. */
export function isQuotaResource(name: string): boolean {
  return quotaResources.has(name) || isHugePages(name);
}

/** The name of a resource: one that upstream knows, or a qualified one. */
export function nameErrors(
  field: string,
  name: string,
  use?: "quota" | "container" | "pod",
): FieldError[] {
  const errors = invalids(field, name, labelKeyErrors(name));
  const known = isQuotaResource(name) || name === "storage";
  if (errors.length === 0 && !name.includes("/") && !known)
    errors.push(invalid(field, name, "must be a standard resource type or fully qualified"));
  if (use === "pod" && errors.length === 0 && !isPodResource(name))
    errors.push(notSupported(field, name, podResources));
  const isExtended = !isNative(name) && isExtendedResource(name);
  if (use === "container" && name.includes("/") && !isNative(name) && !isExtended)
    errors.push(invalid(field, name, "doesn't follow extended resource name standard"));
  if (name.includes("/")) return errors;
  if (use === "quota" && !isQuotaResource(name))
    errors.push(invalid(field, name, "must be a standard resource for quota"));
  const isContainers = containerResources.has(name) || name.startsWith("hugepages-");
  if (use === "container" && !isContainers)
    errors.push(invalid(field, name, "must be a standard resource for containers"));
  return errors;
}

const hugePages = "hugepages-";

export function isHugePage(name: string): boolean {
  return name.startsWith(hugePages);
}

/** What a pod may bound as a whole. */
const podResources = ["cpu", hugePages, "memory"];

function isPodResource(name: string): boolean {
  return name === "cpu" || name === "memory" || isHugePage(name);
}

function isNative(name: string): boolean {
  return !name.includes("/") || name.includes("kubernetes.io/");
}

function isExtendedResource(name: string): boolean {
  return !name.startsWith("requests.") && labelKeyErrors(`requests.${name}`).length === 0;
}

function isWholeOnly(name: string): boolean {
  return counted.has(name) || (!isNative(name) && isExtendedResource(name));
}

/** What is wrong with an amount of a resource. */
export function amountErrors(at: string, name: string, amount: string): FieldError[] {
  if (tryParseQuantity(amount) === undefined) return quantityErrors(at, amount);
  const errors: FieldError[] = [];
  if (compareQuantities(amount, "0") < 0) errors.push(invalid(at, amount, nonNegativeDetail));
  if (isWholeOnly(name) && quantityMilliValue(amount) % 1000 !== 0)
    errors.push(invalid(at, amount, "must be an integer"));
  return errors;
}

/** Memory in huge pages comes in pages. */
export function hugePageErrors(at: string, name: string, amount: string): FieldError[] {
  if (!isHugePage(name)) return [];
  const size = name.slice(hugePages.length);
  const isSize = tryParseQuantity(size) !== undefined && compareQuantities(size, "0") > 0;
  if (isSize && quantityValue(amount) % quantityValue(size) === 0) return [];
  return [invalid(at, amount, `${amount} is not positive integer multiple of ${name}`)];
}
