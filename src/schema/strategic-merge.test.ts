import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { parse } from "yaml";
import { copyJson } from "./copy.ts";
import { strategicMergePatch } from "./strategic-merge.ts";
import type { FieldType } from "./type-table.ts";

const pod = "io.k8s.api.core.v1.Pod";

function patched(original: unknown, patch: unknown, type = pod): unknown {
  return strategicMergePatch(type, copyJson(original), copyJson(patch));
}

const two = {
  spec: {
    containers: [
      { name: "a", image: "1" },
      { name: "b", image: "1" },
    ],
  },
};

describe("strategic merge of built-in types", () => {
  test("lists merge by key, others are replaced", () => {
    const patch = { spec: { containers: [{ name: "b", image: "2", args: ["x"] }, { name: "c" }] } };
    expect(patched(two, patch)).toEqual({
      spec: {
        containers: [
          { name: "a", image: "1" },
          { name: "b", image: "2", args: ["x"] },
          { name: "c" },
        ],
      },
    });
    const args = { spec: { containers: [{ name: "a", args: ["1", "2"] }] } };
    expect(patched(args, { spec: { containers: [{ name: "a", args: ["3"] }] } })).toEqual({
      spec: { containers: [{ name: "a", args: ["3"] }] },
    });
  });

  test("directives delete, replace, order and retain", () => {
    const remove = { spec: { containers: [{ $patch: "delete", name: "a" }] } };
    expect(patched(two, remove)).toEqual({ spec: { containers: [{ name: "b", image: "1" }] } });
    const order = { spec: { "$setElementOrder/containers": [{ name: "b" }, { name: "a" }] } };
    expect(patched(two, order)).toEqual({
      spec: {
        containers: [
          { name: "b", image: "1" },
          { name: "a", image: "1" },
        ],
      },
    });
    const addresses = [
      { type: "InternalIP", address: "10.0.0.1" },
      { type: "InternalIP", address: "fd00::1" },
    ];
    const replace = { status: { addresses: [...addresses, { $patch: "replace" }] } };
    const node = { status: { addresses: [{ type: "Hostname", address: "n" }] } };
    const replaced = patched(node, replace, "io.k8s.api.core.v1.Node");
    expect(replaced).toEqual({ status: { addresses } });
    const volume = { spec: { volumes: [{ name: "v", emptyDir: {} }] } };
    const retain = {
      spec: {
        volumes: [{ name: "v", $retainKeys: ["name", "hostPath"], hostPath: { path: "/" } }],
      },
    };
    expect(patched(volume, retain)).toEqual({
      spec: { volumes: [{ name: "v", hostPath: { path: "/" } }] },
    });
    const finalizers = { metadata: { finalizers: ["a", "b"] } };
    const less = { metadata: { "$deleteFromPrimitiveList/finalizers": ["a"] } };
    expect(patched(finalizers, less)).toEqual({ metadata: { finalizers: ["b"] } });
  });

  test("nulls delete and never arrive", () => {
    const original = { metadata: { labels: { a: "1", b: "2" } } };
    const patch = { metadata: { labels: { a: null, c: null }, annotations: { x: null, y: "1" } } };
    expect(patched(original, patch)).toEqual({
      metadata: { labels: { b: "2" }, annotations: { y: "1" } },
    });
  });

  test("what cannot be merged is refused", () => {
    const noKey = { spec: { containers: [{ image: "2" }] } };
    expect(() => patched(two, noKey)).toThrow("does not contain declared merge key: name");
    expect(() => patched(two, { $patch: "foo" })).toThrow("unknown patch type: foo");
    expect(() => patched(two, { spec: { $retainKeys: "x" } })).toThrow("retainKeys");
    expect(() => patched(two, { spec: { "$setElementOrder/containers": 1 } })).toThrow(
      "invalid patch format of setElementOrder list",
    );
  });
});

describe("properties", () => {
  const names = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e"), { maxLength: 5 });
  const containers = names.chain((list) =>
    fc.tuple(...list.map((name) => fc.record({ name: fc.constant(name), image: fc.string() }))),
  );
  const podOf = containers.map((list) => ({ spec: { containers: list } }));

  test("an empty patch changes nothing, a patch applied twice is as applied once", () => {
    fc.assert(
      fc.property(podOf, podOf, (original, patch) => {
        expect(patched(original, {})).toEqual(original);
        const once = patched(original, patch);
        expect(patched(once, patch)).toEqual(once);
      }),
    );
  });

  test("every item of the patch and every other item is there once", () => {
    fc.assert(
      fc.property(containers, containers, (original, patch) => {
        const result = patched({ spec: { containers: original } }, { spec: { containers: patch } });
        const merged = (result as { spec: { containers: { name: string }[] } }).spec.containers;
        const want = new Set([...original, ...patch].map((item) => item.name));
        expect(merged.map((item) => item.name).toSorted()).toEqual([...want].toSorted());
      }),
    );
  });
});

