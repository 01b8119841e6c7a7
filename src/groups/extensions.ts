/** apiextensions.k8s.io/v1 and apiregistration.k8s.io/v1: what extends the API itself. */
import type { FieldError, ResourceDefinition } from "../api/resource-definition.ts";
import { apiServices, customResourceDefinitions } from "../client/resources.ts";
import type { CustomResourceDefinition } from "../gen/apiextensions-v1.ts";
import type { APIService } from "../gen/apiregistration-v1.ts";
import { pathSegmentErrors } from "../lib/names.ts";
import { validateDefinition } from "./custom/definition-validation.ts";
import { invalid, required } from "./field-errors.ts";
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
    spec.names.listKind ||= `${spec.names.kind}List`;
    spec.conversion ??= { strategy: "None" };
    const service = spec.conversion.webhook?.clientConfig?.service;
    if (service) service.port ??= 443;
  },
  prepare(object, { verb, subresource }) {
    const stored = (object.spec.versions ?? []).filter((one) => one.storage).map((one) => one.name);
    if (verb === "create") {
      object.status = { storedVersions: stored };
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
    markDeleted({ metadata }) {
      const finalizers = metadata.finalizers ?? [];
      if (!finalizers.includes(cleanupFinalizer))
        metadata.finalizers = [...finalizers, cleanupFinalizer];
    },
  },
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
