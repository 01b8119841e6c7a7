import { expect, test } from "bun:test";
import type { KubeObject } from "../../schema/object.ts";
import { columnsOf } from "./columns.ts";

const now = new Date("2026-01-02T00:00:00Z");
const object = {
  apiVersion: "x.io/v1",
  kind: "X",
  metadata: { name: "a", creationTimestamp: "2026-01-01T00:00:00Z" },
  spec: {
    n: 5,
    f: 1.75,
    t: "text",
    yes: true,
    nothing: null,
    when: "2025-12-31T00:00:00Z",
    odd: "last week",
    blank: "",
    list: ["a", "b"],
    map: { z: 1, a: "<" },
    ports: [{ port: 1 }, { port: 2 }],
  },
} as unknown as KubeObject;

function cell(type: string, jsonPath: string): unknown {
  const columns = columnsOf({
    name: "v1",
    served: true,
    storage: true,
    additionalPrinterColumns: [{ name: "C", type, jsonPath }],
  });
  const column = columns[1];
  if (column === undefined) throw new Error("no column");
  return column.value(object, now);
}

test.each([
  ["integer", ".spec.n", 5],
  ["integer", ".spec.f", 1],
  ["integer", ".spec.t", null],
  ["number", ".spec.f", 1.75],
  ["number", ".spec.yes", null],
  ["boolean", ".spec.yes", true],
  ["boolean", ".spec.t", null],
  ["string", ".spec.t", "text"],
  ["string", ".spec.n", "5"],
  ["string", ".spec.yes", "true"],
  ["string", ".spec.list", '["a","b"]'],
  ["string", ".spec.map", '{"a":"\\u003c","z":1}'],
  ["string", ".spec.nothing", "<no value>"],
  ["string", ".spec.absent", null],
  ["integer", ".spec.nothing", null],
  ["integer", ".spec.ports[*].port", 1],
  ["date", ".spec.when", "2d"],
  ["date", ".spec.odd", "<invalid>"],
  ["date", ".spec.blank", "<unknown>"],
  ["date", ".spec.n", null],
  ["date", ".metadata.creationTimestamp", "24h"],
])("a column of type %s at %s", (type, path, wanted) => {
  expect(cell(type, path)).toEqual(wanted as never);
});
