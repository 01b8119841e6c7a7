import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mountTmpfs, unmount } from "./mount.ts";

const mayMount = process.getuid?.() === 0;
if (!mayMount) console.log("left out: mounts: they need root");

test.if(mayMount)("a tmpfs comes and goes, with its options", () => {
  const dir = mkdtempSync(join(tmpdir(), "mount-ü-"));
  const mounts = (): string[] =>
    readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(` ${dir} `));
  mountTmpfs(dir, "size=1048576");
  try {
    expect(mounts()).toHaveLength(1);
    expect(mounts()[0]).toContain("size=1024k");
    writeFileSync(join(dir, "file"), "x");
  } finally {
    unmount(dir);
  }
  expect(mounts()).toHaveLength(0);
  expect(() => unmount(dir)).toThrow("EINVAL: umount");
  rmSync(dir, { recursive: true });
  expect(() => mountTmpfs(dir, "")).toThrow("ENOENT: mount");
});
