/** Who owns what after a series of updates and applies. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { pathsOf } from "./field-set.ts";
import { type Manager, managerId, readManagers, writeManagers } from "./managers.ts";
import { customMergeType } from "./merge-type-custom.ts";
import { pathText } from "./path-element.ts";
import { applyConfig, ConflictError, trackUpdate, type View, type Write } from "./track-fields.ts";

const item = {
  type: "object",
  properties: { name: { type: "string" }, value: { type: "integer" } },
};
const type = customMergeType({
  type: "object",
  properties: {
    spec: {
      type: "object",
      properties: {
        text: { type: "string" },
        number: { type: "integer" },
        atomic: { type: "array", items: { type: "string" } },
        set: { type: "array", items: { type: "string" }, "x-kubernetes-list-type": "set" },
        map: { type: "object", additionalProperties: { type: "string" } },
        list: {
          type: "array",
          items: item,
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["name"],
        },
      },
    },
    status: { type: "object", properties: { text: { type: "string" } } },
  },
});

interface State {
  readonly object: object;
  readonly managers: readonly Manager[];
}

/** A name alone updates `spec`; `+name` applies it, `!name` by force, `name/status` the status. */
type Step = readonly [who: string, spec: object | undefined];

const status = { "f:status": {} };
const spec = { "f:spec": {} };

function run(start: State, [who, part]: Step, tick: number): State {
  const [, sign, name = "", subresource = ""] = /^([+!]?)(\w+)\/?(\w*)$/.exec(who) ?? [];
  const key = subresource === "" ? "spec" : subresource;
  const view: View = { type, ignored: subresource === "" ? status : spec };
  const write: Write = {
    view: (apiVersion) => (apiVersion === "v1" ? view : undefined),
    apiVersion: "v1",
    subresource,
    manager: name,
    managers: start.managers,
    live: start.object,
    now: `2026-01-01T00:00:${String(tick).padStart(2, "0")}Z`,
  };
  const config = part === undefined ? {} : { [key]: part };
  if (sign !== "") return applyConfig(write, config, sign === "!");
  const object: Record<string, unknown> = { ...start.object, ...config };
  if (part === undefined) delete object[key];
  return { object, managers: trackUpdate(write, object) };
}

const nothing: State = { object: {}, managers: [] };
const runAll = (steps: readonly Step[]) => steps.reduce(run, nothing);

/** Paths below spec by owner. */
function owned(state: State): Record<string, string> {
  return Object.fromEntries(
    state.managers.map(({ name, operation, fields, subresource }) => [
      `${operation === "Apply" ? "+" : ""}${name}${subresource && `/${subresource}`}`,
      pathsOf(fields).map(pathText).join(" "),
    ]),
  );
}

