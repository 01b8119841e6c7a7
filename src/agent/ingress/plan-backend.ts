/** The endpoints behind a Service's port, and the protocol that they speak. */
import type { Service, ServicePort } from "../../gen/core-v1.ts";
import type { EndpointSlice } from "../../gen/discovery-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { isTrue } from "./annotation-values.ts";
import { traefik } from "./annotations.ts";
import type { Backend, StickyCookie } from "./route-table.ts";

type LiveService = DeepReadonly<Service>;
type LivePort = DeepReadonly<ServicePort>;

export interface BackendWanted {
  /** `namespace/name` of the Service. */
  readonly key: string;
  readonly port: { readonly name?: string; readonly number?: number };
  /** What the Ingress says that it speaks. */
  readonly protocol: Backend["protocol"] | undefined;
}

/** A text tells why there is none. */
export function backendOf(
  { key, port: wanted, protocol }: BackendWanted,
  service: LiveService | undefined,
  slices: Iterable<DeepReadonly<EndpointSlice>>,
): Backend | string {
  if (service === undefined) return `Service ${key} does not exist`;
  const ports = service.spec?.ports ?? [];
  const shown = wanted.name ?? wanted.number ?? "";
  const port = ports.find(({ name, port: number }) =>
    wanted.name === undefined ? number === wanted.number : name === wanted.name,
  );
  if (service.spec?.type === "ExternalName") {
    const number = port?.port ?? wanted.number;
    const host = service.spec.externalName ?? "";
    if (number === undefined) return `Service ${key} has no port ${shown}`;
    const endpoints = [`${host}:${number}`];
    const spoken = protocolOf(service, port) ?? protocol;
    if (spoken === "h2c" || spoken === "h2") return `Service ${key} is a name: HTTP/1.1 only`;
    return finished({ key, number, service, port, protocol, endpoints });
  }
  if (port === undefined) return `Service ${key} has no port ${shown}`;
  const endpoints = endpointsOf(slices, port);
  return finished({ key, number: port.port, service, port, protocol, endpoints });
}

interface Parts {
  readonly key: string;
  readonly number: number;
  readonly service: LiveService;
  readonly port: LivePort | undefined;
  readonly protocol: Backend["protocol"] | undefined;
  readonly endpoints: readonly string[];
}

function finished({ key, number, service, port, protocol, endpoints }: Parts): Backend {
  const spoken = protocolOf(service, port) ?? protocol ?? "http";
  const sticky = stickyOf(service.metadata.annotations ?? {}, `${key}:${number}`);
  return {
    // Two Ingresses may say different things of one Service.
    name: `${key}:${number}/${spoken}`,
    protocol: spoken,
    endpoints,
    ...(sticky === undefined ? {} : { sticky }),
  };
}

function protocolOf(
  service: LiveService,
  port: LivePort | undefined,
): Backend["protocol"] | undefined {
  switch (service.metadata.annotations?.[`${traefik}service.serversscheme`]) {
    case "https":
      return "https";
    case "h2c":
      return "h2c";
    case "http":
      return "http";
  }
  switch (port?.appProtocol) {
    case "kubernetes.io/h2c":
    case "h2c":
    case "grpc":
      return "h2c";
    case "https":
      return "https";
    default:
      return undefined;
  }
}

interface Found {
  readonly address: string;
  readonly isReady: boolean;
  /** It ends, but serves as long as there is no other. */
  readonly drains: boolean;
}

/** The ready ones; those that end while they still serve when there are no others. */
function endpointsOf(
  slices: Iterable<DeepReadonly<EndpointSlice>>,
  port: LivePort,
): readonly string[] {
  const found = new Map<string, Found>();
  for (const { ports, endpoints, addressType } of slices) {
    const slicePort = (ports ?? []).find(
      ({ name = "", protocol = "TCP" }) => name === (port.name ?? "") && protocol === "TCP",
    )?.port;
    if (slicePort === undefined || addressType === "FQDN") continue;
    for (const { addresses, conditions = {} } of endpoints ?? []) {
      const [ip] = addresses;
      if (ip === undefined) continue;
      const address = ip.includes(":") ? `[${ip}]:${slicePort}` : `${ip}:${slicePort}`;
      const { ready, serving, terminating } = conditions;
      const drains = terminating === true && serving !== false;
      found.set(address, { address, isReady: ready !== false, drains });
    }
  }
  const all = [...found.values()];
  const ready = all.filter(({ isReady }) => isReady);
  const chosen = ready.length > 0 ? ready : all.filter(({ drains }) => drains);
  return chosen.map(({ address }) => address).sort();
}

/** Traefik's annotations of the Service. */
function stickyOf(
  annotations: Readonly<Record<string, string>>,
  backend: string,
): StickyCookie | undefined {
  const of = (name: string): string | undefined =>
    annotations[`${traefik}service.sticky.cookie${name}`];
  if (!isTrue(of(""))) return undefined;
  const maxAge = of(".maxage");
  const sameSite = of(".samesite")?.toLowerCase();
  const name = of(".name") ?? `_k3_${backend.replace(/[^A-Za-z0-9]/g, "_")}`;
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) return undefined;
  const attributes = [
    "; Path=/",
    isTrue(of(".httponly")) ? "; HttpOnly" : "",
    isTrue(of(".secure")) ? "; Secure" : "",
    maxAge !== undefined && /^\d{1,9}$/.test(maxAge) ? `; Max-Age=${maxAge}` : "",
    sameSite !== undefined && sameSites[sameSite] !== undefined
      ? `; SameSite=${sameSites[sameSite]}`
      : "",
  ];
  return { name, attributes: attributes.join("") };
}

const sameSites: Readonly<Record<string, string>> = { none: "None", lax: "Lax", strict: "Strict" };
