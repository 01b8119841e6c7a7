import { expect, test } from "bun:test";
import * as resources from "../client/resources.ts";
import { typeTable } from "../gen/table.ts";
import { createGroups } from "./all.ts";
import { noNodes } from "./node-connector.ts";

const rows = createGroups({
  network: { serviceCidrs: ["10.43.0.0/16"], nodePortMin: 30000, nodePortMax: 32767 },
  nodes: noNodes,
  usage: { node: () => undefined, pod: () => undefined },
  signToken: async () => ({ token: "t", audiences: [] }),
  verifyToken: async () => undefined,
});
const idOf = (row: { group: string; version: string; plural: string }): string =>
  `${row.group}/${row.version}/${row.plural}`;

test("createGroups() has one row for each resource", () => {
  expect(rows.map(idOf).sort()).toEqual(Object.values(resources).map(idOf).sort());
  expect(rows.length).toBe(70);
});

for (const row of rows)
  test(`${idOf(row)} names a type of the schema and begins with a name`, () => {
    expect(typeTable.has(row.typeName)).toBe(true);
    expect(row.columns.some((one) => one.name === "Name")).toBe(true);
  });

test("two rows share a storage only when they convert", () => {
  const seen = new Set<string>();
  for (const row of rows) {
    if (row.storagePrefix === null || row.conversion !== undefined) continue;
    expect(seen.has(row.storagePrefix)).toBe(false);
    seen.add(row.storagePrefix);
  }
});