describe("ownership", () => {
  test.each<[string, readonly Step[], object, Record<string, string>]>([
    [
      "an applier owns what it names, an updater what it changes",
      [
        ["+a", { text: "x" }],
        ["b", { text: "x", number: 1 }],
      ],
      { text: "x", number: 1 },
      { "+a": ".spec.text", b: ".spec.number" },
    ],
    [
      "the same value has two owners",
      [
        ["+a", { text: "x" }],
        ["+b", { text: "x" }],
      ],
      { text: "x" },
      { "+a": ".spec.text", "+b": ".spec.text" },
    ],
    [
      "force takes a field",
      [
        ["+a", { text: "x", number: 1 }],
        ["!b", { text: "y" }],
      ],
      { text: "y", number: 1 },
      { "+a": ".spec.number", "+b": ".spec.text" },
    ],
    [
      "an update takes without asking",
      [
        ["+a", { text: "x", number: 1 }],
        ["b", { text: "y", number: 1 }],
      ],
      { text: "y", number: 1 },
      { "+a": ".spec.number", b: ".spec.text" },
    ],
    [
      "what an applier no longer names goes",
      [
        ["+a", { text: "x", number: 1 }],
        ["+a", { text: "x" }],
      ],
      { text: "x" },
      { "+a": ".spec.text" },
    ],
    [
      "unless someone else owns it",
      [
        ["+a", { text: "x", number: 1 }],
        ["+b", { number: 1 }],
        ["+a", { text: "x" }],
      ],
      { text: "x", number: 1 },
      { "+a": ".spec.text", "+b": ".spec.number" },
    ],
    [
      "or an update had changed it",
      [
        ["+a", { text: "x", number: 1 }],
        ["b", { text: "x", number: 2 }],
        ["+a", { text: "x" }],
      ],
      { text: "x", number: 2 },
      { "+a": ".spec.text", b: ".spec.number" },
    ],
    [
      "an update that removes a field takes it from all",
      [
        ["+a", { text: "x", number: 1 }],
        ["b", { text: "x" }],
      ],
      { text: "x" },
      { "+a": ".spec.text" },
    ],
    [
      "items of a set are owned one by one",
      [
        ["+a", { set: ["1", "2"] }],
        ["+b", { set: ["2", "3"] }],
        ["+a", { set: ["1"] }],
      ],
      { set: ["1", "2", "3"] },
      { "+a": '.spec.set[="1"]', "+b": '.spec.set[="2"] .spec.set[="3"]' },
    ],
    [
      "entries of a map too",
      [
        ["+a", { map: { x: "1" } }],
        ["+b", { map: { y: "2" } }],
        ["+a", {}],
      ],
      { map: { y: "2" } },
      { "+a": ".spec", "+b": ".spec.map.y" },
    ],
    [
      "an atomic list has one owner at a time",
      [
        ["+a", { atomic: ["1"] }],
        ["!b", { atomic: ["2"] }],
      ],
      { atomic: ["2"] },
      { "+b": ".spec.atomic" },
    ],
    [
      "an item goes with its last owner, whoever changed a part of it",
      [
        ["+a", { list: [{ name: "n", value: 1 }] }],
        ["b", { list: [{ name: "n", value: 2 }] }],
        ["+a", { text: "x" }],
      ],
      { text: "x", list: null },
      { "+a": ".spec.text" },
    ],
    [
      "an item goes with its only applier",
      [
        ["+a", { list: [{ name: "n", value: 1 }, { name: "m" }] }],
        ["+b", { list: [{ name: "o" }] }],
        ["+a", { list: [{ name: "m" }] }],
      ],
      { list: [{ name: "m" }, { name: "o" }] },
      {
        "+a": '.spec.list[name="m"] .spec.list[name="m"].name',
        "+b": '.spec.list[name="o"] .spec.list[name="o"].name',
      },
    ],
    [
      "applying nothing gives everything back",
      [
        ["+a", { text: "x", map: { k: "v" } }],
        ["+a", undefined],
      ],
      undefined as unknown as object,
      {},
    ],
    [
      "what nobody applied stays",
      [
        ["b", { text: "x", number: 1 }],
        ["+a", { number: 1 }],
        ["+a", undefined],
      ],
      { text: "x", number: 1 },
      { b: ".spec .spec.number .spec.text" },
    ],
    [
      "a status has entries of its own, and a write at one place leaves the other alone",
      [
        ["+a", { text: "x" }],
        ["b/status", { text: "up" }],
        ["+a/status", { text: "up" }],
        ["c", {}],
      ],
      {},
      { "b/status": ".status .status.text", "+a/status": ".status.text" },
    ],
  ])("%s", (_, steps, wanted, owners) => {
    const state = runAll(steps);
    expect((state.object as { spec?: object }).spec).toEqual(wanted);
    expect(owned(state)).toEqual(owners);
  });
});

describe("conflicts", () => {
  const conflictsOf = (steps: readonly Step[]): readonly string[] => {
    try {
      runAll(steps);
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      return error.conflicts.map(({ manager, path }) => `${manager.name} ${pathText(path)}`);
    }
    return [];
  };

  test.each<[string, readonly Step[], readonly string[]]>([
    [
      "another value of an applier's field",
      [
        ["+a", { text: "x" }],
        ["+b", { text: "y" }],
      ],
      ["a .spec.text"],
    ],
    [
      "another value of an updater's field",
      [
        ["a", { text: "x" }],
        ["+b", { text: "y" }],
      ],
      ["a .spec.text"],
    ],
    [
      "none with one's own update before",
      [
        ["+a", { text: "x" }],
        ["+a", { text: "y" }],
      ],
      [],
    ],
    [
      "the applier's own update counts",
      [
        ["a", { text: "x" }],
        ["+a", { text: "y" }],
      ],
      ["a .spec.text"],
    ],
    [
      "an atomic list as a whole",
      [
        ["+a", { atomic: ["1"] }],
        ["+b", { atomic: ["1", "2"] }],
      ],
      ["a .spec.atomic"],
    ],
    [
      "none between items of a set",
      [
        ["+a", { set: ["1"] }],
        ["+b", { set: ["2"] }],
      ],
      [],
    ],
    [
      "members of an item",
      [
        ["+a", { list: [{ name: "n", value: 1 }] }],
        ["+b", { list: [{ name: "n", value: 2 }] }],
      ],
      ['a .spec.list[name="n"].value'],
    ],
    [
      "with each owner",
      [
        ["+a", { text: "x" }],
        ["+b", { text: "x", number: 1 }],
        ["+c", { text: "y", number: 2 }],
      ],
      ["a .spec.text", "b .spec.number", "b .spec.text"],
    ],
  ])("%s", (_, steps, told) => {
    expect(conflictsOf(steps)).toEqual([...told]);
  });
});

