/** What may be wrong with a CustomResourceDefinition. */
import type { FieldError } from "../../api/resource-definition.ts";
import type {
  CustomResourceColumnDefinition,
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionVersion,
} from "../../gen/apiextensions-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { label1035Errors, subdomainErrors } from "../../lib/names.ts";
import { webhookClientErrors } from "../admission-rule-validation.ts";
import { duplicate, forbidden, invalid, oneOf, required } from "../field-errors.ts";
import { validateImmutable } from "../pod-template.ts";
import { approvalErrors } from "./approval.ts";
import { schemaErrors } from "./definition-schema.ts";
import { isEstablished } from "./established.ts";

type Crd = DeepReadonly<CustomResourceDefinition>;
type Names = DeepReadonly<Partial<CustomResourceDefinitionNames>>;
type Version = DeepReadonly<CustomResourceDefinitionVersion>;

const limits = { selectableFieldsMax: 8, warningCharsMax: 256 } as const;

/** The errors of a definition; `old` is what is stored. */
export function validateDefinition(crd: Crd, old: Crd | undefined): readonly FieldError[] {
  const { group, names, scope, preserveUnknownFields } = crd.spec;
  const errors: FieldError[] = [];
  for (const key of old === undefined ? (["generateName", "name"] as const) : []) {
    const given = crd.metadata[key];
    if (given && given !== `${names?.plural}.${group}`)
      errors.push(invalid(`metadata.${key}`, given, `must be spec.names.plural+"."+spec.group`));
  }
  errors.push(...groupErrors(group), ...oneOf("spec.scope", scope, ["Cluster", "Namespaced"]));
  errors.push(...versionsErrors(crd, old), ...requiredNames(names));
  errors.push(...namesErrors(names ?? {}, "spec.names"), ...conversionErrors(crd));
  errors.push(...storedVersionsErrors(crd), ...approvalErrors(crd, old));
  if (preserveUnknownFields === true && old?.spec.preserveUnknownFields !== true) {
    const detail =
      "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in " +
      "spec.versions[*].schema instead";
    errors.push(invalid("spec.preserveUnknownFields", true, detail));
  }
  return old === undefined ? errors : [...errors, ...immutableErrors(crd, old)];
}

function immutableErrors(crd: Crd, old: Crd): FieldError[] {
  const { group, names, scope } = crd.spec;
  const isFixed = isEstablished(old);
  return [
    ...(isFixed ? validateImmutable(scope, old.spec.scope, "spec.scope") : []),
    ...(isFixed ? validateImmutable(names?.kind, old.spec.names.kind, "spec.names.kind") : []),
    ...validateImmutable(group, old.spec.group, "spec.group"),
    ...validateImmutable(names?.plural, old.spec.names.plural, "spec.names.plural"),
  ];
}

function groupErrors(group: string | undefined): FieldError[] {
  if (!group) return [required("spec.group")];
  const wrong = subdomainErrors(group);
  if (wrong.length > 0) return [invalid("spec.group", group, wrong.join(","))];
  if (group.includes(".")) return [];
  return [invalid("spec.group", group, "should be a domain with at least one dot")];
}

function requiredNames(names: Names | undefined): FieldError[] {
  const fields = ["plural", "singular", "kind", "listKind"] as const;
  return fields.filter((field) => !names?.[field]).map((field) => required(`spec.names.${field}`));
}

/** Names that are no labels; kinds may have capitals. */
export function namesErrors(names: Names, path: string): FieldError[] {
  const { plural, singular, kind, listKind, shortNames = [], categories = [] } = names;
  const errors: FieldError[] = [];
  const label = (field: string, value: string | undefined, intro = ""): void => {
    const wrong = value ? label1035Errors(intro === "" ? value : value.toLowerCase()) : [];
    if (wrong.length === 0) return;
    errors.push(invalid(`${path}.${field}`, value, `${intro}${wrong.join(",")}`));
  };
  const mixed = "may have mixed case, but should otherwise match: ";
  label("plural", plural);
  label("singular", singular);
  label("kind", kind, mixed);
  label("listKind", listKind, mixed);
  for (const [index, name] of shortNames.entries()) label(`shortNames[${index}]`, name);
  if (kind && kind === listKind) {
    const detail = "kind and listKind may not be the same";
    errors.push(invalid(`${path}.listKind`, listKind, detail));
  }
  for (const [index, name] of categories.entries()) label(`categories[${index}]`, name);
  return errors;
}

