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
import { notSupported, oneOf, required } from "./field-errors.ts";
import { validateImmutable } from "./pod-template.ts";
import { column, count, define } from "./row.ts";

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

const storageClassRow = define<StorageClass>(storageClasses, {
  shortNames: ["sc"],
  columns: [
    column("Provisioner", (one) => one.provisioner),
    column("ReclaimPolicy", (one) => one.reclaimPolicy ?? "Delete"),
    column("VolumeBindingMode", (one) => one.volumeBindingMode ?? "<unset>"),
    column("AllowVolumeExpansion", (one) => String(one.allowVolumeExpansion ?? false)),
  ],
  defaults(object) {
    object.reclaimPolicy ??= "Delete";
    object.volumeBindingMode ??= "Immediate";
  },
  validate(object, { old }) {
    const errors = object.provisioner ? [] : [required("provisioner")];
    errors.push(
      ...oneOf("volumeBindingMode", object.volumeBindingMode, [
        "Immediate",
        "WaitForFirstConsumer",
      ]),
    );
    if (!["Delete", "Retain"].includes(object.reclaimPolicy ?? ""))
      errors.push(notSupported("reclaimPolicy", object.reclaimPolicy, ["Delete", "Retain"]));
    if (old === undefined) return errors;
    for (const key of ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] as const)
      errors.push(...validateImmutable(object[key], old[key], key));
    return errors;
  },
});

/** The name cell of a default class says so. */
export const storageClass: ResourceDefinition = {
  ...storageClassRow,
  columns: storageClassRow.columns.map((one) =>
    one.name === "Name"
      ? {
          ...one,
          value: (object) =>
            `${object.metadata.name}${isDefaultClass(object as never) ? " (default)" : ""}`,
        }
      : one,
  ),
};

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
  generation: true,
  defaults({ spec }) {
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.fsGroupPolicy ??= "ReadWriteOnceWithFSType";
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
    if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ["Persistent"];
  },
});

const csiNode = define<CSINode>(csiNodes, {
  columns: [count("Drivers", (one) => (one.spec?.drivers ?? []).length)],
});

const csiStorageCapacity = define<CSIStorageCapacity>(csiStorageCapacities, {
  columns: [
    column("StorageClassName", (one) => one.storageClassName),
    column("Capacity", (one) => one.capacity ?? "<unset>"),
  ],
  age: -1,
});

const volumeAttachment = define<VolumeAttachment>(volumeAttachments, {
  columns: [
    column("Attacher", (one) => one.spec.attacher),
    column("PV", (one) => one.spec.source?.persistentVolumeName ?? ""),
    column("Node", (one) => one.spec.nodeName),
    column("Attached", (one) => one.status?.attached ?? false, "", "boolean"),
  ],
  status: true,
  prepare(object, { verb }) {
    if (verb === "create") object.status = { attached: false };
  },
  validate(object, { old }) {
    const errors = [];
    if (!object.spec.attacher) errors.push(required("spec.attacher"));
    if (!object.spec.nodeName) errors.push(required("spec.nodeName"));
    const { persistentVolumeName, inlineVolumeSpec } = object.spec.source ?? {};
    if (!persistentVolumeName && !inlineVolumeSpec)
      errors.push(
        required(
          "spec.source",
          "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        ),
      );
    if (old !== undefined) errors.push(...validateImmutable(object.spec, old.spec, "spec"));
    return errors;
  },
});

const volumeAttributesClass = define<VolumeAttributesClass>(volumeAttributesClasses, {
  shortNames: ["vac"],
  columns: [column("DriverName", (one) => one.driverName)],
  validate(object, { old }) {
    const errors = object.driverName ? [] : [required("driverName")];
    if (old === undefined) return errors;
    errors.push(...validateImmutable(object.driverName, old.driverName, "driverName"));
    errors.push(...validateImmutable(object.parameters, old.parameters, "parameters"));
    return errors;
  },
});

export const storage: readonly ResourceDefinition[] = [
  csiDriver,
  csiNode,
  csiStorageCapacity,
  storageClass,
  volumeAttachment,
  volumeAttributesClass,
];
