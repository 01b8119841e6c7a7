/** How a claim and a volume come together and part again. Pure. */
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimStatus,
} from "../../gen/core-v1.ts";
import {
  classOf,
  findMatchingVolume,
  isReservedFor,
  type LiveClaim,
  type LiveVolume,
  mismatch,
} from "../../schema/volume-match.ts";
import { isDeleting, mutable } from "../objects.ts";

export const bindCompleted = "pv.kubernetes.io/bind-completed";
export const boundByController = "pv.kubernetes.io/bound-by-controller";
export const selectedNode = "volume.kubernetes.io/selected-node";
export const provisionerKeys = [
  "volume.beta.kubernetes.io/storage-provisioner",
  "volume.kubernetes.io/storage-provisioner",
] as const;

export interface ClassView {
  readonly provisioner: string;
  readonly waitsForConsumer: boolean;
}

export interface ClaimInput {
  readonly claim: LiveClaim;
  /** The volume that the claim names, when it is there. */
  readonly named: LiveVolume | undefined;
  readonly volumes: Iterable<LiveVolume>;
  readonly storageClass: ClassView | undefined;
}

type EventText = readonly [type: "Normal" | "Warning", reason: string, message: string];

export type ClaimStep =
  | { readonly do: "bind"; readonly volume: LiveVolume }
  | { readonly do: "wait"; readonly event?: EventText }
  | { readonly do: "provision"; readonly provisioner: string }
  | { readonly do: "lose"; readonly event: EventText };

export function isBindComplete(claim: LiveClaim): boolean {
  return claim.metadata.annotations?.[bindCompleted] !== undefined;
}

export function planClaim(input: ClaimInput): ClaimStep {
  const { claim, named } = input;
  if (isBindComplete(claim)) return planBound(claim, named);
  return (claim.spec.volumeName ?? "") === "" ? planOpen(input) : planNamed(claim, named);
}

/** Any volume will do; without one the class makes it. */
function planOpen({ claim, volumes, storageClass }: ClaimInput): ClaimStep {
  const waits =
    storageClass?.waitsForConsumer === true &&
    claim.metadata.annotations?.[selectedNode] === undefined;
  const volume = findMatchingVolume(claim, volumes, { waits });
  if (volume !== undefined) return { do: "bind", volume };
  if (waits) {
    const message = "waiting for first consumer to be created before binding";
    return { do: "wait", event: ["Normal", "WaitForFirstConsumer", message] };
  }
  const name = classOf(claim);
  if (name === "") {
    const message = "no persistent volumes available for this claim and no storage class is set";
    return { do: "wait", event: ["Normal", "FailedBinding", message] };
  }
  if (storageClass === undefined) {
    const message = `storageclass.storage.k8s.io "${name}" not found`;
    return { do: "wait", event: ["Warning", "ProvisioningFailed", message] };
  }
  if (storageClass.provisioner === "kubernetes.io/no-provisioner") {
    const message = "no volume plugin matched name: kubernetes.io/no-provisioner";
    return { do: "wait", event: ["Warning", "ProvisioningFailed", message] };
  }
  return { do: "provision", provisioner: storageClass.provisioner };
}

function planNamed(claim: LiveClaim, named: LiveVolume | undefined): ClaimStep {
  if (named === undefined) return { do: "wait" };
  if (isReservedFor(named, claim)) return { do: "bind", volume: named };
  if (named.spec.claimRef !== undefined) {
    const { namespace, name } = named.spec.claimRef;
    const volumeName = JSON.stringify(named.metadata.name);
    const message = `volume ${volumeName} already bound to a different claim.`;
    const isForced = claim.metadata.annotations?.[boundByController] !== undefined;
    if (!isForced) return { do: "wait", event: ["Warning", "FailedBinding", message] };
    throw new Error(
      `invalid binding of claim "${claim.metadata.namespace}/${claim.metadata.name}" to volume ` +
        `${volumeName}: volume already claimed by "${namespace}/${name}"`,
    );
  }
  const problem = mismatch(named, claim);
  if (problem === undefined) return { do: "bind", volume: named };
  const message = `Cannot bind to requested volume "${named.metadata.name}": ${problem}`;
  return { do: "wait", event: ["Warning", "VolumeMismatch", message] };
}

