/** The plugins about volumes: the default class, finalizers while in use, growing claims. */
import { storageClasses } from "../../client/resources.ts";
import type { PersistentVolumeClaim } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { groupResource, refused } from "../errors.ts";
import { everyOf, lookUp } from "./look-up.ts";

const betaClass = "volume.beta.kubernetes.io/storage-class";
const defaultAnnotations = [
  "storageclass.kubernetes.io/is-default-class",
  "storageclass.beta.kubernetes.io/is-default-class",
];

function isAbout(context: AdmissionContext, verb: "CREATE" | "UPDATE", plural: string): boolean {
  const { definition, subresource } = context;
  return (
    context.verb === verb &&
    subresource === "" &&
    definition.group === "" &&
    definition.plural === plural
  );
}

/** A claim without a class gets the newest default class. */
export const defaultStorageClass: AdmissionPlugin = {
  name: "DefaultStorageClass",
  async mutate(object, context) {
    if (!isAbout(context, "CREATE", "persistentvolumeclaims")) return;
    const claim = object as PersistentVolumeClaim;
    if (claim.spec.storageClassName !== undefined) return;
    if (claim.metadata.annotations?.[betaClass] !== undefined) return;
    const defaults = (await everyOf(context.live, storageClasses)).filter(({ metadata }) =>
      defaultAnnotations.some((key) => metadata.annotations?.[key] === "true"),
    );
    const [newest] = newestFirst(defaults);
    if (newest?.metadata.name !== undefined) claim.spec.storageClassName = newest.metadata.name;
  },
};

/** By age; what was made in the same second, by name. */
export function newestFirst<T extends DeepReadonly<KubeObject>>(objects: readonly T[]): T[] {
  const created = (one: T): string => one.metadata.creationTimestamp ?? "";
  return objects.toSorted((a, b) =>
    created(a) === created(b)
      ? (a.metadata.name ?? "").localeCompare(b.metadata.name ?? "")
      : created(b).localeCompare(created(a)),
  );
}

const protections: Readonly<Record<string, string>> = {
  persistentvolumeclaims: "kubernetes.io/pvc-protection",
  persistentvolumes: "kubernetes.io/pv-protection",
  "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
};

/** Claims and volumes live until nothing uses them. */
export const storageObjectInUseProtection: AdmissionPlugin = {
  name: "StorageObjectInUseProtection",
  async mutate(object, context) {
    if (context.verb !== "CREATE" || context.subresource !== "") return;
    const finalizer = protections[groupResource(context.definition)];
    if (finalizer === undefined) return;
    const finalizers = object.metadata.finalizers ?? [];
    if (!finalizers.includes(finalizer)) object.metadata.finalizers = [...finalizers, finalizer];
  },
};

/** Only bound claims of a class that allows it may grow. */
export const persistentVolumeClaimResize: AdmissionPlugin = {
  name: "PersistentVolumeClaimResize",
  async validate(object, context) {
    if (!isAbout(context, "UPDATE", "persistentvolumeclaims")) return;
    const claim = object as PersistentVolumeClaim;
    const old = context.old as PersistentVolumeClaim;
    const wanted = claim.spec.resources?.requests?.storage;
    if (wanted === old.spec.resources?.requests?.storage) return;
    const refuse = (why: string): Error => refused(context.definition, context.name, why);
    if (old.status?.phase !== "Bound")
      throw refuse("Only bound persistent volume claims can be expanded");
    const name = claim.metadata.annotations?.[betaClass] ?? claim.spec.storageClassName ?? "";
    const found = await lookUp(context.live, storageClasses, "", name);
    if (found?.allowVolumeExpansion !== true)
      throw refuse(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions " +
          "the pvc must support resize",
      );
  },
};
