/** What a pod needs of its claims, and what a claim still is reserved for: decisions alone. */
import type { Pod, PodResourceClaim } from "../../gen/core-v1.ts";
import type {
  ResourceClaim,
  ResourceClaimConsumerReference,
  ResourceClaimTemplate,
} from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import {
  canBeReserved,
  claimFinalizer,
  claimOwner,
  isReservedFor,
  podClaimAnnotation,
  strangerProblem,
  usedClaim,
} from "../../schema/pod-claims.ts";
import { controllerReference, isDeleting, mutable } from "../objects.ts";
import { isPodTerminal } from "../pod-state.ts";

type LivePod = DeepReadonly<Pod>;
type LiveClaim = DeepReadonly<ResourceClaim>;

const limits = { nameBaseMax: 57 } as const;

/** True when no container of the pod runs or ever will. */
export function isPodDone(pod: LivePod): boolean {
  return isPodTerminal(pod) || (isDeleting(pod) && !pod.spec.nodeName);
}

/** Whether a claim has to be looked for, or made, for this claim of the pod. */
export function isClaimMissing(
  pod: LivePod,
  podClaim: DeepReadonly<PodResourceClaim>,
  claimNamed: (name: string) => LiveClaim | undefined,
): boolean {
  const used = usedClaim(pod, podClaim);
  switch (used.type) {
    case "named":
    case "needless":
      return false;
    case "awaited":
      return true;
    case "generated": {
      const claim = claimNamed(used.name);
      return claim === undefined || strangerProblem(claim, pod) !== undefined;
    }
  }
}

/** A pod that was given its node by somebody else than the scheduler still needs its claims. */
export function isUnreserved(pod: LivePod, claim: LiveClaim): boolean {
  const isAllocated = claim.status?.allocation !== undefined;
  return isAllocated && !isReservedFor(claim, pod) && canBeReserved(claim);
}

/** `<pod>-<claim>-`, both shortened alike where that is too long. */
export function generatedClaimName(pod: string, claim: string): string {
  const whole = `${pod}-${claim}-`;
  const { nameBaseMax: max } = limits;
  if (whole.length <= max) return whole;
  const cut = (part: string, of: number) => part.slice(0, Math.floor((part.length * max) / of));
  const first = cut(pod, whole.length);
  return `${first}-${cut(claim, whole.length)}`;
}

/** The claim that a template makes for a pod. */
export function claimFromTemplate(
  pod: LivePod,
  podClaimName: string,
  { spec }: DeepReadonly<ResourceClaimTemplate>,
): ResourceClaim {
  const { annotations, labels } = spec.metadata ?? {};
  const { blockOwnerDeletion: _, ...owner } = controllerReference({
    ...pod,
    apiVersion: "v1",
    kind: "Pod",
  });
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: {
      generateName: generatedClaimName(pod.metadata.name ?? "", podClaimName),
      namespace: pod.metadata.namespace ?? "",
      annotations: { ...annotations, [podClaimAnnotation]: podClaimName },
      ...(labels === undefined ? {} : { labels: { ...labels } }),
      ownerReferences: [owner],
    },
    spec: mutable<ResourceClaim["spec"]>(spec.spec ?? {}),
  };
}

/** The claim that was made for a pod before its status told of it. */
export function orphanedClaim(
  claims: Iterable<LiveClaim>,
  podClaimName: string,
): LiveClaim | undefined {
  for (const claim of claims)
    if (claim.metadata.annotations?.[podClaimAnnotation] === podClaimName) return claim;
  return undefined;
}

type Consumers = readonly DeepReadonly<ResourceClaimConsumerReference>[];

/** What the status and the finalizers of a claim become when only these consumers remain. */
export interface Release {
  /** Set when the status has to be written. */
  readonly status?: { readonly reservedFor: Consumers; readonly keepsAllocation: boolean };
  readonly dropsFinalizer: boolean;
}

/**
 * A claim is given back when its last consumer is gone: not before the first one came, since
 * whoever allocates need not reserve at once.
 */
export function planRelease(claim: LiveClaim, remaining: Consumers): Release {
  const before = claim.status?.reservedFor ?? [];
  const isHeld = claim.metadata.finalizers?.includes(claimFinalizer) === true;
  const isAllocated = claim.status?.allocation !== undefined;
  if (remaining.length < before.length) {
    const keepsAllocation = isAllocated && (remaining.length > 0 || !isHeld);
    return {
      status: { reservedFor: remaining, keepsAllocation },
      dropsFinalizer: isHeld && !keepsAllocation,
    };
  }
  if (!isHeld || !isDeleting(claim) || remaining.length > 0) return { dropsFinalizer: false };
  const status = { reservedFor: remaining, keepsAllocation: false };
  return { ...(isAllocated ? { status } : {}), dropsFinalizer: true };
}

/** Whether a claim that nobody uses was made for a pod that will not use it any more. */
export function isClaimDone(claim: LiveClaim, pod: LivePod | undefined): boolean {
  const owner = claimOwner(claim);
  // A pod that is not known is left to the garbage collector: it may only not be known yet.
  if (owner === undefined || pod === undefined) return false;
  return pod.metadata.uid !== owner.uid || isPodDone(pod);
}

/** For metrics: whether a claim asks to use what others use. */
export function hasAdminAccess(claim: LiveClaim): boolean {
  const requests = claim.spec?.devices?.requests ?? [];
  return requests.some(({ exactly }) => exactly?.adminAccess === true);
}
