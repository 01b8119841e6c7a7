/** apiextensions.k8s.io/v1 and apiregistration.k8s.io/v1: what extends the API itself. */
import type { FieldError, ResourceDefinition } from "../api/resource-definition.ts";
import { apiServices, customResourceDefinitions } from "../client/resources.ts";
import type { CustomResourceDefinition } from "../gen/apiextensions-v1.ts";
import type { APIService } from "../gen/apiregistration-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { label1035Errors, pathSegmentErrors, subdomainErrors } from "../lib/names.ts";
import { validateDefinition } from "./custom/definition-validation.ts";
import { invalid, invalids, portNumber, required } from "./field-errors.ts";
import { column, createdAtColumn, define } from "./row.ts";

const categories = ["api-extensions"];
const cleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";

const customResourceDefinition = define<CustomResourceDefinition>(customResourceDefinitions, {
  shortNames: ["crd", "crds"],
  categories,
  columns: [createdAtColumn as never],
  age: -1,
  status: true,
  generation: true,
  defaults({ spec }) {
    if (!spec?.names) return;
    spec.names.singular ||= (spec.names.kind ?? "").toLowerCase();
    if (spec.names.kind) spec.names.listKind ||= `${spec.names.kind}List`;
    spec.conversion ??= { strategy: "None" };
    const service = spec.conversion.webhook?.clientConfig?.service;
    if (service) service.port ??= 443;
  },
  prepare(object, { verb, subresource }) {
    const stored = (object.spec.versions ?? []).filter((one) => one.storage).map((one) => one.name);
    if (verb === "create") {
      // As Go writes a status that says nothing yet.
      const empty = { conditions: null, acceptedNames: { plural: "", kind: "" } };
      object.status = { ...empty, storedVersions: stored } as never;
      return;
    }
    if (subresource !== "") return;
    const before = object.status?.storedVersions ?? [];
    const versions = [...before, ...stored.filter((name) => !before.includes(name))];
    object.status = { ...object.status, storedVersions: versions };
  },
  validate: (object, { old }) => validateDefinition(object, old),
  strategy: {
    // The first delete only puts the finalizer there that the clean-up waits for.
    holdsDeletion: ({ metadata }) => metadata.deletionTimestamp === undefined,
    markDeleted({ metadata, status }) {
      const pending = {
        type: "Terminating",
        status: "True",
        lastTransitionTime: metadata.deletionTimestamp ?? "",
        reason: "InstanceDeletionPending",
        message:
          "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
      } as const;
      if (status) status.conditions = [...(status.conditions ?? []), pending];
      const finalizers = metadata.finalizers ?? [];
      if (!finalizers.includes(cleanupFinalizer))
        metadata.finalizers = [...finalizers, cleanupFinalizer];
    },
  },
  storagePrefix: "apiextensions.k8s.io/customresourcedefinitions",
});

function validateBackend(spec: DeepReadonly<APIService>["spec"]): FieldError[] {
  const errors: FieldError[] = [];
  const { service, caBundle = "", insecureSkipTLSVerify = false } = spec ?? {};
  const at = "spec.insecureSkipTLSVerify";
  if (!service) {
    const bytes = `${Buffer.from(caBundle, "base64").length} bytes`;
    if (caBundle !== "")
      errors.push(invalid("spec.caBundle", bytes, "local APIServices may not have a caBundle"));
    if (insecureSkipTLSVerify)
      errors.push(invalid(at, true, "local APIServices may not have insecureSkipTLSVerify"));
    return errors;
  }
  if (!service.namespace) errors.push(required("spec.service.namespace"));
  if (!service.name) errors.push(required("spec.service.name"));
  for (const { detail } of portNumber("", service.port))
    errors.push(invalid("spec.service.port", service.port, `port is not valid: ${detail}`));
  if (insecureSkipTLSVerify && caBundle !== "")
    errors.push(invalid(at, true, "may not be true if caBundle is present"));
  return errors;
}

function validateService({ metadata, spec }: DeepReadonly<APIService>): FieldError[] {
  const errors: FieldError[] = [];
  const { group = "", version = "", groupPriorityMinimum = 0, versionPriority = 0 } = spec ?? {};
  const name = `${version}.${group}`;
  const detail = `must be \`spec.version+"."+spec.group\`: "${name}"`;
  for (const key of ["generateName", "name"] as const)
    if (metadata[key] && metadata[key] !== name)
      errors.push(invalid(`metadata.${key}`, metadata[key], detail));
  const legacy = "only v1 may have an empty group and it better be legacy kube";
  if (group === "" && version !== "v1") errors.push(required("spec.group", legacy));
  if (group !== "") errors.push(...invalids("spec.group", group, subdomainErrors(group)));
  errors.push(...invalids("spec.version", version, label1035Errors(version)));
  for (const [key, value, most] of [
    ["groupPriorityMinimum", groupPriorityMinimum, 20000],
    ["versionPriority", versionPriority, 1000],
  ] as const)
    if (value <= 0 || value > most)
      errors.push(invalid(`spec.${key}`, value, `must be positive and less than ${most}`));
  return [...errors, ...validateBackend(spec)];
}

const apiService = define<APIService>(apiServices, {
  categories,
  columns: [
    column("Service", (one) =>
      one.spec?.service ? `${one.spec.service.namespace}/${one.spec.service.name}` : "Local",
    ),
    column("Available", (one) => {
      const condition = (one.status?.conditions ?? []).find(({ type }) => type === "Available");
      if (condition === undefined) return "Unknown";
      return condition.status === "True" ? "True" : `${condition.status} (${condition.reason})`;
    }),
  ],
  status: true,
  // `v1.` is the core group's.
  nameRule: pathSegmentErrors,
  defaults({ spec }) {
    if (spec?.service) spec.service.port ??= 443;
  },
  validate: (object) => validateService(object),
  storagePrefix: "apiregistration.k8s.io/apiservices",
});

export const apiextensions: readonly ResourceDefinition[] = [customResourceDefinition];
export const apiregistration: readonly ResourceDefinition[] = [apiService];
