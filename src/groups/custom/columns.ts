/** Printer columns of custom resources, by JSONPath. */
import type { Cell, Column, ResourceDefinition } from "../../api/resource-definition.ts";
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
      // Of several values upstream shows the first.
      const [value] = evaluateJsonPath(path, object);
      return value === undefined ? null : cellOf(type, value, now);
    },
  };
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

function cellOf(type: string, value: unknown, now: Date): Cell {
  switch (type) {
    case "integer":
      if (typeof value === "bigint") return value;
      return typeof value === "number" ? Math.trunc(value) : null;
    case "number":
      if (typeof value === "bigint") return Number(value);
      return typeof value === "number" ? value : null;
    case "boolean":
      return typeof value === "boolean" ? value : null;
    case "date":
      if (typeof value !== "string") return null;
      if (value === "" || value === "null") return "<unknown>";
      return rfc3339.test(value) && !Number.isNaN(Date.parse(value))
        ? ageOf(value, now)
        : "<invalid>";
    default:
      return textOf(value);
  }
}

function textOf(value: unknown): string {
  if (value === null) return "<no value>";
  if (typeof value !== "object") return String(value);
  return goJson(value).replace(/[<>&]/g, (sign) => {
    return `\\u00${sign.charCodeAt(0).toString(16)}`;
  });
}

/** JSON as Go writes it: members in the order of their names. */
function goJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${goJson(member)}`);
  return `{${members.join(",")}}`;
}
