/** Rules of persistent volumes, and of those that stand within an attachment. */
import type { FieldError } from "../../api/resource-definition.ts";
import type {
  CSIPersistentVolumeSource,
  PersistentVolume,
  PersistentVolumeSpec,
  SecretReference,
} from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors, subdomainErrors } from "../../lib/names.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { forbidden, invalid, invalids, notSupported, oneOf, required } from "../field-errors.ts";
import { validateImmutable } from "../pod-template.ts";
import { compareQuantities, quantityErrors } from "../quantities.ts";
import { validateNodeSelector } from "./affinity-validation.ts";
import { validateModes } from "./claim-validation.ts";
import {
  onlyOneSource,
  type Sources,
  sourceField,
  sourcesOf,
  validateDriverName,
  validateNoBacksteps,
  validateSharedSource,
} from "./volume-source.ts";

type Spec = DeepReadonly<PersistentVolumeSpec>;

const notInline = "may not be specified in the context of inline volumes";

/** The errors of a volume's spec that stands within an attachment. */
export function validateInlineVolume(spec: Spec, field: string): FieldError[] {
  const { claimRef, capacity = {}, csi, nodeAffinity, storageClassName, volumeMode } = spec;
  const { persistentVolumeReclaimPolicy: policy } = spec;
  const errors: FieldError[] = [];
  if (claimRef !== undefined) errors.push(forbidden(`${field}.claimRef`, notInline));
  if (Object.keys(capacity).length > 0) errors.push(forbidden(`${field}.capacity`, notInline));
  if (csi === undefined)
    errors.push(required(`${field}.csi`, "has to be specified in the context of inline volumes"));
  errors.push(...validateModes(spec.accessModes, `${field}.accessModes`, ""));
  if (policy && policy !== "Retain") {
    const detail = "may only be Retain in the context of inline volumes";
    errors.push(forbidden(`${field}.persistentVolumeReclaimPolicy`, detail));
  }
  if (nodeAffinity !== undefined) errors.push(forbidden(`${field}.nodeAffinity`, notInline));
  errors.push(...sourceErrors(spec, field));
  if (storageClassName) errors.push(forbidden(`${field}.storageClassName`, notInline));
  if (volumeMode !== undefined && volumeMode !== "Filesystem") {
    const detail =
      "may not specify volumeMode other than Filesystem in the context of inline volumes";
    errors.push(forbidden(`${field}.volumeMode`, detail));
  }
  return errors;
}

function validateCapacity(capacity: Spec["capacity"]): FieldError[] {
  const errors: FieldError[] = [];
  const names = Object.keys(capacity ?? {});
  if (names.length === 0) errors.push(required("spec.capacity"));
  if (names.join() !== "storage")
    errors.push(notSupported("spec.capacity", capacity ?? null, ["storage"]));
  for (const [name, amount] of Object.entries(capacity ?? {})) {
    errors.push(...quantityErrors(`spec.capacity[${name}]`, amount));
    if (compareQuantities(amount, "0") <= 0)
      errors.push(invalid(`spec.capacity[${name}]`, amount, "must be greater than zero"));
  }
  return errors;
}

function validateNodeAffinity({ nodeAffinity }: Spec): FieldError[] {
  if (!nodeAffinity) return [];
  const field = "spec.nodeAffinity.required";
  if (!nodeAffinity.required) return [required(field, "must specify required node constraints")];
  return validateNodeSelector(nodeAffinity.required, field);
}

/** The errors of what a volume is made of. */
function sourceErrors(spec: Spec, field: string): FieldError[] {
  const [first, ...others] = sourcesOf(spec, "persistent");
  if (first === undefined) return [required(field, "must specify a volume type")];
  const errors = validateSource(first, spec, field);
  for (const name of others) errors.push(forbidden(`${field}.${sourceField(name)}`, onlyOneSource));
  return errors;
}

function validateSource(name: string, spec: Spec, field: string): FieldError[] {
  const at = `${field}.${name}`;
  if (name === "csi") return spec.csi === undefined ? [] : validateCsi(spec.csi, at);
  if (name !== "local") return validateSharedSource(name, spec as Sources, field);
  const { path } = spec.local ?? {};
  const errors = path ? validateNoBacksteps(path, `${at}.path`) : [required(`${at}.path`)];
  if (spec.nodeAffinity === undefined)
    errors.push(required(`${field}.nodeAffinity`, "Local volume requires node affinity"));
  return errors;
}

const secretRefs = [
  "controllerPublishSecretRef",
  "controllerExpandSecretRef",
  "nodePublishSecretRef",
  "nodeExpandSecretRef",
] as const;

