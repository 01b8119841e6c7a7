import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { pathsOf } from "./field-set.ts";
import { customMergeType } from "./merge-type-custom.ts";
import { pathText } from "./path-element.ts";
import { changedFields, compareValues, isSame } from "./typed-compare.ts";
import { fieldsOfValue } from "./typed-fields.ts";
import { mergeValues, removeFields, withNamedFields } from "./typed-merge.ts";
import { validateValue } from "./typed-validate.ts";

const strings = { type: "array", items: { type: "string" } };
const item = {
  type: "object",
  properties: {
    key: { type: "string" },
    id: { type: "integer", default: 1 },
    value: { type: "string" },
    labels: { type: "object", additionalProperties: { type: "string" } },
  },
};
const schema = {
  type: "object",
  properties: {
    number: { type: "number" },
    text: { type: "string" },
    flag: { type: "boolean" },
    either: { "x-kubernetes-int-or-string": true },
    set: { ...strings, "x-kubernetes-list-type": "set" },
    atomic: { ...strings, "x-kubernetes-list-type": "atomic" },
    plain: strings,
    list: {
      type: "array",
      items: item,
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["key", "id"],
    },
    unit: { type: "object", properties: item.properties, "x-kubernetes-map-type": "atomic" },
    struct: { type: "object", properties: { a: { type: "string" }, b: { type: "string" } } },
    map: { type: "object", additionalProperties: { type: "string" } },
    any: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
  },
};
const type = customMergeType(schema);

const a1 = { key: "a", id: 1, value: "x" };
const a2 = { key: "a", id: 2, value: "x" };
const b1 = { key: "b", id: 1, value: "x" };

describe("mergeValues() gives", () => {
  test.each([
    ["scalars of the change", { number: 1 }, { number: 3.5 }, { number: 3.5 }],
    ["members of both", { text: "a" }, { flag: true }, { text: "a", flag: true }],
    ["entries of both maps", { map: { a: "1" } }, { map: { b: "2" } }, { map: { a: "1", b: "2" } }],
    ["an empty map over null", { map: null }, { map: {} }, { map: {} }],
    ["null over an empty map", { map: {} }, { map: null }, { map: null }],
    [
      "a filled map that null does not empty",
      { map: { a: "1" } },
      { map: null },
      { map: { a: "1" } },
    ],
    [
      "the union of sets",
      { set: ["a", "b", "c"] },
      { set: ["b", "d"] },
      { set: ["a", "b", "c", "d"] },
    ],
    ["a set that nothing empties", { set: ["a", "b"] }, { set: [] }, { set: ["a", "b"] }],
    ["atomic lists of the change", { atomic: ["a", "b"] }, { atomic: ["c"] }, { atomic: ["c"] }],
    ["lists without a type as atomic", { plain: ["a", "b"] }, { plain: [] }, { plain: [] }],
    ["null for an atomic list", { atomic: ["a"] }, { atomic: null }, { atomic: null }],
    [
      "atomic maps of the change",
      { unit: { key: "a", id: 1 } },
      { unit: { key: "b" } },
      { unit: { key: "b" } },
    ],
    ["items by all their keys", { list: [a1] }, { list: [a2] }, { list: [a1, a2] }],
    [
      "one item where keys agree by default",
      { list: [{ key: "a", id: 1, value: "x" }] },
      { list: [{ key: "a", value: "y" }] },
      { list: [{ key: "a", id: 1, value: "y" }] },
    ],
    ["new items after old ones", { list: [a1, b1] }, { list: [a1, a2] }, { list: [a1, b1, a2] }],
    ["numbers and texts alike", { either: 1 }, { either: "50%" }, { either: "50%" }],
    [
      "unknown maps merged",
      { any: { a: { b: 1 } } },
      { any: { a: { c: 2 } } },
      { any: { a: { b: 1, c: 2 } } },
    ],
    ["unknown lists replaced", { any: { a: [1, 2] } }, { any: { a: [3] } }, { any: { a: [3] } }],
    [
      "unknown values of another shape",
      { any: { a: [1] } },
      { any: { a: { b: 1 } } },
      { any: { a: { b: 1 } } },
    ],
  ])("%s", (_, live, change, merged) => {
    expect(mergeValues(type, live, change)).toEqual(merged);
  });

  test.each([
    ["abcd", "dcba", "dcba"],
    ["abcd", "bxc", "abxcd"],
    ["abcd", "cb", "acdb"],
    ["abcde", "eza", "bcdeza"],
    ["ab", "xaby", "xaby"],
    ["abc", "xyz", "abcxyz"],
    ["abcd", "dxa", "bcdxa"],
  ])("the change's order: %s and %s make %s", (live, change, merged) => {
    expect(mergeValues(type, { set: [...live] }, { set: [...change] })).toEqual({
      set: [...merged],
    });
  });
});

function told(set: Parameters<typeof pathsOf>[0]): readonly string[] {
  return pathsOf(set).map(pathText);
}

describe("fieldsOfValue() names", () => {
  test.each<[string, object, readonly string[]]>([
    ["leaves, not structs", { struct: { a: "1" } }, [".struct.a"]],
    ["entries of maps", { map: { x: "1" } }, [".map.x"]],
    ["empty structs and nulls", { struct: {}, text: null }, [".struct", ".text"]],
    ["nothing of an empty list that merges", { set: [] }, []],
    ["atomic values as one", { atomic: ["a"], unit: { key: "a" } }, [".atomic", ".unit"]],
    ["items of a set", { set: ["a"] }, ['.set[="a"]']],
    [
      "items of a list by key, and their members",
      { list: [{ key: "a", value: "x" }] },
      ['.list[id=1,key="a"]', '.list[id=1,key="a"].key', '.list[id=1,key="a"].value'],
    ],
    [
      "unknown lists as one",
      { any: { list: [1], map: { x: 1 } } },
      [".any.list", ".any.map", ".any.map.x"],
    ],
  ])("%s", (_, value, paths) => {
    expect(told(fieldsOfValue(type, value))).toEqual([...paths]);
  });
});

