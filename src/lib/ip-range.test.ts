import { expect, test } from "bun:test";
import { addressAt, canonical, isAddress, parseRange, plainAddress } from "./ip-range.ts";

test("addressAt() counts from the start of a range", () => {
  expect(addressAt("10.43.0.0/16", 10)).toBe("10.43.0.10");
  expect(addressAt("10.43.255.0/24", 1)).toBe("10.43.255.1");
  expect(addressAt("fd00:43::/112", 10)).toBe("fd00:43::a");
  expect(addressAt("fd00:43::77/112", 0)).toBe("fd00:43::");
  expect(parseRange("fd00:42::/56").size).toBe(1n << 72n);
});

test("canonical() has one spelling for each address", () => {
  expect(canonical("FD00:43:0:0::A")).toBe("fd00:43::a");
  expect(canonical("0:0:0:1:0:0:0:0")).toBe("0:0:0:1::");
  expect(canonical("10.0.0.1")).toBe("10.0.0.1");
  expect(["::1", "1::2::3", "10.0.0.256", "10.0.0.01"].map(isAddress)).toEqual([
    true,
    false,
    false,
    false,
  ]);
});

test("plainAddress() tells IPv4 inside of IPv6 as IPv4, and leaves the rest", () => {
  expect(plainAddress("::ffff:10.0.0.1")).toBe("10.0.0.1");
  expect(plainAddress("::ffff:a00:1")).toBe("::ffff:a00:1");
  expect(plainAddress("fd00::1")).toBe("fd00::1");
});