function versionsErrors(crd: Crd, old: Crd | undefined): FieldError[] {
  const versions = crd.spec.versions ?? [];
  const errors: FieldError[] = [];
  versions.forEach((version, index) => {
    if (version.schema?.openAPIV3Schema === undefined) {
      errors.push(required(`spec.versions[${index}].schema.openAPIV3Schema`));
    }
  });
  const isShared = haveSame(versions, "schema");
  const isScaleShared = haveSame(versions, "subresources");
  versions.forEach((version, index) => {
    const path = `spec.versions[${index}]`;
    const wrong = label1035Errors(version.name ?? "");
    if (wrong.length > 0) errors.push(invalid(`${path}.name`, version.name, wrong.join(",")));
    errors.push(...versionErrors(version, path));
    // As with the schema below.
    if (!isScaleShared || index === 0)
      errors.push(...scaleErrors(version, `${isScaleShared ? "spec" : path}.subresources.scale`));
    // A schema that all versions share is judged once, as upstream's storage form has it once.
    if (isShared && index > 0) return;
    const at = isShared ? "spec.validation" : `${path}.schema`;
    const before = old?.spec.versions?.find(({ name }) => name === version.name);
    errors.push(...schemaErrors(version, `${at}.openAPIV3Schema`, before));
  });
  if (new Set(versions.map(({ name }) => name)).size < versions.length) {
    errors.push(invalid("spec.versions", versions, "must contain unique version names"));
  }
  if (versions.filter(({ storage }) => storage).length !== 1) {
    const detail = "must have exactly one version marked as storage version";
    errors.push(invalid("spec.versions", versions, detail));
  }
  return errors;
}

function haveSame(versions: readonly Version[], key: "schema" | "subresources"): boolean {
  const [first] = versions;
  return versions.every((version) => Bun.deepEquals(version[key], first?.[key], true));
}

function versionErrors(version: Version, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { deprecationWarning: warning } = version;
  const warningField = `${path}.deprecationWarning`;
  if (warning !== undefined && version.deprecated !== true) {
    errors.push(invalid(warningField, warning, "can only be set for deprecated versions"));
  } else if (warning !== undefined) {
    if (warning === "") errors.push(invalid(warningField, warning, "must not be an empty string"));
    if (warning.length > limits.warningCharsMax) {
      errors.push(invalid(warningField, warning, "must be <= 256 characters long"));
    }
  }
  for (const [index, column] of (version.additionalPrinterColumns ?? []).entries()) {
    errors.push(...columnErrors(column, `${path}.additionalPrinterColumns[${index}]`));
  }
  return [...errors, ...selectableErrors(version, `${path}.selectableFields`)];
}

function scaleErrors(version: Version, path: string): FieldError[] {
  const scale = version.subresources?.scale;
  if (scale === undefined) return [];
  const below = (field: string, value: string | undefined, roots: readonly string[]) => {
    const at = `${path}.${field}`;
    if (!value) return [required(at)];
    const wrong = pathErrors(value, at);
    if (wrong.length > 0 || roots.some((root) => value.startsWith(`${root}.`))) return wrong;
    const where = roots.length > 1 ? `either ${roots.join(" or ")}` : roots[0];
    return [invalid(at, value, `should be a json path under ${where}`)];
  };
  const { labelSelectorPath: selector } = scale;
  return [
    ...below("specReplicasPath", scale.specReplicasPath, [".spec"]),
    ...below("statusReplicasPath", scale.statusReplicasPath, [".status"]),
    ...(selector ? below("labelSelectorPath", selector, [".spec", ".status"]) : []),
  ];
}

function pathErrors(value: string, path: string): FieldError[] {
  if (value.startsWith(".")) return [];
  return [invalid(path, value, "must be a simple json path starting with .")];
}

const columnTypes = ["boolean", "date", "integer", "number", "string"];
const columnFormats = [
  "byte",
  "date",
  "date-time",
  "double",
  "float",
  "int32",
  "int64",
  "password",
];

