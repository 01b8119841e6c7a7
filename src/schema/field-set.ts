/**
 * Sets of fields, kept as they are written in `managedFields`: a tree of path elements in which a
 * field is a member when it is a leaf or has `.` among its children. All functions leave their
 * arguments alone and may share parts of them with the result.
 */
import { compareElements } from "./path-element.ts";

export interface FieldSet {
  readonly [element: string]: FieldSet;
}

type Building = Record<string, FieldSet>;

/** The mark of a member that has children. */
const self = ".";

/** The set of nothing; below an element, the element alone. */
export const nothing: FieldSet = {};

export function isEmptySet(set: FieldSet): boolean {
  for (const _ in set) return false;
  return true;
}

function isMember(node: FieldSet): boolean {
  return node[self] !== undefined || isEmptySet(node);
}

/** The same node as a member of its set. */
export function asMember(node: FieldSet): FieldSet {
  return isMember(node) ? node : { [self]: nothing, ...node };
}

/** A node of these children; undefined when it would say nothing. */
function nodeOf(member: boolean, children: Building | undefined): FieldSet | undefined {
  if (children === undefined) return member ? nothing : undefined;
  return member ? { [self]: nothing, ...children } : children;
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b || isEmptySet(b)) return a;
  if (isEmptySet(a)) return b;
  const result: Building = { ...a };
  for (const element in b) {
    const mine = a[element];
    const other = b[element] as FieldSet;
    result[element] = mine === undefined ? other : joined(mine, other);
  }
  return result;
}

function joined(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a)) return asMember(b);
  return isEmptySet(b) ? asMember(a) : union(a, b);
}

/** What is left of a node beside another; undefined for nothing. */
type Combine = (mine: FieldSet, other: FieldSet) => FieldSet | undefined;

/** The children of `a` that `b` names too go through `combine`, the others are kept or not. */
function combined(
  a: FieldSet,
  b: FieldSet,
  keepsOthers: boolean,
  combine: Combine,
): Building | undefined {
  let result: Building | undefined;
  for (const element in a) {
    if (element === self) continue;
    const mine = a[element] as FieldSet;
    const other = b[element];
    const left = other === undefined ? (keepsOthers ? mine : undefined) : combine(mine, other);
    if (left === undefined) continue;
    result ??= {};
    result[element] = left;
  }
  return result;
}

/** Members of `a` that are none of `b`. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a) || isEmptySet(b)) return a;
  return combined(a, b, true, without) ?? nothing;
}

function without(a: FieldSet, b: FieldSet): FieldSet | undefined {
  return nodeOf(isMember(a) && !isMember(b), combined(a, b, true, without));
}

/** As `difference`, but a member of `b` takes everything below it along. */
export function recursiveDifference(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a) || isEmptySet(b)) return a;
  return combined(a, b, true, withoutBranch) ?? nothing;
}

function withoutBranch(a: FieldSet, b: FieldSet): FieldSet | undefined {
  if (isMember(b)) return undefined;
  return nodeOf(isMember(a), combined(a, b, true, withoutBranch));
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a) || isEmptySet(b)) return nothing;
  return combined(a, b, false, common) ?? nothing;
}

function common(a: FieldSet, b: FieldSet): FieldSet | undefined {
  return nodeOf(isMember(a) && isMember(b), combined(a, b, false, common));
}

/** The node of an element when it is a member, or has members below it. */
export function below(set: FieldSet, element: string): FieldSet | undefined {
  return set[element];
}

export function hasMember(set: FieldSet, element: string): boolean {
  const node = set[element];
  return node !== undefined && isMember(node);
}

/** True when a path, given by its elements, is a member. */
export function hasPath(set: FieldSet, path: readonly string[]): boolean {
  let node: FieldSet | undefined = set;
  for (const element of path) node = node?.[element];
  return node !== undefined && path.length > 0 && isMember(node);
}

/** The set of one path. */
export function setOf(path: readonly string[]): FieldSet {
  return path.reduceRight<FieldSet>((node, element) => ({ [element]: node }), nothing);
}

/** Elements below a node, without the mark of its own membership. */
export function elementsOf(set: FieldSet): readonly string[] {
  return Object.keys(set).filter((element) => element !== self);
}

/** True when something below the node is a member. */
export function hasChildren(node: FieldSet): boolean {
  for (const element in node) if (element !== self) return true;
  return false;
}

/** Changes the children of a node by `change`; undefined drops one. Membership stays. */
export function mapChildren(
  set: FieldSet,
  change: (element: string, node: FieldSet) => FieldSet | undefined,
): FieldSet {
  let result: Building | undefined;
  for (const element in set) {
    const node = set[element] as FieldSet;
    const next = element === self ? node : change(element, node);
    if (next === node && result === undefined) continue;
    result ??= before(set, element);
    if (next !== undefined) result[element] = next;
  }
  return result ?? set;
}

function before(set: FieldSet, end: string): Building {
  const copy: Building = {};
  for (const element in set) {
    if (element === end) break;
    copy[element] = set[element] as FieldSet;
  }
  return copy;
}

/** The members' paths: those of a level before those below it, each in order. */
export function pathsOf(set: FieldSet, prefix: readonly string[] = []): (readonly string[])[] {
  const elements = elementsOf(set).toSorted(compareElements);
  const own = elements.filter((element) => isMember(set[element] as FieldSet));
  return [
    ...own.map((element) => [...prefix, element]),
    ...elements.flatMap((element) =>
      hasChildren(set[element] as FieldSet)
        ? pathsOf(set[element] as FieldSet, [...prefix, element])
        : [],
    ),
  ];
}

/** The same set with its elements in the order in which they are published. */
export function sortedSet(set: FieldSet): FieldSet {
  const elements = elementsOf(set);
  if (elements.length === 0) return nothing;
  const result: Building = {};
  if (set[self] !== undefined) result[self] = nothing;
  for (const element of elements.toSorted(compareElements)) {
    result[element] = sortedSet(set[element] as FieldSet);
  }
  return result;
}

export function sameSet(a: FieldSet, b: FieldSet): boolean {
  if (a === b) return true;
  let left = 0;
  for (const element in a) {
    const other = b[element];
    if (other === undefined || !sameSet(a[element] as FieldSet, other)) return false;
    left++;
  }
  for (const _ in b) left--;
  return left === 0;
}

/** Builds a set from paths that come one by one. */
export class FieldSetBuilder {
  readonly #root: Building = {};

  /** Puts `node` at the end of a path that is not in the set yet. */
  insert(path: readonly string[], node: FieldSet): void {
    let place = this.#root;
    for (let at = 0; at < path.length - 1; at++) {
      const element = path[at] as string;
      place[element] ??= {};
      place = place[element] as Building;
    }
    const last = path.at(-1);
    if (last !== undefined) place[last] = node;
  }

  get set(): FieldSet {
    return this.#root;
  }
}
