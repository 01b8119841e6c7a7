/**
 * Who owns what after a write. An update takes the fields it changes from everyone; an apply owns
 * what it names, takes nothing without force, and gives back what it no longer names.
 */
import {
  difference,
  type FieldSet,
  intersection,
  isEmptySet,
  nothing,
  pathsOf,
  recursiveDifference,
  union,
} from "./field-set.ts";
import { capped, isSameManager, type Manager, ownable, owners } from "./managers.ts";
import type { MergeType } from "./merge-type.ts";
import { sameJson } from "./same-json.ts";
import {
  type Comparison,
  changedFields,
  compareValues,
  ignoring,
  isSame,
} from "./typed-compare.ts";
import { fieldsOfValue, reconciled } from "./typed-fields.ts";
import { mergeValues, removeFields, withNamedFields } from "./typed-merge.ts";

/** How objects look in one version of their group. */
export interface View {
  readonly type: MergeType;
  /** Fields that a write at this place does not change, whatever it says. */
  readonly ignored: FieldSet;
  /** From and to the version of the write; absent for that version itself. */
  readonly conversion?: {
    into(object: object): object;
    back(object: object): object;
  };
}

export interface Write {
  /** The view of a version; undefined when it is no longer served. */
  readonly view: (apiVersion: string) => View | undefined;
  readonly apiVersion: string;
  readonly subresource: string;
  readonly manager: string;
  readonly managers: readonly Manager[];
  readonly live: object;
  /** RFC 3339. */
  readonly now: string;
}

/** A field that someone else owns and a configuration says otherwise. */
export interface Conflict {
  readonly manager: Manager;
  readonly path: readonly string[];
}

export class ConflictError extends Error {
  constructor(readonly conflicts: readonly Conflict[]) {
    super("fields are owned by others");
  }
}

function viewOf(write: Write, apiVersion: string): View | undefined {
  return write.view(apiVersion);
}

function ownView(write: Write): View {
  const view = write.view(write.apiVersion);
  if (view === undefined) throw new Error(`${write.apiVersion} is not served`);
  return view;
}

/** Comparisons of the write's two states in each version that is asked for. */
function comparer(write: Write, next: object) {
  const known = new Map<string, Comparison | undefined>();
  return (apiVersion: string): Comparison | undefined => {
    if (known.has(apiVersion)) return known.get(apiVersion);
    const view = viewOf(write, apiVersion);
    const into = view?.conversion?.into ?? ((object: object) => object);
    const comparison =
      view && ignoring(compareValues(view.type, into(write.live), into(next)), view.ignored);
    known.set(apiVersion, comparison);
    return comparison;
  };
}

interface Taken {
  readonly managers: readonly Manager[];
  readonly conflicts: readonly { readonly manager: Manager; readonly fields: FieldSet }[];
}

/** What is left to everyone but `except` when the differences go to the writer. */
function take(write: Write, next: object, except: Manager | undefined): Taken {
  const compare = comparer(write, next);
  const conflicts: { manager: Manager; fields: FieldSet }[] = [];
  const managers: Manager[] = [];
  for (const manager of write.managers) {
    if (except !== undefined && isSameManager(manager, except)) {
      managers.push(manager);
      continue;
    }
    const comparison = compare(manager.apiVersion);
    // Nobody can own fields of a version that is gone.
    if (comparison === undefined) continue;
    const taken = intersection(manager.fields, changedFields(comparison));
    if (!isEmptySet(taken)) conflicts.push({ manager, fields: taken });
    const left = difference(difference(manager.fields, taken), comparison.removed);
    managers.push(left === manager.fields ? manager : { ...manager, fields: left });
  }
  return { managers: owners(managers), conflicts };
}

/** The managers after `next` was written over `live` by other means than apply. */
export function trackUpdate(write: Write, next: object): readonly Manager[] {
  const view = ownView(write);
  const comparison = ignoring(compareValues(view.type, write.live, next), view.ignored);
  if (isSame(comparison)) return write.managers;
  const { managers } = take(reconciledWrite(write), next, undefined);
  const gained = ownable(changedFields(comparison));
  if (isEmptySet(gained)) return managers;
  const { apiVersion, subresource, now } = write;
  const writer = { name: write.manager, operation: "Update", apiVersion, subresource } as const;
  const before = managers.find((manager) => isSameManager(manager, writer));
  const fields = before === undefined ? gained : union(gained, before.fields);
  const others = managers.filter((manager) => manager !== before);
  return capped([...others, { ...writer, time: now, fields }]);
}

