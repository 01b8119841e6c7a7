/** What every kind's metadata must fulfil. */
import type { FieldError } from "../api/resource-definition.ts";
import type { ObjectMeta } from "../gen/meta-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelErrors, labelKeyErrors, labelValueErrors, subdomainErrors } from "../lib/names.ts";
import { forbidden, invalid, invalids, nonNegative, required } from "./field-errors.ts";

const annotationBytesMax = 256 * 1024;
const encoder = new TextEncoder();

/** Says what is wrong with a name; for a generated name the trailing dash is cut before. */
export type NameRule = (name: string) => readonly string[];

export function validateLabels(
  labels: Readonly<Record<string, string>> | undefined,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    errors.push(...invalids(field, key, labelKeyErrors(key)));
    errors.push(...invalids(field, value, labelValueErrors(value)));
  }
  return errors;
}

export function validateAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    errors.push(...invalids(field, key, labelKeyErrors(key.toLowerCase())));
    bytes += key.length + encoder.encode(value).length;
  }
  if (bytes > annotationBytesMax)
    errors.push({
      type: "FieldValueTooLong",
      field,
      detail: `may not be more than ${annotationBytesMax} bytes`,
    });
  return errors;
}

function validateOwners(meta: DeepReadonly<ObjectMeta>): FieldError[] {
  const errors: FieldError[] = [];
  const owners = meta.ownerReferences ?? [];
  owners.forEach((owner) => {
    // Upstream does not say which one.
    const field = "metadata.ownerReferences";
    if (!owner.apiVersion)
      errors.push(invalid(`${field}.apiVersion`, "", "version must not be empty"));
    for (const key of ["kind", "name", "uid"] as const)
      if (!owner[key]) errors.push(invalid(`${field}.${key}`, "", "must not be empty"));
    if (owner.apiVersion === "v1" && owner.kind === "Event")
      errors.push(invalid(field, owner, "/v1, Kind=Event is disallowed from being an owner"));
  });
  const [first, second] = owners.filter((owner) => owner.controller === true);
  if (first && second)
    errors.push(
      invalid(
        "metadata.ownerReferences",
        owners,
        'Only one reference can have Controller set to true. Found "true" in references for ' +
          `${first.kind}/${first.name} and ${second.kind}/${second.name}`,
      ),
    );
  return errors;
}

const standardFinalizers = ["foregroundDeletion", "kubernetes", "orphan"];

/** Finalizers are Kubernetes' own, or say whose they are. */
export function finalizerErrors(name: string, field: string): FieldError[] {
  if (name.includes("/") || standardFinalizers.includes(name)) return [];
  const detail = "name is neither a standard finalizer name nor is it fully qualified";
  return [invalid(field, name, detail)];
}

function validateFinalizers(meta: DeepReadonly<ObjectMeta>): FieldError[] {
  const errors: FieldError[] = [];
  const finalizers = meta.finalizers ?? [];
  for (const name of finalizers)
    errors.push(...invalids("metadata.finalizers", name, labelKeyErrors(name)));
  if (finalizers.includes("orphan") && finalizers.includes("foregroundDeletion"))
    errors.push(
      invalid(
        "metadata.finalizers",
        finalizers,
        "finalizer orphan and foregroundDeletion cannot be both set",
      ),
    );
  return errors;
}

function validateNames(meta: DeepReadonly<ObjectMeta>, rules: MetadataRules): FieldError[] {
  const errors: FieldError[] = [];
  if (meta.generateName) {
    // Upstream takes a trailing dash, with the letter before it, for a letter.
    const stem = meta.generateName.replace(/.-$/, "a");
    errors.push(...invalids("metadata.generateName", meta.generateName, rules.nameRule(stem)));
  }
  if (!meta.name) errors.push(required("metadata.name", "name or generateName is required"));
  else errors.push(...invalids("metadata.name", meta.name, rules.nameRule(meta.name)));
  if (rules.namespaced && !meta.namespace) errors.push(required("metadata.namespace"));
  else if (rules.namespaced && meta.namespace)
    errors.push(...invalids("metadata.namespace", meta.namespace, labelErrors(meta.namespace)));
  else if (meta.namespace) errors.push(forbidden("metadata.namespace", "not allowed on this type"));
  return errors;
}

export interface MetadataRules {
  readonly namespaced: boolean;
  readonly nameRule: NameRule;
  /** The name of an existing object is not judged again. */
  readonly isUpdate: boolean;
}

/** The errors of the metadata of any kind. */
export function validateMetadata(
  meta: DeepReadonly<ObjectMeta>,
  rules: MetadataRules,
): readonly FieldError[] {
  return [
    ...(rules.isUpdate ? [] : validateNames(meta, rules)),
    ...nonNegative("metadata.generation", meta.generation),
    ...validateLabels(meta.labels, "metadata.labels"),
    ...validateAnnotations(meta.annotations, "metadata.annotations"),
    ...validateOwners(meta),
    ...validateFinalizers(meta),
  ];
}

const pathText = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
const pathPattern = new RegExp(`^${pathText}$`);

/** `example.com/path`: whose controller it is. */
export function validateDomainPath(text: string, field: string): FieldError[] {
  if (text === "") return [required(field)];
  const [domain = "", ...rest] = text.split("/");
  const path = rest.join("/");
  if (domain === "" || path === "") {
    const detail = 'must be a domain-prefixed path (such as "acme.io/foo")';
    return [invalid(field, text, detail)];
  }
  const errors = invalids(field, domain, subdomainErrors(domain));
  if (!pathPattern.test(path))
    errors.push(invalid(field, path, `Invalid path (regex used for validation is '${pathText}')`));
  return errors;
}