function columnErrors(
  column: DeepReadonly<CustomResourceColumnDefinition>,
  path: string,
): FieldError[] {
  const { name, type, format, jsonPath } = column;
  const errors: FieldError[] = [];
  if (!name) errors.push(required(`${path}.name`));
  const typesText = `must be one of ${columnTypes.join(",")}`;
  if (!type) errors.push(required(`${path}.type`, typesText));
  else if (!columnTypes.includes(type)) errors.push(invalid(`${path}.type`, type, typesText));
  if (format && !columnFormats.includes(format)) {
    errors.push(invalid(`${path}.format`, format, `must be one of ${columnFormats.join(",")}`));
  }
  if (!jsonPath) errors.push(required(`${path}.JSONPath`));
  else errors.push(...pathErrors(jsonPath, `${path}.JSONPath`));
  return errors;
}

function selectableErrors(version: Version, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [index, { jsonPath }] of (version.selectableFields ?? []).entries()) {
    const at = `${path}[${index}].jsonPath`;
    if (!jsonPath) errors.push(required(at));
    else {
      errors.push(...selectableError(version, jsonPath, at));
      if (seen.has(jsonPath)) errors.push(duplicate(at, jsonPath));
      seen.add(jsonPath);
    }
  }
  if (seen.size > limits.selectableFieldsMax) {
    const detail = `${seen.size}: must have at most ${limits.selectableFieldsMax} items`;
    errors.push({ type: "FieldValueTooMany", field: path, detail });
  }
  return errors;
}

function selectableError(version: Version, jsonPath: string, path: string): FieldError[] {
  const steps = jsonPath.split(".").slice(1);
  if (!jsonPath.startsWith(".") || steps.length === 0 || steps.includes("")) {
    return [invalid(path, jsonPath, "is an invalid path: must be a simple json path")];
  }
  if (steps[0] === "metadata") {
    return [invalid(path, jsonPath, "must not point to fields in metadata")];
  }
  let schema = version.schema?.openAPIV3Schema;
  for (const step of steps) schema = schema?.properties?.[step];
  if (schema === undefined) {
    return [invalid(path, jsonPath, `is an invalid path: does not refer to a valid field`)];
  }
  if (["string", "boolean", "integer"].includes(schema.type ?? "")) return [];
  const detail =
    "must point to a field of type string, boolean or integer. Enum string fields and strings " +
    "with formats are allowed.";
  return [invalid(path, jsonPath, detail)];
}

function conversionErrors(crd: Crd): FieldError[] {
  const { conversion } = crd.spec;
  if (conversion === undefined) return [];
  const { strategy, webhook } = conversion;
  const path = "spec.conversion";
  const errors = oneOf(`${path}.strategy`, strategy, ["None", "Webhook"]);
  const clientAt = `${path}.webhookClientConfig`;
  const versionsAt = `${path}.conversionReviewVersions`;
  const client = webhook?.clientConfig;
  const versions = webhook?.conversionReviewVersions ?? [];
  if (strategy !== "Webhook") {
    const detail = "should not be set when strategy is not set to Webhook";
    if (client !== undefined) errors.push(forbidden(clientAt, detail));
    if (versions.length > 0) errors.push(forbidden(versionsAt, detail));
    return errors;
  }
  if (client === undefined) {
    errors.push(required(clientAt, "required when strategy is set to Webhook"));
  } else errors.push(...webhookClientErrors(client, clientAt));
  if (versions.length === 0) errors.push(required(versionsAt));
  else if (!versions.some((version) => version === "v1" || version === "v1beta1")) {
    errors.push(invalid(versionsAt, versions, "must include at least one of v1, v1beta1"));
  }
  return errors;
}

function storedVersionsErrors(crd: Crd): FieldError[] {
  const stored = crd.status?.storedVersions ?? [];
  const field = "status.storedVersions";
  if (stored.length === 0) return [invalid(field, stored, "must have at least one stored version")];
  const versions = crd.spec.versions ?? [];
  const names = versions.map(({ name }) => name);
  const missing = versions.filter(({ storage, name }) => storage && !stored.includes(name));
  const errors = missing.map((version) =>
    invalid(field, version, `must have the storage version ${version.name}`),
  );
  stored.forEach((version, index) => {
    if (names.includes(version)) return;
    const detail =
      `missing from spec.versions; ${version} was previously a storage version, and must ` +
      "remain in spec.versions until a storage migration ensures no data remains persisted in " +
      `${version} and removes ${version} from status.storedVersions`;
    errors.push(invalid(`${field}[${index}]`, version, detail));
  });
  return errors;
}
