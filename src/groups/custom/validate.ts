/** What may be wrong with a custom resource beyond its metadata. */
import { fieldErrorText } from "../../api/errors.ts";
import type { FieldError, WriteContext } from "../../api/resource-definition.ts";
import type { CustomResourceDefinitionVersion } from "../../gen/apiextensions-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { isInt64 } from "../../lib/exact-json.ts";
import { evaluateJsonPath, parseJsonPath } from "../../lib/jsonpath.ts";
import { subdomainErrors } from "../../lib/names.ts";
import { Turn } from "../../lib/turns.ts";
import type { KubeObject } from "../../schema/object.ts";
import { repeatedElements } from "../../schema/structural/ratchet.ts";
import { brokenRules, hasRules } from "../../schema/structural/rules.ts";
import {
  isJson,
  type Json,
  memberSchema,
  type Structural,
} from "../../schema/structural/schema.ts";
import { validateStructural } from "../../schema/structural/validate.ts";
import { goText } from "../../schema/typed-validate.ts";
import { invalid, invalids, required } from "../field-errors.ts";

type Version = DeepReadonly<CustomResourceDefinitionVersion>;

const replicasMax = 2 ** 31 - 1;

/** The errors of a create, an update or a status update. */
export async function validateCustom(
  schema: Structural,
  version: Version,
  object: DeepReadonly<KubeObject>,
  context: WriteContext<KubeObject>,
): Promise<readonly FieldError[]> {
  const old = context.old;
  const isStatus = context.subresource === "status";
  const errors = [
    ...(isStatus ? statusErrors(schema, object, old) : schemaErrors(schema, object, old)),
    ...scaleErrors(version, object, isStatus),
    ...(isStatus ? [] : embeddedErrors(object, schema)),
    ...repeatedErrors(schema, object, old),
  ];
  if (!hasRules(schema)) return errors;
  return [...errors, ...(await ruleErrors(schema, object, context, errors))];
}

/** After these a rule could not be evaluated as it is meant. */
const blocking: ReadonlySet<FieldError["type"]> = new Set([
  "FieldValueNotSupported",
  "FieldValueRequired",
  "FieldValueTooLong",
  "FieldValueTooMany",
  "FieldValueTypeInvalid",
]);

async function ruleErrors(
  schema: Structural,
  object: DeepReadonly<KubeObject>,
  { old, runtime }: WriteContext<KubeObject>,
  errors: readonly FieldError[],
): Promise<readonly FieldError[]> {
  if (errors.some(({ type }) => blocking.has(type))) {
    const detail =
      "some validation rules were not checked because the object was invalid; correct the " +
      "existing errors to complete validation";
    return [invalid("<nil>", null, detail)];
  }
  const before = old === undefined ? undefined : { value: old };
  const outcome = await brokenRules(object, schema, before, new Turn(runtime.clock));
  if (outcome.tolerated.length > 0) toleratedBy.set(object, outcome.tolerated);
  return outcome.problems;
}

/** Of objects that were checked. */
const toleratedBy = new WeakMap<object, readonly FieldError[]>();

/** Rules that an object breaks as it did before: the writer is told of them. */
export function toleratedTexts(object: DeepReadonly<KubeObject>): readonly string[] {
  const tolerated = toleratedBy.get(object) ?? [];
  return tolerated.map((error) => `${error.field}: ${fieldErrorText(error)}`);
}

function schemaErrors(
  schema: Structural,
  object: DeepReadonly<KubeObject>,
  old: DeepReadonly<KubeObject> | undefined,
): readonly FieldError[] {
  return validateStructural(object, schema, old === undefined ? {} : { old: { value: old } });
}

function statusErrors(
  schema: Structural,
  object: DeepReadonly<KubeObject>,
  old: DeepReadonly<KubeObject> | undefined,
): readonly FieldError[] {
  const inner = memberSchema(schema, "status");
  const status = (object as DeepReadonly<Json>).status;
  if (inner === undefined || status === undefined) return [];
  const before = (old as DeepReadonly<Json> | undefined)?.status;
  return validateStructural(status, inner, {
    prefix: "status.",
    ...(before === undefined ? {} : { old: { value: before } }),
  });
}

