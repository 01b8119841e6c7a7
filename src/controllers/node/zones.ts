/**
 * How fast pods may be driven off unhealthy nodes: slower where much of a zone is down, not at
 * all when every zone is, as then it is more likely we who cannot see the nodes.
 */
import type { LiveNode } from "./taints.ts";

type ZoneState = "normal" | "partial" | "full";

const tainted = { perSecond: 0.1, perSecondInLargeZones: 0.01, largeZoneNodes: 50 } as const;
const unhealthyShare = 0.55;
const excludedLabel = "node.kubernetes.io/exclude-disruption";

export function zoneOf({ metadata: { labels = {} } }: LiveNode): string {
  const region = labels["topology.kubernetes.io/region"] ?? "";
  const zone = labels["topology.kubernetes.io/zone"] ?? "";
  return `${region}:${zone}`;
}

function isReady({ status }: LiveNode): boolean {
  return status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;
}

export function zoneState(nodes: readonly LiveNode[]): ZoneState {
  const down = nodes.filter((node) => !isReady(node)).length;
  if (down > 0 && down === nodes.length) return "full";
  return down > 2 && down / nodes.length >= unhealthyShare ? "partial" : "normal";
}

interface Zone {
  readonly size: number;
  readonly state: ZoneState;
}

/** Pure: the zones of a cluster by their names. */
export function zonesOf(nodes: Iterable<LiveNode>): ReadonlyMap<string, Zone> {
  const byZone = new Map<string, LiveNode[]>();
  for (const node of nodes) {
    if (node.metadata.labels?.[excludedLabel] !== undefined) continue;
    const zone = zoneOf(node);
    const members = byZone.get(zone);
    if (members === undefined) byZone.set(zone, [node]);
    else members.push(node);
  }
  return new Map(
    [...byZone].map(([zone, members]) => [
      zone,
      { size: members.length, state: zoneState(members) },
    ]),
  );
}

/** Nodes of the zone that may begin to evict, by the second. */
export function evictionsPerSecond(zone: Zone): number {
  if (zone.state !== "partial") return tainted.perSecond;
  return zone.size > tainted.largeZoneNodes ? tainted.perSecondInLargeZones : 0;
}

/** What nodes may do about NoExecute taints of their own condition. */
export type Permission = "add" | "wait" | "remove";

/** Hands out permissions to evict, each zone at its own pace. */
export class ZonePace {
  readonly #lastMs = new Map<string, number>();

  ask(node: LiveNode, all: Iterable<LiveNode>, nowMs: number): Permission {
    const zones = zonesOf(all);
    if (zones.size > 0 && [...zones.values()].every(({ state }) => state === "full")) {
      return "remove";
    }
    const name = zoneOf(node);
    const zone = zones.get(name);
    if (zone === undefined) return "wait";
    const perSecond = evictionsPerSecond(zone);
    const lastMs = this.#lastMs.get(name) ?? Number.NEGATIVE_INFINITY;
    if (perSecond === 0 || nowMs - lastMs < 1000 / perSecond) return "wait";
    this.#lastMs.set(name, nowMs);
    return "add";
  }
}
