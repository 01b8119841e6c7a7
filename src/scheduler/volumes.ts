/** Whether the claims of a pod allow a node, and which of them wait for the choice of one. */
import { compareQuantity } from "../lib/quantity.ts";
import { labelSelectorOf, matchesLabels } from "../lib/selector.ts";
import { classOf, findMatchingVolume, reaches } from "../schema/volume-match.ts";
import type { LivePod } from "./amounts.ts";
import type { NodeInfo } from "./node-info.ts";
import type { LiveClaim, LiveClass, LiveVolume, VolumeView } from "./view.ts";

export const selectedNode = "volume.kubernetes.io/selected-node";
const bindCompleted = "pv.kubernetes.io/bind-completed";
const noProvisioner = "kubernetes.io/no-provisioner";

const reasons = {
  noneToBind: "node(s) didn't find available persistent volumes to bind",
  elsewhere: "node(s) didn't match PersistentVolume's node affinity",
  noSpace: "node(s) did not have enough free storage",
  gone: "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
  zone: "node(s) had no available volume zone",
  limit: "node(s) exceed max volume count",
} as const;

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
  return claim.metadata.annotations?.[bindCompleted] !== undefined;
}

function waitsForConsumer(claim: LiveClaim, view: VolumeView): boolean {
  return view.storageClass(classOf(claim))?.volumeBindingMode === "WaitForFirstConsumer";
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

export function claimsOf(pod: LivePod, view: VolumeView): LiveClaim[] {
  const { namespace = "" } = pod.metadata;
  return claimNames(pod)
    .map((name) => view.claim(namespace, name))
    .filter((claim) => claim !== undefined);
}

/** How the open claims of a pod get their volumes on one node. */
export interface VolumeChoice {
  /** Volumes that are there, each for the claim it will serve. */
  readonly bind: readonly { readonly claim: LiveClaim; readonly volume: LiveVolume }[];
  /** Claims whose class makes a volume for the node. */
  readonly provision: readonly LiveClaim[];
}

/** The volumes the node offers for the open claims, or why it cannot serve them. */
export function chooseVolumes(
  open: readonly LiveClaim[],
  { node, labels, name }: NodeInfo,
  view: VolumeView,
): VolumeChoice | string {
  const bind: { claim: LiveClaim; volume: LiveVolume }[] = [];
  const provision: LiveClaim[] = [];
  const taken = new Set(view.taken);
  for (const claim of open) {
    const chosen = claim.metadata.annotations?.[selectedNode];
    if (chosen !== undefined && chosen !== name) return reasons.noneToBind;
    const volume =
      chosen === undefined ? findMatchingVolume(claim, view.volumes(), { node, taken }) : undefined;
    if (volume !== undefined) {
      taken.add(volume.metadata.name ?? "");
      bind.push({ claim, volume });
      continue;
    }
    const storageClass = view.storageClass(classOf(claim));
    if (storageClass === undefined || storageClass.provisioner === noProvisioner) {
      return reasons.noneToBind;
    }
    if (!isAllowedTopology(storageClass, labels)) return reasons.noneToBind;
    if (!hasCapacity(claim, storageClass, labels, view)) return reasons.noSpace;
    provision.push(claim);
  }
  return { bind, provision };
}

function isAllowedTopology(
  { allowedTopologies = [] }: LiveClass,
  labels: Readonly<Record<string, string>>,
): boolean {
  if (allowedTopologies.length === 0) return true;
  return allowedTopologies.some(({ matchLabelExpressions = [] }) =>
    matchLabelExpressions.every(({ key, values }) => values.includes(labels[key] ?? "")),
  );
}

/** Drivers that publish their capacity must have published enough for the node. */
function hasCapacity(
  claim: LiveClaim,
  { provisioner, metadata }: LiveClass,
  labels: Readonly<Record<string, string>>,
  view: VolumeView,
): boolean {
  if (view.csiDriver(provisioner)?.spec.storageCapacity !== true) return true;
  const asked = claim.spec.resources?.requests?.storage ?? "0";
  for (const { storageClassName, nodeTopology, capacity, maximumVolumeSize } of view.capacities()) {
    const limit = maximumVolumeSize ?? capacity;
    if (storageClassName !== metadata.name || limit === undefined) continue;
    if (compareQuantity(limit, asked) < 0 || nodeTopology === undefined) continue;
    if (matchesLabels(labelSelectorOf(nodeTopology), labels)) return true;
  }
  return false;
}

/** Why the volumes behind the pod's claims do not reach this node. */
export function volumeProblem(
  claims: readonly LiveClaim[],
  info: NodeInfo,
  view: VolumeView,
): string | undefined {
  for (const claim of claims.filter(isBound)) {
    const volume = view.volume(claim.spec.volumeName ?? "");
    if (volume === undefined) return reasons.gone;
    if (!reaches(volume, info.node)) return reasons.elsewhere;
  }
  const open = claims.filter((claim) => !isBound(claim));
  if (open.length === 0) return undefined;
  const choice = chooseVolumes(open, info, view);
  return typeof choice === "string" ? choice : undefined;
}

const zoneLabels = [
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
];

/** Volumes from before node affinity say by labels where they are. */
export function zoneProblem(
  claims: readonly LiveClaim[],
  { labels }: NodeInfo,
  view: VolumeView,
): string | undefined {
  for (const claim of claims.filter(isBound)) {
    const volume = view.volume(claim.spec.volumeName ?? "");
    for (const key of zoneLabels) {
      const zones = volume?.metadata.labels?.[key];
      if (zones === undefined) continue;
      // Several zones of one volume are told apart by "__".
      const value = labels[key] ?? labels[key.replace("failure-domain.beta", "topology")];
      if (value === undefined || !zones.split("__").includes(value)) return reasons.zone;
    }
  }
  return undefined;
}

function attachments(claims: readonly LiveClaim[], view: VolumeView): [string, string][] {
  return claims.flatMap((claim) => {
    const csi = view.volume(claim.spec.volumeName ?? "")?.spec.csi;
    if (csi !== undefined) return [[csi.driver, csi.volumeHandle] as [string, string]];
    const provisioner = view.storageClass(classOf(claim))?.provisioner;
    if (isBound(claim) || provisioner === undefined) return [];
    return [
      [provisioner, `${claim.metadata.namespace}/${claim.metadata.name}`] as [string, string],
    ];
  });
}

/** Why the drivers on the node cannot attach as many volumes. */
export function limitProblem(
  claims: readonly LiveClaim[],
  info: NodeInfo,
  view: VolumeView,
): string | undefined {
  const drivers = view.csiNode(info.name)?.spec.drivers ?? [];
  const limits = drivers.filter(({ allocatable }) => allocatable?.count !== undefined);
  if (limits.length === 0) return undefined;
  const wanted = attachments(claims, view);
  if (wanted.length === 0) return undefined;
  const used = [...info.pods.values()].flatMap((pod) => attachments(claimsOf(pod, view), view));
  for (const { name, allocatable } of limits) {
    const handles = (list: readonly (readonly [string, string])[]): readonly string[] =>
      list.flatMap(([driver, handle]) => (driver === name ? [handle] : []));
    const before = new Set(handles(used));
    const fresh = new Set(handles(wanted).filter((handle) => !before.has(handle)));
    if (fresh.size === 0) continue;
    // What is attached counts, though its pod may be gone.
    const held = new Set([...before, ...handles(attachedTo(info.name, view))]);
    if (held.size + fresh.size > (allocatable?.count ?? 0)) return reasons.limit;
  }
  return undefined;
}

function attachedTo(node: string, view: VolumeView): readonly (readonly [string, string])[] {
  return [...view.attachments(node)].flatMap(({ spec }) => {
    const csi = view.volume(spec.source.persistentVolumeName ?? "")?.spec.csi;
    return csi === undefined ? [] : [[spec.attacher, csi.volumeHandle] as const];
  });
}

/** True when some pod already uses a claim that only one pod may use; `info` is where. */
export function usesExclusiveClaim(
  claims: readonly LiveClaim[],
  namespace: string,
  info: NodeInfo,
): boolean {
  const names = new Set(
    claims
      .filter(({ spec }) => spec.accessModes?.includes("ReadWriteOncePod"))
      .map(({ metadata }) => metadata.name ?? ""),
  );
  if (names.size === 0) return false;
  for (const pod of info.pods.values()) {
    if (pod.metadata.namespace !== namespace) continue;
    if (claimNames(pod).some((name) => names.has(name))) return true;
  }
  return false;
}
