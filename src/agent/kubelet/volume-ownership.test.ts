import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realHost } from "../../runtime/host.ts";
import { giveToGroup } from "./volume-ownership.ts";

const mayChown = process.getuid?.() === 0;
if (!mayChown) console.log("left out: owners of files: they need root");

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "k3-group-"));
  mkdirSync(join(dir, "below"));
  writeFileSync(join(dir, "below/file"), "", { mode: 0o600 });
  symlinkSync("/etc/hostname", join(dir, "link"));
  chmodSync(dir, 0o755);
});
afterEach(() => rmSync(dir, { recursive: true }));

const modeOf = (path: string): number => statSync(join(dir, path)).mode & 0o7777;
const groupOf = (path: string): number => lstatSync(join(dir, path)).gid;

test.if(mayChown)("everything in the volume is the group's, and nothing outside", async () => {
  const before = statSync("/etc/hostname");
  await giveToGroup(realHost, dir, { group: 77, readOnly: false, onlyOnRootMismatch: false });
  expect(["", "below", "below/file", "link"].map(groupOf)).toEqual([77, 77, 77, 77]);
  expect(["", "below", "below/file"].map(modeOf)).toEqual([0o2775, 0o2775, 0o660]);
  expect([statSync("/etc/hostname").gid, statSync("/etc/hostname").mode]).toEqual([
    before.gid,
    before.mode,
  ]);
});

test.if(mayChown)(
  "a root that fits may stand for all; what is read only is not opened",
  async () => {
    const wish = { group: 77, readOnly: true, onlyOnRootMismatch: true };
    await giveToGroup(realHost, dir, wish);
    expect(["", "below/file"].map(modeOf)).toEqual([0o2755, 0o640]);
    writeFileSync(join(dir, "later"), "", { mode: 0o600 });
    await giveToGroup(realHost, dir, wish);
    expect(modeOf("later")).toBe(0o600);
    await giveToGroup(realHost, dir, { ...wish, group: 78 });
    expect([groupOf("later"), modeOf("later")]).toEqual([78, 0o640]);
  },
);
