import { expect, test } from "bun:test";
import { sameSecret } from "./same-secret.ts";

test("sameSecret() tells equal texts from others of any length", () => {
  expect(sameSecret("abc", "abc")).toBe(true);
  expect(sameSecret("abc", "abd")).toBe(false);
  expect(sameSecret("abc", "abcd")).toBe(false);
  expect(sameSecret("", "a")).toBe(false);
});
