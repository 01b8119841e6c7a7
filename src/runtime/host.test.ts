import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { realHost } from "./host.ts";

test("processAlive() tells the living from the ended, and from zombies", async () => {
  expect(realHost.processAlive(process.pid)).toBe(true);
  expect(realHost.processAlive(2 ** 22 + 1)).toBe(false);
  // The shell becomes a program that never waits for the child the shell has started.
  const parent = Bun.spawn(["sh", "-c", "true & exec sleep 60"]);
  try {
    const children = `/proc/${parent.pid}/task/${parent.pid}/children`;
    let zombie = 0;
    while (zombie === 0) {
      await Bun.sleep(5);
      const [child] = readFileSync(children, "utf8").trim().split(" ");
      if (child && readFileSync(`/proc/${child}/stat`, "utf8").includes(") Z "))
        zombie = Number(child);
    }
    expect(realHost.processAlive(zombie)).toBe(false);
    expect(realHost.processAlive(parent.pid)).toBe(true);
  } finally {
    parent.kill("SIGKILL");
  }
});
