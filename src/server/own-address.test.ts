import { expect, test } from "bun:test";
import { nodeIpsOf } from "./own-address.ts";

test("nodeIpsOf() keeps what was given, and finds an address of the first family itself", () => {
  expect(nodeIpsOf(["fd00::1", "10.0.0.1"], ["IPv4", "IPv6"])).toEqual(["fd00::1", "10.0.0.1"]);
  const [found, ...more] = nodeIpsOf([], ["IPv4"]);
  expect(found).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
  expect(more).toEqual([]);
});
