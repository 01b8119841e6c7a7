/**
 * What the schemas of the Gateway API's kinds are made of: the limits and forms of its
 * specification, v1.4, standard channel (https://gateway-api.sigs.k8s.io/reference/spec/).
 */
import type { JSONSchemaProps } from "../../gen/apiextensions-v1.ts";

export type Schema = JSONSchemaProps;
type Fields = Readonly<Record<string, Schema>>;

const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const subdomain = `${label}(\\.${label})*`;
const domainPath = `${subdomain}\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+`;

/** Fields whose names end in `!` are required. */
export function object(fields: Fields, more: Schema = {}): Schema {
  const required: string[] = [];
  const properties: Record<string, Schema> = {};
  for (const [name, schema] of Object.entries(fields)) {
    const isRequired = name.endsWith("!");
    const bare = isRequired ? name.slice(0, -1) : name;
    if (isRequired) required.push(bare);
    properties[bare] = schema;
  }
  return { type: "object", properties, ...(required.length === 0 ? {} : { required }), ...more };
}

export function list(items: Schema, maxItems: number, more: Schema = {}): Schema {
  return { type: "array", items, maxItems, "x-kubernetes-list-type": "atomic", ...more };
}

/** A list whose items are told apart by one of their fields. */
export function mapList(key: string, items: Schema, maxItems: number, more: Schema = {}): Schema {
  const keyed: Schema = { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key] };
  return { type: "array", items, maxItems, ...keyed, ...more };
}

export function text(maxLength: number, more: Schema = {}): Schema {
  return { type: "string", minLength: 1, maxLength, ...more };
}

export function oneOf(...values: readonly string[]): Schema {
  return { type: "string", enum: values.map((value) => value as never) };
}

export function whole(minimum: number, maximum?: number, more: Schema = {}): Schema {
  const end = maximum === undefined ? {} : { maximum };
  return { type: "integer", format: "int32", minimum, ...end, ...more };
}

/** A rule in CEL, in one piece or several, and what is said where it does not hold. */
export type Rule = readonly [rule: string | readonly string[], message: string];

export function rules(...pairs: readonly Rule[]): Schema {
  return {
    "x-kubernetes-validations": pairs.map(([rule, message]) => ({
      rule: typeof rule === "string" ? rule : rule.join(" "),
      message,
    })),
  };
}

/** CEL: a text that may be absent, then "". */
export function orEmpty(field: string): string {
  return `(has(${field}) ? ${field} : '')`;
}

export function withDefault(value: unknown, schema: Schema): Schema {
  return { ...schema, default: value as never };
}

export const port = whole(1, 65535);
export const objectName = text(253);
export const namespaceName = text(63, { pattern: `^${label}$` });
export const groupName: Schema = {
  type: "string",
  maxLength: 253,
  pattern: `^$|^${subdomain}$`,
};
export const kindName = text(63, { pattern: "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$" });
export const sectionName = text(253, { pattern: `^${subdomain}$` });
export const preciseHostname = text(253, { pattern: `^${subdomain}$` });
export const hostname = text(253, { pattern: `^(\\*\\.)?${subdomain}$` });
export const controllerName = text(253, { pattern: `^${domainPath}$` });
export const protocolName = text(255, {
  pattern: `^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|${subdomain}\\/[A-Za-z0-9]+$`,
});
export const addressType = withDefault(
  "IPAddress",
  text(253, { pattern: `^Hostname|IPAddress|NamedAddress|${domainPath}$` }),
);
export const fieldName = text(256, { pattern: "^[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+$" });
export const duration: Schema = { type: "string", pattern: "^([0-9]{1,5}(h|m|s|ms)){1,4}$" };

export const parametersRef = object({
  "group!": groupName,
  "kind!": kindName,
  "name!": objectName,
});

const condition = object({
  "lastTransitionTime!": { type: "string", format: "date-time" },
  "message!": { type: "string", maxLength: 32_768 },
  observedGeneration: { type: "integer", format: "int64", minimum: 0 },
  "reason!": text(1024, { pattern: "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$" }),
  "status!": oneOf("True", "False", "Unknown"),
  "type!": {
    type: "string",
    maxLength: 316,
    pattern: `^(${subdomain}/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$`,
  },
});

export const conditions = mapList("type", condition, 8);

/** What an object says of itself until a controller has seen it. */
export function pending(...types: readonly string[]): readonly object[] {
  return types.map((type) => ({
    type,
    status: "Unknown",
    reason: "Pending",
    message: "Waiting for controller",
    lastTransitionTime: "1970-01-01T00:00:00Z",
  }));
}

export const selector = object(
  {
    matchExpressions: {
      type: "array",
      "x-kubernetes-list-type": "atomic",
      items: object({
        "key!": { type: "string" },
        "operator!": { type: "string" },
        values: {
          type: "array",
          items: { type: "string" },
          "x-kubernetes-list-type": "atomic",
        },
      }),
    },
    matchLabels: { type: "object", additionalProperties: { type: "string" } },
  },
  { "x-kubernetes-map-type": "atomic" },
);
