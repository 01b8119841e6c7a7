/** What is refused about CustomResourceDefinitions, and in which words. */
import { describe, expect, test } from "bun:test";
import type { CustomResourceDefinition, JSONSchemaProps } from "../../gen/apiextensions-v1.ts";
import { validateDefinition } from "./definition-validation.ts";

type Spec = CustomResourceDefinition["spec"];

function definition(more: Partial<Spec> = {}, name = "foos.example.com"): CustomResourceDefinition {
  const schema = { openAPIV3Schema: { type: "object" } };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name },
    spec: {
      group: "example.com",
      names: { plural: "foos", singular: "foo", kind: "Foo", listKind: "FooList" },
      scope: "Namespaced",
      versions: [{ name: "v1", served: true, storage: true, schema }],
      ...more,
    },
    status: { storedVersions: ["v1"] },
  };
}

function errors(crd: CustomResourceDefinition, old?: CustomResourceDefinition): string[] {
  return validateDefinition(crd, old).map(({ field, detail }) => `${field}: ${detail}`);
}

function ofSchema(schema: JSONSchemaProps, more: object = {}): string[] {
  const version = { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } };
  return errors(definition({ versions: [{ ...version, ...more }] }));
}

const at = "spec.validation.openAPIV3Schema";

test("a plain definition is fine", () => {
  expect(errors(definition())).toEqual([]);
});

test("names, group and scope", () => {
  expect(errors(definition({}, "bars.example.com"))).toEqual([
    'metadata.name: must be spec.names.plural+"."+spec.group',
  ]);
  expect(errors(definition({ group: "example" }, "foos.example"))).toEqual([
    "spec.group: should be a domain with at least one dot",
  ]);
  const names = { plural: "foos", singular: "foo", kind: "Foo_", listKind: "Foo_" };
  expect(errors(definition({ names }))).toEqual([
    expect.stringContaining("spec.names.kind: may have mixed case, but should otherwise match: "),
    expect.stringContaining("spec.names.listKind: may have mixed case"),
    "spec.names.listKind: kind and listKind may not be the same",
  ]);
  const approved = definition({ group: "foo.k8s.io" }, "foos.foo.k8s.io");
  expect(errors(approved)).toEqual([
    "metadata.annotations[api-approved.kubernetes.io]: protected groups must have approval " +
      'annotation "api-approved.kubernetes.io", see ' +
      "https://github.com/kubernetes/enhancements/pull/1111",
  ]);
  approved.metadata.annotations = { "api-approved.kubernetes.io": "unapproved, a test" };
  expect(errors(approved)).toEqual([]);
});

test("versions are one for storage, unique, and stay while objects may be stored in them", () => {
  const [v1] = definition().spec.versions;
  if (v1 === undefined) throw new Error("no version");
  const twice = definition({ versions: [v1, v1] });
  expect(errors(twice)).toEqual([
    "spec.versions: must contain unique version names",
    "spec.versions: must have exactly one version marked as storage version",
  ]);
  const moved = definition({ versions: [{ ...v1, name: "v2" }] });
  expect(errors(moved)).toEqual([
    "status.storedVersions: must have the storage version v2",
    "status.storedVersions[0]: missing from spec.versions; v1 was previously a storage version, " +
      "and must remain in spec.versions until a storage migration ensures no data remains " +
      "persisted in v1 and removes v1 from status.storedVersions",
  ]);
});

test("what is established keeps scope and kind", () => {
  const old = definition();
  old.status = { ...old.status, conditions: [{ type: "Established", status: "True" }] };
  const changed = definition({ scope: "Cluster" });
  expect(errors(changed, old)).toEqual(["spec.scope: field is immutable"]);
});

