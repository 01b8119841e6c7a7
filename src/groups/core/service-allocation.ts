/** Gives services their cluster IPs and node ports. */

import type { Undo, WriteContext } from "../../api/resource-definition.ts";
import { ipAddresses, services } from "../../client/resources.ts";
import type { Service } from "../../gen/core-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { canonical, familyOf, type IpFamily } from "../../lib/ip-range.ts";
import type { LiveSet } from "../../live/live-set.ts";
import { type NumberAllocator, staticBand } from "./address-allocator.ts";
import { keepsPreference } from "./service-families.ts";
import { allocatorOf, ServiceRanges } from "./service-ranges.ts";
import { needsHealthCheck } from "./service-validation.ts";

export interface ServiceNetwork {
  /** One or two ranges, for example `10.43.0.0/16`; the first is the primary family. */
  readonly serviceCidrs: readonly string[];
  readonly nodePortMin: number;
  readonly nodePortMax: number;
}

type ReadService = DeepReadonly<Service>;

function cellKey(port: number, protocol: string | undefined): string {
  return `${protocol ?? "TCP"}/${port}`;
}

export function ipsOf(service: ReadService): readonly string[] {
  const ips = service.spec.clusterIPs ?? (service.spec.clusterIP ? [service.spec.clusterIP] : []);
  return ips.filter((ip) => ip !== "None" && ip !== "").map(canonical);
}

export function nodePortsOf(service: ReadService): readonly string[] {
  const health = service.spec.healthCheckNodePort;
  return [
    ...(service.spec.ports ?? [])
      .filter((port) => port.nodePort)
      .map((port) => cellKey(port.nodePort ?? 0, port.protocol)),
    ...(health ? [cellKey(health, "TCP")] : []),
  ];
}

function usesNodePorts(service: ReadService): boolean {
  const { type, allocateLoadBalancerNodePorts } = service.spec;
  return (
    type === "NodePort" || (type === "LoadBalancer" && allocateLoadBalancerNodePorts !== false)
  );
}

function invalidService(name: string, field: string, value: unknown, detail: string): ApiError {
  const text = `Invalid value: ${JSON.stringify(value)}: ${detail}`;
  return new ApiError("Invalid", `Service "${name}" is invalid: ${field}: ${text}`, {
    details: {
      name,
      kind: "Service",
      causes: [{ reason: "FieldValueInvalid", message: text, field }],
    },
  });
}

/** True when an IPAddress of someone else holds the address. */
function isReserved(address: string, own: string, { live }: WriteContext<Service>): boolean {
  const parent = live.of(ipAddresses).get(address)?.object.spec?.parentRef;
  if (parent === undefined) return false;
  return parent.resource !== "services" || `${parent.namespace}/${parent.name}` !== own;
}

/** One for the process: all writes of services go through it, so none gets what another holds. */
export class ServiceAllocator {
  private readonly ranges: ServiceRanges;
  private ports: NumberAllocator | undefined;

  constructor(private readonly network: ServiceNetwork) {
    this.ranges = new ServiceRanges(network.serviceCidrs);
  }

  get families(): readonly IpFamily[] {
    return this.network.serviceCidrs.map(familyOf);
  }

  private portsFor(context: WriteContext<Service>): NumberAllocator {
    const size = this.network.nodePortMax - this.network.nodePortMin + 1;
    this.ports ??= allocatorOf(size, staticBand(size, 16, 32, 128), context);
    return this.ports;
  }

  /** Fills in what is missing and takes what is asked for; answers how to give it back. */
  allocate(service: Service, context: WriteContext<Service>): Undo {
    const live = context.live.of(services);
    live.addIndex("clusterIP", ipsOf);
    live.addIndex("nodePort", nodePortsOf);
    // What is stored is seen as in use: only so does it become free with the change that drops it.
    if (context.old !== undefined) this.release(context.old);
    const taken: (() => void)[] = [];
    const undo = async (): Promise<void> => {
      for (const release of taken) release();
    };
    try {
      this.allocateIPs(service, context, live, taken);
      this.allocatePorts(service, context, live, taken);
      this.allocateHealthPort(service, context, live, taken);
    } catch (error) {
      for (const release of taken) release();
      throw error;
    }
    return undo;
  }

  private allocateIPs(
    service: Service,
    context: WriteContext<Service>,
    live: LiveSet<Service>,
    taken: (() => void)[],
  ): void {
    const { spec } = service;
    if (spec.type === "ExternalName" || spec.clusterIP === "None") return;
    const before = new Set(context.old === undefined ? [] : ipsOf(context.old));
    if (context.old !== undefined && keepsPreference(service, context.old)) return;
    const ips = [...(spec.clusterIPs ?? [])];
    (spec.ipFamilies ?? []).forEach((family, index) => {
      const asked = ips[index];
      if (asked !== undefined && before.has(canonical(asked))) return;
      ips[index] = this.takeIP(service, context, live, { family, asked }, taken);
    });
    spec.clusterIPs = ips;
    if (ips[0] !== undefined) spec.clusterIP = ips[0];
  }

