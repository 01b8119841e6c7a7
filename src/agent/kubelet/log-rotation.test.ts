import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { realHost } from "../../runtime/host.ts";
import { createRuntime } from "../../runtime/real.ts";
import { readLog } from "./log-reader.ts";
import { rotateLogs } from "./log-rotation.ts";

const { clock, log } = createRuntime({ logLevel: "error" });
const limits = { bytesMax: 1000, filesMax: 5, everyMs: 1 };
let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(`${tmpdir()}/k3-logs-`);
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

const line = (text: string): string => `2024-01-31T23:59:59.000000001Z stdout F ${text}\n`;

test("a large log is set aside, older ones are compressed, the oldest go", async () => {
  const path = `${dir}/0.log`;
  let second = 0;
  // Each rotation a second later: the stamps are names.
  const steps = { ...clock, now: () => new Date(Date.UTC(2024, 0, 31, 23, 0, second)) };
  const opened: string[] = [];
  const reopen = async (id: string): Promise<void> => {
    opened.push(id);
    await writeFile(path, "");
  };
  const options = { host: realHost, clock: steps, log, limits, reopen };
  for (second = 1; second <= 6; second += 1) {
    await writeFile(path, `${second}`);
    await rotateLogs(options, [{ containerId: "small", path }]);
    await truncate(path, limits.bytesMax + 1);
    await rotateLogs(options, [{ containerId: "c", path }]);
  }
  expect(opened).toEqual(["c", "c", "c", "c", "c", "c"]);
  const names = await readdir(dir);
  expect(names.toSorted()).toEqual([
    "0.log",
    "0.log.20240131-230003.gz",
    "0.log.20240131-230004.gz",
    "0.log.20240131-230005.gz",
    "0.log.20240131-230006",
  ]);
  const packed = await readFile(`${dir}/0.log.20240131-230004.gz`);
  expect(Bun.gunzipSync(packed).subarray(0, 2)).toEqual(new Uint8Array([0x34, 0]));
});

test("a file stays where it is when the runtime cannot open a new one", async () => {
  const path = `${dir}/1.log`;
  await writeFile(path, "x");
  await truncate(path, limits.bytesMax + 1);
  const reopen = (): Promise<void> => Promise.reject(new Error("no"));
  const quiet = { ...log, warn: () => {} };
  await rotateLogs({ host: realHost, clock, log: quiet, limits, reopen }, [
    { containerId: "c", path },
  ]);
  expect((await readdir(dir)).filter((name) => name.startsWith("1."))).toEqual(["1.log"]);
});

test("a follower reads the old file to its end before the new one", async () => {
  const path = `${dir}/2.log`;
  await writeFile(path, line("one"));
  let running = true;
  const source = { host: realHost, clock, path, isRunning: () => running };
  const options = {
    follow: true,
    tailLines: undefined,
    sinceMs: undefined,
    timestamps: false,
    limitBytes: undefined,
    stream: undefined,
  };
  const chunks = readLog(source, options, new AbortController().signal);
  const next = async (): Promise<string> => new TextDecoder().decode((await chunks.next()).value);
  expect(await next()).toBe("one\n");
  // Written and set aside between two looks of the follower.
  await writeFile(path, line("two"), { flag: "a" });
  await realHost.rename(path, `${path}.20240131-235959`);
  await writeFile(path, line("three"));
  expect([await next(), await next()]).toEqual(["two\n", "three\n"]);
  running = false;
  expect((await chunks.next()).done).toBe(true);
});