test("a schema is structural", () => {
  expect(ofSchema({ type: "string" })).toEqual([`${at}.type: must be object at the root`]);
  expect(ofSchema({ type: "object", properties: { a: {} } })).toEqual([
    `${at}.properties[a].type: must not be empty for specified object fields`,
  ]);
  expect(ofSchema({ type: "object", properties: { a: { type: "array" } } })).toEqual([
    `${at}.properties[a].items: must be specified`,
  ]);
  expect(ofSchema({ type: "object", allOf: [{ properties: { b: { type: "string" } } }] })).toEqual([
    `${at}.allOf[0].properties[b].type: must be empty to be structural`,
    `${at}.properties[b]: because it is defined in ${at}.allOf[0].properties[b]`,
  ]);
  const metadata = { type: "object", properties: { labels: { type: "object" } } };
  expect(ofSchema({ type: "object", properties: { metadata } })).toEqual([
    `${at}.properties[metadata]: must not specify anything other than name and generateName, but ` +
      "metadata is implicitly specified",
  ]);
  const either = {
    "x-kubernetes-int-or-string": true,
    anyOf: [{ type: "integer" }, { type: "string" }],
  };
  expect(ofSchema({ type: "object", properties: { port: either } })).toEqual([]);
});

test("keywords that are not supported, and lists that are maps", () => {
  expect(ofSchema({ type: "object", properties: { a: { type: "text" } } })).toEqual([
    `${at}.properties[a].type: supported values: "array", "boolean", "integer", "number", ` +
      '"object", "string"',
  ]);
  const list: JSONSchemaProps = {
    type: "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    items: { type: "object", properties: { name: { type: "string" } } } as never,
  };
  expect(ofSchema({ type: "object", properties: { list } })).toEqual([
    `${at}.properties[list].items.properties[name].default: this property is in ` +
      "x-kubernetes-list-map-keys, so it must have a default or be a required property",
  ]);
});

test("defaults fit their own schema", () => {
  const wrong = { type: "integer", default: "one" };
  expect(ofSchema({ type: "object", properties: { a: wrong } })).toEqual([
    `${at}.properties[a].default:  in body must be of type integer: "string"`,
  ]);
  const unknown = { type: "object", properties: { b: { type: "string" } }, default: { c: 1 } };
  expect(ofSchema({ type: "object", properties: { a: unknown } })).toEqual([
    `${at}.properties[a].default: must not have unknown fields`,
  ]);
});

