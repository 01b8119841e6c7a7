/** Printer columns of custom resources, by JSONPath. */
import type { Column, ResourceDefinition } from "../../api/resource-definition.ts";
import type {
  CustomResourceColumnDefinition,
  CustomResourceDefinitionVersion,
} from "../../gen/apiextensions-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { ageOf } from "../../lib/human-duration.ts";
import { evaluateJsonPath, parseJsonPath } from "../../lib/jsonpath.ts";
import type { KubeObject } from "../../schema/object.ts";
import { nameColumn } from "../row.ts";

type Definition = DeepReadonly<CustomResourceColumnDefinition>;

const age: Definition = {
  name: "Age",
  type: "date",
  description:
    "CreationTimestamp is a timestamp representing the server time when this object was created. " +
    "It is not guaranteed to be set in happens-before order across separate operations. Clients " +
    "may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by " +
    "the system. Read-only. Null for lists. More info: " +
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
  jsonPath: ".metadata.creationTimestamp",
};

/** The name, then the given columns, or the age where none are given. */
export function columnsOf(
  version: DeepReadonly<CustomResourceDefinitionVersion>,
): ResourceDefinition["columns"] {
  const given = version.additionalPrinterColumns ?? [];
  return [nameColumn, ...(given.length === 0 ? [age] : given).map(columnOf)];
}

function columnOf(definition: Definition): Column<KubeObject> {
  const { name, type, format, description, priority = 0, jsonPath } = definition;
  const path = parseJsonPath(jsonPath);
  return {
    name,
    type: type as Column<KubeObject>["type"],
    ...(format === undefined ? {} : { format }),
    description:
      description || `Custom resource definition column (in JSONPath format): ${jsonPath}`,
    priority,
    value(object, now) {
      const values = evaluateJsonPath(path, object);
      if (values.length === 0 || values[0] === null) return null;
      return cellOf(type, values.length === 1 ? values[0] : values, now);
    },
  };
}

function cellOf(type: string, value: unknown, now: Date): string | number | boolean | null {
  switch (type) {
    case "integer":
      return typeof value === "number" ? Math.trunc(value) : null;
    case "number":
      return typeof value === "number" ? value : null;
    case "boolean":
      return typeof value === "boolean" ? value : null;
    case "date":
      if (typeof value !== "string") return "<invalid>";
      return Number.isNaN(Date.parse(value)) ? "<invalid>" : ageOf(value, now);
    default:
      return typeof value === "string" ? value : JSON.stringify(value);
  }
}
