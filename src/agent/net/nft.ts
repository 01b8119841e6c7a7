/** A table of nftables as data, and the script that turns one state of it into another. */

export interface NftChain {
  /** For base chains: `type nat hook output priority -100`. */
  readonly hook?: string;
  readonly rules: readonly string[];
}
export interface NftMap {
  /** For example `type ipv4_addr . inet_proto . inet_service : verdict`. */
  readonly type: string;
  readonly elements: ReadonlyMap<string, string>;
}
export interface NftTable {
  readonly chains: ReadonlyMap<string, NftChain>;
  readonly maps: ReadonlyMap<string, NftMap>;
  /** Sets that only rules fill, by their declaration; their elements outlive an update. */
  readonly dynamicSets: ReadonlyMap<string, string>;
}

export const emptyTable: NftTable = {
  chains: new Map(),
  maps: new Map(),
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
  const setChanged = (set: string): boolean =>
    before.dynamicSets.get(set) !== after.dynamicSets.get(set);
  for (const [set, declaration] of after.dynamicSets) {
    if (!before.dynamicSets.has(set)) lines.push(`add set ${name} ${set} { ${declaration} }`);
  }
  for (const [map, { type }] of after.maps) {
    if (!before.maps.has(map)) lines.push(`add map ${name} ${map} { ${type}; }`);
  }
  const filled: [string, NftChain][] = [];
  for (const [chain, wanted] of after.chains) {
    const known = before.chains.get(chain);
    if (known !== undefined && sameChain(known, wanted)) continue;
    if (known !== undefined) lines.push(`flush chain ${name} ${chain}`);
    else lines.push(`add chain ${name} ${chain}${wanted.hook ? ` { ${wanted.hook}; }` : ""}`);
    filled.push([chain, wanted]);
  }
  for (const [chain, { rules }] of filled) {
    for (const rule of rules) lines.push(`add rule ${name} ${chain} ${rule}`);
  }
  lines.push(...elementChanges(name, before, after));
  for (const chain of before.chains.keys()) {
    // A chain may be named by another one that goes too: empty all before deleting any.
    if (!after.chains.has(chain)) lines.push(`flush chain ${name} ${chain}`);
  }
  for (const chain of before.chains.keys()) {
    if (!after.chains.has(chain)) lines.push(`delete chain ${name} ${chain}`);
  }
  for (const set of before.dynamicSets.keys()) {
    if (setChanged(set) && !after.dynamicSets.has(set)) lines.push(`delete set ${name} ${set}`);
  }
  return lines;
}

function elementChanges(name: string, before: NftTable, after: NftTable): readonly string[] {
  const lines: string[] = [];
  for (const [map, { elements }] of after.maps) {
    const known = before.maps.get(map)?.elements ?? new Map<string, string>();
    for (const [key, verdict] of known) {
      if (elements.get(key) !== verdict) {
        lines.push(`delete element ${name} ${map} { ${key} : ${verdict} }`);
      }
    }
    for (const [key, verdict] of elements) {
      if (known.get(key) !== verdict) {
        lines.push(`add element ${name} ${map} { ${key} : ${verdict} }`);
      }
    }
  }
  return lines;
}

function sameChain(a: NftChain, b: NftChain): boolean {
  return a.hook === b.hook && a.rules.join("\n") === b.rules.join("\n");
}
