/** storage.k8s.io/v1. */
import type { ResourceDefinition } from "../api/resource-definition.ts";
import {
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  storageClasses,
  volumeAttachments,
  volumeAttributesClasses,
} from "../client/resources.ts";
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
  VolumeAttributesClass,
} from "../gen/storage-v1.ts";
import { column, count, createdAtColumn, define } from "./row.ts";
import {
  csiDriverWarnings,
  validateAttachment,
  validateAttachmentStatus,
  validateAttributesClass,
  validateCsiDriver,
  validateCsiNode,
  validateStorageCapacity,
  validateStorageClass,
} from "./storage-validation.ts";

const defaultAnnotations = [
  "storageclass.kubernetes.io/is-default-class",
  "storageclass.beta.kubernetes.io/is-default-class",
];

/** True when claims without a class get this one. */
export function isDefaultClass(object: {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
}): boolean {
  return defaultAnnotations.some((key) => object.metadata.annotations?.[key] === "true");
}

export const storageClass = define<StorageClass>(storageClasses, {
  shortNames: ["sc"],
  nameCell: (one) => `${one.metadata.name}${isDefaultClass(one) ? " (default)" : ""}`,
  columns: [
    column("Provisioner", (one) => one.provisioner),
    column("ReclaimPolicy", (one) => one.reclaimPolicy ?? "Delete"),
    column("VolumeBindingMode", (one) => one.volumeBindingMode ?? "<unset>"),
    column("AllowVolumeExpansion", (one) => one.allowVolumeExpansion ?? false),
  ],
  defaults(object) {
    object.reclaimPolicy ??= "Delete";
    object.volumeBindingMode ??= "Immediate";
  },
  validate: (object, { old }) => validateStorageClass(object, old),
});

const csiDriver = define<CSIDriver>(csiDrivers, {
  columns: [
    column("AttachRequired", (one) => one.spec?.attachRequired ?? true, "", "boolean"),
    column("PodInfoOnMount", (one) => one.spec?.podInfoOnMount ?? false, "", "boolean"),
    column("StorageCapacity", (one) => one.spec?.storageCapacity ?? false, "", "boolean"),
    column(
      "TokenRequests",
      (one) =>
        (one.spec?.tokenRequests ?? []).map((request) => request.audience ?? "").join(",") ||
        "<unset>",
    ),
    column("RequiresRepublish", (one) => one.spec?.requiresRepublish ?? false, "", "boolean"),
    column("Modes", (one) => (one.spec?.volumeLifecycleModes ?? []).join(",") || "<none>"),
  ],
  defaults({ spec }) {
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.fsGroupPolicy ??= "ReadWriteOnceWithFSType";
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
    if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ["Persistent"];
  },
  prepare({ spec }, { old }) {
    // The feature is off.
    if (old?.spec.preventPodSchedulingIfMissing === undefined)
      delete spec.preventPodSchedulingIfMissing;
  },
  generation: "changes",
  validate: (object, { old }) => validateCsiDriver(object, old),
  strategy: { warn: (object, { old }) => csiDriverWarnings(object, old) },
});

const csiNode = define<CSINode>(csiNodes, {
  columns: [count("Drivers", (one) => (one.spec?.drivers ?? []).length)],
  validate: (object, { old }) => validateCsiNode(object, old),
});

const csiStorageCapacity = define<CSIStorageCapacity>(csiStorageCapacities, {
  columns: [createdAtColumn as never],
  age: -1,
  validate: (object, { old }) => validateStorageCapacity(object, old),
});

const volumeAttachment = define<VolumeAttachment>(volumeAttachments, {
  columns: [
    { ...column<VolumeAttachment>("Attacher", (one) => one.spec.attacher), format: "name" },
    column("PV", (one) => one.spec.source?.persistentVolumeName ?? ""),
    column("Node", (one) => one.spec.nodeName),
    column("Attached", (one) => one.status?.attached ?? false, "", "boolean"),
  ],
  status: true,
  prepare(object, { verb }) {
    if (verb === "create") object.status = { attached: false };
  },
  validate: (object, { old }) => validateAttachment(object, old),
  validateStatus: validateAttachmentStatus,
});

const volumeAttributesClass = define<VolumeAttributesClass>(volumeAttributesClasses, {
  shortNames: ["vac"],
  columns: [column("DriverName", (one) => one.driverName)],
  validate: (object, { old }) => validateAttributesClass(object, old),
});

export const storage: readonly ResourceDefinition[] = [
  csiDriver,
  csiNode,
  csiStorageCapacity,
  storageClass,
  volumeAttachment,
  volumeAttributesClass,
];
