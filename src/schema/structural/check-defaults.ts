/** Whether the defaults of a schema are themselves what the schema asks for. */
import { copyJson } from "../copy.ts";
import { invalid } from "./problems.ts";
import { prune } from "./prune.ts";
import { rulesBrokenByDefault } from "./rules.ts";
import type { Structural } from "./schema.ts";
import { type SchemaProblem, validateStructural } from "./validate.ts";

/** The problems of every default below `schema`, which stands at `path`. */
export function* checkDefaults(schema: Structural, path: string): Generator<SchemaProblem> {
  const { items, properties = {} } = schema;
  if (schema.default !== undefined) yield* checkDefault(schema, schema.default, `${path}.default`);
  if (items !== undefined) yield* checkDefaults(items, `${path}.items`);
  for (const [name, member] of Object.entries(properties)) {
    yield* checkDefaults(member, `${path}.properties[${name}]`);
  }
}

function* checkDefault(schema: Structural, value: unknown, path: string): Generator<SchemaProblem> {
  const unknown = prune({ value: copyJson(value) }, { properties: { value: schema } });
  if (unknown.length > 0) yield invalid(path, value, "must not have unknown fields");
  const problems = validateStructural(value, schema);
  const all = problems.length > 0 ? problems : rulesBrokenByDefault(value, schema);
  for (const problem of all) yield { ...problem, field: placed(path, problem.field) };
}

function placed(path: string, field: string): string {
  if (field === "" || field.startsWith("<")) return path;
  return field.startsWith("[") ? `${path}${field}` : `${path}.${field}`;
}
