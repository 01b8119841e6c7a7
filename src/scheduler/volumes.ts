/** Whether the claims of a pod allow a node, and which of them wait for the choice of one. */
import type { PersistentVolume, PersistentVolumeClaim } from "../gen/core-v1.ts";
import type { StorageClass } from "../gen/storage-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { matchesTerms } from "../schema/placement.ts";
import type { LivePod } from "./amounts.ts";
import type { LiveNode } from "./node-info.ts";

export type LiveClaim = DeepReadonly<PersistentVolumeClaim>;

export interface VolumeView {
  readonly claim: (namespace: string, name: string) => LiveClaim | undefined;
  readonly volume: (name: string) => DeepReadonly<PersistentVolume> | undefined;
  readonly storageClass: (name: string) => DeepReadonly<StorageClass> | undefined;
}

export const selectedNode = "volume.kubernetes.io/selected-node";
const bindCompleted = "pv.kubernetes.io/bind-completed";

/** Names of the claims that the pod's volumes use; a generic ephemeral volume has its own. */
export function claimNames(pod: LivePod): string[] {
  return (pod.spec.volumes ?? []).flatMap((volume) => {
    if (volume.persistentVolumeClaim !== undefined) return [volume.persistentVolumeClaim.claimName];
    if (volume.ephemeral !== undefined) return [`${pod.metadata.name}-${volume.name}`];
    return [];
  });
}

export function isBound(claim: LiveClaim): boolean {
  if ((claim.spec.volumeName ?? "") === "") return false;
  return claim.status?.phase === "Bound" || claim.metadata.annotations?.[bindCompleted] === "yes";
}

function waitsForConsumer(claim: LiveClaim, view: VolumeView): boolean {
  const mode = view.storageClass(claim.spec.storageClassName ?? "")?.volumeBindingMode;
  return mode === "WaitForFirstConsumer";
}

/** Why no node at all can take the pod at the moment. */
export function claimProblem(pod: LivePod, view: VolumeView): string | undefined {
  const { namespace = "" } = pod.metadata;
  for (const name of claimNames(pod)) {
    const claim = view.claim(namespace, name);
    if (claim === undefined) return `persistentvolumeclaim "${name}" not found`;
    if (claim.metadata.deletionTimestamp !== undefined) {
      return `persistentvolumeclaim "${name}" is being deleted`;
    }
    if (claim.status?.phase === "Lost") {
      const volume = claim.spec.volumeName ?? "";
      return `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${volume}"`;
    }
    if (!isBound(claim) && !waitsForConsumer(claim, view)) {
      return "pod has unbound immediate PersistentVolumeClaims";
    }
  }
  return undefined;
}

/** Claims for which this pod's node is the first to be chosen. */
export function claimsToBind(pod: LivePod, view: VolumeView): LiveClaim[] {
  const { namespace = "" } = pod.metadata;
  return claimNames(pod)
    .map((name) => view.claim(namespace, name))
    .filter((claim) => claim !== undefined)
    .filter((claim) => !isBound(claim));
}

/** Why the volumes behind the pod's claims do not reach this node. */
export function volumeProblem(pod: LivePod, node: LiveNode, view: VolumeView): string | undefined {
  const { namespace = "" } = pod.metadata;
  for (const name of claimNames(pod)) {
    const claim = view.claim(namespace, name);
    if (claim === undefined) continue;
    if (!isBound(claim)) {
      const chosen = claim.metadata.annotations?.[selectedNode];
      if (chosen !== undefined && chosen !== node.metadata.name) {
        return "node(s) didn't match PersistentVolume's node affinity";
      }
      continue;
    }
    const volume = view.volume(claim.spec.volumeName ?? "");
    if (volume === undefined)
      return "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
    const required = volume.spec.nodeAffinity?.required;
    if (required !== undefined && !matchesTerms(node, required.nodeSelectorTerms)) {
      return "node(s) didn't match PersistentVolume's node affinity";
    }
  }
  return undefined;
}