  private takeIP(
    service: Service,
    context: WriteContext<Service>,
    live: LiveSet<Service>,
    wanted: { readonly family: string; readonly asked: string | undefined },
    taken: (() => void)[],
  ): string {
    const { name = "", namespace = "" } = service.metadata;
    const { asked, family } = wanted;
    const own = `${namespace}/${name}`;
    const inUse = (address: string): boolean => {
      for (const _one of live.by("clusterIP", address)) return true;
      return isReserved(address, own, context);
    };
    const address = asked || this.ranges.takeAny(family, inUse, context);
    if (asked) {
      const isTaken = this.ranges.take(canonical(asked), inUse, context);
      if (isTaken !== true) {
        const why =
          isTaken === undefined
            ? "the provided network does not match the current range"
            : "provided IP is already allocated";
        const detail = `failed to allocate IP ${asked}: ${why}`;
        throw invalidService(name, "spec.clusterIPs", [asked], detail);
      }
    }
    if (address === undefined) {
      const what = `failed to allocate a serviceIP for Service ${JSON.stringify(name)}`;
      throw new ApiError("InternalError", `Internal error occurred: ${what}: range is full`);
    }
    taken.push(() => this.ranges.release(address));
    return address;
  }

  private allocatePorts(
    service: Service,
    context: WriteContext<Service>,
    live: LiveSet<Service>,
    taken: (() => void)[],
  ): void {
    const { spec } = service;
    const asked = (spec.ports ?? []).some((port) => port.nodePort);
    if (!usesNodePorts(service) && !(asked && spec.type === "LoadBalancer")) return;
    const before = new Set((context.old?.spec.ports ?? []).map((port) => port.nodePort ?? 0));
    // One number serves TCP and UDP of the same port, as DNS services want it.
    const mine = new Map<number, number>();
    (spec.ports ?? []).forEach((port, index) => {
      if (port.nodePort && (before.has(port.nodePort) || mine.has(port.nodePort))) return;
      if (!port.nodePort && !usesNodePorts(service)) return;
      const shared = port.nodePort ? undefined : mine.get(port.port);
      const field = `spec.ports[${index}].nodePort`;
      port.nodePort =
        shared ?? this.takePort(service, context, live, { asked: port.nodePort, field }, taken);
      mine.set(port.port, port.nodePort);
      mine.set(port.nodePort, port.nodePort);
    });
  }

  private allocateHealthPort(
    service: Service,
    context: WriteContext<Service>,
    live: LiveSet<Service>,
    taken: (() => void)[],
  ): void {
    if (!needsHealthCheck(service)) return;
    const asked = service.spec.healthCheckNodePort || undefined;
    if (asked !== undefined && asked === context.old?.spec.healthCheckNodePort) return;
    const field = "spec.healthCheckNodePort";
    service.spec.healthCheckNodePort = this.takePort(
      service,
      context,
      live,
      { asked, field },
      taken,
    );
  }

  private takePort(
    service: Service,
    context: WriteContext<Service>,
    live: LiveSet<Service>,
    wanted: { readonly asked: number | undefined; readonly field: string },
    taken: (() => void)[],
  ): number {
    const { nodePortMin, nodePortMax } = this.network;
    const ports = this.portsFor(context);
    const name = service.metadata.name ?? "";
    const own = `${service.metadata.namespace}/${name}`;
    const inUse = (offset: number): boolean => {
      const port = nodePortMin + offset;
      for (const protocol of ["TCP", "UDP", "SCTP"])
        for (const one of live.by("nodePort", cellKey(port, protocol)))
          if (one.key !== own) return true;
      return false;
    };
    const { field } = wanted;
    if (wanted.asked) {
      if (wanted.asked < nodePortMin || wanted.asked > nodePortMax)
        throw invalidService(
          name,
          field,
          wanted.asked,
          "provided port is not in the valid range. The range of valid ports is " +
            `${nodePortMin}-${nodePortMax}`,
        );
      const offset = wanted.asked - nodePortMin;
      if (!ports.take(offset, inUse))
        throw invalidService(name, field, wanted.asked, "provided port is already allocated");
      taken.push(() => ports.release(offset));
      return wanted.asked;
    }
    const offset = ports.takeAny(inUse);
    if (offset === undefined)
      throw new ApiError(
        "InternalError",
        "Internal error occurred: failed to allocate a nodePort: range is full",
      );
    taken.push(() => ports.release(offset));
    return nodePortMin + offset;
  }

  /** Frees what a deleted service held, or what an update let go of. */
  release(service: ReadService): void {
    for (const ip of ipsOf(service)) this.ranges.release(ip);
    for (const port of service.spec.ports ?? [])
      if (port.nodePort) this.ports?.release(port.nodePort - this.network.nodePortMin);
    const health = service.spec.healthCheckNodePort;
    if (health) this.ports?.release(health - this.network.nodePortMin);
  }
}
