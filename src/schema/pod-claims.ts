/** Which ResourceClaims a pod uses: named by it, or made for it from templates. */
import type { Pod, PodResourceClaim } from "../gen/core-v1.ts";
import type { ResourceClaim, ResourceClaimConsumerReference } from "../gen/resource-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";

type LivePod = DeepReadonly<Pod>;
type LiveClaim = DeepReadonly<ResourceClaim>;

/** Keeps a claim that has an allocation. */
export const claimFinalizer = "resource.kubernetes.io/delete-protection";
/** Says of a claim made from a template which of the pod's claims it is. */
export const podClaimAnnotation = "resource.kubernetes.io/pod-claim-name";
/** Marks claims that the scheduler makes for extended resources. */
export const extendedClaimAnnotation = "resource.kubernetes.io/extended-resource-claim";

export type UsedClaim =
  | { readonly type: "named"; readonly name: string }
  | { readonly type: "generated"; readonly name: string }
  /** There is a template, but no claim yet. */
  | { readonly type: "awaited"; readonly template: string }
  /** It turned out that no claim is needed. */
  | { readonly type: "needless" };

/** What one of the pod's claims stands for. */
export function usedClaim(pod: LivePod, claim: DeepReadonly<PodResourceClaim>): UsedClaim {
  if (claim.resourceClaimName !== undefined)
    return { type: "named", name: claim.resourceClaimName };
  const statuses = pod.status?.resourceClaimStatuses ?? [];
  const status = statuses.find(({ name }) => name === claim.name);
  if (status === undefined)
    return { type: "awaited", template: claim.resourceClaimTemplateName ?? "" };
  const { resourceClaimName: name } = status;
  return name === undefined ? { type: "needless" } : { type: "generated", name };
}

/** The names of the claims that there are for the pod, that of extended resources included. */
export function claimNames(pod: LivePod): readonly string[] {
  const used = (pod.spec.resourceClaims ?? []).map((claim) => usedClaim(pod, claim));
  const names = used.flatMap((one) => ("name" in one ? [one.name] : []));
  const extended = pod.status?.extendedResourceClaimStatus?.resourceClaimName;
  return extended === undefined ? names : [...names, extended];
}

export function isReservedFor(claim: LiveClaim, pod: LivePod): boolean {
  return (claim.status?.reservedFor ?? []).some(({ uid }) => uid === pod.metadata.uid);
}

const limits = { consumersMax: 256 } as const;

export function canBeReserved(claim: LiveClaim): boolean {
  return (claim.status?.reservedFor ?? []).length < limits.consumersMax;
}

export function consumerOf({ metadata }: LivePod): ResourceClaimConsumerReference {
  return { resource: "pods", name: metadata.name ?? "", uid: metadata.uid ?? "" };
}

/** The pod that a claim was made for. */
export function claimOwner(
  claim: LiveClaim,
): { readonly name: string; readonly uid: string } | undefined {
  return claim.metadata.ownerReferences?.find(
    ({ controller, apiVersion, kind }) =>
      controller === true && apiVersion === "v1" && kind === "Pod",
  );
}

/** What is wrong with a claim that should have been made for the pod; upstream's words. */
export function strangerProblem(claim: LiveClaim, pod: LivePod): string | undefined {
  if (claimOwner(claim)?.uid === pod.metadata.uid) return undefined;
  const { namespace, name } = claim.metadata;
  const of = `Pod ${pod.metadata.namespace}/${pod.metadata.name}`;
  return `ResourceClaim ${namespace}/${name} was not created for ${of} (Pod is not owner)`;
}
