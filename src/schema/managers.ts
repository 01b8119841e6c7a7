/** Who owns which fields of an object: `metadata.managedFields`, read and written. */
import type { ManagedFieldsEntry } from "../gen/meta-v1.ts";
import { difference, type FieldSet, isEmptySet, nothing, sortedSet, union } from "./field-set.ts";
import { canonicalElement } from "./path-element.ts";

const limits = {
  /** Entries of updates; older ones are put together. */
  updateManagersMax: 10,
  fieldsDepthMax: 1000,
} as const;

export interface Manager {
  readonly name: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string | undefined;
  readonly fields: FieldSet;
}

/** What makes an entry of its own; appliers have one entry whatever version they apply. */
export function managerId(manager: Omit<Manager, "time" | "fields">): string {
  const { name, operation, apiVersion, subresource } = manager;
  return JSON.stringify([name, operation, operation === "Apply" ? "" : apiVersion, subresource]);
}

export function isSameManager(
  a: Omit<Manager, "time" | "fields">,
  b: Omit<Manager, "time" | "fields">,
): boolean {
  return (
    a.name === b.name &&
    a.operation === b.operation &&
    a.subresource === b.subresource &&
    (a.operation === "Apply" || a.apiVersion === b.apiVersion)
  );
}

/** Why entries that a client sent cannot be used. */
export class BadManagedFields extends Error {}

/** Reads entries; those of stored objects are known to be well formed. Throws BadManagedFields. */
export function readManagers(
  entries: readonly ManagedFieldsEntry[],
  from: "client" | "store",
): readonly Manager[] {
  const managers = new Map<string, Manager>();
  for (const [index, entry] of entries.entries()) {
    const { operation, apiVersion = "", fieldsType = "" } = entry;
    if (operation !== "Apply" && operation !== "Update") {
      throw new BadManagedFields("operation must be `Apply` or `Update`");
    }
    if (apiVersion === "") throw new BadManagedFields("apiVersion must not be empty");
    if (fieldsType === "") {
      throw new BadManagedFields(`missing fieldsType in managed fields entry ${index}`);
    }
    if (fieldsType !== "FieldsV1") {
      const type = JSON.stringify(fieldsType);
      throw new BadManagedFields(`invalid fieldsType ${type} in managed fields entry ${index}`);
    }
    const fields = (entry.fieldsV1 ?? nothing) as FieldSet;
    const manager: Manager = {
      name: entry.manager ?? "",
      operation,
      apiVersion,
      subresource: entry.subresource ?? "",
      time: entry.time,
      fields: from === "store" ? fields : checkedSet(fields, 0),
    };
    managers.set(managerId(manager), manager);
  }
  return [...managers.values()];
}

/** A set from outside, with its elements as this server writes them. */
function checkedSet(set: unknown, depth: number): FieldSet {
  if (typeof set !== "object" || set === null || Array.isArray(set)) {
    throw new BadManagedFields("error decoding set: a set of fields is an object");
  }
  if (depth > limits.fieldsDepthMax) {
    throw new BadManagedFields("error decoding set: fields are nested too deeply");
  }
  const result: Record<string, FieldSet> = {};
  for (const [element, inner] of Object.entries(set)) {
    const node = checkedSet(inner, depth + 1);
    if (element === ".") {
      result[element] = nothing;
      continue;
    }
    if (!element.includes(":")) {
      throw new BadManagedFields(`error decoding set: missing colon: ${element}`);
    }
    const canonical = canonicalElement(element);
    if (canonical !== undefined) result[canonical] = node;
  }
  return result;
}

/** The entries as they are stored: appliers first, then by time and name. */
export function writeManagers(managers: readonly Manager[]): ManagedFieldsEntry[] {
  return managers.toSorted(byPublishedOrder).map((manager) => ({
    manager: manager.name,
    operation: manager.operation,
    apiVersion: manager.apiVersion,
    ...(manager.time === undefined ? {} : { time: manager.time }),
    fieldsType: "FieldsV1",
    fieldsV1: sortedSet(manager.fields),
    ...(manager.subresource === "" ? {} : { subresource: manager.subresource }),
  }));
}

function byPublishedOrder(a: Manager, b: Manager): number {
  return (
    compareText(a.operation, b.operation) ||
    compareText(a.time ?? "", b.time ?? "") ||
    compareText(a.name, b.name) ||
    compareText(a.apiVersion, b.apiVersion) ||
    compareText(a.subresource, b.subresource)
  );
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

const unowned: FieldSet = {
  "f:apiVersion": nothing,
  "f:kind": nothing,
  "f:metadata": {
    ".": nothing,
    "f:name": nothing,
    "f:namespace": nothing,
    "f:creationTimestamp": nothing,
    "f:selfLink": nothing,
    "f:uid": nothing,
    "f:clusterName": nothing,
    "f:generation": nothing,
    "f:managedFields": nothing,
    "f:resourceVersion": nothing,
  },
};

/** Without what names an object and what only the server sets: nobody owns that. */
export function ownable(fields: FieldSet): FieldSet {
  return difference(fields, unowned);
}

/** Managers that own something. */
export function owners(managers: readonly Manager[]): readonly Manager[] {
  return managers.some(({ fields }) => isEmptySet(fields))
    ? managers.filter(({ fields }) => !isEmptySet(fields))
    : managers;
}

/** Puts the oldest updates of a version together while there are more than ten updates. */
export function capped(managers: readonly Manager[]): readonly Manager[] {
  const updates = managers.filter(({ operation }) => operation === "Update");
  let surplus = updates.length - limits.updateManagersMax;
  if (surplus <= 0) return managers;
  const oldest = updates.toSorted(
    (a, b) => compareText(a.time ?? "", b.time ?? "") || compareText(managerId(a), managerId(b)),
  );
  const buckets = new Map<string, Manager>();
  const gone = new Set<Manager>();
  for (const manager of oldest) {
    if (surplus <= 0) break;
    const { apiVersion, time } = manager;
    const bucket = buckets.get(apiVersion);
    if (bucket === undefined) {
      buckets.set(apiVersion, manager);
      continue;
    }
    gone.add(bucket).add(manager);
    buckets.set(apiVersion, {
      name: "ancient-changes",
      operation: "Update",
      apiVersion,
      subresource: "",
      time,
      fields: union(bucket.fields, manager.fields),
    });
    surplus -= 1;
  }
  const kept = managers.filter((manager) => !gone.has(manager));
  return [...kept, ...[...buckets.values()].filter((bucket) => !managers.includes(bucket))];
}
