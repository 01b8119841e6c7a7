/** Which objects of a resource a list or watch is about. */
import { ApiError } from "../lib/api-error.ts";
import {
  type FieldTerm,
  type LabelSelector,
  labelMatcher,
  matchesFields,
  parseFieldSelector,
  parseLabelSelector,
  SelectorError,
} from "../lib/selector.ts";
import type { LabelWanted, Wanted } from "../live/live-set.ts";
import type { ApiRequest } from "./request.ts";
import type { ResourceDefinition } from "./resource-definition.ts";
import type { Stored } from "./stored.ts";

export interface Selection extends Wanted {
  /** What was asked, in one text. */
  readonly text: string;
  /** False when all objects of the prefix are meant. */
  readonly selects: boolean;
  /** The only key that can match, when the selectors name it. */
  readonly key: string | undefined;
  /** False when an object is meant because it has that key. */
  readonly selectsBeyondKey: boolean;
  matches(live: Stored): boolean;
}

/** Throws BadRequest for selectors that cannot be parsed or name unknown fields. */
export function selectionOf(definition: ResourceDefinition, request: ApiRequest): Selection {
  const { query } = request;
  const labelText = query.get("labelSelector") ?? "";
  const fieldText = query.get("fieldSelector") ?? "";
  const labels = parsed(parseLabelSelector, labelText);
  const fields = [...parsed(parseFieldSelector, fieldText)];
  if (request.name !== "") {
    fields.push({ field: "metadata.name", operator: "=", value: request.name });
  }
  for (const { field } of fields) checkField(definition, field);
  const namespace = definition.namespaced ? request.namespace : "";
  const key = keyNamed(definition, namespace, fields);
  const matchesOne = labelMatcher(labels);
  return {
    text: JSON.stringify([namespace, request.name, labelText, fieldText]),
    prefix: namespace === "" ? "" : `${namespace}/`,
    label: labelWanted(labels),
    field: fieldWanted(fields),
    selects: labels.requirements.length > 0 || fields.length > 0,
    key,
    selectsBeyondKey:
      key === undefined ||
      labels.requirements.length > 0 ||
      fields.some((term) => !isInKey(key, term)),
    matches:
      fields.length === 0
        ? (live) => matchesOne(live.labels)
        : (live) => matchesOne(live.labels) && matchesAll(definition, fields, live),
  };
}

function parsed<T>(parse: (text: string) => T, text: string): T {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof SelectorError)) throw error;
    throw new ApiError("BadRequest", error.message);
  }
}

function checkField(definition: ResourceDefinition, field: string): void {
  if (field === "metadata.name" || Object.hasOwn(definition.fields, field)) return;
  if (field === "metadata.namespace" && definition.namespaced) return;
  const isPlain = Object.keys(definition.fields).length === 0;
  throw new ApiError(
    "BadRequest",
    isPlain
      ? `${JSON.stringify(field)} is not a known field selector: only "metadata.name", ` +
          '"metadata.namespace"'
      : `field label not supported: ${field}`,
  );
}

/** A label that an object must have. */
function labelWanted({ requirements }: LabelSelector): LabelWanted | undefined {
  return requirements.find(({ operator }) => ["=", "==", "in"].includes(operator));
}

/** A field that must have a value of its own. */
function fieldWanted(fields: readonly FieldTerm[]): Wanted["field"] {
  const term = fields.find(({ operator, value }) => operator === "=" && value !== "");
  return term && { path: term.field, value: term.value };
}

/** True for what an object fulfils by having that key. */
function isInKey(key: string, { field, operator, value }: FieldTerm): boolean {
  const slash = key.indexOf("/");
  if (operator !== "=") return false;
  if (field === "metadata.name") return value === key.slice(slash + 1);
  return field === "metadata.namespace" && slash > 0 && value === key.slice(0, slash);
}

function keyNamed(
  definition: ResourceDefinition,
  namespace: string,
  fields: readonly FieldTerm[],
): string | undefined {
  const exactValue = (field: string) =>
    fields.find((term) => term.field === field && term.operator === "=")?.value;
  const name = exactValue("metadata.name");
  if (name === undefined || name === "") return undefined;
  if (!definition.namespaced) return name;
  const inside = namespace === "" ? exactValue("metadata.namespace") : namespace;
  return inside ? `${inside}/${name}` : undefined;
}

function matchesAll(
  definition: ResourceDefinition,
  fields: readonly FieldTerm[],
  live: Stored,
): boolean {
  return matchesFields(fields, (field) => {
    if (field === "metadata.name") return live.key.slice(live.key.indexOf("/") + 1);
    if (field === "metadata.namespace" && definition.namespaced) {
      return live.key.slice(0, live.key.indexOf("/"));
    }
    return definition.fields[field]?.(live.object) ?? "";
  });
}
