import { expect, test } from "bun:test";
import { join } from "node:path";
import { Glob } from "bun";
import { sameSecret } from "./same-secret.ts";

test("sameSecret() tells equal texts from others of any length", () => {
  expect(sameSecret("abc", "abc")).toBe(true);
  expect(sameSecret("abc", "abd")).toBe(false);
  expect(sameSecret("abc", "abcd")).toBe(false);
  expect(sameSecret("", "a")).toBe(false);
});

const named = "[A-Za-z0-9_.?]*(?:[pP]assword|[sS]ecret|[tT]oken)";
const word = `(?<!typeof |[A-Za-z0-9_.?])${named}(?![A-Za-z0-9_.(])`;
const value = "[A-Za-z_][A-Za-z0-9_.?]*";
/** A secret's value beside another value; literals, names of objects and `undefined` are none. */
const compared = new RegExp(
  `${word} *[!=]==? *(?!undefined|null)${value}|(?<!typeof )\\b${value} *[!=]==? *${word}`,
);

test("what finds an early difference is told apart", () => {
  for (const line of ["a.password === given", "if (found !== user.token)", "secret == text"])
    expect([line, compared.test(line)]).toEqual([line, true]);
  for (const line of ["typeof token === x", "token === undefined", 'token === "[" ', "one === two"])
    expect([line, compared.test(line)]).toEqual([line, false]);
});

test("no secret is compared otherwise anywhere", async () => {
  const root = join(import.meta.dir, "..");
  const found: string[] = [];
  for (const file of new Glob("**/*.ts").scanSync(root)) {
    if (file.endsWith(".test.ts") || file.startsWith("gen/")) continue;
    const lines = (await Bun.file(join(root, file)).text()).split("\n");
    found.push(...lines.filter((line) => compared.test(line)).map((line) => `${file}:${line}`));
  }
  expect(found).toEqual([]);
});
