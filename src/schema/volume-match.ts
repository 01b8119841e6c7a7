/** Which PersistentVolume fits a claim: for the binder, and for the scheduler that picks a node. */
import type { Node, PersistentVolume, PersistentVolumeClaim } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { compareQuantity } from "../lib/quantity.ts";
import { labelSelectorOf, matchesLabels } from "../lib/selector.ts";
import { matchesTerms } from "./placement.ts";

export type LiveVolume = DeepReadonly<PersistentVolume>;
export type LiveClaim = DeepReadonly<PersistentVolumeClaim>;

const betaClass = "volume.beta.kubernetes.io/storage-class";

/** The storage class, by field or by the old annotation. */
export function classOf({ metadata, spec }: LiveVolume | LiveClaim): string {
  return metadata.annotations?.[betaClass] ?? spec.storageClassName ?? "";
}

function storageOf(quantities: Readonly<Record<string, string>> | undefined): string {
  return quantities?.storage ?? "0";
}

/** True when the volume is reserved for this claim, bound or not. */
export function isReservedFor({ spec }: LiveVolume, { metadata }: LiveClaim): boolean {
  const reference = spec.claimRef;
  if (reference === undefined) return false;
  if (reference.name !== metadata.name || reference.namespace !== metadata.namespace) return false;
  return !reference.uid || reference.uid === metadata.uid;
}

/** Why a volume that the claim names cannot serve it; undefined when it can. */
export function mismatch(volume: LiveVolume, claim: LiveClaim): string | undefined {
  const asked = storageOf(claim.spec.resources?.requests);
  if (compareQuantity(storageOf(volume.spec.capacity), asked) < 0) {
    return "requested PV is too small";
  }
  if (classOf(volume) !== classOf(claim)) return "storageClassName does not match";
  if (attributesOf(volume) !== attributesOf(claim)) {
    return "volumeAttributesClassName does not match";
  }
  if (modeOf(volume) !== modeOf(claim)) return "incompatible volumeMode";
  if (!coversModes(volume, claim)) return "incompatible accessMode";
  return undefined;
}

function modeOf({ spec }: LiveVolume | LiveClaim): string {
  return spec.volumeMode ?? "Filesystem";
}

function attributesOf({ spec }: LiveVolume | LiveClaim): string {
  return spec.volumeAttributesClassName ?? "";
}

function coversModes(volume: LiveVolume, claim: LiveClaim): boolean {
  const offered = volume.spec.accessModes ?? [];
  return (claim.spec.accessModes ?? []).every((mode) => offered.includes(mode));
}

export function reaches({ spec }: LiveVolume, node: DeepReadonly<Node>): boolean {
  const required = spec.nodeAffinity?.required;
  return required === undefined || matchesTerms(node, required.nodeSelectorTerms);
}

/**
 * The volume reserved for the claim, else the smallest free one that fits; with a node only those
 * that reach it. `waits` leaves out the free ones: the claim's first consumer has no node yet.
 */
export function findMatchingVolume(
  claim: LiveClaim,
  volumes: Iterable<LiveVolume>,
  options: {
    readonly node?: DeepReadonly<Node>;
    readonly taken?: ReadonlySet<string>;
    readonly waits?: boolean;
  } = {},
): LiveVolume | undefined {
  const { node, taken } = options;
  const selector = claim.spec.selector && labelSelectorOf(claim.spec.selector);
  let best: LiveVolume | undefined;
  for (const volume of volumes) {
    const { name = "", labels, deletionTimestamp } = volume.metadata;
    if (taken?.has(name) || mismatch(volume, claim) !== undefined) continue;
    if (node !== undefined && !reaches(volume, node)) continue;
    if (isReservedFor(volume, claim)) return volume;
    if (volume.spec.claimRef !== undefined || deletionTimestamp !== undefined) continue;
    if (options.waits === true || volume.status?.phase !== "Available") continue;
    if (selector && !matchesLabels(selector, labels)) continue;
    const isSmaller =
      best === undefined ||
      compareQuantity(storageOf(volume.spec.capacity), storageOf(best.spec.capacity)) < 0;
    if (isSmaller) best = volume;
  }
  return best;
}
