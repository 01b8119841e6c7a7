import { expect, test } from "bun:test";
import { isMountPoint, mountPoints } from "./mount-table.ts";

const table = [
  "1 0 0:1 / / rw - ext4 /dev/sda rw",
  "2 1 0:2 /source /target rw - ext4 /dev/sda rw",
  "3 1 0:3 / /with\\040a\\134space rw - tmpfs tmpfs rw",
  "",
].join("\n");
const runtime = { files: { readText: async () => table } };

test("mounts are where the kernel says, signs it cannot write as they are included", async () => {
  expect(await mountPoints(runtime as never)).toEqual(["/", "/target", "/with a\\space", ""]);
  const found = ["/target", "/with a\\space", "/source", "/tar", "/with a"].map((path) =>
    isMountPoint(runtime as never, path),
  );
  expect(await Promise.all(found)).toEqual([true, true, false, false, false]);
});
