/** Whether a node has the devices that a pod's claims ask for, and which ones it would get. */
import type { ContainerExtendedResourceRequest } from "../../gen/core-v1.ts";
import type { AllocationResult } from "../../gen/resource-v1.ts";
import { matchesTerms } from "../../schema/placement.ts";
import {
  canBeReserved,
  isReservedFor,
  strangerProblem,
  usedClaim,
} from "../../schema/pod-claims.ts";
import type { LivePod } from "../amounts.ts";
import type { NodeInfo } from "../node-info.ts";
import { type Allocated, allocatedDevices } from "./allocated.ts";
import { allocate, type ClaimResult, NodeAllocationError } from "./allocator.ts";
import { readinessOf } from "./binding-conditions.ts";
import {
  extendedClaim,
  resourcesFromDevices,
  unwrittenName,
  usesDevices,
  withRequests,
} from "./extended.ts";
import { indexSlices, type SliceIndex } from "./pools.ts";
import { allocationOf } from "./result.ts";
import type { DeviceClaim, DeviceView } from "./view.ts";

/** The claims that the pod names; a message when one is not there, or not for it. */
export function podDeviceClaims(pod: LivePod, view: DeviceView): readonly DeviceClaim[] | string {
  const { namespace = "", name: podName } = pod.metadata;
  const claims: DeviceClaim[] = [];
  for (const podClaim of pod.spec.resourceClaims ?? []) {
    const used = usedClaim(pod, podClaim);
    if (used.type === "needless") continue;
    if (used.type === "awaited")
      return `pod "${namespace}/${podName}": ResourceClaim not created yet`;
    const claim = view.claim(namespace, used.name);
    if (claim === undefined) return `resourceclaim.resource.k8s.io "${used.name}" not found`;
    if (claim.metadata.deletionTimestamp) return `resourceclaim "${used.name}" is being deleted`;
    const problem = used.type === "generated" ? strangerProblem(claim, pod) : undefined;
    if (problem !== undefined) return problem;
    claims.push(claim);
  }
  return claims;
}

/** What a pod needs of devices, whichever node it gets. */
export interface DevicePlan {
  readonly pod: LivePod;
  readonly view: DeviceView;
  readonly allocated: readonly DeviceClaim[];
  readonly open: readonly DeviceClaim[];
  /** The claim for extended resources, where there are any. */
  readonly extended: DeviceClaim | undefined;
  readonly inUse: Allocated;
  readonly slices: SliceIndex;
}

/** Undefined when the pod needs no devices; a message when no node can do. */
export function planDevices(pod: LivePod, view: DeviceView): DevicePlan | string | undefined {
  const claims = podDeviceClaims(pod, view);
  if (typeof claims === "string") return claims;
  const extended = usesDevices(pod, view) ? extendedClaim(pod, view) : undefined;
  if (claims.length === 0 && extended === undefined) return undefined;
  const problem = claims.map((claim) => claimProblem(claim, pod, view)).find((one) => one);
  if (problem !== undefined) return problem;
  const isAllocated = ({ status }: DeviceClaim): boolean => status?.allocation !== undefined;
  return {
    pod,
    view,
    allocated: claims.filter(isAllocated),
    open: claims.filter((claim) => !isAllocated(claim)),
    extended,
    inUse: allocatedDevices(view),
    slices: indexSlices(view.slices()),
  };
}

function claimProblem(claim: DeviceClaim, pod: LivePod, view: DeviceView): string | undefined {
  const { namespace, name, uid = "" } = claim.metadata;
  if (claim.status?.allocation !== undefined)
    return canBeReserved(claim) || isReservedFor(claim, pod) ? undefined : "resourceclaim in use";
  if (view.pending.has(uid))
    return `resource claim ${namespace}/${name} is in the process of being allocated`;
  for (const { name: request, exactly, firstAvailable = [] } of claim.spec?.devices?.requests ??
    []) {
    const asked =
      exactly === undefined
        ? firstAvailable.map((one) => [`${request}/${one.name}`, one.deviceClassName] as const)
        : [[request, exactly.deviceClassName] as const];
    for (const [path, deviceClass] of asked)
      if (view.deviceClass(deviceClass) === undefined)
        return `request ${path}: device class ${deviceClass} does not exist`;
  }
  return undefined;
}

/** What the open claims would get on a node. */
export interface NodeDevices {
  readonly results: readonly ClaimResult[];
  /** Which request serves which container's extended resource; absent without such. */
  readonly mappings: readonly ContainerExtendedResourceRequest[] | undefined;
}

/**
 * The devices on the node; a message when it cannot serve the pod.
 *
 * @throws AllocationError when no node could.
 */
