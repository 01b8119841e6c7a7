/** Services. */
import type { ResourceDefinition, WriteContext } from "../../api/resource-definition.ts";
import { services } from "../../client/resources.ts";
import type { Service } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors } from "../../lib/names.ts";
import { formatSelector, selectorOfMap } from "../../lib/selector.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { validateBalancerStatus } from "../condition-validation.ts";
import type { NodeConnector } from "../node-connector.ts";
import { column, define, wide } from "../row.ts";
import { familyOf, isAddress } from "./address-allocator.ts";
import { proxy } from "./proxy.ts";
import { ServiceAllocator, type ServiceNetwork } from "./service-allocation.ts";
import { validateService } from "./service-validation.ts";

type ReadService = DeepReadonly<Service>;

function externalIps(service: ReadService): string {
  const asked = service.spec.externalIPs ?? [];
  switch (service.spec.type) {
    case "ExternalName":
      return service.spec.externalName ?? "";
    case "LoadBalancer": {
      const given = (service.status?.loadBalancer?.ingress ?? []).map(
        (one) => one.ip || one.hostname || "",
      );
      const own = [...new Set(given.filter(Boolean))].sort();
      return [...own, ...asked].join(",") || "<pending>";
    }
    default:
      return asked.join(",") || "<none>";
  }
}

function portsCell(service: ReadService): string {
  const cells = (service.spec.ports ?? []).map((port) =>
    port.nodePort
      ? `${port.port}:${port.nodePort}/${port.protocol}`
      : `${port.port}/${port.protocol}`,
  );
  return cells.join(",") || "<none>";
}

function defaults({ spec, status }: Service): void {
  spec.sessionAffinity ||= "None";
  if (spec.sessionAffinity === "None") delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === "ClientIP") {
    spec.sessionAffinityConfig ??= {};
    spec.sessionAffinityConfig.clientIP ??= {};
    spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= 10800;
  }
  spec.type ||= "ClusterIP";
  for (const port of spec.ports ?? []) {
    port.protocol ||= "TCP";
    if (port.targetPort === undefined || port.targetPort === "" || port.targetPort === 0)
      port.targetPort = port.port;
  }
  const hasExternal = spec.type === "NodePort" || spec.type === "LoadBalancer";
  if (hasExternal || (spec.externalIPs ?? []).length > 0) spec.externalTrafficPolicy ||= "Cluster";
  if (spec.type !== "ExternalName") spec.internalTrafficPolicy ??= "Cluster";
  if (spec.type === "LoadBalancer") {
    spec.allocateLoadBalancerNodePorts ??= true;
    for (const point of status?.loadBalancer?.ingress ?? []) if (point.ip) point.ipMode ??= "VIP";
  }
  if (spec.clusterIP && (spec.clusterIPs ?? []).length === 0) spec.clusterIPs = [spec.clusterIP];
  if (!spec.clusterIP && spec.clusterIPs?.[0]) spec.clusterIP = spec.clusterIPs[0];
}

/** What an update leaves out but the server gave before stays. */
function keepAllocated(service: Service, old: ReadService): void {
  const { spec } = service;
  // Who changes the one by patching means the other too.
  const isChanged = spec.clusterIP !== old.spec.clusterIP;
  if (spec.clusterIP && isChanged && semanticEqual(spec.clusterIPs, old.spec.clusterIPs))
    spec.clusterIPs = [spec.clusterIP];
  if (spec.type !== "ExternalName" && old.spec.type !== "ExternalName") {
    if (!spec.clusterIP && old.spec.clusterIP) {
      spec.clusterIP = old.spec.clusterIP;
      spec.clusterIPs = [...(old.spec.clusterIPs ?? [old.spec.clusterIP])];
    }
    if (!spec.ipFamilies && old.spec.ipFamilies) spec.ipFamilies = [...old.spec.ipFamilies];
    if (!spec.ipFamilyPolicy && old.spec.ipFamilyPolicy)
      spec.ipFamilyPolicy = old.spec.ipFamilyPolicy;
  }
  const usesNodePorts = spec.type === "NodePort" || spec.type === "LoadBalancer";
  for (const port of spec.ports ?? []) {
    const before = (old.spec.ports ?? []).find(
      (one) => one.port === port.port && one.protocol === port.protocol,
    );
    if (usesNodePorts && !port.nodePort && before?.nodePort) port.nodePort = before.nodePort;
    // Ports that only the server had given go when the type no longer has any.
    if (!usesNodePorts && port.nodePort && port.nodePort === before?.nodePort) delete port.nodePort;
  }
}

