/** Strategic merge patch: a merge patch that knows how the lists and maps of a type merge. */
import { ApiError } from "../lib/api-error.ts";
import { setOwn } from "./copy.ts";
import {
  isObject,
  type Json,
  liveOrder,
  mergeLists,
  ordered,
  partition,
  sameList,
} from "./merge-list.ts";
import type { FieldType, TypeName } from "./type-table.ts";
import { fieldsOf, messageOf } from "./types.ts";

/** The field of a type under a JSON name; tests bring their own. */
export type FieldLookup = (type: TypeName, name: string) => FieldType | undefined;

const directive = "$patch";
const retainKeys = "$retainKeys";
const deletePrefix = "$deleteFromPrimitiveList/";
const orderPrefix = "$setElementOrder/";

const badRetainKeys = "invalid patch format of retainKeys";
const badOrderList = "invalid patch format of setElementOrder list";
const badDeleteList = "invalid patch format of primitive list";

function tableField(type: TypeName, name: string): FieldType | undefined {
  return fieldsOf(type).get(name);
}

function bad(message: string): ApiError {
  return new ApiError("BadRequest", message);
}

/** How one member merges. */
interface Rule {
  readonly strategy: "merge" | "replace" | "";
  readonly mergeKey: string;
  /** The type of the member, or of its elements. */
  readonly type: TypeName | undefined;
}

const noRule: Rule = { strategy: "", mergeKey: "", type: undefined };

class Merge {
  readonly #lookup: FieldLookup;
  constructor(lookup: FieldLookup) {
    this.#lookup = lookup;
  }

  #rule(type: TypeName | undefined, name: string): Rule {
    const field = type === undefined ? undefined : this.#lookup(type, name);
    if (field === undefined) return noRule;
    const strategies = (field.patchStrategy ?? "").split(",");
    const strategy = strategies.find((part) => part === "merge" || part === "replace") ?? "";
    // The members of a map are values of its element type, whatever their name.
    const inMap = field.shape === "map";
    return {
      strategy: strategy as Rule["strategy"],
      mergeKey: field.patchMergeKey ?? "",
      type: inMap || !("message" in field.of) ? undefined : objectType(field.of.message),
    };
  }

  /** Merges `patch` into `original`; both may be changed. */
  objects(original: Json, patch: Json, type: TypeName | undefined): Json {
    if (Object.hasOwn(patch, directive)) return replaced(patch);
    retain(original, patch);
    this.#orderedLists(original, patch, type);
    for (const [name, value] of Object.entries(patch)) {
      if (name.startsWith(deletePrefix)) {
        this.#deleteFromList(original, name.slice(deletePrefix.length), value);
      } else this.#member(original, name, value, this.#rule(type, name));
    }
    return original;
  }

  #member(original: Json, name: string, value: unknown, rule: Rule): void {
    if (value === null) {
      delete original[name];
      return;
    }
    const current = Object.hasOwn(original, name) ? original[name] : undefined;
    const merges = rule.strategy !== "replace";
    if (isObject(current) && isObject(value)) {
      setOwn(original, name, merges ? this.objects(current, value, rule.type) : value);
    } else if (Array.isArray(current) && Array.isArray(value)) {
      setOwn(original, name, this.#lists(current, value, rule));
    } else takeOver(original, name, value);
  }

  #lists(original: unknown[], patch: unknown[], rule: Rule): unknown[] {
    if (rule.strategy !== "merge") return patch;
    return mergeLists(original, patch, rule.mergeKey, {
      merge: (left, right) => this.objects(left, right, rule.type),
      added: (value) => withoutDirectives(value),
    });
  }

  #deleteFromList(original: Json, name: string, value: unknown): void {
    if (name === "" || !Array.isArray(value)) throw bad(badDeleteList);
    const current = original[name];
    if (!Array.isArray(current)) return;
    const gone = new Set<unknown>(value);
    original[name] = current.filter((item) => !gone.has(item));
  }

  /** Merges the lists that come with a `$setElementOrder` list and puts them in that order. */
  #orderedLists(original: Json, patch: Json, type: TypeName | undefined): void {
    for (const key of Object.keys(patch)) {
      if (!key.startsWith(orderPrefix)) continue;
      const order = patch[key];
      delete patch[key];
      const name = key.slice(orderPrefix.length);
      if (name === "" || !Array.isArray(order)) throw bad(badOrderList);
      const rule = this.#rule(type, name);
      const merged = this.#listBeforeOrder(original, patch, name, order, rule);
      if (merged === undefined) continue;
      const before = Array.isArray(original[name]) ? original[name] : [];
      const change = Array.isArray(patch[name]) ? patch[name] : [];
      const live = liveOrder(before, change, rule.mergeKey);
      const { listed, others } = partition(merged, order, rule.mergeKey);
      setOwn(original, name, ordered(listed, others, order, live, rule.mergeKey));
      delete patch[name];
    }
  }

  #listBeforeOrder(
    original: Json,
    patch: Json,
    name: string,
    order: readonly unknown[],
    rule: Rule,
  ): unknown[] | undefined {
    const current = original[name];
    const change = patch[name];
    if (current !== undefined && !Array.isArray(current)) throw bad(wrongList(current));
    if (change !== undefined && !Array.isArray(change)) throw bad(wrongList(change));
    if (change === undefined) return current;
    const problem = sameList(change, order, rule.mergeKey);
    if (problem !== undefined) throw bad(problem);
    if (current === undefined) return withoutDirectives(change) as unknown[];
    return this.#lists([...current], change, rule);
  }
}