export function devicesOn(plan: DevicePlan, info: NodeInfo): NodeDevices | string {
  const { pod, view, open, extended, inUse, slices } = plan;
  if (unavailable(plan, info).length > 0) return "resourceclaim not available on the node";
  let wanted = open;
  let mappings: NodeDevices["mappings"];
  if (extended !== undefined) {
    if (extended.metadata.name !== unwrittenName) return "cannot schedule extended resource claim";
    const resources = resourcesFromDevices(pod, info.allocatable, view);
    if (typeof resources === "string") return resources;
    if (resources.length > 0) {
      const made = withRequests(extended, pod, resources, view);
      wanted = [...open, made.claim];
      mappings = made.mappings;
    }
  }
  if (wanted.length === 0) return { results: [], mappings };
  try {
    const results = allocate({
      claims: wanted,
      node: info.node,
      view,
      slices,
      allocated: inUse,
    });
    return results === undefined ? "cannot allocate all claims" : { results, mappings };
  } catch (error) {
    if (error instanceof NodeAllocationError) return error.message;
    throw error;
  }
}

/** Allocated claims that cannot be used on the node: elsewhere, or not made ready in time. */
export function unavailable({ allocated, view }: DevicePlan, { node }: NodeInfo): DeviceClaim[] {
  return allocated.filter((claim) => {
    const { nodeSelector } = claim.status?.allocation ?? {};
    if (nodeSelector !== undefined && !matchesTerms(node, nodeSelector.nodeSelectorTerms))
      return true;
    const { type } = readinessOf(claim, view.now());
    return type === "failed" || type === "timed-out";
  });
}

/** A claim with what it will get. */
export interface PromisedClaim {
  readonly claim: DeviceClaim;
  readonly allocation: AllocationResult | undefined;
}

/** All that has to be written before the pod is bound. */
export interface DeviceOrder {
  readonly claims: readonly PromisedClaim[];
  readonly mappings: NodeDevices["mappings"];
}

/** What the pod takes on the node that was chosen. */
export function deviceOrder(
  plan: DevicePlan,
  { results, mappings }: NodeDevices,
  nodeName: string,
  newShare: () => string,
): DeviceOrder {
  return {
    claims: [
      ...plan.allocated.map((claim) => ({ claim, allocation: undefined })),
      ...results.map((result) => ({
        claim: result.claim,
        allocation: allocationOf(result, nodeName, newShare),
      })),
    ],
    mappings,
  };
}

/** What is done about claims when no node can take a pod. */
export interface Relief {
  /** What upstream tells of it. */
  readonly message: string;
  /** The claim to give back. */
  readonly claim?: DeviceClaim;
  /** It is the scheduler's own, and is made anew. */
  readonly isExtended?: boolean;
}

/** Frees an allocation that binds the pod to where it cannot be, while nobody else uses it. */
export function reliefFor(pod: LivePod, view: DeviceView, nodes: readonly NodeInfo[]): Relief {
  const plan = planDevices(pod, view);
  if (plan === undefined || typeof plan === "string")
    return { message: "no new claims to deallocate" };
  const { extended } = plan;
  const useless = new Set(nodes.flatMap((info) => unavailable(plan, info)));
  for (const claim of useless) {
    const users = claim.status?.reservedFor ?? [];
    if (users.every(({ uid }) => uid === pod.metadata.uid))
      return { message: "deallocation of ResourceClaim completed", claim };
  }
  if (extended === undefined || extended.metadata.name === unwrittenName)
    return { message: "still not schedulable" };
  return { message: "deletion of ResourceClaim completed", claim: extended, isExtended: true };
}

const scoreStep = 8;

/** Points for the alternatives that were met: the earlier, the more. */
export function preferenceOf(plan: DevicePlan, { results }: NodeDevices): number {
  let score = 0;
  for (const { claim, met } of results) {
    const alternatives = new Map(
      (claim.spec?.devices?.requests ?? []).map(({ name, firstAvailable = [] }) => [
        name,
        firstAvailable.map((one) => one.name),
      ]),
    );
    for (const { name } of met)
      if (name.alternative !== undefined)
        score += scoreStep - (alternatives.get(name.request)?.indexOf(name.alternative) ?? 0);
  }
  return score + plan.allocated.reduce((sum, claim) => sum + allocatedPreference(claim), 0);
}

function allocatedPreference({ spec, status }: DeviceClaim): number {
  const got = new Set((status?.allocation?.devices?.results ?? []).map(({ request }) => request));
  let score = 0;
  for (const { name, firstAvailable = [] } of spec?.devices?.requests ?? [])
    firstAvailable.forEach((one, index) => {
      if (got.has(`${name}/${one.name}`)) score += scoreStep - index;
    });
  return score;
}
