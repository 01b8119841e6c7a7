import { describe, expect, test } from "bun:test";
import { decodeCustom } from "./decode.ts";
import { fillSchemaDefaults } from "./default.ts";
import { prune, pruneNulls } from "./prune.ts";
import { repeatedElements } from "./ratchet.ts";
import type { Structural } from "./schema.ts";
import { validateStructural } from "./validate.ts";

const schema: Structural = {
  type: "object",
  required: ["spec"],
  properties: {
    spec: {
      type: "object",
      properties: {
        replicas: { type: "integer", format: "int32", minimum: 0, default: 1 },
        mode: { type: "string", enum: ["fast", "slow"] },
        name: { type: "string", pattern: "^[a-z]+$", maxLength: 5, minLength: 2 },
        since: { type: "string", format: "date-time" },
        port: { "x-kubernetes-int-or-string": true },
        free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        labels: { type: "object", additionalProperties: { type: "string" } },
        note: { type: "string", nullable: true },
        items: {
          type: "array",
          maxItems: 2,
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["key"],
          items: {
            type: "object",
            required: ["key"],
            properties: { key: { type: "string" }, value: { type: "integer", default: 7 } },
          },
        },
        template: {
          type: "object",
          "x-kubernetes-embedded-resource": true,
          properties: { spec: { type: "object", properties: { a: { type: "string" } } } },
        },
      },
    },
    status: { type: "object", properties: { phase: { type: "string" } } },
  },
};
const of = { version: "v1", kind: "Foo" };

describe("pruning", () => {
  test("unknown fields go, at every depth, and are named in order", () => {
    const object = {
      apiVersion: "example.com/v1",
      kind: "Foo",
      metadata: { name: "a" },
      zebra: 1,
      spec: { replicas: 1, items: [{ key: "x", other: 1 }], alien: {}, labels: { any: "x" } },
    };
    expect(prune(object, schema)).toEqual(["spec.alien", "spec.items[0].other", "zebra"]);
    expect(object.spec).toEqual({
      replicas: 1,
      items: [{ key: "x" }],
      labels: { any: "x" },
    } as never);
    expect(object.metadata).toEqual({ name: "a" });
  });

  test("preserved fields stay, and what is known below them is pruned again", () => {
    const keeps: Structural = {
      "x-kubernetes-preserve-unknown-fields": true,
      properties: { known: { type: "object", properties: { a: { type: "string" } } } },
    };
    const object = { any: { thing: 1 }, known: { a: "x", b: "y" } };
    expect(prune(object, keeps)).toEqual(["known.b"]);
    expect(object).toEqual({ any: { thing: 1 }, known: { a: "x" } } as never);
  });

  test("nulls go where they are not allowed and have no default", () => {
    const object = { spec: { mode: null, note: null, replicas: null, labels: { a: null } } };
    pruneNulls(object, schema);
    expect(object).toEqual({ spec: { note: null, replicas: null, labels: {} } } as never);
    fillSchemaDefaults(object, schema);
    expect(object.spec.replicas as unknown).toBe(1);
  });
});

describe("defaults", () => {
  test("fill absent members of objects that are there, also in lists", () => {
    const object = { spec: { items: [{ key: "a" }, { key: "b", value: 1 }] } };
    fillSchemaDefaults(object, schema);
    const items = [
      { key: "a", value: 7 },
      { key: "b", value: 1 },
    ];
    expect(object).toEqual({ spec: { items, replicas: 1 } } as never);
    const empty = {};
    fillSchemaDefaults(empty, schema);
    expect(empty).toEqual({});
  });

  test("a default is a copy", () => {
    const listed: Structural = { properties: { list: { type: "array", default: [1] } } };
    const first: Record<string, unknown> = {};
    fillSchemaDefaults(first, listed);
    (first.list as number[]).push(2);
    const second = {};
    fillSchemaDefaults(second, listed);
    expect(second).toEqual({ list: [1] });
  });
});

