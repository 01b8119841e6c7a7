/**
 * One object at one revision, kept as bytes until someone reads it. Stored bytes begin with
 * `{"metadata":{` and hold no resourceVersion, which the store only knows after the commit.
 */
import { assert } from "../lib/assert.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { parseExact, stringifyExact } from "../lib/exact-json.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Revision } from "../store/store.ts";
import type { LiveObject } from "./live-set.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const head = '{"metadata":{';
const blank = 0x20;

/** A blank behind the head says that there are numbers which JSON.parse would round. */
function hasLargeNumbers(stored: Uint8Array): boolean {
  return stored[head.length] === blank;
}

/** The bytes that the store keeps: metadata first, apiVersion and kind last, no resourceVersion. */
export function encodeStored(object: DeepReadonly<KubeObject>): Uint8Array {
  const { apiVersion, kind, metadata, ...rest } = object;
  const { resourceVersion: _, ...kept } = metadata;
  const { text, hasLarge } = stringifyExact({ metadata: kept, ...rest, apiVersion, kind });
  assert(text.startsWith(`${head}"`), "stored objects begin with filled metadata");
  return encoder.encode(hasLarge ? `${head} ${text.slice(head.length)}` : text);
}

/** The bytes that go over the wire: the stored ones with the resourceVersion put in. */
export function spliceRevision(stored: Uint8Array, revision: Revision): Uint8Array {
  const field = encoder.encode(`"resourceVersion":"${revision}",`);
  const wire = new Uint8Array(stored.length + field.length);
  const at = head.length + (hasLargeNumbers(stored) ? 1 : 0);
  wire.set(stored.subarray(0, at));
  wire.set(field, at);
  wire.set(stored.subarray(at), at + field.length);
  return wire;
}

/** Reads stored bytes back into an object of its own, resourceVersion included. */
export function decodeStored<T>(stored: Uint8Array, revision: Revision): T {
  const text = decoder.decode(stored);
  const value = hasLargeNumbers(stored) ? parseExact(text) : JSON.parse(text);
  const object = value as KubeObject;
  object.metadata.resourceVersion = String(revision);
  return object as T;
}

/** Freezes `value` at every depth, so that writing to a shared object throws. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}

/** How stored bytes become objects of one version of a resource. */
export interface Reading {
  /** Freeze what is handed out; on in development and tests. */
  readonly freeze: boolean;
  /** From the stored version to the one that is read; absent when they are the same. */
  readonly convert?: (object: KubeObject) => KubeObject;
}

type Labels = Readonly<Record<string, string>>;

/** A LiveObject over stored bytes: parsed on first read, spliced on first `json()`. */
export class StoredObject<T> implements LiveObject<T> {
  #bytes: Uint8Array;
  #spliced = false;
  #object: DeepReadonly<T> | undefined;
  /** Read ahead of the object; null says that there are none. */
  #labels: Labels | null | undefined;
  readonly storedBytes: number;

  constructor(
    readonly key: string,
    readonly revision: Revision,
    stored: Uint8Array,
    private readonly reading: Reading,
  ) {
    this.#bytes = stored;
    this.storedBytes = stored.length;
  }

  get object(): DeepReadonly<T> {
    this.#object ??= this.#read();
    return this.#object;
  }

  get labels(): Labels | undefined {
    if (this.#labels === undefined) {
      const { metadata } = (this.#object ?? this.#read()) as DeepReadonly<KubeObject>;
      this.#labels = metadata.labels ?? null;
    }
    return this.#labels ?? undefined;
  }

  json(): Uint8Array {
    if (!this.#spliced) {
      this.#bytes =
        this.reading.convert === undefined
          ? spliceRevision(this.#bytes, this.revision)
          : spliceRevision(encodeStored(this.object as DeepReadonly<KubeObject>), this.revision);
      this.#spliced = true;
    }
    return this.#bytes;
  }

  #read(): DeepReadonly<T> {
    const stored = decodeStored<KubeObject>(this.#bytes, this.revision);
    const converted =
      this.#spliced || this.reading.convert === undefined ? stored : this.reading.convert(stored);
    return (this.reading.freeze ? deepFreeze(converted) : converted) as DeepReadonly<T>;
  }
}

/** A LiveObject over an object that came parsed, as agents get theirs. */
export class ParsedObject<T extends KubeObject> implements LiveObject<T> {
  #json: Uint8Array | undefined;
  readonly revision: Revision;

  constructor(
    readonly key: string,
    readonly object: DeepReadonly<T>,
  ) {
    this.revision = Number((object as DeepReadonly<KubeObject>).metadata.resourceVersion ?? 0);
  }

  get labels(): Labels | undefined {
    return (this.object as DeepReadonly<KubeObject>).metadata.labels;
  }

  json(): Uint8Array {
    this.#json ??= spliceRevision(
      encodeStored(this.object as DeepReadonly<KubeObject>),
      this.revision,
    );
    return this.#json;
  }
}
