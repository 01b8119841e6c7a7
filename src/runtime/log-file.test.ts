import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { createLogger } from "./log.ts";
import { LogFile } from "./log-file.ts";

test("LogFile sets a full file aside, compressed, and keeps the newest three", async () => {
  const dir = mkdtempSync(join(tmpdir(), "log-"));
  const path = join(dir, "logs/k3.log");
  let minute = 0;
  const now = () => new Date(Date.UTC(2026, 10, 21, 12, minute++));
  const file = new LogFile({ path, now, bytesMax: 20 });
  for (let i = 0; i < 12; i++) file.write(`line ${i} ...\n`);
  await file.packed();
  expect(readFileSync(path, "utf8")).toBe("line 11 ...\n");
  const backups = readdirSync(join(dir, "logs"))
    .filter((name) => name !== "k3.log")
    .sort();
  expect(backups).toHaveLength(3);
  expect(backups[0]).toMatch(/^k3-2026-11-21T12-\d\d-00\.000\.log\.gz$/);
  const newest = readFileSync(join(dir, "logs", backups.at(-1) ?? ""));
  expect(gunzipSync(newest).toString()).toBe("line 10 ...\n");
  const again = new LogFile({ path, now, bytesMax: 100 });
  again.write("more\n");
  expect(readFileSync(path, "utf8")).toBe("line 11 ...\nmore\n");
  rmSync(dir, { recursive: true });
});

test("createLogger() raises the level of single components", () => {
  const lines: string[] = [];
  const log = createLogger({
    level: "info",
    levels: [{ pattern: "kube*", level: "debug" }],
    json: false,
    uptimeSeconds: () => 0,
    now: () => new Date(0),
    write: (line) => void lines.push(line),
  });
  log.debug("no");
  log.named("scheduler").debug("no");
  log.named("kubelet").debug("yes");
  log.named("agent").named("kubelet").debug("also");
  expect(lines).toEqual([
    "DEBU[0000] yes component=kubelet\n",
    "DEBU[0000] also component=agent/kubelet\n",
  ]);
});
