/** apiextensions.k8s.io/v1 and apiregistration.k8s.io/v1: what extends the API itself. */
import type { FieldError, ResourceDefinition } from "../api/resource-definition.ts";
import { apiServices, customResourceDefinitions } from "../client/resources.ts";
import type { CustomResourceDefinition } from "../gen/apiextensions-v1.ts";
import type { APIService } from "../gen/apiregistration-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { label1035Errors, pathSegmentErrors } from "../lib/names.ts";
import { invalid, invalids, notSupported, oneOf, required } from "./field-errors.ts";
import { validateImmutable } from "./pod-template.ts";
import { column, createdAtColumn, define } from "./row.ts";

const categories = ["api-extensions"];
const cleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";

function validateVersions(crd: DeepReadonly<CustomResourceDefinition>): FieldError[] {
  const errors: FieldError[] = [];
  const versions = crd.spec.versions ?? [];
  const stored = versions.filter((version) => version.storage);
  if (versions.length === 0) errors.push(required("spec.versions"));
  else if (stored.length !== 1)
    errors.push(
      invalid("spec.versions", versions, "must have exactly one version marked as storage version"),
    );
  versions.forEach((version, index) => {
    const at = `spec.versions[${index}]`;
    errors.push(...invalids(`${at}.name`, version.name, label1035Errors(version.name ?? "")));
    if (version.schema?.openAPIV3Schema === undefined)
      errors.push(required(`${at}.schema.openAPIV3Schema`, "schemas are required"));
  });
  return errors;
}

function validateCrd(
  crd: DeepReadonly<CustomResourceDefinition>,
  old: DeepReadonly<CustomResourceDefinition> | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const { group, names, scope } = crd.spec;
  const wanted = `${names?.plural}.${group}`;
  if (crd.metadata.name !== wanted)
    errors.push(
      invalid("metadata.name", crd.metadata.name, `must be spec.names.plural+"."+spec.group`),
    );
  if (!group) errors.push(required("spec.group"));
  else if (!group.includes("."))
    errors.push(invalid("spec.group", group, "should be a domain with at least one dot"));
  errors.push(...oneOf("spec.scope", scope, ["Cluster", "Namespaced"]));
  if (!names?.plural) errors.push(required("spec.names.plural"));
  else errors.push(...invalids("spec.names.plural", names.plural, label1035Errors(names.plural)));
  if (!names?.kind) errors.push(required("spec.names.kind"));
  else
    errors.push(
      ...invalids("spec.names.kind", names.kind, label1035Errors(names.kind.toLowerCase())),
    );
  errors.push(...validateVersions(crd));
  const strategy = crd.spec.conversion?.strategy;
  if (strategy !== undefined && !["None", "Webhook"].includes(strategy))
    errors.push(notSupported("spec.conversion.strategy", strategy, ["None", "Webhook"]));
  if (strategy === "Webhook" && crd.spec.conversion?.webhook?.clientConfig === undefined)
    errors.push(
      required("spec.conversion.webhook.clientConfig", "required when strategy is set to Webhook"),
    );
  if (old === undefined) return errors;
  const established = (old.status?.conditions ?? []).some(
    (one) => one.type === "Established" && one.status === "True",
  );
  if (established) {
    errors.push(...validateImmutable(scope, old.spec.scope, "spec.scope"));
    errors.push(...validateImmutable(names?.kind, old.spec.names.kind, "spec.names.kind"));
  }
  errors.push(...validateImmutable(group, old.spec.group, "spec.group"));
  errors.push(...validateImmutable(names?.plural, old.spec.names.plural, "spec.names.plural"));
  return errors;
}

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
    spec.names.listKind ||= `${spec.names.kind}List`;
    spec.conversion ??= { strategy: "None" };
    spec.scope ||= "Namespaced";
    const service = spec.conversion.webhook?.clientConfig?.service;
    if (service) service.port ??= 443;
  },
  prepare(object, { verb, subresource }) {
    const stored = (object.spec.versions ?? []).filter((one) => one.storage).map((one) => one.name);
    if (verb === "create") {
      object.status = { storedVersions: stored };
      const finalizers = object.metadata.finalizers ?? [];
      if (!finalizers.includes(cleanupFinalizer))
        object.metadata.finalizers = [...finalizers, cleanupFinalizer];
      return;
    }
    if (subresource !== "") return;
    const before = object.status?.storedVersions ?? [];
    const versions = [...before, ...stored.filter((name) => !before.includes(name))];
    object.status = { ...object.status, storedVersions: versions };
  },
  validate: (object, { old }) => validateCrd(object, old),
  storagePrefix: "apiextensions.k8s.io/customresourcedefinitions",
});

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
  validate(object) {
    const errors: FieldError[] = [];
    const {
      group = "",
      version,
      service,
      groupPriorityMinimum = 0,
      versionPriority = 0,
    } = object.spec ?? {};
    if (object.metadata.name !== `${version}.${group}`)
      errors.push(
        invalid(
          "metadata.name",
          object.metadata.name,
          `must be \`spec.version+"."+spec.group\`: "${version}.${group}"`,
        ),
      );
    if (groupPriorityMinimum <= 0 || groupPriorityMinimum > 20000)
      errors.push(
        invalid(
          "spec.groupPriorityMinimum",
          groupPriorityMinimum,
          "must be positive and less than 20000",
        ),
      );
    if (versionPriority <= 0 || versionPriority > 1000)
      errors.push(
        invalid("spec.versionPriority", versionPriority, "must be positive and less than 1000"),
      );
    if (service) {
      if (!service.namespace) errors.push(required("spec.service.namespace"));
      if (!service.name) errors.push(required("spec.service.name"));
    }
    return errors;
  },
  storagePrefix: "apiregistration.k8s.io/apiservices",
});

export const apiextensions: readonly ResourceDefinition[] = [customResourceDefinition];
export const apiregistration: readonly ResourceDefinition[] = [apiService];
