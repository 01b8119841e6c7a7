/** Mirrors the Endpoints that users write by hand to EndpointSlices. */
import { endpointSlices, endpoints, services } from "../../client/resources.ts";
import type { EndpointAddress, Endpoints } from "../../gen/core-v1.ts";
import type { Endpoint } from "../../gen/discovery-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";
import { canonicalJson, controllerReference, isDeleting } from "../objects.ts";
import { OwnWrites } from "../own-writes.ts";
import { isNamespaceTerminating } from "../pod-control.ts";
import { managedByLabel, serviceNameLabel } from "./plan.ts";
import { fillSlices, type LiveSlice, type PortGroup, type SlicePlan } from "./slices.ts";

type LiveEndpoints = DeepReadonly<Endpoints>;

const managedBy = "endpointslicemirroring-controller.k8s.io";
const skipLabel = "endpointslice.kubernetes.io/skip-mirror";
const byEndpoints = "mirroredEndpoints";
/** Addresses of one subset that are mirrored at most. */
const addressesPerSubsetMax = 1000;
const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader";
const notMirrored: ReadonlySet<string> = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  "endpoints.kubernetes.io/last-change-trigger-time",
]);

/** Creates the EndpointSlice mirroring controller. */
export function createEndpointSliceMirroringController(context: ControllerContext): Controller {
  const { client, live } = context;
  const serviceSet = live.of(services);
  const endpointsSet = live.of(endpoints);
  const slices = live.of(endpointSlices);
  const ownerOf = ({ metadata }: LiveSlice) =>
    metadata.labels?.[managedByLabel] === managedBy
      ? [`${metadata.namespace}/${metadata.labels[serviceNameLabel] ?? ""}`]
      : [];
  slices.addIndex(byEndpoints, ownerOf);
  const writes = new OwnWrites(client, endpointSlices, slices);
  return {
    name: "endpointslicemirroring",
    concurrent: 5,
    watches: [
      watchRule(endpoints, ({ now }) => [now.key]),
      watchRule(services, ({ now }) => [now.key]),
      watchRule(endpointSlices, ({ now }) => ownerOf(now.object)),
    ],
    async reconcile(key, signal) {
      await writes.seen(signal);
      const present = Array.from(slices.by(byEndpoints, key), ({ object }) => object).filter(
        (slice) => !writes.isDeleted(slice) && !isDeleting(slice),
      );
      const service = serviceSet.get(key)?.object;
      const source = endpointsSet.get(key)?.object;
      const isMirrored =
        source !== undefined &&
        !isDeleting(source) &&
        isForMirroring(source) &&
        service !== undefined &&
        Object.keys(service.spec.selector ?? {}).length === 0;
      const plan = isMirrored ? planMirror(source, present) : { ...nothing, delete: present };
      try {
        for (const slice of plan.create) await writes.create(slice);
      } catch (error) {
        if (isNamespaceTerminating(error)) return "done";
        throw error;
      }
      for (const slice of plan.update) await writes.update(slice);
      for (const slice of plan.delete) await writes.delete(slice);
      return "done";
    },
  };
}

const nothing: SlicePlan = { create: [], update: [], delete: [] };

function isForMirroring({ metadata }: LiveEndpoints): boolean {
  if (metadata.labels?.[skipLabel] === "true") return false;
  return metadata.annotations?.[leaderAnnotation] === undefined;
}

/** The slices that say what the Endpoints object says. */
export function planMirror(source: LiveEndpoints, present: readonly LiveSlice[]): SlicePlan {
  const { name = "", namespace = "", labels, annotations = {} } = source.metadata;
  const kept = Object.entries(annotations).filter(([key]) => !notMirrored.has(key));
  const shape = {
    namespace,
    generateName: `${name}-`,
    labels: { ...labels, [serviceNameLabel]: name, [managedByLabel]: managedBy },
    annotations: Object.fromEntries(kept),
    ownerReferences: [controllerReference({ ...source, apiVersion: "v1", kind: "Endpoints" })],
  };
  return fillSlices(shape, groupsOf(source), present);
}

function groupsOf(source: LiveEndpoints): PortGroup[] {
  const groups = new Map<string, PortGroup & { readonly endpoints: Endpoint[] }>();
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of source.subsets ?? []) {
    const slicePorts = ports.map(({ name = "", port, protocol = "TCP", appProtocol }) => ({
      name,
      port,
      protocol,
      ...(appProtocol === undefined ? {} : { appProtocol }),
    }));
    const all = [
      ...addresses.map((address) => endpointOf(address, true)),
      ...notReadyAddresses.map((address) => endpointOf(address, false)),
    ].slice(0, addressesPerSubsetMax);
    for (const endpoint of all) {
      const addressType = endpoint.addresses[0]?.includes(":") ? "IPv6" : "IPv4";
      const key = canonicalJson([addressType, slicePorts]);
      const group = groups.get(key) ?? { addressType, ports: slicePorts, endpoints: [] };
      group.endpoints.push(endpoint);
      groups.set(key, group);
    }
  }
  return [...groups.values()];
}

function endpointOf(address: DeepReadonly<EndpointAddress>, ready: boolean): Endpoint {
  const { ip, hostname, nodeName, targetRef } = address;
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    ...(targetRef === undefined ? {} : { targetRef: { ...targetRef } }),
  };
}
