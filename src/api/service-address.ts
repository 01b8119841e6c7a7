/** Where a Service is reached from here: at one of its endpoints, past the service proxy. */
import { endpointSlices, services } from "../client/resources.ts";
import type { Service, ServicePort } from "../gen/core-v1.ts";
import type { EndpointSlice } from "../gen/discovery-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { LiveSets } from "../live/live-set.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { everyOf, lookUp } from "./admission/look-up.ts";

export interface ServiceReference {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}

/**
 * The host and port of a ready endpoint, or of the external name.
 *
 * @throws Error with the cause in a sentence when there is no such Service, port or endpoint.
 */
export async function addressOfService(
  { live, random }: { readonly live: LiveSets; readonly random: Runtime["random"] },
  { namespace, name, port }: ServiceReference,
): Promise<{ readonly host: string; readonly port: number }> {
  const service = await lookUp(live, services, namespace, name);
  if (service === undefined) throw new Error(`service ${JSON.stringify(name)} not found`);
  if (service.spec?.type === "ExternalName") {
    return { host: service.spec.externalName ?? "", port };
  }
  const wanted = service.spec?.ports?.find((one) => one.port === port);
  if (wanted === undefined) {
    throw new Error(`no service port ${port} found for service ${JSON.stringify(name)}`);
  }
  const slices = await everyOf(live, endpointSlices, namespace);
  const places = endpointsOf(service, wanted, slices);
  const place = places[places.length === 0 ? 0 : random.int(places.length)];
  if (place !== undefined) return place;
  throw new Error(`no endpoints available for service ${JSON.stringify(name)}`);
}

function endpointsOf(
  service: DeepReadonly<Service>,
  port: DeepReadonly<ServicePort>,
  slices: readonly DeepReadonly<EndpointSlice>[],
): readonly { readonly host: string; readonly port: number }[] {
  return slices
    .filter(({ metadata }) => {
      return metadata.labels?.["kubernetes.io/service-name"] === service.metadata.name;
    })
    .flatMap(({ ports = [], endpoints = [] }) => {
      const target = (ports ?? []).find((one) => (one.name ?? "") === (port.name ?? ""))?.port;
      if (target === undefined) return [];
      return (endpoints ?? [])
        .filter(({ conditions }) => conditions?.ready !== false)
        .flatMap(({ addresses }) => addresses.slice(0, 1))
        .map((host) => ({ host, port: target }));
    });
}

/** A host as it stands in a URL: IPv6 addresses in brackets. */
export function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
