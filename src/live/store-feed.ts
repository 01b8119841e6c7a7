/**
 * A server's LiveSets, fed by the store's commits: synchronous, so that a list after a write sees
 * the write. A set is filled at its first use and followed from then on.
 */
import type { Resource } from "../client/client.ts";
import type { KubeObject } from "../schema/object.ts";
import { type Change, type Entry, prefixRange, type Revision, type Store } from "../store/store.ts";
import { ParsedObject, type Reading, StoredObject } from "./live-object.ts";
import type { LiveObject, LiveSets, SearchableSet } from "./live-set.ts";
import { type Incoming, LiveSetImpl } from "./live-set-impl.ts";

/** Where a resource lies in the store. */
export interface Location {
  /** With a slash at the end, for example `/registry/pods/`. */
  readonly prefix: string;
  /** From the stored version to this one; absent when they are the same. */
  readonly convert?: (object: KubeObject) => KubeObject;
  /** As `convert`, by someone else who may take time and fail: the set follows behind. */
  readonly convertLater?: ConvertLater;
}

type ConvertLater = (objects: readonly KubeObject[]) => Promise<readonly KubeObject[]>;

const limits = { convertAgainMs: 1_000 } as const;

export interface LiveStats {
  readonly count: number;
  readonly averageBytes: number;
  readonly received: number;
}

export interface StoreLiveSets extends LiveSets, Disposable {
  of<T extends KubeObject>(resource: Resource<T>): SearchableSet<T>;
  /** The set of a resource when it is filled: answers reads without touching the store. */
  filled<T extends KubeObject>(resource: Resource<T>): SearchableSet<T> | undefined;
  /**
   * How many objects a resource has, what they take and how many changes were told; undefined
   * while its set is not filled.
   */
  stats(
    resource: Pick<Resource<KubeObject>, "group" | "version" | "plural">,
  ): LiveStats | undefined;
  /** Sets that lack what was committed up to `revision`, but for those that others convert. */
  behind(revision: Revision): readonly string[];
  /** Asks anew how a resource is read: a custom one whose definition changed. */
  relocate<T extends KubeObject>(resource: Resource<T>): void;
}

interface Followed {
  readonly set: LiveSetImpl<KubeObject>;
  readonly prefix: string;
  reading: Reading;
  convertLater: ConvertLater | undefined;
  /** The conversions under way, one after another. */
  late: Promise<void>;
  received: number;
  /** Commits that arrive while the first list is being read. */
  pending: Change[] | undefined;
}

export function createStoreLiveSets(options: {
  readonly store: Store;
  readonly locate: (resource: Resource<KubeObject>) => Location;
  readonly freeze: boolean;
  readonly onError: (error: unknown) => void;
  /** Needed where conversions may fail: they are tried again. */
  readonly sleep?: (ms: number) => Promise<void>;
}): StoreLiveSets {
  return new StoreFeed(options);
}

class StoreFeed implements StoreLiveSets {
  /** By the very object that it was asked with: naming a resource costs more than finding it. */
  readonly #asked = new WeakMap<object, Followed>();
  readonly #byResource = new Map<string, Followed>();
  readonly #byPrefix = new Map<string, Followed[]>();
  readonly #listener: Disposable;

  constructor(private readonly options: Parameters<typeof createStoreLiveSets>[0]) {
    this.#listener = options.store.onCommit((changes) => this.#commit(changes));
  }

  of<T extends KubeObject>(resource: Resource<T>): SearchableSet<T> {
    return this.#follow(resource as Resource<KubeObject>).set as unknown as SearchableSet<T>;
  }

  filled<T extends KubeObject>(resource: Resource<T>): SearchableSet<T> | undefined {
    const followed = this.#asked.get(resource) ?? this.#byResource.get(identity(resource));
    return followed?.set.filled ? (followed.set as unknown as SearchableSet<T>) : undefined;
  }

  stats(resource: Pick<Resource<KubeObject>, "group" | "version" | "plural">) {
    const { set, received = 0 } = this.#byResource.get(identity(resource)) ?? {};
    if (set === undefined || !set.filled) return undefined;
    const averageBytes = set.size === 0 ? 0 : set.storedBytes / set.size;
    return { count: set.size, averageBytes, received };
  }

  behind(revision: Revision): readonly string[] {
    return [...this.#byResource]
      .filter(([, { convertLater }]) => convertLater === undefined)
      .filter(([, { set }]) => !set.filled || set.revision < revision)
      .map(([resource]) => resource);
  }

  relocate<T extends KubeObject>(resource: Resource<T>): void {
    const followed = this.#byResource.get(identity(resource));
    if (followed === undefined) return;
    const location = this.options.locate(resource as Resource<KubeObject>);
    followed.reading = this.#readingOf(location);
    followed.convertLater = location.convertLater;
    this.#reread(followed).catch(this.options.onError);
  }

  async #reread(followed: Followed): Promise<void> {
    const page = await this.options.store.list(prefixRange(followed.prefix), { limit: 0 });
    followed.set.reread(await this.#objectsOf(followed, page.entries));
  }

  #readingOf({ convert }: Location): Reading {
    return { freeze: this.options.freeze, ...(convert === undefined ? {} : { convert }) };
  }