/** The managers with their sets brought to what the schema says today. */
function reconciledWrite(write: Write): Write {
  let changed = false;
  const managers = write.managers.map((manager) => {
    const view = viewOf(write, manager.apiVersion);
    const fields = view === undefined ? manager.fields : reconciled(view.type, manager.fields);
    if (fields === manager.fields) return manager;
    changed = true;
    return { ...manager, fields };
  });
  return changed ? { ...write, managers } : write;
}

export interface Applied {
  readonly object: object;
  readonly managers: readonly Manager[];
}

/** Merges `config` into the live object. Throws ConflictError unless `force`. */
export function applyConfig(given: Write, config: object, force: boolean): Applied {
  const write = reconciledWrite(given);
  const view = ownView(write);
  const { apiVersion, subresource, now } = write;
  const named = recursiveDifference(fieldsOfValue(view.type, config), view.ignored);
  const identity = { name: write.manager, operation: "Apply", apiVersion, subresource } as const;
  const before = write.managers.find((manager) => isSameManager(manager, identity));
  const applier: Manager = { ...identity, time: now, fields: named };
  const others = write.managers.filter((manager) => manager !== before);
  const withApplier = { ...write, managers: [...others, applier] };
  const merged = mergeValues(view.type, write.live, config) as object;
  const object = prune(withApplier, merged, before);
  const { managers, conflicts } = take(withApplier, object, applier);
  if (!force && conflicts.length > 0) throw new ConflictError(conflicts.flatMap(pathsIn));
  const fields = ownable(named);
  // An apply that changes nothing but who owns what leaves no time, or the one before.
  const time = sameJson(write.live, object) ? before?.time : now;
  const mine: Manager = { ...applier, time, fields };
  const rest = managers.filter((manager) => manager !== applier);
  return { object, managers: isEmptySet(fields) ? rest : [...rest, mine] };
}

function pathsIn(conflict: Taken["conflicts"][number]): readonly Conflict[] {
  const { manager, fields } = conflict;
  return pathsOf(fields).map((path) => ({ manager, path }));
}

/** Takes out what the applier named before, names no more, and nobody else owns. */
function prune(write: Write, merged: object, before: Manager | undefined): object {
  if (before === undefined || isEmptySet(before.fields)) return merged;
  const view = viewOf(write, before.apiVersion);
  if (view === undefined) return merged;
  const last = withNamedFields(view.type, before.fields);
  let pruned = seenIn(view, merged, (value) => removeFields(view.type, value, last));
  // First in the version of the removal, as other versions may need what it took.
  const versions = new Set([before.apiVersion, ...write.managers.map((each) => each.apiVersion)]);
  for (const version of versions) pruned = keepOwned(write, version, merged, pruned);
  return keepDangling(view, merged, pruned, last);
}

/** Does something to an object as a view shows it. */
function seenIn(view: View, object: object, change: (object: object) => unknown): object {
  const { conversion } = view;
  if (conversion === undefined) return (change(object) ?? {}) as object;
  return conversion.back((change(conversion.into(object)) ?? {}) as object);
}

/** Of what `pruned` lacks, puts back what some manager owns in a version. */
function keepOwned(write: Write, apiVersion: string, merged: object, pruned: object): object {
  const view = viewOf(write, apiVersion);
  if (view === undefined) return pruned;
  const { type } = view;
  const managers = write.managers.filter((manager) => manager.apiVersion === apiVersion);
  const owned = managers.map(({ fields }) => withNamedFields(type, fields)).reduce(union, nothing);
  const left = namedIn(view, pruned);
  return seenIn(view, merged, (value) =>
    removeFields(type, value, difference(namedFields(type, value), union(left, owned))),
  );
}

/** Of what `pruned` lacks, puts back what the applier did not name before either. */
function keepDangling(view: View, merged: object, pruned: object, last: FieldSet): object {
  const left = namedIn(view, pruned);
  return seenIn(view, merged, (value) => {
    const gone = difference(namedFields(view.type, value), left);
    return removeFields(view.type, value, intersection(gone, last));
  });
}

function namedIn({ type, conversion }: View, object: object): FieldSet {
  return namedFields(type, conversion === undefined ? object : conversion.into(object));
}

function namedFields(type: MergeType, value: object): FieldSet {
  return withNamedFields(type, fieldsOfValue(type, value));
}
