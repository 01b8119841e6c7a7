/**
 * Who is told of a resource's changes. Watchers of the same thing stand together: a change is
 * looked up by what it could be of interest to, and judged once for all who asked the same.
 */
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { ParsedObject } from "../live/live-object.ts";
import type { LiveChange, LiveSet } from "../live/live-set.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Revision } from "../store/store.ts";
import type { ResourceDefinition } from "./resource-definition.ts";
import type { Selection } from "./selection.ts";
import type { Stored } from "./stored.ts";

export type WatchType = "ADDED" | "MODIFIED" | "DELETED";

/** What a change is to someone who watches a selection. */
export interface SelectedEvent {
  readonly type: WatchType;
  readonly object: Stored;
}

/** Someone who follows the changes. */
export interface Listener {
  /** `revision` is that of the change. */
  tell(event: SelectedEvent, revision: Revision): void;
}

/** Those who asked the same. */
interface Party {
  readonly selection: Selection;
  readonly listeners: Set<Listener>;
}

/** Parties by what an object must have to be of interest to them. */
type Places = Map<string, Set<Party>>;

export class Audience {
  /** By what was asked. */
  readonly #parties = new Map<string, Party>();
  /** By the only key that they are about, by a field's path and its value, or by their prefix. */
  readonly #byKey: Places = new Map();
  readonly #byField = new Map<string, Places>();
  readonly #byPrefix: Places = new Map();
  #subscription: Disposable | undefined;

  constructor(
    private readonly set: LiveSet<KubeObject>,
    private readonly fields: ResourceDefinition["fields"],
  ) {}

  /** The same selection as others hold already, where there is one. */
  shared(selection: Selection): Selection {
    return this.#parties.get(selection.text)?.selection ?? selection;
  }

  /** Tells `listener` of all changes from now on. */
  join(selection: Selection, listener: Listener): void {
    let party = this.#parties.get(selection.text);
    if (party === undefined) {
      party = { selection, listeners: new Set() };
      this.#parties.set(selection.text, party);
      const [places, at] = this.#placeOf(selection);
      const others = places.get(at);
      if (others === undefined) places.set(at, new Set([party]));
      else others.add(party);
    }
    party.listeners.add(listener);
    this.#subscription ??= this.set.subscribe((change) => this.#tell(change));
  }

  /** May be called by who never joined. */
  leave(selection: Selection, listener: Listener): void {
    const party = this.#parties.get(selection.text);
    if (party === undefined) return;
    party.listeners.delete(listener);
    if (party.listeners.size > 0) return;
    this.#parties.delete(selection.text);
    const [places, at] = this.#placeOf(selection);
    const others = places.get(at);
    others?.delete(party);
    if (others?.size === 0) places.delete(at);
    if (this.#parties.size > 0) return;
    this.#subscription?.[Symbol.dispose]();
    this.#subscription = undefined;
  }

  #placeOf({ field, key, prefix }: Selection): readonly [Places, string] {
    if (key !== undefined) return [this.#byKey, key];
    if (field === undefined || this.fields[field.path] === undefined) {
      return [this.#byPrefix, prefix];
    }
    let places = this.#byField.get(field.path);
    if (places === undefined) {
      places = new Map();
      this.#byField.set(field.path, places);
    }
    return [places, field.value];
  }

  #tell(change: LiveChange<KubeObject>): void {
    const { now, before } = change;
    const { key } = now;
    tellAll(this.#byKey.get(key), change);
    for (const [path, places] of this.#byField) {
      if (places.size === 0) continue;
      const value = this.fields[path]?.(now.object) ?? "";
      const was = before === undefined ? value : (this.fields[path]?.(before.object) ?? "");
      tellAll(places.get(value), change);
      if (was !== value) tellAll(places.get(was), change);
    }
    tellAll(this.#byPrefix.get(""), change);
    const nameAt = key.indexOf("/") + 1;
    if (nameAt > 0) tellAll(this.#byPrefix.get(key.slice(0, nameAt)), change);
  }
}

function tellAll(parties: ReadonlySet<Party> | undefined, change: LiveChange<KubeObject>): void {
  if (parties === undefined) return;
  for (const { selection, listeners } of parties) {
    const event = eventOf(change, selection);
    if (event === undefined) continue;
    const { revision } = change.now;
    for (const listener of listeners) listener.tell(event, revision);
  }
}

const audiences = new WeakMap<LiveSet<KubeObject>, WeakMap<ResourceDefinition, Audience>>();

/** The one audience of a set, as far as its objects' fields are read as `definition` says. */
export function audienceOf(set: LiveSet<KubeObject>, definition: ResourceDefinition): Audience {
  let ofSet = audiences.get(set);
  if (ofSet === undefined) {
    ofSet = new WeakMap();
    audiences.set(set, ofSet);
  }
  let audience = ofSet.get(definition);
  if (audience === undefined) {
    audience = new Audience(set, definition.fields);
    ofSet.set(definition, audience);
  }
  return audience;
}

/** What a change is to someone who sees everything. */
const plainTypes = { added: "ADDED", modified: "MODIFIED", deleted: "DELETED" } as const;

/** What a change is to someone who sees only what the selection means; undefined is nothing. */
export function eventOf(
  change: LiveChange<KubeObject>,
  selection: Selection,
): SelectedEvent | undefined {
  const { now, before } = change;
  // A key says more than its prefix.
  const isMeant =
    selection.key === undefined ? now.key.startsWith(selection.prefix) : now.key === selection.key;
  if (!isMeant) return undefined;
  if (!selection.selects || !selection.selectsBeyondKey) {
    return { type: plainTypes[change.type], object: now };
  }
  const saw = before !== undefined && selection.matches(before);
  if (change.type === "deleted") {
    return before === undefined || saw ? { type: "DELETED", object: now } : undefined;
  }
  if (selection.matches(now)) return { type: saw ? "MODIFIED" : "ADDED", object: now };
  return saw ? { type: "DELETED", object: lastSeen(before, now.revision) } : undefined;
}

/** An object that is no longer selected: as it was, with the revision of the change. */
function lastSeen(before: Stored, revision: Revision): Stored {
  const { metadata, ...rest } = before.object;
  const object = { ...rest, metadata: { ...metadata, resourceVersion: String(revision) } };
  return new ParsedObject<KubeObject>(before.key, object as DeepReadonly<KubeObject>);
}
