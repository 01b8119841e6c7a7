import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attachLoop, bindMount, detachLoop, mountTmpfs, unmount } from "./mount.ts";

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

test.if(mayMount)("a file is shown at a second place", () => {
  const dir = mkdtempSync(join(tmpdir(), "bind-"));
  writeFileSync(join(dir, "source"), "shown");
  writeFileSync(join(dir, "target"), "");
  bindMount(join(dir, "source"), join(dir, "target"));
  expect(readFileSync(join(dir, "target"), "utf8")).toBe("shown");
  unmount(join(dir, "target"));
  expect(readFileSync(join(dir, "target"), "utf8")).toBe("");
  expect(() => bindMount(join(dir, "absent"), join(dir, "target"))).toThrow("ENOENT: mount");
  rmSync(dir, { recursive: true });
});

const hasLoops = mayMount && existsSync("/dev/loop-control");
if (!hasLoops) console.log("left out: loop devices: there are none");

test.if(hasLoops)("a loop device lies over a file until it is taken off", () => {
  const dir = mkdtempSync(join(tmpdir(), "loop-"));
  const file = join(dir, "disk");
  writeFileSync(file, new Uint8Array(65_536));
  const loop = attachLoop(file);
  const backing = `/sys/block/${loop.slice("/dev/".length)}/loop/backing_file`;
  try {
    expect(readFileSync(backing, "utf8").trim()).toBe(file);
  } finally {
    detachLoop(loop);
  }
  expect(existsSync(backing)).toBe(false);
  expect(() => detachLoop(loop)).toThrow("ENXIO: ioctl");
  rmSync(dir, { recursive: true });
});
