/** Services and their endpoint slices as what a proxy needs: one row per service port. */
import ipaddr from "ipaddr.js";
import type { Service, ServicePort } from "../../gen/core-v1.ts";
import type { EndpointSlice } from "../../gen/discovery-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { familyOf, type IpFamily } from "../../lib/ip-range.ts";

export interface Target {
  readonly ip: string;
  readonly port: number;
  /** Whether it is on this node: its answers come back through here without masquerading. */
  readonly isLocal: boolean;
}

/** Where traffic of one kind goes; "drop" when only other nodes could serve it. */
export type Targets = readonly Target[] | "drop";

export interface ServicePortRow {
  /** `namespace/name/tcp/port`. */
  readonly id: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly port: number;
  readonly clusterIp: string;
  /** External IPs and those of the load balancer. */
  readonly externalIps: readonly string[];
  /** 0: none. */
  readonly nodePort: number;
  /** Who may use the load balancer's addresses; empty means everybody. */
  readonly sourceRanges: readonly string[];
  readonly loadBalancerIps: readonly string[];
  /** Seconds that a client sticks to its endpoint; 0 is no affinity. */
  readonly affinitySeconds: number;
  /** Traffic to the cluster IP. */
  readonly internal: Targets;
  /** All usable endpoints: for pods and the node itself under a Local external policy. */
  readonly all: readonly Target[];
  /** Where balancers ask whether this node has endpoints; 0: nowhere. */
  readonly healthCheckPort: number;
  /** Ready endpoints on this node. */
  readonly localReady: number;
  /** Traffic from outside; "all" under the Cluster policy: `all`, far ones by masquerading. */
  readonly external: Targets | "all";
}

/** Where this node is: endpoints may be meant for clients near to them. */
export interface NodePlace {
  readonly name: string;
  /** "" when the node does not say. */
  readonly zone: string;
  /** Only this family's addresses count. */
  readonly family: IpFamily;
}

export function servicePortRows(
  services: Iterable<DeepReadonly<Service>>,
  slices: Iterable<DeepReadonly<EndpointSlice>>,
  place: NodePlace,
): readonly ServicePortRow[] {
  const { family } = place;
  const byService = slicesByService(slices, family);
  const rows: ServicePortRow[] = [];
  for (const service of services) {
    const { clusterIP = "", clusterIPs = [clusterIP], type } = service.spec ?? {};
    const clusterIp = clusterIPs.find((ip) => isOf(ip, family));
    if (type === "ExternalName" || clusterIp === undefined) continue;
    const key = `${service.metadata.namespace ?? ""}/${service.metadata.name ?? ""}`;
    for (const port of service.spec?.ports ?? []) {
      const endpoints = candidates(byService.get(key) ?? [], port, place);
      rows.push(rowOf({ service, key, port, clusterIp, endpoints, family }));
    }
  }
  return rows.sort(compareRows);
}

export function compareRows(a: ServicePortRow, b: ServicePortRow): number {
  return a.id < b.id ? -1 : 1;
}

/** Of two lists in the order of their ids one: thousands are not sorted anew for each change. */
export function mergeRows(
  a: readonly ServicePortRow[],
  b: readonly ServicePortRow[],
): readonly ServicePortRow[] {
  const merged: ServicePortRow[] = [];
  let next = 0;
  for (const row of a) {
    for (let other = b[next]; other !== undefined && other.id < row.id; other = b[++next])
      merged.push(other);
    merged.push(row);
  }
  return [...merged, ...b.slice(next)];
}

function slicesByService(
  slices: Iterable<DeepReadonly<EndpointSlice>>,
  family: IpFamily,
): ReadonlyMap<string, DeepReadonly<EndpointSlice>[]> {
  const byService = new Map<string, DeepReadonly<EndpointSlice>[]>();
  for (const slice of slices) {
    const name = slice.metadata.labels?.["kubernetes.io/service-name"];
    if (name === undefined || slice.addressType !== family) continue;
    const key = `${slice.metadata.namespace ?? ""}/${name}`;
    const known = byService.get(key);
    if (known === undefined) byService.set(key, [slice]);
    else known.push(slice);
  }
  return byService;
}

interface RowFacts {
  readonly service: DeepReadonly<Service>;
  readonly key: string;
  readonly port: DeepReadonly<ServicePort>;
  readonly clusterIp: string;
  readonly endpoints: readonly Candidate[];
  readonly family: IpFamily;
}