function validateCsi(csi: DeepReadonly<CSIPersistentVolumeSource>, at: string): FieldError[] {
  const errors = validateDriverName(csi.driver, `${at}.driver`);
  if (!csi.volumeHandle) errors.push(required(`${at}.volumeHandle`));
  for (const key of secretRefs) {
    const ref = csi[key];
    if (ref !== undefined) errors.push(...validateSecretRef(ref, `${at}.${key}`));
  }
  return errors;
}

function validateSecretRef(ref: DeepReadonly<SecretReference>, at: string): FieldError[] {
  const { name = "", namespace = "" } = ref;
  return [
    ...(name === ""
      ? [required(`${at}.name`)]
      : invalids(`${at}.name`, name, subdomainErrors(name))),
    ...(namespace === ""
      ? [required(`${at}.namespace`)]
      : invalids(`${at}.namespace`, namespace, labelErrors(namespace))),
  ];
}

function validateClasses(spec: Spec): FieldError[] {
  const { storageClassName, volumeMode, volumeAttributesClassName, csi } = spec;
  const errors: FieldError[] = [];
  if (storageClassName)
    errors.push(
      ...invalids("spec.storageClassName", storageClassName, subdomainErrors(storageClassName)),
    );
  const modes = ["Block", "Filesystem"];
  if (volumeMode !== undefined && !modes.includes(volumeMode))
    errors.push(notSupported("spec.volumeMode", volumeMode, modes));
  if (volumeAttributesClassName === undefined) return errors;
  const field = "spec.volumeAttributesClassName";
  if (volumeAttributesClassName === "")
    errors.push(required(field, "an empty string is disallowed"));
  else
    errors.push(
      ...invalids(field, volumeAttributesClassName, subdomainErrors(volumeAttributesClassName)),
    );
  if (csi === undefined) {
    const detail = "has to be specified when using volumeAttributesClassName";
    errors.push(required("spec.csi", detail));
  }
  return errors;
}

/** The errors of a persistent volume; `old` is what is stored. */
export function validateVolume(
  object: DeepReadonly<PersistentVolume>,
  old: DeepReadonly<PersistentVolume> | undefined,
): FieldError[] {
  const { spec } = object;
  const policyField = "spec.persistentVolumeReclaimPolicy";
  const policies = ["Delete", "Recycle", "Retain"];
  const errors = [
    ...validateModes(spec.accessModes, "spec.accessModes", ""),
    ...validateCapacity(spec.capacity),
    ...oneOf(policyField, spec.persistentVolumeReclaimPolicy, policies),
    ...validateNodeAffinity(spec),
    ...sourceErrors(spec, "spec"),
  ];
  if (spec.hostPath?.path === "/" && spec.persistentVolumeReclaimPolicy === "Recycle")
    errors.push(forbidden(policyField, "may not be 'recycle' for a hostPath mount of '/'"));
  errors.push(...validateClasses(spec));
  return old === undefined ? errors : [...errors, ...validateChange(object, old)];
}

/** What node labels were called before; such keys may get their present name. */
const presentKeys: Readonly<Record<string, string>> = {
  "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
  "beta.kubernetes.io/os": "kubernetes.io/os",
  "beta.kubernetes.io/arch": "kubernetes.io/arch",
  "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
};

function sameAffinity(spec: Spec, before: Spec): boolean {
  const [terms, old] = [spec, before].map(
    (one) => one.nodeAffinity?.required?.nodeSelectorTerms ?? [],
  );
  const renamed = old?.map((term, place) => ({
    ...term,
    matchExpressions: term.matchExpressions?.map((one, index) => {
      const key = terms?.[place]?.matchExpressions?.[index]?.key;
      // Go's map has an empty name for a label that never had another.
      return key === (presentKeys[one.key] ?? "") ? { ...one, key } : one;
    }),
  }));
  return semanticEqual(terms, renamed);
}

function validateChange(
  { spec }: DeepReadonly<PersistentVolume>,
  { spec: before }: DeepReadonly<PersistentVolume>,
): FieldError[] {
  const errors: FieldError[] = [];
  const sourceOf = (one: Spec): unknown =>
    sourcesOf(one, "persistent").map((name) => [name, one[name as keyof Spec]]);
  if (!semanticEqual(sourceOf(spec), sourceOf(before)))
    errors.push(
      forbidden(
        "spec.persistentvolumesource",
        "spec.persistentvolumesource is immutable after creation",
      ),
    );
  errors.push(...validateImmutable(spec.volumeMode, before.volumeMode, "volumeMode"));
  const isSame = before.nodeAffinity === undefined || sameAffinity(spec, before);
  if (!isSame)
    errors.push(
      invalid(
        "nodeAffinity",
        spec.nodeAffinity,
        "field is immutable, except for updating from beta label to GA",
      ),
    );
  if (before.volumeAttributesClassName !== undefined && !("volumeAttributesClassName" in spec)) {
    const detail = "update from non-nil value to nil is forbidden";
    errors.push(forbidden("spec.volumeAttributesClassName", detail));
  }
  return errors;
}