/** Lists that repeat an element are an error unless they did before. */
function repeatedErrors(
  schema: Structural,
  object: DeepReadonly<KubeObject>,
  old: DeepReadonly<KubeObject> | undefined,
): readonly FieldError[] {
  const found = repeatedElements(object, schema);
  if (found.length === 0 || old === undefined) return found;
  return repeatedElements(old, schema).length > 0 ? [] : found;
}

function goTypeName(value: unknown): string {
  if (isInt64(value)) return "int64";
  if (typeof value === "number") return "float64";
  return typeof value === "boolean" ? "bool" : typeof value;
}

/** What stands on the way to a path and has no members. */
function wrongParent(object: unknown, path: string): unknown {
  let at = object;
  for (const step of path.split(".").filter((one) => one !== "")) {
    if (at === undefined) return undefined;
    if (!isJson(at)) return at;
    at = at[step];
  }
  return undefined;
}

function scaleErrors(
  version: Version,
  object: DeepReadonly<KubeObject>,
  isStatus: boolean,
): FieldError[] {
  const scale = version.subresources?.scale;
  if (scale === undefined) return [];
  const replicas = (path: string): FieldError[] => {
    const name = `.${path.replace(/^\./, "")}`;
    const wrong = wrongParent(object, path);
    if (wrong !== undefined) {
      const type = Array.isArray(wrong) ? "[]interface {}" : goTypeName(wrong);
      const shown = Array.isArray(wrong) ? goText(wrong) : String(wrong);
      const form = `${shown} is of the type ${type}, expected map[string]interface{}`;
      return [invalid(path, 0, `${name} accessor error: ${form}`)];
    }
    const [value] = evaluateJsonPath(parseJsonPath(path), object);
    if (value === undefined) return [];
    if (!isInt64(value)) {
      const type = goTypeName(value);
      const text = `${name} accessor error: ${value} is of the type ${type}, expected int64`;
      return [invalid(path, 0, text)];
    }
    if (value < 0) return [invalid(path, value, "should be a non-negative integer")];
    if (value <= replicasMax) return [];
    return [invalid(path, value, `should be less than or equal to ${replicasMax}`)];
  };
  return [
    ...(isStatus ? [] : replicas(scale.specReplicasPath)),
    ...replicas(scale.statusReplicasPath),
  ];
}

/** Objects inside of the object need what every object needs. */
function embeddedErrors(
  value: unknown,
  schema: Structural | undefined,
  path = "",
): readonly FieldError[] {
  if (schema === undefined) return [];
  if (Array.isArray(value)) {
    return value.flatMap((item, i) => embeddedErrors(item, schema.items, `${path}[${i}]`));
  }
  if (!isJson(value)) return [];
  const inner = Object.entries(value).flatMap(([name, member]) => {
    const at = path === "" ? name : `${path}.${name}`;
    return embeddedErrors(member, memberSchema(schema, name), at);
  });
  const isResource = schema["x-kubernetes-embedded-resource"] === true && path !== "";
  return [...(isResource ? embeddedObject(value, path) : []), ...inner];
}

function embeddedObject(object: Json, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { kind, apiVersion, metadata } = object;
  // What is absent is the schema's error.
  const missing = (one: unknown): string => (one === undefined ? "" : "must not be empty");
  if (!apiVersion) errors.push(required(`${path}.apiVersion`, missing(apiVersion)));
  else if (!/^([a-z0-9.-]+\/)?[a-z0-9]+$/.test(String(apiVersion))) {
    const text = `unexpected GroupVersion string: ${String(apiVersion)}`;
    errors.push(invalid(`${path}.apiVersion`, apiVersion, text));
  }
  if (!kind) errors.push(required(`${path}.kind`, missing(kind)));
  const name = isJson(metadata) ? metadata.name : undefined;
  if (typeof name === "string" && name !== "") {
    errors.push(...invalids(`${path}.metadata.name`, name, subdomainErrors(name)));
  }
  return errors;
}
