/** What a pod wants of a CSI volume, be it inline or a claimed one. Pure. */
import type * as core from "../../gen/core-v1.ts";
import type { CSIDriver } from "../../gen/storage-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { type Pod, uidOf, type Volume } from "../kubelet/types.ts";
import { ephemeralHandle } from "./csi-paths.ts";

export type PersistentVolume = DeepReadonly<core.PersistentVolume>;
export type DriverObject = DeepReadonly<CSIDriver>;

export interface SecretRef {
  readonly namespace: string;
  readonly name: string;
}

export interface CsiVolume {
  /** The PersistentVolume's name, or that of an inline volume. */
  readonly specName: string;
  readonly driver: string;
  readonly handle: string;
  readonly lifecycle: "Persistent" | "Ephemeral";
  readonly isBlock: boolean;
  readonly readOnly: boolean;
  readonly fsType: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly mountOptions: readonly string[];
  readonly accessModes: readonly string[];
  readonly stageSecret: SecretRef | undefined;
  readonly publishSecret: SecretRef | undefined;
  readonly expandSecret: SecretRef | undefined;
}

export function inlineVolume(pod: Pod, volume: Volume): CsiVolume | undefined {
  const { csi } = volume;
  if (csi === undefined) return undefined;
  const secretName = csi.nodePublishSecretRef?.name;
  return {
    specName: volume.name,
    driver: csi.driver,
    handle: ephemeralHandle(uidOf(pod), volume.name),
    lifecycle: "Ephemeral",
    isBlock: false,
    readOnly: csi.readOnly === true,
    fsType: csi.fsType ?? "",
    attributes: csi.volumeAttributes ?? {},
    mountOptions: [],
    accessModes: ["ReadWriteOnce"],
    stageSecret: undefined,
    publishSecret:
      secretName === undefined
        ? undefined
        : { namespace: pod.metadata.namespace ?? "", name: secretName },
    expandSecret: undefined,
  };
}

export function claimedVolume(volume: Volume, persistent: PersistentVolume): CsiVolume | undefined {
  const { csi, mountOptions = [], accessModes = [], volumeMode } = persistent.spec;
  if (csi === undefined) return undefined;
  return {
    specName: persistent.metadata.name ?? "",
    driver: csi.driver,
    handle: csi.volumeHandle,
    lifecycle: "Persistent",
    isBlock: volumeMode === "Block",
    readOnly: volume.persistentVolumeClaim?.readOnly === true,
    fsType: csi.fsType ?? "",
    attributes: csi.volumeAttributes ?? {},
    mountOptions,
    accessModes,
    stageSecret: secretRef(csi.nodeStageSecretRef),
    publishSecret: secretRef(csi.nodePublishSecretRef),
    expandSecret: secretRef(csi.nodeExpandSecretRef),
  };
}

function secretRef(ref: DeepReadonly<core.SecretReference> | undefined): SecretRef | undefined {
  return ref && { namespace: ref.namespace ?? "", name: ref.name ?? "" };
}

export function isAttachable(volume: CsiVolume, driver: DriverObject | undefined): boolean {
  return volume.lifecycle === "Persistent" && driver?.spec.attachRequired !== false;
}

/** Why the driver does not have volumes of this kind. */
export function lifecycleProblem(
  { lifecycle, driver }: CsiVolume,
  object: DriverObject | undefined,
): string | undefined {
  if (object === undefined) {
    if (lifecycle === "Persistent") return undefined;
    return `volume mode "${lifecycle}" not supported by driver ${driver} (no CSIDriver object)`;
  }
  const modes = object.spec.volumeLifecycleModes ?? [];
  if (modes.includes(lifecycle)) return undefined;
  const only = `[${modes.map((mode) => JSON.stringify(mode)).join(" ")}]`;
  return `volume mode "${lifecycle}" not supported by driver ${driver} (only supports ${only})`;
}

/** What drivers that ask for it are told of the pod. */
export function podInfo(pod: Pod, { lifecycle }: CsiVolume): Readonly<Record<string, string>> {
  return {
    "csi.storage.k8s.io/pod.name": pod.metadata.name ?? "",
    "csi.storage.k8s.io/pod.namespace": pod.metadata.namespace ?? "",
    "csi.storage.k8s.io/pod.uid": uidOf(pod),
    "csi.storage.k8s.io/serviceAccount.name": pod.spec.serviceAccountName ?? "",
    "csi.storage.k8s.io/ephemeral": `${lifecycle === "Ephemeral"}`,
  };
}

/** Whether the kubelet is to give the volume's files to the pod's group. */
export function takesGroup(volume: CsiVolume, driver: DriverObject | undefined): boolean {
  const policy = driver?.spec.fsGroupPolicy ?? "ReadWriteOnceWithFSType";
  if (policy === "None" || volume.readOnly) return false;
  if (policy === "File") return true;
  const modes = ["ReadWriteOnce", "ReadWriteOncePod"];
  return volume.fsType !== "" && volume.accessModes.some((mode) => modes.includes(mode));
}
