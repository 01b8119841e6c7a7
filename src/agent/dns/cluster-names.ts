/** What the DNS knows of the cluster, read from LiveSets. */
import { endpointSlices, namespaces, services } from "../../client/resources.ts";
import type { Service } from "../../gen/core-v1.ts";
import type { EndpointSlice } from "../../gen/discovery-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LiveSets } from "../../live/live-set.ts";

/** One address behind a headless service. */
export interface EndpointName {
  /** `hostname`, or the address with dashes. */
  readonly label: string;
  readonly ip: string;
  readonly ports: readonly { readonly name: string; readonly protocol: string; port: number }[];
}

export interface ClusterNames {
  service(namespace: string, name: string): DeepReadonly<Service> | undefined;
  endpoints(namespace: string, name: string): readonly EndpointName[];
  hasNamespace(name: string): boolean;
  /** Names below the cluster domain that point to `ip`: `a.default.svc`. */
  namesOf(ip: string): readonly string[];
}

const byService = "dns-service";
const byAddress = "dns-address";

export function clusterNames(live: LiveSets): ClusterNames {
  const serviceSet = live.of(services);
  const sliceSet = live.of(endpointSlices);
  const namespaceSet = live.of(namespaces);
  serviceSet.addIndex(byAddress, (service) => service.spec?.clusterIPs ?? one(service));
  sliceSet.addIndex(byService, (slice) => [serviceKey(slice)]);
  sliceSet.addIndex(byAddress, (slice) => (slice.endpoints ?? []).flatMap((e) => e.addresses));
  const endpoints = (namespace: string, name: string): readonly EndpointName[] =>
    [...sliceSet.by(byService, `${namespace}/${name}`)].flatMap(({ object }) => readyOf(object));
  return {
    service: (namespace, name) => serviceSet.get(`${namespace}/${name}`)?.object,
    endpoints,
    hasNamespace: (name) => namespaceSet.get(name) !== undefined,
    namesOf: (ip) => {
      for (const { object } of serviceSet.by(byAddress, ip)) {
        return [`${object.metadata.name ?? ""}.${object.metadata.namespace ?? ""}.svc`];
      }
      const names: string[] = [];
      for (const { object } of sliceSet.by(byAddress, ip)) {
        const [namespace = "", name = ""] = serviceKey(object).split("/");
        for (const one of readyOf(object)) {
          if (one.ip === ip) names.push(`${one.label}.${name}.${namespace}.svc`);
        }
      }
      return names;
    },
  };
}

function one(service: DeepReadonly<Service>): readonly string[] {
  return service.spec?.clusterIP === undefined ? [] : [service.spec.clusterIP];
}

function serviceKey(slice: DeepReadonly<EndpointSlice>): string {
  const name = slice.metadata.labels?.["kubernetes.io/service-name"] ?? "";
  return `${slice.metadata.namespace ?? ""}/${name}`;
}

function readyOf(slice: DeepReadonly<EndpointSlice>): readonly EndpointName[] {
  const ports = (slice.ports ?? []).map(({ name, protocol, port }) => ({
    name: name ?? "",
    protocol: (protocol ?? "TCP").toLowerCase(),
    port: port ?? 0,
  }));
  return (slice.endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap(({ addresses, hostname }) =>
      addresses.map((ip) => ({
        label: hostname ? hostname.toLowerCase() : ip.replace(/[.:]/g, "-"),
        ip,
        ports,
      })),
    );
}
