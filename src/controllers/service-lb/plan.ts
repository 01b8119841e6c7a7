/**
 * Which nodes' addresses a Service of type LoadBalancer gets. K3s starts a DaemonSet of packet
 * forwarders per Service; here the service proxy of every node answers at the address itself, so
 * that the choice of nodes, made by K3s's labels and annotations, is all there is to do.
 */
import type { Node, Service, ServicePort, Toleration } from "../../gen/core-v1.ts";
import type { EndpointSlice } from "../../gen/discovery-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { parseBody } from "../../schema/parse.ts";
import { untoleratedTaints } from "../../schema/placement.ts";
import { parseTime } from "../objects.ts";

export type LiveService = DeepReadonly<Service>;
export type LiveNode = DeepReadonly<Node>;
type LiveSlice = DeepReadonly<EndpointSlice>;

const prefix = "svccontroller.k3s.cattle.io";
const enableLabel = `${prefix}/enablelb`;
const poolLabel = `${prefix}/lbpool`;
const tolerationsAnnotation = `${prefix}/tolerations`;

/** What K3s's forwarders tolerate, and what every daemon pod does. */
const usualTolerations: readonly Toleration[] = [
  { key: "node-role.kubernetes.io/control-plane", operator: "Exists", effect: "NoSchedule" },
  { key: "node-role.kubernetes.io/master", operator: "Exists", effect: "NoSchedule" },
  { key: "CriticalAddonsOnly", operator: "Exists" },
  ...["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"].map((name) => ({
    key: `node.kubernetes.io/${name}`,
    operator: "Exists",
    effect: "NoSchedule",
  })),
];

/** A port that another Service holds at an address. */
export interface PortConflict {
  readonly port: number;
  readonly protocol: string;
  readonly nodeName: string;
  /** `namespace/name`. */
  readonly owner: string;
}
export interface LoadBalancerPlan {
  /** Sorted. */
  readonly ips: readonly string[];
  readonly conflicts: readonly PortConflict[];
}

/** Whether this controller serves it: those of another class belong to somebody else. */
export function isServed({ metadata, spec }: LiveService): boolean {
  const { type, loadBalancerClass } = spec ?? {};
  return (
    type === "LoadBalancer" &&
    loadBalancerClass === undefined &&
    metadata.deletionTimestamp === undefined
  );
}

/** The plan of each served Service by its key: who came first keeps a port that two want. */
export function planLoadBalancers(
  services: readonly LiveService[],
  nodes: readonly LiveNode[],
  slicesOf: (service: LiveService) => Iterable<LiveSlice>,
): ReadonlyMap<string, LoadBalancerPlan> {
  const owners = new Map<string, string>();
  const plans = new Map<string, LoadBalancerPlan>();
  for (const service of services.filter(isServed).sort(byAge)) {
    const key = `${service.metadata.namespace}/${service.metadata.name}`;
    const conflicts: PortConflict[] = [];
    const chosen = nodesFor(service, nodes, slicesOf(service)).filter((node) => {
      const nodeName = node.metadata.name ?? "";
      const taken = (service.spec?.ports ?? []).flatMap((port): PortConflict[] => {
        const owner = owners.get(placeOf(nodeName, port));
        const { protocol = "TCP" } = port;
        return owner === undefined ? [] : [{ port: port.port, protocol, nodeName, owner }];
      });
      conflicts.push(...taken);
      if (taken.length > 0) return false;
      for (const port of service.spec?.ports ?? []) owners.set(placeOf(nodeName, port), key);
      return true;
    });
    plans.set(key, { ips: addressesOf(chosen, service), conflicts });
  }
  return plans;
}

function placeOf(nodeName: string, { port, protocol = "TCP" }: DeepReadonly<ServicePort>): string {
  return `${nodeName} ${port}/${protocol}`;
}

function byAge(a: LiveService, b: LiveService): number {
  const age = parseTime(a.metadata.creationTimestamp) - parseTime(b.metadata.creationTimestamp);
  return age !== 0 ? age : (a.metadata.uid ?? "") < (b.metadata.uid ?? "") ? -1 : 1;
}

function nodesFor(
  service: LiveService,
  nodes: readonly LiveNode[],
  slices: Iterable<LiveSlice>,
): readonly LiveNode[] {
  const optIn = nodes.some(({ metadata }) => metadata.labels?.[enableLabel] !== undefined);
  const pool = service.metadata.labels?.[poolLabel];
  const tolerations = [...usualTolerations, ...tolerationsOf(service)];
  const local =
    service.spec?.externalTrafficPolicy === "Local" ? nodesWithEndpoints(slices) : undefined;
  return nodes.filter((node) => {
    const { name = "", labels = {} } = node.metadata;
    if (optIn && labels[enableLabel] !== "true") return false;
    if (pool !== undefined && labels[poolLabel] !== pool) return false;
    if (local !== undefined && !local.has(name)) return false;
    return isReady(node) && untoleratedTaints({ spec: { tolerations } }, node).length === 0;
  });
}

/** The annotation's tolerations; K3s ignores what it cannot read, and so does this. */
function tolerationsOf(service: LiveService): readonly Toleration[] {
  const text = service.metadata.annotations?.[tolerationsAnnotation];
  if (text === undefined) return [];
  try {
    const { value } = parseBody(new TextEncoder().encode(text), "application/yaml");
    return Array.isArray(value) ? (value as Toleration[]) : [];
  } catch {
    return [];
  }
}

function nodesWithEndpoints(slices: Iterable<LiveSlice>): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { endpoints } of slices) {
    for (const { nodeName, conditions } of endpoints ?? []) {
      if (nodeName !== undefined && conditions?.ready !== false) names.add(nodeName);
    }
  }
  return names;
}

function isReady({ status }: LiveNode): boolean {
  return (status?.conditions ?? []).some(
    ({ type, status: state }) => type === "Ready" && state === "True",
  );
}

/** External addresses when any of the nodes has one, else internal; of the Service's families. */
function addressesOf(nodes: readonly LiveNode[], service: LiveService): readonly string[] {
  const families = service.spec?.ipFamilies ?? ["IPv4"];
  const found = (type: string): string[] =>
    nodes
      .flatMap(({ status }) => status?.addresses ?? [])
      .filter((address) => address.type === type)
      .map(({ address }) => address)
      .filter((ip) => families.includes(ip.includes(":") ? "IPv6" : "IPv4"));
  const external = found("ExternalIP");
  return [...new Set(external.length > 0 ? external : found("InternalIP"))].sort();
}
