import { expect, test } from "bun:test";
import { sortedPodIps } from "./pod-ips.ts";

test("sortedPodIps() begins with the family of the node's first address", () => {
  const [v4, v6] = ["10.42.0.7", "fd00:42::7"];
  expect(sortedPodIps([v4, v6], ["10.0.0.1", "fd00::1"])).toEqual([v4, v6]);
  expect(sortedPodIps([v4, v6], ["fd00::1", "10.0.0.1"])).toEqual([v6, v4]);
  expect(sortedPodIps([v6], ["10.0.0.1"])).toEqual([v6]);
  expect(sortedPodIps([v6, "fd00:42::8"], ["fd00::1"])).toEqual([v6]);
  expect(sortedPodIps([], ["10.0.0.1"])).toEqual([]);
});
