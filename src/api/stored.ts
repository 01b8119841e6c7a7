/** Reads and writes of single objects in the store. */

import { apiVersionOf } from "../client/request-form.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import {
  encodeStored,
  ParsedObject,
  type Reading,
  StoredObject,
  spliceRevision,
} from "../live/live-object.ts";
import type { LiveObject } from "../live/live-set.ts";
import { copyJson } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Durability, Entry, Revision } from "../store/store.ts";
import type { Call, Parts } from "./call.ts";
import { storageKey, storagePrefixOf } from "./registry.ts";
import type { ApiResponse } from "./request.ts";
import type { ResourceDefinition } from "./resource-definition.ts";

export type Stored = LiveObject<KubeObject>;

/** How bytes of this resource are read outside of a LiveSet. */
export function readingOf(definition: ResourceDefinition): Reading {
  const { conversion } = definition;
  if (conversion === undefined) return { freeze: false };
  return { freeze: false, convert: (object) => conversion.fromStorage(object) };
}

export function storedFrom(definition: ResourceDefinition, entry: Entry): Stored {
  const key = entry.key.slice(storagePrefixOf(definition).length);
  return new StoredObject<KubeObject>(key, entry.revision, entry.value, readingOf(definition));
}

/** As `storedFrom`, past a conversion webhook where there is one. */
export async function storedAllFrom(
  definition: ResourceDefinition,
  entries: readonly Entry[],
): Promise<readonly Stored[]> {
  const convert = definition.custom?.convert;
  const stored = entries.map((entry) => storedFrom(definition, entry));
  if (convert === undefined || stored.length === 0) return stored;
  const objects = stored.map(({ object }) => object as KubeObject);
  const converted = await convert(objects, apiVersionOf(definition));
  return converted.map((object, index) => new ParsedObject(stored[index]?.key ?? "", object));
}

/** The newest state: from the LiveSet when it is followed, else from the store. */
export async function readStored(
  parts: Parts,
  definition: ResourceDefinition,
  namespace: string,
  name: string,
): Promise<Stored | undefined> {
  // What a webhook converts comes late into a LiveSet.
  const isLate = definition.custom?.convert !== undefined;
  const set = isLate ? undefined : parts.live.filled(definition);
  if (set !== undefined) return set.get(definition.namespaced ? `${namespace}/${name}` : name);
  return readFromStore(parts, definition, namespace, name);
}

/** As `readStored`, past every cache: what a writer reads after it lost a race. */
export async function readFromStore(
  parts: Parts,
  definition: ResourceDefinition,
  namespace: string,
  name: string,
): Promise<Stored | undefined> {
  const entry = await parts.store.get(storageKey(definition, namespace, name));
  if (entry === undefined) return undefined;
  const [stored] = await storedAllFrom(definition, [entry]);
  return stored;
}

/** A write that came to pass, or the news that someone else was faster. */
export type Written = { readonly ok: true; readonly answer: ApiResponse } | { readonly ok: false };

/** Puts `object` where revision `expected` was; 0 means it must not exist. */
export async function writeStored(
  call: Call,
  object: KubeObject,
  expected: Revision,
  status: number,
  durability: Durability = "now",
): Promise<Written> {
  const { definition, parts } = call;
  const { namespace = "", name = "" } = object.metadata;
  delete object.metadata.resourceVersion;
  const stored = encodeStored(await toStorage(definition, object));
  const key = storageKey(definition, namespace, name);
  const { ttlSeconds: ttl = 0 } = definition;
  // What vanishes by itself (events) is not worth an fsync of its own.
  const when = ttl > 0 ? "soon" : durability;
  const result = await parts.store.put(key, stored, expected, ttl, when);
  if (!result.ok) return { ok: false };
  return { ok: true, answer: answerWritten(call, object, result.revision, stored, status) };
}

async function toStorage(
  definition: ResourceDefinition,
  object: KubeObject,
): Promise<DeepReadonly<KubeObject>> {
  const { conversion, custom, group } = definition;
  if (custom?.convert !== undefined) {
    const version = apiVersionOf({ group, version: custom.storedAs });
    const [converted] = await custom.convert([copyJson<KubeObject>(object)], version);
    return converted ?? object;
  }
  if (conversion === undefined) return object;
  return conversion.toStorage(copyJson<KubeObject>(object));
}

function answerWritten(
  call: Call,
  object: KubeObject,
  revision: Revision,
  stored: Uint8Array,
  status: number,
): ApiResponse {
  object.metadata.resourceVersion = String(revision);
  const json =
    call.definition.conversion === undefined && call.definition.custom?.convert === undefined
      ? { json: () => spliceRevision(stored, revision) }
      : {};
  return { type: "object", status, object, warnings: call.warnings, ...json };
}

/** Answers with what is stored: bytes for HTTP, an object of its own for callers in process. */
export function answerStored(call: Call, stored: Stored, status = 200): ApiResponse {
  let copy: KubeObject | undefined;
  return {
    type: "object",
    status,
    get object() {
      copy ??= copyJson<KubeObject>(stored.object as KubeObject);
      return copy;
    },
    json: () => stored.json(),
    warnings: call.warnings,
  };
}

/** Answers with an object that is not stored as such. */
export function answerObject(call: Call, object: KubeObject, status = 200): ApiResponse {
  return { type: "object", status, object, warnings: call.warnings };
}