describe("compareValues() tells", () => {
  test.each<[string, object, object, Partial<Record<string, readonly string[]>>]>([
    ["a changed scalar", { number: 1 }, { number: 2 }, { modified: [".number"] }],
    [
      "an added struct with its members",
      {},
      { struct: { a: "1" } },
      { added: [".struct", ".struct.a"] },
    ],
    ["a removed entry", { map: { a: "1", b: "2" } }, { map: { a: "1" } }, { removed: [".map.b"] }],
    ["atomic lists as one", { atomic: ["a"] }, { atomic: ["a", "b"] }, { modified: [".atomic"] }],
    ["no change of order in a set", { set: ["a", "b"] }, { set: ["b", "a"] }, {}],
    [
      "a set item come and gone",
      { set: ["a"] },
      { set: ["b"] },
      { added: ['.set[="b"]'], removed: ['.set[="a"]'] },
    ],
    [
      "a member of an item",
      { list: [a1] },
      { list: [{ ...a1, value: "y" }] },
      { modified: ['.list[id=1,key="a"].value'] },
    ],
    ["an empty struct that went", { struct: {} }, {}, { removed: [".struct"] }],
    ["null become empty", { struct: null }, { struct: {} }, { modified: [".struct"] }],
    [
      "an item that stands twice now",
      { set: ["a"] },
      { set: ["a", "a"] },
      { added: ['.set[="a"]'], removed: ['.set[="a"]'] },
    ],
    [
      "another shape of the unknown",
      { any: { a: 1 } },
      { any: { a: { b: 1 } } },
      { modified: [".any.a"] },
    ],
  ])("%s", (_, old, next, differences) => {
    const { added, modified, removed } = compareValues(type, old, next);
    expect({ added: told(added), modified: told(modified), removed: told(removed) }).toEqual({
      added: [],
      modified: [],
      removed: [],
      ...(differences as object),
    });
  });
});

describe("removeFields() leaves", () => {
  test.each<[string, object, object, unknown]>([
    ["what is not named", { text: "a", number: 1 }, { text: "a" }, { number: 1 }],
    ["other items", { list: [a1, b1] }, { list: [a1] }, { list: [b1] }],
    ["other entries", { map: { a: "1", b: "2" } }, { map: { a: "1" } }, { map: { b: "2" } }],
    [
      "null of a struct whose members all go",
      { text: "a", struct: { a: "1" } },
      { struct: { a: "1" } },
      { text: "a", struct: null },
    ],
    ["null of a list whose items all go", { set: ["a"] }, { set: ["a"] }, { set: null }],
    ["nothing at all", { text: "a" }, { text: "a" }, undefined],
  ])("%s", (_, value, named, left) => {
    expect(removeFields(type, value, fieldsOfValue(type, named))).toEqual(left);
  });
});

describe("validateValue() tells", () => {
  test.each<[string, object, readonly string[]]>([
    ["nothing of what is right", { list: [a1, a2], set: ["a"], any: { x: [{}] }, text: null }, []],
    [
      "fields that no schema declares",
      { struct: { c: 1 } },
      [".struct.c: field not declared in schema"],
    ],
    ["wrong scalars", { number: "1" }, [".number: expected numeric (int or float), got string"]],
    [
      "wrong containers",
      { map: 1, set: "a" },
      [".map: expected map, got &{1}", ".set: expected list, got &{a}"],
    ],
    ["items that stand twice", { set: ["a", "a"] }, ['.set: duplicate entries for key [="a"]']],
    [
      "items without a key",
      { list: [{ id: 1 }] },
      [
        '.list: element 0: associative list with keys has an element that omits key field "key" ' +
          "(and doesn't have default value)",
      ],
    ],
  ])("%s", (_, value, problems) => {
    expect(validateValue(type, value)).toEqual([...problems]);
  });
});

const words = fc.constantFrom("a", "b", "c", "d");
const anyObject = fc.record(
  {
    number: fc.integer({ max: 3 }),
    set: fc.uniqueArray(words),
    atomic: fc.array(words, { maxLength: 3 }),
    list: fc.uniqueArray(fc.record({ key: words, id: fc.constantFrom(1, 2), value: words }), {
      selector: ({ key, id }) => `${key} ${id}`,
    }),
    struct: fc.record({ a: words, b: words }, { requiredKeys: [] }),
    map: fc.dictionary(words, words),
  },
  { requiredKeys: [] },
);

test("merging twice is merging once, and the merged object has what was merged in", () => {
  fc.assert(
    fc.property(anyObject, anyObject, (live, change) => {
      const merged = mergeValues(type, live, change);
      expect(mergeValues(type, merged, change)).toEqual(merged);
      const { modified, added } = compareValues(type, merged, mergeValues(type, merged, change));
      expect([told(modified), told(added)]).toEqual([[], []]);
      expect(isSame(compareValues(type, merged, structuredClone(merged)))).toBe(true);
    }),
  );
});

test("what comparing tells as changed is what the newer object names", () => {
  fc.assert(
    fc.property(anyObject, anyObject, (old, next) => {
      const named = new Set(told(withNamedFields(type, fieldsOfValue(type, next))));
      const containers = new Set([".struct", ".map", ".set", ".list"]);
      for (const path of told(changedFields(compareValues(type, old, next)))) {
        if (!containers.has(path)) expect(named).toContain(path);
      }
    }),
  );
});