function planBound(claim: LiveClaim, named: LiveVolume | undefined): ClaimStep {
  if ((claim.spec.volumeName ?? "") === "") {
    const message =
      "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
    return { do: "lose", event: ["Warning", "ClaimLost", message] };
  }
  if (named === undefined) {
    const message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
    return { do: "lose", event: ["Warning", "ClaimLost", message] };
  }
  if (named.spec.claimRef === undefined || isReservedFor(named, claim)) {
    return { do: "bind", volume: named };
  }
  const message = "Two claims are bound to the same volume, this one is bound incorrectly";
  return { do: "lose", event: ["Warning", "ClaimMisbound", message] };
}

/** The volume with its side of the binding, or undefined when it has it. */
export function boundVolume(volume: LiveVolume, claim: LiveClaim): PersistentVolume | undefined {
  const { name = "", namespace = "", uid = "", resourceVersion = "" } = claim.metadata;
  if (volume.spec.claimRef?.uid === uid && isReservedFor(volume, claim)) return undefined;
  const copy = mutable<PersistentVolume>(volume);
  const kind = "PersistentVolumeClaim";
  // One who reserved the volume by hand keeps that choice when the claim goes.
  if (!isReservedFor(volume, claim)) {
    copy.metadata.annotations = { ...copy.metadata.annotations, [boundByController]: "yes" };
  }
  copy.spec.claimRef = { apiVersion: "v1", kind, name, namespace, uid, resourceVersion };
  return copy;
}

/** The claim with its side of the binding, or undefined when it has it. */
export function boundClaim(
  claim: LiveClaim,
  volume: LiveVolume,
): PersistentVolumeClaim | undefined {
  const { name = "" } = volume.metadata;
  if (claim.spec.volumeName === name && isBindComplete(claim)) return undefined;
  const copy = mutable<PersistentVolumeClaim>(claim);
  const chosen = (claim.spec.volumeName ?? "") === "" ? { [boundByController]: "yes" } : {};
  copy.spec.volumeName = name;
  copy.metadata.annotations = {
    ...copy.metadata.annotations,
    ...chosen,
    [bindCompleted]: "yes",
  };
  return copy;
}

export function boundStatus(claim: LiveClaim, volume: LiveVolume): PersistentVolumeClaimStatus {
  const status = mutable<PersistentVolumeClaimStatus>(claim.status ?? {});
  const attributes = volume.spec.volumeAttributesClassName;
  const isFirst = status.phase !== "Bound";
  // Later sizes are told by who makes the volume grow.
  const capacity =
    isFirst || status.capacity === undefined ? { ...volume.spec.capacity } : status.capacity;
  return {
    ...status,
    phase: "Bound",
    accessModes: [...(volume.spec.accessModes ?? [])],
    capacity,
    ...(isFirst && attributes ? { currentVolumeAttributesClassName: attributes } : {}),
  };
}

export type VolumeStep =
  | { readonly do: "phase"; readonly phase: "Available" | "Bound" | "Released" | "Failed" }
  /** The claim took another volume: this one is free again. */
  | { readonly do: "unbind" }
  | { readonly do: "nothing" };

/** What a volume is to its claim; `claim` is the one that it names, of the same uid. */
export function planVolume(volume: LiveVolume, claim: LiveClaim | undefined): VolumeStep {
  const reference = volume.spec.claimRef;
  if (reference === undefined || !reference.uid) return { do: "phase", phase: "Available" };
  if (claim === undefined) {
    return volume.status?.phase === "Failed"
      ? { do: "nothing" }
      : { do: "phase", phase: "Released" };
  }
  if ((claim.spec.volumeName ?? "") === "") return { do: "nothing" };
  if (claim.spec.volumeName === volume.metadata.name) return { do: "phase", phase: "Bound" };
  const isOurs = volume.metadata.annotations?.[boundByController] !== undefined;
  const isMade = volume.metadata.annotations?.["pv.kubernetes.io/provisioned-by"] !== undefined;
  if (isMade && volume.spec.persistentVolumeReclaimPolicy === "Delete") {
    return { do: "phase", phase: "Released" };
  }
  return isOurs && !isDeleting(volume) ? { do: "unbind" } : { do: "nothing" };
}
