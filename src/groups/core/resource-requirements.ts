/** Rules of requests and limits, and the QoS class that follows from them. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { Container, Pod, ResourceRequirements } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelKeyErrors } from "../../lib/names.ts";
import { invalid, invalids, nonNegativeDetail, required } from "../field-errors.ts";
import { compareQuantities, quantityErrors } from "../quantities.ts";

type Quantities = Readonly<Record<string, string>>;

const standardContainerResources = new Set(["cpu", "memory", "ephemeral-storage"]);

function isHugePage(name: string): boolean {
  return name.startsWith("hugepages-");
}

/** Only cpu, memory and ephemeral storage may be promised more often than they exist. */
export function isOvercommitAllowed(name: string): boolean {
  return !isHugePage(name) && !name.includes("/");
}

function validateNameAndAmount(name: string, amount: string, field: string): FieldError[] {
  const errors = invalids(field, name, labelKeyErrors(name));
  if (!name.includes("/") && !standardContainerResources.has(name) && !isHugePage(name))
    errors.push(
      invalid(field, name, "must be a standard resource for containers"),
      invalid(field, name, "must be a standard resource type or fully qualified"),
    );
  errors.push(...quantityErrors(`${field}[${name}]`, amount));
  if (errors.length === 0 && compareQuantities(amount, "0") < 0)
    errors.push(invalid(`${field}[${name}]`, amount, nonNegativeDetail));
  return errors;
}

/** The errors of the `resources` of a container. */
export function validateResources(
  resources: DeepReadonly<ResourceRequirements> | undefined,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const limits: Quantities = resources?.limits ?? {};
  const requests: Quantities = resources?.requests ?? {};
  for (const [name, amount] of Object.entries(limits))
    errors.push(...validateNameAndAmount(name, amount, `${field}.limits`));
  for (const [name, amount] of Object.entries(requests))
    errors.push(...validateNameAndAmount(name, amount, `${field}.requests`));
  if (errors.length > 0) return errors;
  for (const [name, amount] of Object.entries(requests)) {
    const limit = limits[name];
    if (limit === undefined) {
      if (!isOvercommitAllowed(name))
        errors.push(
          required(`${field}.limits`, "Limit must be set for non overcommitable resources"),
        );
      continue;
    }
    const order = compareQuantities(amount, limit);
    if (order > 0)
      errors.push(
        invalid(
          `${field}.requests`,
          amount,
          `must be less than or equal to ${name} limit of ${limit}`,
        ),
      );
    else if (order < 0 && !isOvercommitAllowed(name))
      errors.push(
        invalid(`${field}.requests`, amount, `must be equal to ${name} limit of ${limit}`),
      );
  }
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
