/** Keeps `metadata.managedFields`: which writer owns which fields of an object. */
import { apiVersionOf } from "../client/request-form.ts";
import type { ManagedFieldsEntry } from "../gen/meta-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { copyJson } from "../schema/copy.ts";
import { BadManagedFields, type Manager, readManagers, writeManagers } from "../schema/managers.ts";
import type { KubeObject } from "../schema/object.ts";
import { sameJson } from "../schema/same-json.ts";
import { trackUpdate, type View, type Write } from "../schema/track-fields.ts";
import type { Call } from "./call.ts";
import { timestamp } from "./object-meta.ts";
import type { ApiRequest } from "./request.ts";
import { resetFieldsOf } from "./reset-fields.ts";
import type { ResourceDefinition } from "./resource-definition.ts";

const limits = { managerBytesMax: 128 } as const;

type Entries = readonly ManagedFieldsEntry[];

/** Records what an update made of an object, or a create of nothing. Mutates `object`. */
export function trackWrite(
  call: Call,
  object: KubeObject,
  old: DeepReadonly<KubeObject> | undefined,
): void {
  const stored = (old?.metadata.managedFields ?? []) as Entries;
  const { managers, entries } = sourceOf(call, object, stored);
  // Nobody kept a record until now, so nobody starts in the middle.
  if (old !== undefined && managers.length === 0) {
    delete object.metadata.managedFields;
    return;
  }
  const live =
    old === undefined ? call.parts.codec.emptyObject(call.definition) : withoutRecord(old);
  const next = trackUpdate(writeOf(call, live, managers), withoutRecord(object));
  if (next === managers) object.metadata.managedFields = copyJson<ManagedFieldsEntry[]>(entries);
  else setManagers(object, next);
}

/** Puts managers into an object; none leave no record. */
export function setManagers(object: KubeObject, managers: readonly Manager[]): void {
  if (managers.length === 0) delete object.metadata.managedFields;
  else object.metadata.managedFields = writeManagers(managers);
}

/** The record as stored; empty when it cannot be read. */
export function storedManagers(object: DeepReadonly<KubeObject>): readonly Manager[] {
  return readOrNothing((object.metadata.managedFields ?? []) as Entries, "store");
}

interface Source {
  readonly managers: readonly Manager[];
  readonly entries: Entries;
}

/** The record that a writer sent, if it can be read; else what is stored. */
function sourceOf(call: Call, object: KubeObject, stored: Entries): Source {
  const sent = object.metadata.managedFields;
  const mayTell = call.request.subresource === "";
  if (mayTell && sent !== undefined && isReset(sent)) return { managers: [], entries: [] };
  if (mayTell && sent !== undefined && !sameJson(sent, stored)) {
    const managers = readOrNothing(sent, "client");
    if (managers.length > 0) return { managers, entries: writeManagers(managers) };
  }
  return { managers: readOrNothing(stored, "store"), entries: stored };
}

function readOrNothing(entries: Entries, from: "client" | "store"): readonly Manager[] {
  try {
    return readManagers(entries, from);
  } catch (error) {
    // What cannot be read is as good as not there.
    if (error instanceof BadManagedFields) return [];
    throw error;
  }
}

/** One empty entry, which stands for an empty list too, asks to forget all. */
function isReset(entries: Entries): boolean {
  return entries.length === 1 && sameJson(entries[0], {});
}

/** The object without its record: nobody owns that. */
export function withoutRecord(object: DeepReadonly<KubeObject>): object {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** A write of this call's user over `live`, as `schema` wants to know it. */
export function writeOf(call: Call, live: object, managers: readonly Manager[]): Write {
  const { definition, request } = call;
  return {
    view: (apiVersion) => viewOf(call, apiVersion),
    apiVersion: apiVersionOf(definition),
    subresource: request.subresource,
    manager: managerOf(request),
    managers,
    live,
    now: timestamp(call.now),
  };
}

/** The name given, or how the client program calls itself. */
export function managerOf(request: ApiRequest): string {
  const given = request.query.get("fieldManager") ?? "";
  if (given !== "") return given;
  const [program = ""] = request.userAgent.split("/");
  return program.replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, "").slice(0, limits.managerBytesMax);
}

function viewOf(call: Call, apiVersion: string): View | undefined {
  const { definition, parts, request } = call;
  const { codec, registry } = parts;
  const ignored = resetFieldsOf(definition, request.subresource);
  if (apiVersion === apiVersionOf(definition)) {
    return { type: codec.mergeType(definition), ignored };
  }
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  if (group !== definition.group) return undefined;
  const { plural } = definition;
  const other = registry.find({ group, version: apiVersion.slice(slash + 1), plural });
  if (other === undefined || other.storagePrefix !== definition.storagePrefix) return undefined;
  return {
    type: codec.mergeType(other),
    ignored,
    conversion: {
      into: (object) => converted(object, definition, other),
      back: (object) => converted(object, other, definition),
    },
  };
}

function converted(object: object, from: ResourceDefinition, to: ResourceDefinition): object {
  const copy = copyJson<KubeObject>(object as KubeObject);
  const stored = from.conversion === undefined ? copy : from.conversion.toStorage(copy);
  const read = to.conversion === undefined ? stored : to.conversion.fromStorage(stored);
  return { ...read, apiVersion: apiVersionOf(to) };
}