const mergeFields: Readonly<Record<string, Partial<FieldType> & { readonly type?: string }>> = {
  mergingList: { shape: "list", patchStrategy: "merge", patchMergeKey: "name", type: "MergeItem" },
  nonMergingList: { shape: "list", type: "MergeItem" },
  mergingIntList: { shape: "list", patchStrategy: "merge" },
  nonMergingIntList: { shape: "list" },
  mergeItemPtr: { shape: "list", patchStrategy: "merge", patchMergeKey: "name", type: "MergeItem" },
  simpleMap: { shape: "map" },
  replacingItem: { patchStrategy: "replace" },
  retainKeysMap: { patchStrategy: "retainKeys", type: "MergeItem" },
  retainKeysMergingList: {
    shape: "list",
    patchStrategy: "merge,retainKeys",
    patchMergeKey: "name",
    type: "MergeItem",
  },
};

function mergeItemField(_: string, name: string): FieldType | undefined {
  const field = mergeFields[name];
  if (field === undefined) return undefined;
  const { type, ...rest } = field;
  const of = type === undefined ? { scalar: "string" as const } : { message: type };
  return { name, number: 1, of, shape: "single", required: false, doc: "", ...rest };
}

interface Case {
  readonly description: string;
  readonly original?: unknown;
  readonly twoWay?: unknown;
  readonly modified?: unknown;
  readonly current?: unknown;
  readonly threeWay?: unknown;
  readonly result?: unknown;
  readonly twoWayResult?: unknown;
  readonly expectedError?: string;
}

const upstream = join(
  import.meta.dir,
  "../../build/schema-src/usr/share/gocode/src/k8s.io/apimachinery/pkg/util/strategicpatch",
  "patch_test.go",
);

/** Upstream sorts merging lists on both sides before it compares what it made from tables. */
function sortedLists(value: unknown, merging: boolean): unknown {
  if (Array.isArray(value)) {
    const inner = value.map((item) => sortedLists(item, merging));
    if (!merging) return value;
    const key = (item: unknown) => String((item as { name?: unknown })?.name ?? item);
    return inner.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      const strategy = mergeFields[name]?.patchStrategy ?? "";
      return [name, sortedLists(inner, strategy.startsWith("merge"))];
    }),
  );
}

function tableCases(source: string): readonly Case[] {
  return [...source.matchAll(/TestCaseData = \[\]byte\(`\n(testCases:[\s\S]*?)`\)/g)].flatMap(
    (match) => (parse(match[1] as string) as { testCases: Case[] }).testCases,
  );
}

function rawCases(source: string): readonly Case[] {
  const start = source.indexOf("strategicMergePatchRawTestCases = ");
  const parts = source
    .slice(start)
    .split(/^\t\tDescription: +"/m)
    .slice(1);
  return parts.map((part) => {
    const fields: Record<string, unknown> = { description: part.slice(0, part.indexOf('"')) };
    for (const match of part.matchAll(/^\t\t\t(\w+): +\[\]byte\(`([\s\S]*?)`\)/gm)) {
      const name = (match[1] as string).replace(/^./, (letter) => letter.toLowerCase());
      fields[name] = parse(match[2] as string);
    }
    const error = /^\t\t\tExpectedError: +"([^"]*)"/m.exec(part);
    if (error) fields.expectedError = error[1];
    return fields as unknown as Case;
  });
}

describe.skipIf(!existsSync(upstream))("upstream's cases", () => {
  const source = existsSync(upstream) ? readFileSync(upstream, "utf8") : "";
  const apply = (original: unknown, patch: unknown) =>
    strategicMergePatch("MergeItem", copyJson(original ?? {}), copyJson(patch), mergeItemField);

  test("from tables", () => {
    const cases = tableCases(source).filter((one) => one.twoWay !== undefined);
    expect(cases.length).toBeGreaterThan(35);
    for (const one of cases) {
      const { description, original, twoWay, current, threeWay, result } = one;
      const want = one.twoWayResult ?? one.modified ?? {};
      const got = sortedLists(apply(original, twoWay), false);
      expect({ description, got }).toEqual({ description, got: sortedLists(want, false) });
      if (threeWay === undefined || result === undefined) continue;
      const third = sortedLists(apply(current, threeWay), false);
      expect({ description, third }).toEqual({ description, third: sortedLists(result, false) });
    }
  });

  test("where order counts", () => {
    const cases = rawCases(source);
    expect(cases.length).toBeGreaterThan(40);
    for (const one of cases) {
      const { description, original, twoWay, current, threeWay, result, expectedError } = one;
      if (expectedError !== undefined) {
        expect(() => apply(original, twoWay), description).toThrow(expectedError);
        continue;
      }
      const want = one.twoWayResult ?? one.modified;
      const got = apply(original, twoWay);
      expect({ description, got }).toEqual({ description, got: want });
      if (threeWay === undefined || result === undefined) continue;
      const third = apply(current, threeWay);
      expect({ description, third }).toEqual({ description, third: result });
    }
  });
});
