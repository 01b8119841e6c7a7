/** A table of nftables as data, and the script that turns one state of it into another. */
import { type Layers, lookUp, touchedKeys } from "./layers.ts";

export interface NftChain {
  /** For base chains: `type nat hook output priority -100`. */
  readonly hook?: string;
  readonly rules: readonly string[];
}
/** A map from keys to verdicts or, with `kind: "set"`, the keys alone. */
export interface NftSet {
  readonly kind: "map" | "set";
  /** For example `type ipv4_addr . inet_proto . inet_service : verdict; flags interval`. */
  readonly type: string;
  /** The verdict by its key; "" in a set. */
  readonly elements: Layers<string>;
}
export interface NftTable {
  readonly chains: Layers<NftChain>;
  readonly sets: ReadonlyMap<string, NftSet>;
  /** Sets that only rules fill, by their declaration; their elements outlive an update. */
  readonly dynamicSets: ReadonlyMap<string, string>;
}

export const emptyTable: NftTable = {
  chains: [],
  sets: new Map(),
  dynamicSets: new Map(),
};

/** Forgets what stands in the kernel under this name, and builds `table`. */
export function replaceScript(name: string, table: NftTable): string {
  // "add" before "delete": deleting what is absent would fail the whole script.
  const head = [`add table ${name}`, `delete table ${name}`, `add table ${name}`];
  return [...head, ...changes(name, emptyTable, table), ""].join("\n");
}

/** From `before` to `after` in one transaction; "" when they are the same. */
export function updateScript(name: string, before: NftTable, after: NftTable): string {
  const lines = changes(name, before, after);
  return lines.length === 0 ? "" : [...lines, ""].join("\n");
}

/** What is referred to must exist before, and must lose its last reference before it goes. */
function changes(name: string, before: NftTable, after: NftTable): readonly string[] {
  const lines: string[] = [];
  for (const [set, declaration] of after.dynamicSets) {
    if (!before.dynamicSets.has(set)) lines.push(`add set ${name} ${set} { ${declaration} }`);
  }
  for (const [set, { kind, type }] of after.sets) {
    if (!before.sets.has(set)) lines.push(`add ${kind} ${name} ${set} { ${type}; }`);
  }
  const filled: [string, NftChain][] = [];
  const goneChains: string[] = [];
  for (const chain of touchedKeys(before.chains, after.chains)) {
    const known = lookUp(before.chains, chain);
    const wanted = lookUp(after.chains, chain);
    if (wanted === undefined) {
      if (known !== undefined) goneChains.push(chain);
      continue;
    }
    if (known !== undefined && sameChain(known, wanted)) continue;
    if (known !== undefined) lines.push(`flush chain ${name} ${chain}`);
    else lines.push(`add chain ${name} ${chain}${wanted.hook ? ` { ${wanted.hook}; }` : ""}`);
    filled.push([chain, wanted]);
  }
  for (const [chain, { rules }] of filled) {
    for (const rule of rules) lines.push(`add rule ${name} ${chain} ${rule}`);
  }
  for (const [set, { elements }] of after.sets) {
    lines.push(...elementChanges(`${name} ${set}`, before.sets.get(set)?.elements, elements));
  }
  // A chain may be named by another one that goes too: empty all before deleting any.
  for (const chain of goneChains) lines.push(`flush chain ${name} ${chain}`);
  // A map that goes still holds verdicts that name chains.
  for (const [set, { kind }] of before.sets) {
    if (!after.sets.has(set)) lines.push(`delete ${kind} ${name} ${set}`);
  }
  for (const chain of goneChains) lines.push(`delete chain ${name} ${chain}`);
  for (const set of before.dynamicSets.keys()) {
    if (!after.dynamicSets.has(set)) lines.push(`delete set ${name} ${set}`);
  }
  return lines;
}

function elementChanges(
  set: string,
  before: Layers<string> = [],
  after: Layers<string>,
): readonly string[] {
  const gone: string[] = [];
  const come: string[] = [];
  const told = (key: string, verdict: string): string =>
    verdict === "" ? key : `${key} : ${verdict}`;
  for (const key of touchedKeys(before, after)) {
    const was = lookUp(before, key);
    const is = lookUp(after, key);
    if (was === is) continue;
    if (was !== undefined) gone.push(told(key, was));
    if (is !== undefined) come.push(told(key, is));
  }
  return [
    ...(gone.length === 0 ? [] : [`delete element ${set} { ${gone.join(", ")} }`]),
    ...(come.length === 0 ? [] : [`add element ${set} { ${come.join(", ")} }`]),
  ];
}

function sameChain(a: NftChain, b: NftChain): boolean {
  return a === b || (a.hook === b.hook && a.rules.join("\n") === b.rules.join("\n"));
}
