/** PersistentVolume and PersistentVolumeClaim. */
import { timestamp } from "../../api/object-meta.ts";
import type { ResourceDefinition } from "../../api/resource-definition.ts";
import { persistentVolumeClaims, persistentVolumes } from "../../client/resources.ts";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
} from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { column, define, wide } from "../row.ts";
import {
  betaClass,
  claimWarnings,
  normalizeDataSources,
  validateClaimSpec,
  validateClaimUpdate,
} from "./claim-validation.ts";
import { validateVolume } from "./persistent-volume-validation.ts";

const shortModes: Readonly<Record<string, string>> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};

function modesCell(modes: readonly string[] | undefined): string {
  return [...new Set(modes ?? [])].map((mode) => shortModes[mode] ?? mode).join(",");
}

/** The storage class a claim or volume asks for, by field or by the old annotation. */
export function storageClassOf(
  object: DeepReadonly<PersistentVolume | PersistentVolumeClaim>,
): string {
  return object.metadata.annotations?.[betaClass] ?? object.spec.storageClassName ?? "";
}

export function persistentVolumeClaimSpecDefaults(spec: PersistentVolumeClaimSpec): void {
  spec.volumeMode ??= "Filesystem";
}

export const persistentVolumeClaim: ResourceDefinition = define<PersistentVolumeClaim>(
  persistentVolumeClaims,
  {
    shortNames: ["pvc"],
    columns: [
      column("Status", (one) =>
        one.metadata.deletionTimestamp ? "Terminating" : (one.status?.phase ?? ""),
      ),
      column("Volume", (one) => one.spec.volumeName ?? ""),
      column("Capacity", (one) =>
        one.spec.volumeName ? (one.status?.capacity?.storage ?? "0") : "",
      ),
      column("Access Modes", (one) =>
        one.spec.volumeName ? modesCell(one.status?.accessModes) : "",
      ),
      column("StorageClass", storageClassOf),
      column("VolumeAttributesClass", (one) => one.spec.volumeAttributesClassName ?? "<unset>"),
      wide("VolumeMode", (one) => one.spec.volumeMode ?? "<unset>"),
    ],
    defaults(object) {
      persistentVolumeClaimSpecDefaults(object.spec);
    },
    status: true,
    prepare(object, { verb, old, subresource }) {
      if (verb === "create") object.status = { phase: "Pending" };
      if (subresource !== "status") normalizeDataSources(object.spec, old?.spec);
    },
    strategy: { warn: claimWarnings },
    validate: (object, { old }) => [
      ...validateClaimSpec(object.spec, "spec"),
      ...(old === undefined ? [] : validateClaimUpdate(object, old)),
    ],
  },
);

/** Since when the sources of volumes that are gone are deprecated, and do nothing. */
const goneSources: Readonly<Record<string, readonly [deprecated: string, gone: string]>> = {
  cephfs: ["v1.28", "v1.31"],
  photonPersistentDisk: ["v1.11", "v1.16"],
  scaleIO: ["v1.16", "v1.22"],
  storageos: ["v1.22", "v1.25"],
  glusterfs: ["v1.25", "v1.26"],
  rbd: ["v1.28", "v1.31"],
};

function volumeWarnings({ metadata, spec }: DeepReadonly<PersistentVolume>): string[] {
  const warnings: string[] = [];
  const deprecated = [
    [betaClass, 'deprecated since v1.8; use "storageClassName" attribute instead'],
    [
      "volume.beta.kubernetes.io/mount-options",
      'deprecated since v1.31; use "mountOptions" attribute instead',
    ],
  ] as const;
  for (const [key, text] of deprecated)
    if (metadata.annotations?.[key] !== undefined)
      warnings.push(`metadata.annotations[${key}]: ${text}`);
  if (spec.persistentVolumeReclaimPolicy === "Recycle")
    warnings.push(
      "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, " +
        "the recommended approach is to use dynamic provisioning.",
    );
  for (const [key, [since, gone]] of Object.entries(goneSources))
    if (key in spec)
      warnings.push(
        `spec.${key === "storageos" ? "storageOS" : key}: deprecated in ${since}, ` +
          `non-functional in ${gone}+`,
      );
  return warnings;
}

export const persistentVolume: ResourceDefinition = define<PersistentVolume>(persistentVolumes, {
  shortNames: ["pv"],
  columns: [
    column("Capacity", (one) => one.spec.capacity?.storage ?? "0"),
    column("Access Modes", (one) => modesCell(one.spec.accessModes)),
    column("Reclaim Policy", (one) => one.spec.persistentVolumeReclaimPolicy ?? ""),
    column("Status", (one) =>
      one.metadata.deletionTimestamp ? "Terminating" : (one.status?.phase ?? ""),
    ),
    column("Claim", (one) =>
      one.spec.claimRef ? `${one.spec.claimRef.namespace}/${one.spec.claimRef.name}` : "",
    ),
    column("StorageClass", storageClassOf),
    column("VolumeAttributesClass", (one) => one.spec.volumeAttributesClassName ?? "<unset>"),
    column("Reason", (one) => one.status?.reason ?? ""),
    wide("VolumeMode", (one) => one.spec.volumeMode ?? "<unset>"),
  ],
  defaults({ spec }) {
    spec.persistentVolumeReclaimPolicy ||= "Retain";
    spec.volumeMode ??= "Filesystem";
    if (spec.hostPath) spec.hostPath.type ??= "";
  },
  status: true,
  prepare(object, { verb, now, subresource, old }) {
    const at = timestamp(now);
    if (verb === "create") object.status = { phase: "Pending", lastPhaseTransitionTime: at };
    if (subresource !== "status" || !object.status) return;
    const { phase, lastPhaseTransitionTime } = object.status;
    const isStamped = lastPhaseTransitionTime !== old?.status?.lastPhaseTransitionTime;
    if (phase !== old?.status?.phase && !isStamped) object.status.lastPhaseTransitionTime = at;
  },
  validate: (object, { old }) => validateVolume(object, old),
  strategy: { warn: volumeWarnings },
});
