/** Extended resources that devices stand behind: one claim of the scheduler's own for a pod. */
import type { Container, ContainerExtendedResourceRequest } from "../../gen/core-v1.ts";
import type { DeviceRequest, ResourceClaim } from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { mayBeDeviceResource } from "../../lib/names.ts";
import { claimOwner, extendedClaimAnnotation } from "../../schema/pod-claims.ts";
import { type Amounts, amountOf, type LivePod, podRequests } from "../amounts.ts";
import { classOfResource, type DeviceClaim, type DeviceView } from "./view.ts";

/** The name of a claim that is not written yet: none that a claim could have. */
export const unwrittenName = "<extended-resources>";

/** Whether the pod asks for a resource that a class of devices stands for. */
export function usesDevices(pod: LivePod, view: DeviceView): boolean {
  return Object.entries(podRequests(pod)).some(
    ([name, amount]) => amount > 0 && classOfResource(name, view) !== undefined,
  );
}

/** The pod's claim: one of an earlier attempt, or one that is yet to be written. */
export function extendedClaim(pod: LivePod, view: DeviceView): DeviceClaim {
  for (const claim of view.claims()) {
    if (claim.metadata.annotations?.[extendedClaimAnnotation] !== "true") continue;
    if (claimOwner(claim)?.uid === pod.metadata.uid) return claim;
  }
  const { name = "", namespace = "", uid = "" } = pod.metadata;
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: {
      name: unwrittenName,
      generateName: `${name}-extended-resources-`,
      namespace,
      uid: `extended:${uid}`,
      annotations: { [extendedClaimAnnotation]: "true" },
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name, uid, controller: true }],
    },
    spec: {},
  };
}

/** What a node has to offer as devices; a message when it has not got a resource at all. */
export function resourcesFromDevices(
  pod: LivePod,
  allocatable: Amounts,
  view: DeviceView,
): readonly string[] | string {
  const names: string[] = [];
  for (const [name, amount] of Object.entries(podRequests(pod))) {
    if (amount === 0 || !mayBeDeviceResource(name)) continue;
    const own = allocatable[name];
    if (!own && classOfResource(name, view) !== undefined) names.push(name);
    else if (own === undefined) return "cannot fit resource";
  }
  return names.sort();
}

export interface ExtendedRequests {
  readonly claim: DeviceClaim;
  readonly mappings: readonly ContainerExtendedResourceRequest[];
}

/** The claim with a request for each resource of each container that devices serve. */
export function withRequests(
  claim: DeviceClaim,
  pod: LivePod,
  resources: readonly string[],
  view: DeviceView,
): ExtendedRequests {
  const parts = resources.map((name) => {
    const deviceClass = classOfResource(name, view)?.metadata.name ?? "";
    return requestsFor(pod, name, deviceClass);
  });
  const requests = parts
    .flatMap((part) => part.requests)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const spec: ResourceClaim["spec"] = { devices: { requests } };
  return { claim: { ...claim, spec }, mappings: parts.flatMap((part) => part.mappings) };
}

interface Part {
  readonly requests: readonly DeviceRequest[];
  readonly mappings: readonly ContainerExtendedResourceRequest[];
}

/** Containers that end before the others begin use what these will have, and share the rest. */
function requestsFor(pod: LivePod, resource: string, deviceClass: string): Part {
  const inits = pod.spec.initContainers ?? [];
  const containers = [...inits, ...pod.spec.containers];
  const isShort = (index: number): boolean =>
    index < inits.length && containers[index]?.restartPolicy !== "Always";
  const lasting = containers.map((one, index) =>
    isShort(index) ? undefined : requestOf(one, index, resource, deviceClass, []),
  );
  const short = containers.flatMap((one, index) => {
    if (!isShort(index)) return [];
    const reusable = lasting.slice(index).flatMap((later) => later?.request ?? []);
    return [requestOf(one, index, resource, deviceClass, reusable)];
  });
  const largest = short.reduce<DeviceRequest | undefined>(
    (most, { request }) => (countOf(request) > countOf(most) ? request : most),
    undefined,
  );
  const own = new Set(short.map(({ request }) => request?.name));
  const shared = short
    .flatMap(({ mappings }) => mappings)
    .map((one) => (own.has(one.requestName) ? { ...one, requestName: largest?.name ?? "" } : one));
  const requests = [largest, ...lasting.map((one) => one?.request)];
  return {
    requests: requests.filter((one) => one !== undefined),
    mappings: [...lasting.flatMap((one) => one?.mappings ?? []), ...shared],
  };
}

function countOf(request: DeviceRequest | undefined): number {
  return request?.exactly?.count ?? 0;
}

interface OfContainer {
  readonly request: DeviceRequest | undefined;
  readonly mappings: readonly ContainerExtendedResourceRequest[];
}

/** What a container asks for beyond what it may use of `reusable`. */
function requestOf(
  { name, resources }: DeepReadonly<Container>,
  index: number,
  resource: string,
  deviceClassName: string,
  reusable: readonly DeviceRequest[],
): OfContainer {
  const asked = resources?.requests ?? {};
  const wanted = asked[resource] === undefined ? 0 : amountOf(resource, asked[resource]);
  const mapping = (requestName: string) => ({
    containerName: name,
    resourceName: resource,
    requestName,
  });
  const mappings: ContainerExtendedResourceRequest[] = [];
  let left = wanted;
  for (const request of reusable) {
    if (left <= 0) break;
    left -= countOf(request);
    mappings.push(mapping(request.name));
  }
  if (left <= 0) return { request: undefined, mappings };
  const place = Object.keys(asked).sort().indexOf(resource);
  const requestName = `container-${index}-request-${place}`;
  const exactly = { deviceClassName, allocationMode: "ExactCount", count: left };
  return {
    request: { name: requestName, exactly },
    mappings: [...mappings, mapping(requestName)],
  };
}
