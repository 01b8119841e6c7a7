/**
 * Small changes to valid objects, most of which make them invalid. Upstream's own OpenAPI document
 * says which fields an object could have; a seed chooses.
 */
import { isObject, type Json, type JsonObject } from "./client.ts";
import type { Random } from "./random.ts";

/** Upstream's `definitions`. */
export type Definitions = Readonly<Record<string, JsonObject>>;

const texts = [
  "",
  "a",
  "web",
  "A_b",
  "-bad-",
  "a.b.c",
  "a/b",
  "x".repeat(64),
  "10.0.0.1",
  "::1",
  "10.0.0.0/8",
  "25%",
  "100m",
  "5Gi",
  "-1",
  "*",
  "/abs/path",
  "../up",
  "https://example.com/x",
  "Always",
  "TCP",
  "Equal",
  "2026-01-02T03:04:05Z",
  "kubernetes.io/x",
  "ünï",
];
const numbers = [0, 1, 2, -1, 80, 65536, 2147483647, 2147483648, 4294967296];
const wrongTypes: readonly Json[] = [true, 7, "text", [], {}, null, ["a"], { a: "b" }];

export class Mutator {
  readonly #definitions: Definitions;
  readonly #random: Random;

  constructor(definitions: Definitions, random: Random) {
    this.#definitions = definitions;
    this.#random = random;
  }

  /** A changed copy; `definition` describes the object. */
  mutate(object: JsonObject, definition: string): JsonObject {
    const copy = structuredClone(object);
    const changes = this.#random.chance(80) ? 1 : 2;
    for (let count = 0; count < changes; count++) this.#change(copy, definition);
    return copy;
  }

  #change(root: JsonObject, definition: string): void {
    let [object, schema] = [root, this.#resolve({ $ref: `#/definitions/${definition}` })];
    // Go down by chance; most of what is worth changing lies two to five levels deep.
    for (let depth = 0; depth < 6; depth++) {
      const inner = this.#below(object, schema, depth);
      if (inner === undefined || (depth > 1 && this.#random.chance(25))) break;
      [object, schema] = inner;
    }
    const names = Object.keys(object).filter((name) => !/^(apiVersion|kind|metadata)$/.test(name));
    const roll = this.#random.below(100);
    if (names.length > 0 && roll < 15) delete object[this.#random.pick(names)];
    else if (names.length > 0 && roll < 45) {
      const name = this.#random.pick(names);
      object[name] = this.#value(this.#property(schema, name));
    } else if (names.length > 0 && roll < 50) {
      object[this.#random.pick(names)] = structuredClone(this.#random.pick(wrongTypes));
    } else if (names.length > 0 && roll < 58) this.#double(object, this.#random.pick(names));
    else if (roll < 62) object.unknownField = "x";
    else {
      const known = Object.keys(this.#properties(schema));
      const fitting = known.filter((name) => name !== "apiVersion" && name !== "kind");
      if (fitting.length === 0) return;
      const name = this.#random.pick(fitting);
      object[name] = this.#value(this.#property(schema, name));
    }
  }

  #double(object: JsonObject, name: string): void {
    const value = object[name];
    if (Array.isArray(value) && value.length > 0) value.push(structuredClone(value[0] as Json));
  }

  /** One of the objects right below, with its schema. */
  #below(
    object: JsonObject,
    schema: JsonObject,
    depth: number,
  ): [JsonObject, JsonObject] | undefined {
    const found: [JsonObject, JsonObject][] = [];
    for (const [name, value] of Object.entries(object)) {
      if (depth === 0 && name === "metadata" && this.#random.chance(70)) continue;
      const property = this.#property(schema, name);
      const items = Array.isArray(value) ? value : [value];
      const inner = Array.isArray(value) ? (property.items as JsonObject | undefined) : property;
      for (const item of items) if (isObject(item)) found.push([item, this.#resolve(inner ?? {})]);
    }
    return found.length === 0 ? undefined : this.#random.pick(found);
  }

  #resolve(schema: JsonObject): JsonObject {
    const reference = schema.$ref;
    if (typeof reference !== "string") return schema;
    return this.#definitions[reference.slice("#/definitions/".length)] ?? {};
  }

  #properties(schema: JsonObject): JsonObject {
    return isObject(schema.properties) ? schema.properties : {};
  }

  #property(schema: JsonObject, name: string): JsonObject {
    const own = this.#properties(schema)[name] ?? schema.additionalProperties;
    return isObject(own) ? this.#resolve(own) : {};
  }

  /** A value of the right type, which may be nonsense all the same. */
  #value(schema: JsonObject, depth = 0): Json {
    const random = this.#random;
    if (Array.isArray(schema.enum) && random.chance(70)) return random.pick(schema.enum);
    switch (schema.type) {
      case "integer":
      case "number":
        return random.pick(numbers);
      case "boolean":
        return random.chance(50);
      case "array": {
        const items = this.#resolve((schema.items ?? {}) as JsonObject);
        const length = random.below(3);
        return Array.from({ length }, () => this.#value(items, depth + 1));
      }
      case "object":
        return this.#object(schema, depth);
    }
    if (isObject(schema.properties)) return this.#object(schema, depth);
    return random.pick(texts);
  }

  #object(schema: JsonObject, depth: number): JsonObject {
    const random = this.#random;
    const names = Object.keys(this.#properties(schema));
    const result: JsonObject = {};
    if (names.length === 0) {
      if (isObject(schema.additionalProperties) && random.chance(80))
        result[random.pick(texts)] = this.#value(this.#resolve(schema.additionalProperties), depth);
      return result;
    }
    const required = Array.isArray(schema.required) ? (schema.required as string[]) : [];
    const chosen = new Set(random.chance(85) ? required : []);
    for (let count = 0; count < 2 && depth < 4; count++) chosen.add(random.pick(names));
    for (const name of chosen) result[name] = this.#value(this.#property(schema, name), depth + 1);
    return result;
  }
}