function dropByType(service: Service): void {
  const { spec } = service;
  if (spec.type === "ExternalName") {
    delete spec.ipFamilies;
    delete spec.ipFamilyPolicy;
    delete spec.internalTrafficPolicy;
    if (spec.clusterIP !== "None") {
      delete spec.clusterIP;
      delete spec.clusterIPs;
    }
  }
  if (spec.type !== "LoadBalancer") delete spec.allocateLoadBalancerNodePorts;
  const isExternal = spec.type === "NodePort" || spec.type === "LoadBalancer";
  if (!isExternal && (spec.externalIPs ?? []).length === 0) delete spec.externalTrafficPolicy;
  if (spec.type !== "LoadBalancer" || spec.externalTrafficPolicy !== "Local")
    delete spec.healthCheckNodePort;
}

/** ipFamilyPolicy and ipFamilies, from what was asked and what the cluster has. */
export function fillFamilies(service: Service, families: readonly ("IPv4" | "IPv6")[]): void {
  const { spec } = service;
  if (spec.type === "ExternalName") return;
  const isHeadless = spec.clusterIP === "None";
  const asked = (spec.clusterIPs ?? [])
    .filter((ip) => ip !== "None" && isAddress(ip))
    .map(familyOf);
  if (!spec.ipFamilyPolicy) {
    const wantsTwo = asked.length === 2 || (spec.ipFamilies ?? []).length === 2;
    const openHeadless = isHeadless && Object.keys(spec.selector ?? {}).length === 0;
    spec.ipFamilyPolicy =
      wantsTwo || (openHeadless && families.length === 2) ? "RequireDualStack" : "SingleStack";
  }
  const wanted = spec.ipFamilyPolicy === "SingleStack" ? 1 : families.length;
  const result: string[] = [...(spec.ipFamilies ?? [])];
  for (const family of [...asked, ...families]) {
    if (result.length >= Math.max(1, wanted)) break;
    if (!result.includes(family)) result.push(family);
  }
  spec.ipFamilies = result.slice(0, Math.max(1, wanted));
}

function serviceWarnings({ metadata, spec }: ReadService): readonly string[] {
  const warnings: string[] = [];
  const hints = "service.kubernetes.io/topology-aware-hints";
  if (metadata.annotations?.[hints] !== undefined)
    warnings.push(
      `annotation ${hints} is deprecated, please use service.kubernetes.io/topology-mode instead`,
    );
  const hasExternal = (spec.externalIPs ?? []).length > 0;
  if (spec.clusterIP === "None") {
    if (spec.loadBalancerIP) warnings.push("spec.loadBalancerIP is ignored for headless services");
    if (hasExternal) warnings.push("spec.externalIPs is ignored for headless services");
    if (spec.sessionAffinity !== "None")
      warnings.push("spec.SessionAffinity is ignored for headless services");
  } else if (hasExternal && spec.type !== "ExternalName")
    warnings.push(
      "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
    );
  return warnings;
}

/** The row of services; addresses come from `network`. */
export function serviceRow(network: ServiceNetwork, connector: NodeConnector): ResourceDefinition {
  const allocator = new ServiceAllocator(network);
  function prepare(service: Service, context: WriteContext<Service>): void {
    if (context.subresource === "status") return;
    if (context.verb === "create") service.status = { loadBalancer: {} };
    if (context.old !== undefined) keepAllocated(service, context.old);
    dropByType(service);
    fillFamilies(service, allocator.families);
    const { spec, status } = service;
    // A service that is no load balancer any more loses its addresses.
    if (spec.type !== "LoadBalancer" && context.old?.spec.type === "LoadBalancer" && status)
      status.loadBalancer = {};
  }
  return define<Service>(services, {
    shortNames: ["svc"],
    categories: ["all"],
    nameRule: labelErrors,
    columns: [
      column("Type", (one) => one.spec.type ?? ""),
      column("Cluster-IP", (one) => one.spec.clusterIP || "<none>"),
      column("External-IP", externalIps),
      column("Port(s)", portsCell),
      wide("Selector", (one) => formatSelector(selectorOfMap(one.spec.selector)) || "<none>"),
    ],
    fields: {
      "spec.clusterIP": (one) => one.spec.clusterIP ?? "",
      "spec.type": (one) => one.spec.type ?? "",
    },
    defaults,
    status: true,
    prepare,
    validate: (service, { old }) => validateService(service, old),
    validateStatus: ({ spec, status }) => validateBalancerStatus(spec, status),
    strategy: {
      warn: serviceWarnings,
      async allocate(object, context) {
        const service = object as Service;
        const serviceContext = context as WriteContext<Service>;
        if (context.subresource !== "") return async () => {};
        return allocator.allocate(service, serviceContext);
      },
      async release(service) {
        allocator.release(service);
      },
    },
    subresources: { proxy: proxy(connector, "ServiceProxyOptions") },
    storagePrefix: "services/specs",
  });
}
