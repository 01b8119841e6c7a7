/** PersistentVolume and PersistentVolumeClaim. */
import { timestamp } from "../../api/object-meta.ts";
import type { FieldError, ResourceDefinition } from "../../api/resource-definition.ts";
import { persistentVolumeClaims, persistentVolumes } from "../../client/resources.ts";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
} from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { subdomainErrors } from "../../lib/names.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { forbidden, invalid, invalids, notSupported, oneOf, required } from "../field-errors.ts";
import { compareQuantities, quantityErrors } from "../quantities.ts";
import { column, define, wide } from "../row.ts";
import { validateDriverName } from "../storage-validation.ts";
import { validateNodeSelector } from "./affinity-validation.ts";
import {
  betaClass,
  claimWarnings,
  normalizeDataSources,
  validateClaimSpec,
  validateClaimUpdate,
  validateModes,
} from "./claim-validation.ts";

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

const notSources = new Set([
  "capacity",
  "accessModes",
  "claimRef",
  "persistentVolumeReclaimPolicy",
  "storageClassName",
  "mountOptions",
  "volumeMode",
  "nodeAffinity",
  "volumeAttributesClassName",
]);

function validateNodeAffinity({
  nodeAffinity,
}: DeepReadonly<PersistentVolume["spec"]>): FieldError[] {
  if (!nodeAffinity) return [];
  const field = "spec.nodeAffinity.required";
  if (!nodeAffinity.required) return [required(field, "must specify required node constraints")];
  return validateNodeSelector(nodeAffinity.required, field);
}

function validateVolume(
  object: DeepReadonly<PersistentVolume>,
  old: DeepReadonly<PersistentVolume> | undefined,
): FieldError[] {
  const { spec } = object;
  const errors = validateModes(spec.accessModes, "spec.accessModes", "");
  if (Object.keys(spec.capacity ?? {}).length === 0) errors.push(required("spec.capacity"));
  if (Object.keys(spec.capacity ?? {}).join() !== "storage")
    errors.push(notSupported("spec.capacity", spec.capacity ?? null, ["storage"]));
  for (const [name, amount] of Object.entries(spec.capacity ?? {})) {
    errors.push(...quantityErrors(`spec.capacity[${name}]`, amount));
    if (compareQuantities(amount, "0") <= 0)
      errors.push(invalid(`spec.capacity[${name}]`, amount, "must be greater than zero"));
  }
  errors.push(
    ...oneOf("spec.persistentVolumeReclaimPolicy", spec.persistentVolumeReclaimPolicy, [
      "Delete",
      "Recycle",
      "Retain",
    ]),
  );
  const sources = Object.entries(spec).filter(([key, value]) => !notSources.has(key) && value);
  if (sources.length === 0) errors.push(required("spec", "must specify a volume type"));
  for (const [key] of sources.slice(1))
    errors.push(forbidden(`spec.${key}`, "may not specify more than 1 volume type"));
  if (spec.hostPath && !spec.hostPath.path) errors.push(required("spec.hostPath.path"));
  if (spec.csi) errors.push(...validateDriverName(spec.csi.driver, "spec.csi.driver"));
  if (spec.csi && !spec.csi.volumeHandle) errors.push(required("spec.csi.volumeHandle"));
  if (spec.hostPath?.path === "/" && spec.persistentVolumeReclaimPolicy === "Recycle")
    errors.push(
      forbidden(
        "spec.persistentVolumeReclaimPolicy",
        "may not be 'recycle' for a hostPath mount of '/'",
      ),
    );
  errors.push(...validateNodeAffinity(spec));
  if (spec.storageClassName)
    errors.push(
      ...invalids(
        "spec.storageClassName",
        spec.storageClassName,
        subdomainErrors(spec.storageClassName),
      ),
    );
  if (spec.local && spec.nodeAffinity?.required === undefined)
    errors.push(required("spec.nodeAffinity", "Local volume requires node affinity"));
  if (old === undefined) return errors;
  const sourceOf = (volume: DeepReadonly<PersistentVolume>): unknown =>
    Object.fromEntries(Object.entries(volume.spec).filter(([key]) => !notSources.has(key)));
  if (!semanticEqual(sourceOf(object), sourceOf(old)))
    errors.push(
      forbidden(
        "spec.persistentvolumesource",
        "spec.persistentvolumesource is immutable after creation",
      ),
    );
  if (old.spec.nodeAffinity && !semanticEqual(spec.nodeAffinity, old.spec.nodeAffinity))
    errors.push(
      invalid(
        "nodeAffinity",
        spec.nodeAffinity,
        "field is immutable, except for updating from beta label to GA",
      ),
    );
  if (!semanticEqual(spec.volumeMode, old.spec.volumeMode))
    errors.push(invalid("spec.volumeMode", spec.volumeMode, "field is immutable"));
  return errors;
}

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