test("an apply that changes nothing keeps its time", () => {
  const once = runAll([["+a", { text: "x" }]]);
  const again = run(once, ["+a", { text: "x" }], 30);
  expect(writeManagers(again.managers)).toEqual(writeManagers(once.managers));
});

test("managers of a version that is gone are dropped by the next write", () => {
  const once = runAll([["+a", { text: "x" }]]);
  const old = once.managers.map((manager) => ({ ...manager, apiVersion: "v0" }));
  const { managers } = run({ ...once, managers: old }, ["b", { text: "y" }], 1);
  expect(managers.map(({ name }) => name)).toEqual(["b"]);
});

test("more than ten updaters are put together, the oldest first", () => {
  let state: State = nothing;
  let map: Record<string, string> = {};
  for (const [n, key] of [..."abcdefghijklmn"].entries()) {
    map = { ...map, [key]: "1" };
    state = run(state, [`u${n}`, { map }], n);
  }
  const names = state.managers.map(({ name }) => name).toSorted();
  const kept = Array.from({ length: 9 }, (_, n) => `u${n + 5}`);
  expect(names).toEqual([...kept, "ancient-changes"].toSorted());
});

test("readManagers() refuses what is no entry and orders what is", () => {
  const entry = { manager: "a", operation: "Update", apiVersion: "v1", fieldsType: "FieldsV1" };
  const fieldsV1 = { 'k:{ "b":1, "a":"x" }': {}, "f:z": {}, "f:a": { ".": {}, "f:b": {} } };
  const [read] = writeManagers(readManagers([{ ...entry, fieldsV1 }], "client"));
  expect(JSON.stringify(read?.fieldsV1)).toBe(
    '{"f:a":{".":{},"f:b":{}},"f:z":{},"k:{\\"a\\":\\"x\\",\\"b\\":1}":{}}',
  );
  for (const wrong of [
    { operation: "Patch" },
    { apiVersion: "" },
    { fieldsType: "FieldsV2" },
    { fieldsV1: { nocolon: {} } },
    { fieldsV1: { "f:a": 1 } },
  ]) {
    expect(() => readManagers([{ ...entry, ...wrong }], "client")).toThrow();
  }
});

const words = fc.constantFrom("a", "b", "c");
const anySpec = fc.record(
  {
    text: words,
    set: fc.uniqueArray(words),
    atomic: fc.array(words, { maxLength: 2 }),
    map: fc.dictionary(words, words),
    list: fc.uniqueArray(fc.record({ name: words, value: fc.integer({ min: 0, max: 2 }) }), {
      selector: ({ name }) => name,
    }),
  },
  { requiredKeys: [] },
);
const anyStep = fc.tuple(fc.constantFrom("!a", "!b", "!c", "u", "v"), anySpec);

test("applying twice changes nothing, and what is named is there and owned", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 5 }), anySpec, (steps, config) => {
      const once = run(runAll(steps), ["!z", config], 20);
      const twice = run(once, ["!z", config], 40);
      expect(twice.object).toEqual(once.object);
      expect(writeManagers(twice.managers)).toEqual(writeManagers(once.managers));
      const ids = once.managers.map(managerId);
      expect(new Set(ids).size).toBe(ids.length);
      expect((once.object as { spec?: unknown }).spec).toMatchObject(
        Object.fromEntries(Object.entries(config).filter(([name]) => name === "text")),
      );
    }),
  );
});

test("an object that only appliers wrote is gone when each applies nothing", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom("!a", "!b"), anySpec)), (steps) => {
      const filled = steps.map(
        ([who, config]): Step => [
          who,
          Object.fromEntries(
            Object.entries(config).filter(([, value]) => Object.keys(value as object).length > 0),
          ),
        ],
      );
      const state = runAll([...filled, ["!a", undefined], ["!b", undefined]]);
      expect(state).toEqual({ object: {}, managers: [] });
    }),
  );
});
