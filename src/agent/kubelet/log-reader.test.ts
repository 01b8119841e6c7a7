import { afterAll, beforeAll, expect, test } from "bun:test";
import { appendFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { realHost } from "../../runtime/host.ts";
import { createRuntime } from "../../runtime/real.ts";
import { type LogOptions, readLog } from "./log-reader.ts";

const { clock } = createRuntime({ logLevel: "error" });
let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(`${tmpdir()}/k3-log-reader-`);
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

const line = (text: string): string => `2024-01-31T23:59:59.000000001Z stdout F ${text}\n`;

/** What is read of a log of three lines, to which one is added before the file is read. */
async function read(options: Partial<LogOptions>): Promise<string> {
  const path = `${dir}/0.log`;
  writeFileSync(path, ["one", "two", "three"].map(line).join(""));
  let isFirst = true;
  const isRunning = (): boolean => {
    if (isFirst) appendFileSync(path, line("late"));
    isFirst = false;
    return false;
  };
  const all = {
    follow: false,
    tailLines: undefined,
    sinceMs: undefined,
    timestamps: false,
    limitBytes: undefined,
    stream: undefined,
    ...options,
  };
  const source = { host: realHost, clock, path, isRunning };
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of readLog(source, all, new AbortController().signal)) {
    text += decoder.decode(chunk);
  }
  return text;
}

test("the last lines are no more than were asked for, though the log grows meanwhile", async () => {
  expect(await read({})).toBe("one\ntwo\nthree\nlate\n");
  expect(await read({ tailLines: 1 })).toBe("three\n");
  expect(await read({ tailLines: 2 })).toBe("two\nthree\n");
  expect(await read({ tailLines: 0 })).toBe("");
  expect(await read({ tailLines: 9 })).toBe("one\ntwo\nthree\nlate\n");
});

test("a follower goes on behind the last lines", async () => {
  expect(await read({ tailLines: 1, follow: true })).toBe("three\nlate\n");
});
