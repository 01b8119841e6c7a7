/** Lists of a strategic merge patch: merged by key or value, kept in order. */
import { ApiError } from "../lib/api-error.ts";

export type Json = Record<string, unknown>;

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function bad(message: string): ApiError {
  return new ApiError("BadRequest", message);
}

/** What tells two items of a list apart: the merge key's value, or the item itself. */
function identity(item: unknown, mergeKey: string): unknown {
  if (mergeKey === "") return item;
  if (!isObject(item)) {
    throw bad(`expected a map[string]interface {}, but received a ${typeof item}`);
  }
  if (!Object.hasOwn(item, mergeKey)) {
    throw bad(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`);
  }
  return item[mergeKey];
}

/** Places by identity; the first of equals counts. */
function places(list: readonly unknown[], mergeKey: string): ReadonlyMap<unknown, number> {
  const found = new Map<unknown, number>();
  for (const [index, item] of list.entries()) {
    const id = identity(item, mergeKey);
    if (!found.has(id)) found.set(id, index);
  }
  return found;
}

/** Splits `items` by whether `list` names them. */
export function partition(
  items: readonly unknown[],
  list: readonly unknown[],
  mergeKey: string,
): { readonly listed: unknown[]; readonly others: unknown[] } {
  const named = new Set(list.map((item) => identity(item, mergeKey)));
  const listed: unknown[] = [];
  const others: unknown[] = [];
  for (const item of items) (named.has(identity(item, mergeKey)) ? listed : others).push(item);
  return { listed, others };
}

function sorted(
  items: readonly unknown[],
  order: ReadonlyMap<unknown, number>,
  mergeKey: string,
): unknown[] {
  const place = (item: unknown) => order.get(identity(item, mergeKey)) ?? order.size;
  return items.toSorted((a, b) => place(a) - place(b));
}

/**
 * The patch's items in the patch's order and the others in the live order, interleaved: one of the
 * others comes first where the live order had it before the patch's next item.
 */
export function ordered(
  listed: readonly unknown[],
  others: readonly unknown[],
  order: readonly unknown[],
  live: readonly unknown[],
  mergeKey: string,
): unknown[] {
  const livePlaces = places(live, mergeKey);
  const right = sorted(listed, places(order, mergeKey), mergeKey);
  const left = sorted(others, livePlaces, mergeKey);
  const result: unknown[] = [];
  let next = 0;
  for (const item of right) {
    const limit = livePlaces.get(identity(item, mergeKey)) ?? -1;
    while (next < left.length) {
      const place = livePlaces.get(identity(left[next], mergeKey));
      if (place === undefined || place >= limit) break;
      result.push(left[next++]);
    }
    result.push(item);
  }
  return [...result, ...left.slice(next)];
}

/**
 * The order that items not named by `$setElementOrder` are kept in. As upstream has it, items that
 * the patch adds count as live in the places that deleted ones leave at the end.
 */
export function liveOrder(
  original: readonly unknown[],
  patch: readonly unknown[],
  mergeKey: string,
): readonly unknown[] {
  const deleted = new Set(patch.filter(isDeleted).map((item) => identity(item, mergeKey)));
  if (deleted.size === 0) return original;
  const kept = original.filter((item) => !deleted.has(identity(item, mergeKey)));
  if (patch.some((item) => isObject(item) && item.$patch === "replace")) return kept;
  const known = places(kept, mergeKey);
  const added = patch.filter((item) => !isDeleted(item) && !known.has(identity(item, mergeKey)));
  return [...kept, ...added].slice(0, original.length);
}

function isDeleted(item: unknown): boolean {
  return isObject(item) && item.$patch === "delete";
}

/** What is wrong when the items of `patch` do not stand in `order` in the same sequence. */
export function sameList(
  patch: readonly unknown[],
  order: readonly unknown[],
  mergeKey: string,
): string | undefined {
  if (patch.length === 0 || order.length === 0) return undefined;
  let at = 0;
  for (const item of patch) {
    if (isDeleted(item) || (isObject(item) && Object.hasOwn(item, "$patch"))) continue;
    const id = identity(item, mergeKey);
    while (at < order.length && identity(order[at], mergeKey) !== id) at++;
    if (at === order.length) {
      return (
        `The order in patch list:\n${JSON.stringify(patch)}\n doesn't match $setElementOrder ` +
        `list:\n${JSON.stringify(order)}\n`
      );
    }
    at++;
  }
  return undefined;
}

export interface ItemMerge {
  merge(original: Json, patch: Json): Json;
  /** A new item as it is kept; undefined drops it. */
  added(item: unknown): unknown;
}

/** Merges two lists that merge: of objects by key, of scalars as a set. */
export function mergeLists(
  original: unknown[],
  patch: unknown[],
  mergeKey: string,
  items: ItemMerge,
): unknown[] {
  if (original.length === 0 && patch.length === 0) return original;
  const all = [...original, ...patch];
  if (all.some(Array.isArray)) throw bad("lists of lists are not supported");
  if (!all.some(isObject)) {
    const merged = [...new Set(all)];
    const { listed, others } = partition(merged, patch, "");
    return ordered(listed, others, patch, original, "");
  }
  if (!all.every(isObject)) throw bad("list element types are not identical");
  if (mergeKey === "") throw bad("cannot merge lists without merge key");
  const { kept, changes } = applyDirectives(original as Json[], patch as Json[], mergeKey);
  const merged = mergeByKey(kept, changes, mergeKey, items);
  const { listed, others } = partition(merged, changes, mergeKey);
  return ordered(listed, others, changes, kept, mergeKey);
}

function applyDirectives(
  original: readonly Json[],
  patch: readonly Json[],
  mergeKey: string,
): { readonly kept: readonly Json[]; readonly changes: readonly Json[] } {
  const changes: Json[] = [];
  let kept = original;
  let replace = false;
  for (const item of patch) {
    const how = item.$patch;
    if (how === undefined) changes.push(item);
    else if (how === "delete") {
      const gone = identity(item, mergeKey);
      kept = kept.filter((old) => identity(old, mergeKey) !== gone);
    } else if (how === "replace") replace = true;
    else if (how === "merge") throw bad("merging lists cannot yet be specified in the patch");
    else throw bad(`unknown patch type: ${String(how)} in map: ${JSON.stringify(item)}`);
  }
  // What replaces is not merged at all: it may hold the same key twice.
  return replace ? { kept: changes, changes: [] } : { kept, changes };
}

function mergeByKey(
  original: readonly Json[],
  changes: readonly Json[],
  mergeKey: string,
  items: ItemMerge,
): unknown[] {
  const merged: Json[] = [...original];
  const known = new Map(places(original, mergeKey));
  for (const change of changes) {
    const id = identity(change, mergeKey);
    const place = known.get(id);
    const old = place === undefined ? undefined : merged[place];
    if (place !== undefined && old !== undefined) {
      merged[place] = items.merge({ ...old }, change);
      continue;
    }
    const added = items.added(change);
    if (added === undefined) continue;
    known.set(id, merged.push(added as Json) - 1);
  }
  return merged;
}
