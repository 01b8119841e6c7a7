/**
 * What may be wrong with the versions of a CustomResourceDefinition. What all versions share is
 * judged once, after the names, as upstream's storage form has it once.
 */
import type { FieldError } from "../../api/resource-definition.ts";
import type {
  CustomResourceColumnDefinition,
  CustomResourceDefinition,
  CustomResourceDefinitionVersion,
  JSONSchemaProps,
} from "../../gen/apiextensions-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { label1035Errors } from "../../lib/names.ts";
import { duplicate, invalid, required, tooMany } from "../field-errors.ts";
import { schemaErrors } from "./definition-schema.ts";

type Crd = DeepReadonly<CustomResourceDefinition>;
type Version = DeepReadonly<CustomResourceDefinitionVersion>;
type Schema = DeepReadonly<JSONSchemaProps>;

const limits = { selectableFieldsMax: 8, warningCharsMax: 256 } as const;

/** The parts of a version that may stand once for all. */
type Part = "schema" | "subresources" | "additionalPrinterColumns" | "selectableFields";

function isShared(crd: Crd, part: Part): boolean {
  const versions = crd.spec.versions ?? [];
  return versions.every((version) => Bun.deepEquals(version[part], versions[0]?.[part], true));
}

/** The errors of each version's own parts, and of the versions together. */
export function versionsErrors(crd: Crd, old: Crd | undefined): FieldError[] {
  const versions = crd.spec.versions ?? [];
  const errors: FieldError[] = [];
  versions.forEach((version, index) => {
    if (version.schema?.openAPIV3Schema === undefined)
      errors.push(required(`spec.versions[${index}].schema.openAPIV3Schema`));
  });
  versions.forEach((version, index) => {
    const path = `spec.versions[${index}]`;
    const wrong = label1035Errors(version.name ?? "");
    if (wrong.length > 0) errors.push(invalid(`${path}.name`, version.name, wrong.join(",")));
    errors.push(...warningErrors(version, `${path}.deprecationWarning`));
    if (!isShared(crd, "schema")) {
      const hasStatus = version.subresources?.status !== undefined;
      const at = `${path}.schema.openAPIV3Schema`;
      errors.push(...schemaErrors(version, at, storedVersion(old, version), hasStatus));
    }
    if (!isShared(crd, "subresources"))
      errors.push(...scaleErrors(version, `${path}.subresources.scale`));
    if (!isShared(crd, "additionalPrinterColumns")) errors.push(...columnsErrors(version, path));
    if (!isShared(crd, "selectableFields")) {
      const given = isShared(crd, "schema") ? undefined : version.schema?.openAPIV3Schema;
      const lacking = "may only be set when `version.schema.openAPIV3Schema` is not included";
      errors.push(...selectableErrors(version, given, lacking, `${path}.selectableFields`));
    }
  });
  if (new Set(versions.map(({ name }) => name)).size < versions.length) {
    errors.push(invalid("spec.versions", versions, "must contain unique version names"));
  }
  if (versions.filter(({ storage }) => storage).length !== 1) {
    const detail = "must have exactly one version marked as storage version";
    errors.push(invalid("spec.versions", versions, detail));
  }
  const [first] = versions;
  const wrong = label1035Errors(first?.name ?? "");
  if (first?.name && wrong.length > 0)
    errors.push(invalid("spec.version", first.name, wrong.join(",")));
  return errors;
}

/** The errors of what all versions have in common. */
export function sharedErrors(crd: Crd, old: Crd | undefined): FieldError[] {
  const versions = crd.spec.versions ?? [];
  const [first] = versions;
  if (first === undefined) return [];
  const errors: FieldError[] = [];
  const isSchemaShared = isShared(crd, "schema");
  if (isSchemaShared) {
    const hasStatus = versions.some(({ subresources }) => subresources?.status !== undefined);
    const at = "spec.validation.openAPIV3Schema";
    errors.push(...schemaErrors(first, at, storedVersion(old, first), hasStatus));
  }
  if (isShared(crd, "subresources")) errors.push(...scaleErrors(first, "spec.subresources.scale"));
  if (isShared(crd, "additionalPrinterColumns")) errors.push(...columnsErrors(first, "spec"));
  if (isShared(crd, "selectableFields")) {
    const given = isSchemaShared ? first.schema?.openAPIV3Schema : undefined;
    const lacking = "may only be set when validations.schema is included";
    errors.push(...selectableErrors(first, given, lacking, "spec.selectableFields"));
  }
  return errors;
}

function storedVersion(old: Crd | undefined, { name }: Version): Version | undefined {
  return old?.spec.versions?.find((version) => version.name === name);
}

function warningErrors(version: Version, field: string): FieldError[] {
  const { deprecationWarning: warning } = version;
  if (warning === undefined) return [];
  if (version.deprecated !== true)
    return [invalid(field, warning, "can only be set for deprecated versions")];
  if (warning === "") return [invalid(field, warning, "must not be an empty string")];
  return warning.length > limits.warningCharsMax
    ? [invalid(field, warning, "must be <= 256 characters long")]
    : [];
}

function columnsErrors(version: Version, path: string): FieldError[] {
  return (version.additionalPrinterColumns ?? []).flatMap((column, index) =>
    columnErrors(column, `${path}.additionalPrinterColumns[${index}]`),
  );
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

function selectableErrors(
  version: Version,
  schema: Schema | undefined,
  lacking: string,
  path: string,
): FieldError[] {
  const fields = version.selectableFields ?? [];
  if (fields.length === 0) return [];
  if (schema === undefined) return [invalid(path, "", lacking)];
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [index, { jsonPath }] of fields.entries()) {
    const at = `${path}[${index}].jsonPath`;
    if (!jsonPath) {
      errors.push(required(at));
      continue;
    }
    const found = schemaAt(schema, jsonPath);
    if (typeof found === "string") {
      errors.push(invalid(at, jsonPath, `is an invalid path: ${found}`));
      continue;
    }
    errors.push(...selectableError(found, jsonPath, at));
    if (seen.has(jsonPath)) errors.push(duplicate(at, jsonPath));
    seen.add(jsonPath);
  }
  if (seen.size > limits.selectableFieldsMax)
    errors.push(tooMany(path, seen.size, limits.selectableFieldsMax));
  return errors;
}

/** The schema that a path of steps leads to, or why it leads nowhere. */
function schemaAt(root: Schema, path: string): Schema | string {
  const tokens = path.match(/[.[\]]|[^.[\]]+/g) ?? [];
  let schema: Schema | undefined = root;
  for (let at = 0; at < tokens.length; at += 2) {
    if (tokens[at] === "[") return "array notation is not allowed";
    if (tokens[at] !== ".") return `expected [ or . but got: ${tokens[at]}`;
    const name = tokens[at + 1];
    if (name === undefined) return "unexpected end of JSON path";
    const others: Schema | boolean | undefined = schema?.additionalProperties as never;
    schema = schema?.properties === undefined ? (others as Schema) : schema.properties[name];
    if (typeof schema !== "object") return "does not refer to a valid field";
  }
  return schema;
}

function selectableError(schema: Schema, jsonPath: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (/^\.metadata\b/.test(jsonPath))
    errors.push(invalid(path, jsonPath, "must not point to fields in metadata"));
  if (!["string", "boolean", "integer"].includes(schema.type ?? "")) {
    const detail =
      "must point to a field of type string, boolean or integer. Enum string fields and strings " +
      "with formats are allowed.";
    errors.push(invalid(path, jsonPath, detail));
  }
  return errors;
}
