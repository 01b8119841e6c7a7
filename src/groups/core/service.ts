/** Services. */
import { invalid } from "../../api/errors.ts";
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
import { proxy } from "./proxy.ts";
import { ServiceAllocator, type ServiceNetwork } from "./service-allocation.ts";
import { fillFamilies } from "./service-families.ts";
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
}

/** What an update leaves out but the server gave before stays. */
function keepAllocated(service: Service, old: ReadService): void {
  const { spec } = service;
  if (spec.type !== "ExternalName" && old.spec.type !== "ExternalName") {
    const kept = old.spec.clusterIPs ?? [];
    if (!spec.clusterIP && old.spec.clusterIP) spec.clusterIP = old.spec.clusterIP;
    if ((spec.clusterIPs ?? []).length === 0 && kept.length > 0) spec.clusterIPs = [...kept];
  }
  // Who changes the one by patching means the other too.
  const isChanged = spec.clusterIP !== old.spec.clusterIP;
  if (isChanged && semanticEqual(spec.clusterIPs, old.spec.clusterIPs)) {
    if (spec.clusterIP) spec.clusterIPs = [spec.clusterIP];
    else delete spec.clusterIPs;
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
    const { spec, status } = service;
    if (context.old !== undefined) keepAllocated(service, context.old);
    else if (spec.clusterIP && (spec.clusterIPs ?? []).length === 0)
      spec.clusterIPs = [spec.clusterIP];
    dropByType(service);
    const errors = fillFamilies(service, context.old, allocator.families);
    if (errors.length > 0) throw invalid(services, service.metadata.name ?? "", errors);
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
