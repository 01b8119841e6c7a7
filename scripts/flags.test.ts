import { expect, test } from "bun:test";
import { flagsDocument, flagsFile } from "./flags.ts";

test("docs/flags.md tells what the flag table says (bun scripts/flags.ts writes it)", async () => {
  expect(await Bun.file(flagsFile).text()).toBe(flagsDocument());
});
