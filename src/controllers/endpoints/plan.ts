/** What the EndpointSlices and the Endpoints of a Service must say. Pure. */
import type { EndpointAddress, EndpointSubset, Service } from "../../gen/core-v1.ts";
import type { Endpoint, EndpointPort } from "../../gen/discovery-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { canonicalJson, controllerReference, isDeleting } from "../objects.ts";
import { isPodReady, isPodTerminal, type LivePod } from "../pod-state.ts";
import { fillSlices, type LiveSlice, type PortGroup, type SlicePlan } from "./slices.ts";

export type LiveService = DeepReadonly<Service>;
export type ZoneOf = (nodeName: string) => string | undefined;

export const serviceNameLabel = "kubernetes.io/service-name";
export const managedByLabel = "endpointslice.kubernetes.io/managed-by";
export const managedBy = "endpointslice-controller.k8s.io";
const headlessLabel = "service.kubernetes.io/headless";
const endpointsManagedByLabel = "endpoints.kubernetes.io/managed-by";
const ownLabels: ReadonlySet<string> = new Set([
  serviceNameLabel,
  managedByLabel,
  headlessLabel,
  endpointsManagedByLabel,
]);

/** The slices that the Service and its pods need. */
export function planSlices(
  service: LiveService,
  pods: readonly LivePod[],
  present: readonly LiveSlice[],
  zoneOf: ZoneOf,
): SlicePlan {
  const owner = { ...service, apiVersion: "v1", kind: "Service" };
  const shape = {
    namespace: service.metadata.namespace ?? "",
    generateName: `${service.metadata.name}-`,
    labels: sliceLabels(service),
    ownerReferences: [controllerReference(owner)],
  };
  return fillSlices(shape, portGroups(service, pods, zoneOf), present);
}

function labelsFor(service: LiveService): Record<string, string> {
  const inherited = Object.entries(service.metadata.labels ?? {}).filter(
    ([key]) => !ownLabels.has(key),
  );
  return {
    ...Object.fromEntries(inherited),
    ...(service.spec.clusterIP === "None" ? { [headlessLabel]: "" } : {}),
  };
}

function sliceLabels(service: LiveService): Record<string, string> {
  return {
    ...labelsFor(service),
    [serviceNameLabel]: service.metadata.name ?? "",
    [managedByLabel]: managedBy,
  };
}

function portGroups(service: LiveService, pods: readonly LivePod[], zoneOf: ZoneOf): PortGroup[] {
  const groups: PortGroup[] = [];
  for (const addressType of service.spec.ipFamilies ?? ["IPv4"]) {
    const byPorts = new Map<string, { ports: EndpointPort[]; endpoints: Endpoint[] }>();
    for (const pod of pods) {
      const addresses = addressesOf(pod, addressType);
      if (addresses.length === 0 || isPodTerminal(pod)) continue;
      const ports = resolvePorts(service, pod);
      const key = canonicalJson(ports);
      const group = byPorts.get(key) ?? { ports, endpoints: [] };
      group.endpoints.push(endpointOf(service, pod, addresses, zoneOf));
      byPorts.set(key, group);
    }
    // Without endpoints one empty slice stays, so that consumers know the Service has none.
    if (byPorts.size === 0) byPorts.set("", { ports: [], endpoints: [] });
    for (const group of byPorts.values()) groups.push({ addressType, ...group });
  }
  return groups;
}

function addressesOf(pod: LivePod, addressType: string): string[] {
  const ips = (pod.status?.podIPs ?? []).map(({ ip }) => ip ?? "");
  const all = ips.length > 0 ? ips : [pod.status?.podIP ?? ""];
  return all.filter((ip) => ip !== "" && ip.includes(":") === (addressType === "IPv6")).slice(0, 1);
}

