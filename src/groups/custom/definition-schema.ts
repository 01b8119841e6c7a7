/** What may be wrong with the schema of one version of a CustomResourceDefinition. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { CustomResourceDefinitionVersion } from "../../gen/apiextensions-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { checkDefaults } from "../../schema/structural/check-defaults.ts";
import { checkKeywords } from "../../schema/structural/check-keywords.ts";
import { checkRules } from "../../schema/structural/check-rules.ts";
import { checkStructure } from "../../schema/structural/check-structure.ts";
import type { Structural } from "../../schema/structural/schema.ts";
import { forbidden, invalid } from "../field-errors.ts";

type Version = DeepReadonly<CustomResourceDefinitionVersion>;

/** The only keywords at the root when the status has its own schema, in upstream's spelling. */
const rootKeywords = [
  "Description",
  "Type",
  "Format",
  "Title",
  "Maximum",
  "ExclusiveMaximum",
  "Minimum",
  "ExclusiveMinimum",
  "MaxLength",
  "MinLength",
  "Pattern",
  "MaxItems",
  "MinItems",
  "UniqueItems",
  "MultipleOf",
  "Required",
  "Items",
  "Properties",
  "ExternalDocs",
  "Example",
  "XPreserveUnknownFields",
  "XValidations",
];

function keywordName(name: string): string {
  const words = name.replace(/^x-kubernetes-/, "x-").split("-");
  return words.map((word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`).join("");
}

/**
 * The errors of the schema of `version`, which stands at `path`; `old` is what is stored. With a
 * status of its own not everything is allowed at the root.
 */
export function schemaErrors(
  version: Version,
  path: string,
  old: Version | undefined,
  hasStatus: boolean,
): FieldError[] {
  const props = version.schema?.openAPIV3Schema;
  if (props === undefined) return [];
  const schema = props as Structural;
  const errors: FieldError[] = [];
  if (hasStatus) errors.push(...rootErrors(schema, path));
  if (schema.nullable === true) {
    errors.push(forbidden(`${path}.nullable`, "nullable cannot be true at the root"));
  }
  const structure = checkStructure(schema, path);
  errors.push(...structure);
  if (structure.length === 0) errors.push(...checkDefaults(schema, path));
  const isSound = errors.length === 0;
  const keywords = checkKeywords(schema, path);
  errors.push(...keywords);
  // Only of a schema that is structural the types are known.
  if (!isSound) return errors;
  const isUnchanged = Bun.deepEquals(old?.schema?.openAPIV3Schema, props, true);
  return [...errors, ...checkRules(schema, path, isUnchanged, keywords)];
}

function rootErrors(schema: Structural, path: string): FieldError[] {
  const isEnabled = "if the status subresource is enabled";
  for (const [name, value] of Object.entries(schema)) {
    if (value === undefined || value === false) continue;
    if (name === "type") {
      if (value === "object") continue;
      const detail = `only "object" is allowed as the type at the root of the schema ${isEnabled}`;
      return [invalid(`${path}.type`, value, detail)];
    }
    if (!rootKeywords.includes(keywordName(name))) {
      const allowed = `[${rootKeywords.join(" ")}]`;
      const detail = `only ${allowed} fields are allowed at the root of the schema ${isEnabled}`;
      return [invalid(path, schema, detail)];
    }
  }
  return [];
}
