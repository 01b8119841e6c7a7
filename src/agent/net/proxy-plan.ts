/** Service ports of one family as its nftables table: what kube-proxy does, in its manner. */
import type { IpFamily } from "../../lib/ip-range.ts";
import { IndexRanges } from "./index-ranges.ts";
import type { NftChain, NftSet, NftTable } from "./nft.ts";
import { type NftFamily, nameOf, nftFamilies } from "./nft-family.ts";
import { baseChains, fromOutside, type ProxyNode } from "./proxy-base.ts";
import { mergeRows, type ServicePortRow, type Target, type Targets } from "./service-ports.ts";

/** Family and name of the table: the services of each address family have their own. */
export function proxyTable(family: IpFamily): string {
  return `${nftFamilies[family].ip} k3-proxy`;
}

type SetKind = Pick<NftSet, "kind" | "type">;

interface SetKinds {
  /** Those that are there from the start; those of endpoints come as they are needed. */
  readonly standing: Readonly<Record<string, SetKind>>;
  /** Endpoints under their numbers, and the chains of those that clients stick to. */
  readonly targets: SetKind;
  readonly lots: SetKind;
}

function setKinds(address: string): SetKinds {
  const addressMap = `type ${address} . inet_proto . inet_service : verdict`;
  const portMap = "type inet_proto . inet_service : verdict";
  return {
    standing: {
      "service-ips": { kind: "map", type: addressMap },
      "service-node-ports": { kind: "map", type: portMap },
      "refused-ips": { kind: "map", type: addressMap },
      "refused-node-ports": { kind: "map", type: portMap },
      "guarded-ips": { kind: "map", type: addressMap },
      "local-endpoints": { kind: "set", type: `type ${address}` },
      hairpins: { kind: "set", type: `type ${address} . ${address}` },
    },
    targets: { kind: "map", type: `type mark : ${address} . inet_service` },
    lots: { kind: "map", type: "type mark : verdict" },
  };
}

/** What one service port adds to the table. */
interface Fragment {
  readonly chains: readonly (readonly [name: string, chain: NftChain])[];
  readonly dynamicSets: readonly (readonly [name: string, declaration: string])[];
  readonly elements: readonly (readonly [set: string, key: string, value: string])[];
  /** Keys of its ranges of endpoint numbers. */
  readonly ranges: readonly string[];
}

/** Services are kept in so many parts: only a part in which something changed is put together. */
const partCount = 64;

/** What the services of one part add to the table. */
interface Part {
  readonly rows: readonly ServicePortRow[];
  readonly chains: ReadonlyMap<string, NftChain>;
  readonly dynamicSets: ReadonlyMap<string, string>;
  readonly elements: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly ranges: readonly string[];
}

const emptyPart: Part = {
  rows: [],
  chains: new Map(),
  dynamicSets: new Map(),
  elements: new Map(),
  ranges: [],
};
const noElements: ReadonlyMap<string, string> = new Map();

/** Plans the table again and again; what did not change is not worked out anew. */
export class ProxyPlanner {
  readonly #node: ProxyNode;
  readonly #base: ReadonlyMap<string, NftChain>;
  readonly #kinds: SetKinds;
  readonly #numbers = new IndexRanges();
  readonly #fragments = new WeakMap<ServicePortRow, Fragment>();
  #rows: readonly ServicePortRow[] = [];
  #parts: readonly Part[] = Array.from({ length: partCount }, () => emptyPart);

  constructor(node: ProxyNode) {
    this.#node = node;
    this.#base = baseChains(node);
    this.#kinds = setKinds(nftFamilies[node.family].address);
  }