describe("decoding", () => {
  test("unknown fields of metadata and of embedded objects are told", () => {
    const { object, problems } = decodeCustom(of, schema, {
      metadata: { name: "a", unknownMeta: "x" },
      spec: {
        template: {
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name: "b", unknownSub: "y" },
          spec: { a: "x", b: 1 },
        },
      },
    });
    expect(problems).toEqual([
      'unknown field "metadata.unknownMeta"',
      'unknown field "spec.template.spec.b"',
      'unknown field "spec.template.metadata.unknownSub"',
    ]);
    const metadata = { name: "b" };
    expect(object as unknown).toEqual({
      metadata: { name: "a" },
      spec: { template: { apiVersion: "v1", kind: "Pod", metadata, spec: { a: "x" } } },
    });
  });

  test("malformed metadata is refused in Go's words", () => {
    expect(() => decodeCustom(of, schema, { metadata: { labels: { a: 1 } } })).toThrow(
      'Foo in version "v1" cannot be handled as a Foo: json: cannot unmarshal number into Go ' +
        "struct field ObjectMeta.metadata.labels of type string",
    );
  });
});

describe("validation", () => {
  const errors = (object: unknown, old?: unknown): string[] =>
    validateStructural(object, schema, old === undefined ? {} : { old: { value: old } }).map(
      ({ type, field, detail }) => `${type} ${field} ${detail}`,
    );

  test("nothing is wrong with what fits", () => {
    const spec = {
      replicas: 3,
      mode: "fast",
      name: "abc",
      port: 80,
      since: "2026-01-02T03:04:05Z",
    };
    expect(errors({ spec })).toEqual([]);
    expect(errors({ spec: { port: "http", note: null, free: { a: [1] } } })).toEqual([]);
  });

  test.each([
    [{}, "FieldValueRequired spec "],
    [
      { spec: { replicas: "3" } },
      'FieldValueTypeInvalid spec.replicas spec.replicas in body must be of type integer: "string"',
    ],
    [
      { spec: { replicas: -1 } },
      "FieldValueInvalid spec.replicas spec.replicas in body should be greater than or equal to 0",
    ],
    [
      { spec: { mode: "idle" } },
      'FieldValueNotSupported spec.mode supported values: "fast", "slow"',
    ],
    [
      { spec: { name: "a-b" } },
      "FieldValueInvalid spec.name spec.name in body should match '^[a-z]+$'",
    ],
    [{ spec: { name: "abcdef" } }, "FieldValueTooLong spec.name may not be more than 5 bytes"],
    [
      { spec: { name: "a" } },
      "FieldValueInvalid spec.name spec.name in body should be at least 2 chars long",
    ],
    [
      { spec: { since: "yesterday" } },
      'FieldValueTypeInvalid spec.since spec.since in body must be of type date-time: "yesterday"',
    ],
    [
      { spec: { port: 1.5 } },
      'FieldValueTypeInvalid spec.port spec.port in body must be of type integer,string: "number"',
    ],
    [
      { spec: { items: [{ key: "a" }, { key: "b" }, { key: "c" }] } },
      "FieldValueTooMany spec.items 3: must have at most 2 items",
    ],
    [{ spec: { items: [{}] } }, "FieldValueRequired spec.items[0].key "],
  ])("%j", (object, message) => {
    expect(errors(object)).toEqual([message]);
  });

  test("what did not change is not held against the writer", () => {
    const old = { spec: { mode: "idle", items: [{ key: "a", value: "no" }] } };
    expect(errors({ spec: { ...old.spec, replicas: 2 } }, old)).toEqual([]);
    const moved = { spec: { items: [{ key: "b" }, { key: "a", value: "no" }] } };
    expect(errors(moved, old)).toEqual([]);
    const changed = { spec: { items: [{ key: "a", value: "nope" }] } };
    expect(errors(changed, old)).toHaveLength(1);
  });

  test("alternatives name the whole, and the closest failure", () => {
    const either: Structural = {
      properties: { a: { type: "string" } },
      oneOf: [{ required: ["a"] }, { required: ["b"] }],
    };
    const found = validateStructural({ c: 1 }, either);
    expect(found.map(({ field, detail }) => [field, detail])).toEqual([
      ["<nil>", '"" must validate one and only one schema (oneOf). Found none valid'],
      ["a", ""],
    ]);
    expect(validateStructural({ a: "x", b: 1 }, either)[0]?.detail).toBe(
      '"" must validate one and only one schema (oneOf). Found 2 valid alternatives',
    );
  });

  test("elements of sets and maps are there once", () => {
    const items = [{ key: "a" }, { key: "b" }, { key: "a" }];
    expect(repeatedElements({ spec: { items } }, schema)).toEqual([
      { type: "FieldValueDuplicate", field: "spec.items[2]", value: { key: "a" }, detail: "" },
    ]);
  });
});