  [Symbol.dispose](): void {
    this.#listener[Symbol.dispose]();
  }

  #follow(resource: Resource<KubeObject>): Followed {
    const asked = this.#asked.get(resource);
    if (asked !== undefined) return asked;
    const id = identity(resource);
    const followed = this.#byResource.get(id) ?? this.#begin(id, resource);
    this.#asked.set(resource, followed);
    return followed;
  }

  #begin(id: string, resource: Resource<KubeObject>): Followed {
    const location = this.options.locate(resource);
    const { prefix, convertLater } = location;
    const reading = this.#readingOf(location);
    const set = new LiveSetImpl<KubeObject>();
    const late = Promise.resolve();
    const followed: Followed = {
      set,
      prefix,
      reading,
      convertLater,
      late,
      pending: [],
      received: 0,
    };
    this.#byResource.set(id, followed);
    this.#byPrefix.set(prefix, [...(this.#byPrefix.get(prefix) ?? []), followed]);
    this.#fill(followed).catch(this.options.onError);
    return followed;
  }

  async #fill(followed: Followed): Promise<void> {
    const page = await this.options.store.list(prefixRange(followed.prefix), { limit: 0 });
    const objects = await this.#objectsOf(followed, page.entries);
    followed.set.reset(objects, page.revision);
    const missed = (followed.pending ?? []).filter((change) => revisionOf(change) > page.revision);
    followed.pending = undefined;
    if (followed.convertLater !== undefined) this.#applyLater(followed, missed);
    else followed.set.apply(missed.map((change) => incomingOf(followed, change)));
  }

  /** The objects of a list, converted. */
  async #objectsOf(
    followed: Followed,
    entries: readonly Entry[],
  ): Promise<readonly LiveObject<KubeObject>[]> {
    const stored = entries.map((entry) => objectOf(followed, entry));
    return followed.convertLater === undefined ? stored : await this.#converted(followed, stored);
  }

  /** Converts until it works: a set without some of its objects would be a lie. */
  async #converted(
    followed: Followed,
    stored: readonly StoredObject<KubeObject>[],
  ): Promise<readonly LiveObject<KubeObject>[]> {
    for (;;) {
      const { convertLater } = followed;
      if (convertLater === undefined || stored.length === 0) return stored;
      try {
        // What is handed out for conversion is changed there.
        const copies = stored.map(({ object }) => structuredClone(object) as KubeObject);
        const converted = await convertLater(copies);
        return converted.map((object, index) => new ParsedObject(stored[index]?.key ?? "", object));
      } catch (error) {
        this.options.onError(error);
        await this.options.sleep?.(limits.convertAgainMs);
      }
    }
  }

  #applyLater(followed: Followed, changes: readonly Change[]): void {
    if (changes.length === 0) return;
    followed.late = followed.late.then(async () => {
      const stored = changes.map((change) => incomingOf(followed, change));
      const objects = await this.#converted(
        followed,
        stored.map(({ now }) => now as StoredObject<KubeObject>),
      );
      const incoming = stored.map(({ type }, index) => ({ type, now: objects[index] }));
      followed.set.apply(incoming as Incoming<KubeObject>[]);
    });
  }

  #commit(changes: readonly Change[]): void {
    const last = changes.at(-1);
    if (last === undefined) return;
    for (const change of changes) {
      const key = change.type === "put" ? change.entry.key : change.previous.key;
      for (const followed of this.#followersOf(key)) {
        followed.received += 1;
        if (followed.pending !== undefined) followed.pending.push(change);
        else if (followed.convertLater !== undefined) this.#applyLater(followed, [change]);
        else followed.set.apply([incomingOf(followed, change)]);
      }
    }
    for (const followed of this.#byResource.values()) {
      if (followed.pending !== undefined) continue;
      if (followed.convertLater === undefined) followed.set.progress(revisionOf(last));
      else followed.late = followed.late.then(() => followed.set.progress(revisionOf(last)));
    }
  }

  /** Keys are `prefix/name` or `prefix/namespace/name`. */
  #followersOf(key: string): readonly Followed[] {
    const nameAt = key.lastIndexOf("/") + 1;
    const namespaceAt = key.lastIndexOf("/", nameAt - 2) + 1;
    return (
      this.#byPrefix.get(key.slice(0, namespaceAt)) ??
      this.#byPrefix.get(key.slice(0, nameAt)) ??
      []
    );
  }
}

function identity(resource: Pick<Resource<KubeObject>, "group" | "version" | "plural">): string {
  return `${resource.group}/${resource.version}/${resource.plural}`;
}

function revisionOf(change: Change): Revision {
  return change.type === "put" ? change.entry.revision : change.revision;
}

function objectOf(
  followed: Followed,
  entry: { readonly key: string; readonly value: Uint8Array; readonly revision: Revision },
): StoredObject<KubeObject> {
  const key = entry.key.slice(followed.prefix.length);
  return new StoredObject(key, entry.revision, entry.value, followed.reading);
}

function incomingOf(followed: Followed, change: Change): Incoming<KubeObject> {
  if (change.type === "put") return { type: "put", now: objectOf(followed, change.entry) };
  const gone = { ...change.previous, revision: change.revision };
  return { type: "delete", now: objectOf(followed, gone) };
}