function endpointOf(
  service: LiveService,
  pod: LivePod,
  addresses: string[],
  zoneOf: ZoneOf,
): Endpoint {
  const serving = isPodReady(pod);
  const terminating = isDeleting(pod);
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const nodeName = pod.spec.nodeName ?? "";
  const zone = nodeName === "" ? undefined : zoneOf(nodeName);
  const hostname = hostnameOf(service, pod);
  return {
    addresses,
    conditions: { ready, serving, terminating },
    ...(hostname === undefined ? {} : { hostname }),
    targetRef: targetOf(pod),
    ...(nodeName === "" ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    ...(ready ? hintsOf(service, nodeName, zone) : {}),
  };
}

/** For whom the endpoint is near, when the Service prefers near ones. */
function hintsOf(
  service: LiveService,
  nodeName: string,
  zone: string | undefined,
): { hints?: NonNullable<Endpoint["hints"]> } {
  const wanted = service.spec.trafficDistribution;
  const isPreferred = ["PreferClose", "PreferSameZone", "PreferSameNode"].includes(wanted ?? "");
  if (!isPreferred) return {};
  const forZones = zone === undefined ? {} : { forZones: [{ name: zone }] };
  const isByNode = wanted === "PreferSameNode" && nodeName !== "";
  const hints = { ...forZones, ...(isByNode ? { forNodes: [{ name: nodeName }] } : {}) };
  return Object.keys(hints).length === 0 ? {} : { hints };
}

function targetOf(pod: LivePod) {
  const { namespace = "", name = "", uid = "" } = pod.metadata;
  return { kind: "Pod", namespace, name, uid };
}

/** A pod has a name of its own only below the Service that its subdomain names. */
function hostnameOf(service: LiveService, pod: LivePod): string | undefined {
  const { hostname = "", subdomain } = pod.spec;
  return hostname !== "" && subdomain === service.metadata.name ? hostname : undefined;
}

/** Named target ports that the pod does not have are left out. */
function resolvePorts(service: LiveService, pod: LivePod): EndpointPort[] {
  const resolved: EndpointPort[] = [];
  for (const { name = "", protocol = "TCP", port, targetPort, appProtocol } of service.spec.ports ??
    []) {
    const number = portNumber(pod, targetPort ?? port, protocol, port);
    if (number === undefined) continue;
    resolved.push({
      name,
      protocol,
      port: number,
      ...(appProtocol === undefined ? {} : { appProtocol }),
    });
  }
  return resolved;
}

function portNumber(
  pod: LivePod,
  target: number | string,
  protocol: string,
  fallback: number,
): number | undefined {
  if (typeof target === "number") return target === 0 ? fallback : target;
  const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always");
  for (const container of [...pod.spec.containers, ...sidecars]) {
    for (const port of container.ports ?? []) {
      if (port.name === target && (port.protocol ?? "TCP") === protocol) return port.containerPort;
    }
  }
  return undefined;
}

/** Labels and subsets of the Endpoints object. */
export function planEndpoints(
  service: LiveService,
  pods: readonly LivePod[],
): { readonly labels: Record<string, string>; readonly subsets: EndpointSubset[] } {
  const family = service.spec.ipFamilies?.[0] ?? "IPv4";
  const groups = new Map<
    string,
    { ports: EndpointPort[]; ready: EndpointAddress[]; notReady: EndpointAddress[] }
  >();
  const publishAll = service.spec.publishNotReadyAddresses === true;
  for (const pod of pods) {
    const [ip] = addressesOf(pod, family);
    if (ip === undefined || isPodTerminal(pod) || (isDeleting(pod) && !publishAll)) continue;
    const ports = resolvePorts(service, pod);
    if (ports.length === 0 && (service.spec.ports ?? []).length > 0) continue;
    const key = canonicalJson(ports);
    const group = groups.get(key) ?? { ports, ready: [], notReady: [] };
    groups.set(key, group);
    const hostname = hostnameOf(service, pod);
    const address: EndpointAddress = {
      ip,
      ...(hostname === undefined ? {} : { hostname }),
      ...(pod.spec.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
      targetRef: targetOf(pod),
    };
    (publishAll || isPodReady(pod) ? group.ready : group.notReady).push(address);
  }
  const byIp = (a: EndpointAddress, b: EndpointAddress) => (a.ip < b.ip ? -1 : 1);
  const subsets = [...groups.values()].map(({ ports, ready, notReady }) => ({
    ...(ready.length === 0 ? {} : { addresses: ready.sort(byIp) }),
    ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady.sort(byIp) }),
    ...(ports.length === 0
      ? {}
      : {
          ports: ports.map(({ name = "", port = 0, ...more }) => ({
            ...(name === "" ? {} : { name }),
            port,
            ...more,
          })),
        }),
  }));
  const labels = { ...labelsFor(service), [endpointsManagedByLabel]: "endpoint-controller" };
  return { labels, subsets };
}