  /** `rows` in the order of their ids, those that did not change the same objects as before. */
  plan(rows: readonly ServicePortRow[]): NftTable {
    const before = this.#parts;
    const touched = touchedParts(this.#rows, rows);
    this.#rows = rows;
    const isAnswered = (row: ServicePortRow): boolean =>
      this.#node.ownServiceIps.includes(row.clusterIp);
    this.#parts = before.map((part, i) => {
      const { gone, come } = touched.get(i) ?? {};
      if (gone === undefined || come === undefined) return part;
      const kept = part.rows.filter((row) => !gone.has(row));
      return this.#partOf(
        mergeRows(
          kept,
          come.filter((row) => !isAnswered(row)),
        ),
      );
    });
    const parts = this.#parts;
    for (const i of touched.keys()) {
      const used = new Set(parts[i]?.ranges);
      for (const key of before[i]?.ranges ?? []) if (!used.has(key)) this.#numbers.giveBack(key);
    }
    const names = new Set(Object.keys(this.#kinds.standing));
    for (const { elements } of parts) for (const name of elements.keys()) names.add(name);
    return {
      chains: [this.#base, ...parts.map(({ chains }) => chains)],
      sets: new Map([...names].map((name) => [name, this.#setOf(name, parts)])),
      dynamicSets: new Map(parts.flatMap(({ dynamicSets }) => [...dynamicSets])),
    };
  }

  #partOf(rows: readonly ServicePortRow[]): Part {
    const chains = new Map<string, NftChain>();
    const dynamicSets = new Map<string, string>();
    const elements = new Map<string, Map<string, string>>();
    const ranges: string[] = [];
    for (const row of rows) {
      const fragment = this.#fragmentOf(row);
      for (const [name, chain] of fragment.chains) chains.set(name, chain);
      for (const [name, declaration] of fragment.dynamicSets) dynamicSets.set(name, declaration);
      for (const [set, key, value] of fragment.elements) {
        const held = elements.get(set);
        if (held === undefined) elements.set(set, new Map([[key, value]]));
        else held.set(key, value);
      }
      ranges.push(...fragment.ranges);
    }
    return { rows, chains, dynamicSets, elements, ranges };
  }

  #setOf(name: string, parts: readonly Part[]): NftSet {
    const { standing, lots, targets } = this.#kinds;
    const known = standing[name] ?? (name.startsWith("lots") ? lots : targets);
    return { ...known, elements: parts.map(({ elements }) => elements.get(name) ?? noElements) };
  }

  #fragmentOf(row: ServicePortRow): Fragment {
    const known = this.#fragments.get(row);
    if (known !== undefined) return known;
    const made = new FragmentBuilder(row, this.#node, this.#numbers).build();
    this.#fragments.set(row, made);
    return made;
  }
}

interface PartChange {
  readonly gone: Set<ServicePortRow>;
  readonly come: ServicePortRow[];
}

/** What differs between two lists in the order of their ids, by part. */
function touchedParts(
  before: readonly ServicePortRow[],
  after: readonly ServicePortRow[],
): ReadonlyMap<number, PartChange> {
  const touched = new Map<number, PartChange>();
  const changeOf = (row: ServicePortRow): PartChange => {
    const part = partOf(row);
    const known = touched.get(part) ?? { gone: new Set(), come: [] };
    touched.set(part, known);
    return known;
  };
  let at = 0;
  for (const row of after) {
    let old = before[at];
    for (; old !== undefined && old.id < row.id; old = before[++at]) changeOf(old).gone.add(old);
    if (old !== undefined && old.id === row.id) at++;
    if (old === row) continue;
    if (old?.id === row.id) changeOf(old).gone.add(old);
    changeOf(row).come.push(row);
  }
  for (const old of before.slice(at)) changeOf(old).gone.add(old);
  return touched;
}

/** Any number will do, if it stays the same. */
function partOf({ id }: ServicePortRow): number {
  let sum = 0;
  for (let i = 0; i < id.length; i++) sum = (sum * 31 + id.charCodeAt(i)) >>> 0;
  return sum % partCount;
}

class FragmentBuilder {
  readonly #chains = new Map<string, NftChain>();
  readonly #dynamicSets = new Map<string, string>();
  readonly #elements: [string, string, string][] = [];
  readonly #ranges: string[] = [];
  readonly #family: NftFamily;

  constructor(
    private readonly row: ServicePortRow,
    private readonly node: ProxyNode,
    private readonly numbers: IndexRanges,
  ) {
    this.#family = nftFamilies[node.family];
  }

  build(): Fragment {
    const { row, node } = this;
    const { ip } = this.#family;
    const lists = [row.internal, row.all, row.external].filter((one) => typeof one !== "string");
    for (const target of distinct(lists.flat())) this.#addEndpoint(target);
    const inside = `service/${row.id}`;
    const ipKey = `${row.clusterIp} . ${row.protocol} . ${row.port}`;
    const { served, verdict } = verdictOf(row.internal, inside);
    const fromElsewhere = `${ip} saddr != ${node.clusterCidr}`;
    if (served) {
      this.#chains.set(inside, {
        rules: [
          `${ip} daddr ${row.clusterIp} ${fromElsewhere} jump mark-for-masquerade`,
          ...this.#balance(row.internal),
        ],
      });
    }
    this.#elements.push([served ? "service-ips" : "refused-ips", ipKey, verdict]);
    if (row.externalIps.length > 0 || row.nodePort > 0) this.#addExternal();
    return {
      chains: [...this.#chains],
      dynamicSets: [...this.#dynamicSets],
      elements: this.#elements,
      ranges: this.#ranges,
    };
  }

  #addEndpoint(target: Target): void {
    const { row } = this;
    this.#elements.push(["hairpins", `${target.ip} . ${target.ip}`, ""]);
    if (target.isLocal) this.#elements.push(["local-endpoints", target.ip, ""]);
    if (row.affinitySeconds === 0) return;
    const set = affinitySet(row, target);
    const timeout = `timeout ${row.affinitySeconds}s`;
    this.#dynamicSets.set(set, `type ${this.#family.address}; flags dynamic,timeout; ${timeout};`);
    this.#chains.set(endpointChain(row, target), {
      rules: [
        `update @${set} { ${this.#family.ip} saddr }`,
        `meta l4proto ${row.protocol} dnat to ${placeOf(target)}`,
      ],
    });
  }

  #addExternal(): void {
    const { row } = this;
    const { id, protocol, port } = row;
    const outside = `external/${id}`;
    const targets = row.external === "all" ? row.all : row.external;
    // Under a Local policy this node's own clients may still go anywhere.
    const wanted = row.external === "drop" && row.all.length > 0 ? row.all : targets;
    const { served, verdict } = verdictOf(wanted, outside);
    if (served) this.#chains.set(outside, { rules: this.#externalRules() });
    const ips = served ? "service-ips" : "refused-ips";
    const ports = served ? "service-node-ports" : "refused-node-ports";
    for (const ip of row.externalIps) {
      this.#elements.push([ips, `${ip} . ${protocol} . ${port}`, verdict]);
    }
    if (row.nodePort > 0) this.#elements.push([ports, `${protocol} . ${row.nodePort}`, verdict]);
    if (row.sourceRanges.length === 0 || row.loadBalancerIps.length === 0) return;
    const guard = `guard/${id}`;
    this.#chains.set(guard, {
      rules: [`${this.#family.ip} saddr { ${row.sourceRanges.join(", ")} } return`, "drop"],
    });
    for (const ip of row.loadBalancerIps) {
      this.#elements.push(["guarded-ips", `${ip} . ${protocol} . ${port}`, `goto ${guard}`]);
    }
  }

  /** What an endpoint on this node answers comes by here anyway: the client's address may stay. */
  #externalRules(): readonly string[] {
    const { row, node } = this;
    const ofNode = "fib saddr type local jump mark-for-masquerade";
    if (row.external === "all") return [ofNode, fromOutside, ...this.#balance(row.all)];
    const anywhere = `anywhere/${row.id}`;
    this.#chains.set(anywhere, { rules: this.#balance(row.all) });
    return [
      `${this.#family.ip} saddr ${node.clusterCidr} goto ${anywhere}`,
      ofNode,
      `fib saddr type local goto ${anywhere}`,
      ...(row.external === "drop" ? ["drop"] : this.#balance(row.external)),
    ];
  }

  /** First the endpoint a client sticks to, then any by lot. */
  #balance(targets: Targets): readonly string[] {
    const { row } = this;
    const { ip } = this.#family;
    if (targets === "drop" || targets.length === 0) return [];
    const isSticky = row.affinitySeconds > 0;
    const sticky = isSticky
      ? targets.map((t) => `${ip} saddr @${affinitySet(row, t)} goto ${endpointChain(row, t)}`)
      : [];
    const [first] = targets;
    if (targets.length === 1 && first !== undefined) {
      return [
        ...sticky,
        isSticky
          ? `goto ${endpointChain(row, first)}`
          : `meta l4proto ${row.protocol} dnat to ${placeOf(first)}`,
      ];
    }
    const range = `${row.id} ${targets === row.all ? "all" : "local"}`;
    this.#ranges.push(range);
    const { base, shard } = this.numbers.of(range, targets.length);
    const map = `${isSticky ? "lots" : "targets"}-${shard}`;
    for (const [lot, target] of targets.entries()) {
      const to = isSticky ? `goto ${endpointChain(row, target)}` : `${target.ip} . ${target.port}`;
      this.#elements.push([map, String(base + lot), to]);
    }
    const lots = `numgen random mod ${targets.length} offset ${base}`;
    return [
      ...sticky,
      isSticky
        ? `${lots} vmap @${map}`
        : `meta l4proto ${row.protocol} dnat to ${lots} map @${map}`,
    ];
  }
}

function verdictOf(targets: Targets, chain: string): { served: boolean; verdict: string } {
  if (targets === "drop") return { served: false, verdict: "drop" };
  if (targets.length === 0) return { served: false, verdict: "goto refuse" };
  return { served: true, verdict: `goto ${chain}` };
}

function endpointChain(row: ServicePortRow, target: Target): string {
  return `endpoint/${row.id}/${nameOf(target.ip)}/${target.port}`;
}

/** The length of the stay is part of the name: a set cannot change it. */
function affinitySet(row: ServicePortRow, target: Target): string {
  return `affinity${row.affinitySeconds}/${row.id}/${nameOf(target.ip)}/${target.port}`;
}

function placeOf({ ip, port }: Target): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function distinct(targets: readonly Target[]): readonly Target[] {
  return [...new Map(targets.map((target) => [`${target.ip}:${target.port}`, target])).values()];
}