function rowOf(facts: RowFacts): ServicePortRow {
  const { service, key, port, clusterIp, endpoints: all, family } = facts;
  const spec = service.spec ?? {};
  const protocol = protocolOf(port.protocol);
  const isOurs = (ip: string): boolean => isOf(ip, family);
  const cluster = usable(near(all));
  const local = usable(all.filter(({ isLocal }) => isLocal));
  const onlyLocal = (): Targets => (local.length === 0 && cluster.length > 0 ? "drop" : local);
  const loadBalancerIps = ingressIps(service).filter(isOurs);
  const sticky = spec.sessionAffinity === "ClientIP";
  const facesOut = spec.type === "NodePort" || spec.type === "LoadBalancer";
  return {
    id: `${key}/${protocol}/${port.port}`,
    protocol,
    port: port.port,
    clusterIp,
    externalIps: [...(spec.externalIPs ?? []).filter(isOurs), ...loadBalancerIps],
    nodePort: facesOut ? (port.nodePort ?? 0) : 0,
    sourceRanges:
      spec.type === "LoadBalancer"
        ? (spec.loadBalancerSourceRanges ?? []).map((range) => range.trim()).filter(isOurs)
        : [],
    loadBalancerIps,
    affinitySeconds: sticky ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800) : 0,
    internal: spec.internalTrafficPolicy === "Local" ? onlyLocal() : cluster,
    all: cluster,
    healthCheckPort:
      spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local"
        ? (spec.healthCheckNodePort ?? 0)
        : 0,
    localReady: all.filter(({ isLocal, ready }) => isLocal && ready).length,
    external: spec.externalTrafficPolicy === "Local" ? onlyLocal() : "all",
  };
}

interface Candidate extends Target {
  readonly ready: boolean;
  readonly draining: boolean;
  /** Whether it is meant for clients of this node or zone; undefined when it does not say. */
  readonly forNode: boolean | undefined;
  readonly forZone: boolean | undefined;
}

function candidates(
  slices: readonly DeepReadonly<EndpointSlice>[],
  port: DeepReadonly<ServicePort>,
  place: NodePlace,
): readonly Candidate[] {
  const found = new Map<string, Candidate>();
  for (const slice of slices) {
    for (const slicePort of slice.ports ?? []) {
      const same =
        (slicePort.name ?? "") === (port.name ?? "") &&
        (slicePort.protocol ?? "TCP") === (port.protocol ?? "TCP");
      if (!same || slicePort.port === undefined) continue;
      for (const endpoint of slice.endpoints ?? []) {
        const ip = endpoint.addresses[0];
        if (ip === undefined) continue;
        const { ready, serving, terminating } = endpoint.conditions ?? {};
        const { forNodes, forZones } = endpoint.hints ?? {};
        found.set(`${ip}:${slicePort.port}`, {
          ip,
          port: slicePort.port,
          isLocal: endpoint.nodeName === place.name,
          ready: ready !== false,
          draining: serving !== false && terminating === true,
          forNode: hinted(forNodes, place.name),
          forZone: hinted(forZones, place.zone),
        });
      }
    }
  }
  return [...found.values()];
}

function hinted(
  hints: readonly { readonly name: string }[] | undefined,
  name: string,
): boolean | undefined {
  if (hints === undefined || hints.length === 0) return undefined;
  return hints.some((hint) => hint.name === name);
}

/**
 * Those meant for this node, else for its zone (KEP-2433, KEP-4444). Hints count only while every
 * ready endpoint has them and one is for here: else some client would be left without.
 */
function near(all: readonly Candidate[]): readonly Candidate[] {
  const ready = all.filter((one) => one.ready);
  for (const hint of ["forNode", "forZone"] as const) {
    const isWhole = ready.every((one) => one[hint] !== undefined);
    if (isWhole && ready.some((one) => one[hint])) return all.filter((one) => one[hint]);
  }
  return all;
}

/** Ready endpoints; when there are none, those that end but still serve keep the service up. */
function usable(all: readonly Candidate[]): readonly Target[] {
  const ready = all.filter((one) => one.ready);
  const chosen = ready.length > 0 ? ready : all.filter((one) => one.draining);
  return chosen
    .map(({ ip, port, isLocal }) => ({ ip, port, isLocal }))
    .sort((a, b) => (`${a.ip}:${a.port}` < `${b.ip}:${b.port}` ? -1 : 1));
}

function ingressIps(service: DeepReadonly<Service>): readonly string[] {
  if (service.spec?.type !== "LoadBalancer") return [];
  const ips: string[] = [];
  for (const { ip, ipMode } of service.status?.loadBalancer?.ingress ?? []) {
    // In Proxy mode the balancer's own machine handles the address.
    if (ip !== undefined && ipMode !== "Proxy") ips.push(ip);
  }
  return ips;
}

function protocolOf(protocol: string | undefined): "tcp" | "udp" | "sctp" {
  switch (protocol) {
    case "UDP":
      return "udp";
    case "SCTP":
      return "sctp";
    default:
      return "tcp";
  }
}

/** Whether it is an address or a range of this family; names are of none. */
export function isOf(text: string, family: IpFamily): boolean {
  return (ipaddr.isValid(text) || ipaddr.isValidCIDR(text)) && familyOf(text) === family;
}