describe("rules", () => {
  const rulesAt = `${at}.x-kubernetes-validations`;
  const withRules = (schema: object, ...rules: object[]) =>
    ofSchema({ type: "object", ...schema, "x-kubernetes-validations": rules as never });
  const properties = { a: { type: "integer" }, b: { type: "string" } };

  test("are checked against the types of the schema", () => {
    const [undefinedField, operands, result, message] = withRules(
      { properties },
      { rule: "self.absent > 1" },
      { rule: "self.a == self.b" },
      { rule: "self.a" },
      { rule: "self.a > 1", messageExpression: "self.a" },
    );
    expect(undefinedField).toBe(
      `${rulesAt}[0].rule: compilation failed: ERROR: <input>:1:5: undefined field 'absent'\n` +
        " | self.absent > 1\n | ....^",
    );
    expect(operands).toContain("found no matching overload for '_==_' applied to '(int, string)'");
    expect(result).toBe(`${rulesAt}[2].rule: cel expression must evaluate to a bool`);
    expect(message).toBe(
      `${rulesAt}[3].messageExpression: messageExpression must evaluate to a string`,
    );
  });

  test("hold for defaults too", () => {
    const spec = {
      type: "object",
      properties: { a: { type: "integer" } },
      default: { a: 0 },
      "x-kubernetes-validations": [{ rule: "self.a > 0", message: "more", fieldPath: ".a" }],
    };
    expect(ofSchema({ type: "object", properties: { spec } } as never)).toEqual([
      `${at}.properties[spec].default.a: more`,
    ]);
  });

  test("use oldSelf where elements can be told from one another", () => {
    expect(withRules({ properties }, { rule: "self.a > 1", optionalOldSelf: true })).toEqual([
      `${rulesAt}[0].optionalOldSelf: may not be set if oldSelf is not used in rule`,
    ]);
    const items = {
      type: "object",
      properties,
      "x-kubernetes-validations": [{ rule: "self.a >= oldSelf.a" }],
    };
    expect(withRules({ properties: { list: { type: "array", items, maxItems: 5 } } })).toEqual([
      `${at}.properties[list].items.x-kubernetes-validations[0].rule: oldSelf cannot be used on ` +
        `the uncorrelatable portion of the schema within ${at}.properties[list]`,
    ]);
  });

  test("have places below their own", () => {
    const rule = { rule: "self.a > 1", fieldPath: ".c" };
    expect(withRules({ properties }, rule)).toEqual([
      `${rulesAt}[0].fieldPath: must be a valid path`,
    ]);
    expect(withRules({ properties }, { ...rule, fieldPath: ".b" })).toEqual([]);
  });

  const cure =
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, " +
    "maps, and strings are declared)";
  const list = { type: "array", items: { type: "string" } };

  test("must not become too costly; limits in the schema bound what they cost", () => {
    const rule = { rule: "self.list.all(x, self.list.all(y, x == y))" };
    expect(withRules({ properties: { list } }, rule)).toEqual([
      `${rulesAt}[0].rule: estimated rule cost exceeds budget by factor of more than 100x ${cure}`,
      `${rulesAt}[0].rule: contributed to estimated rule cost total exceeding cost limit for ` +
        "entire OpenAPIv3 schema",
      `${at}: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema ` +
        `exceeds budget by factor of more than 100x ${cure}`,
    ]);
    const bounded = { type: "array", maxItems: 10, items: { type: "string", maxLength: 20 } };
    expect(withRules({ properties: { list: bounded } }, rule)).toEqual([]);
  });

  test("count as often as they may run; stored ones are not refused later", () => {
    const rule = { rule: "self.b.matches('^a+$')" };
    const item = {
      type: "object",
      properties: { b: { type: "string", maxLength: 1000 } },
      "x-kubernetes-validations": [rule],
    };
    const schema = {
      type: "object",
      properties: { list: { type: "array", maxItems: 40_000, items: item } },
    };
    expect(ofSchema(schema)).toEqual([
      `${at}.properties[list].items.x-kubernetes-validations[0].rule: estimated rule cost ` +
        `exceeds budget by factor of 1.6x ${cure}`,
    ]);
    const [version] = definition().spec.versions ?? [];
    if (version === undefined) throw new Error("no version");
    const stored = definition({
      versions: [{ ...version, schema: { openAPIV3Schema: schema as never } }],
    });
    expect(errors(stored, stored)).toEqual([]);
  });
});

test("columns, scale and selectable fields", () => {
  const schema = { type: "object", properties: { spec: { type: "object" } } };
  expect(
    ofSchema(schema, { additionalPrinterColumns: [{ name: "A", type: "text", jsonPath: "spec" }] }),
  ).toEqual([
    "spec.additionalPrinterColumns[0].type: must be one of boolean,date,integer,number,string",
    "spec.additionalPrinterColumns[0].JSONPath: must be a simple json path starting with .",
  ]);
  const scale = { specReplicasPath: ".replicas", statusReplicasPath: ".status.replicas" };
  expect(ofSchema(schema, { subresources: { scale } })).toEqual([
    "spec.subresources.scale.specReplicasPath: should be a json path under .spec",
  ]);
  expect(ofSchema(schema, { selectableFields: [{ jsonPath: ".spec" }] })).toEqual([
    expect.stringContaining("spec.selectableFields[0].jsonPath: must point to a field"),
  ]);
  const wrongPaths = {
    "-1": "expected [ or . but got: -1",
    ".": "unexpected end of JSON path",
    "[0]": "array notation is not allowed",
    "../up": "does not refer to a valid field",
    ".spec.none": "does not refer to a valid field",
  };
  for (const [jsonPath, why] of Object.entries(wrongPaths))
    expect(ofSchema(schema, { selectableFields: [{ jsonPath }] })).toEqual([
      `spec.selectableFields[0].jsonPath: is an invalid path: ${why}`,
    ]);
});