function wrongList(value: unknown): string {
  const received =
    value === null ? "<nil>" : isObject(value) ? "map[string]interface {}" : typeof value;
  return `expected a []interface {}, but received a ${received}`;
}

/** The type whose fields stand in the JSON object; schemas hide behind a choice. */
function objectType(type: TypeName): TypeName | undefined {
  if (!type.startsWith("io.k8s.apiextensions")) return type;
  const message = messageOf(type);
  if (message.json === undefined) return type;
  const schema = message.fields.find((field) => field.name === "schema");
  return schema && "message" in schema.of ? schema.of.message : undefined;
}

/** What a map with `$patch` becomes. */
function replaced(patch: Json): Json {
  const how = patch[directive];
  if (how === "delete") return {};
  if (how !== "replace")
    throw bad(`unknown patch type: ${String(how)} in map: ${JSON.stringify(patch)}`);
  delete patch[directive];
  return patch;
}

/** `$retainKeys`: members of the original that it does not name go. */
function retain(original: Json, patch: Json): void {
  if (!Object.hasOwn(patch, retainKeys)) return;
  const list = patch[retainKeys];
  delete patch[retainKeys];
  if (!Array.isArray(list)) throw bad(badRetainKeys);
  const kept = new Set<unknown>(list);
  for (const [name, value] of Object.entries(patch)) {
    const free = value === null || name.startsWith(deletePrefix) || name.startsWith(orderPrefix);
    if (!free && !kept.has(name)) throw bad(badRetainKeys);
  }
  for (const name of Object.keys(original)) if (!kept.has(name)) delete original[name];
}

/** Takes a value that has nothing to merge with. */
function takeOver(original: Json, name: string, value: unknown): void {
  const clean = withoutDirectives(value);
  if (clean === undefined) delete original[name];
  else setOwn(original, name, clean);
}

/**
 * The value without nulls; undefined when it is itself to be replaced or deleted. Directives about
 * its members have nothing to work on and stay: they are members that its type does not know.
 */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(withoutDirectives).filter((item) => item !== undefined);
  }
  if (!isObject(value)) return value;
  if (Object.hasOwn(value, directive)) return undefined;
  for (const [name, inner] of Object.entries(value)) {
    const clean = inner === null ? undefined : withoutDirectives(inner);
    if (clean === undefined) delete value[name];
    else if (clean !== inner) setOwn(value, name, clean);
  }
  return value;
}

/**
 * Merges `patch` into `original`, an object of `type`, as Kubernetes does. Both are changed: give
 * copies. Throws ApiError BadRequest for a patch that cannot be merged.
 */
export function strategicMergePatch(
  type: TypeName,
  original: unknown,
  patch: unknown,
  lookup: FieldLookup = tableField,
): unknown {
  if (!isObject(original) || !isObject(patch)) throw bad("invalid JSON document");
  return new Merge(lookup).objects(original, patch, type);
}
