import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRuntime } from "../runtime/real.ts";
import { revisionOf } from "./backend.ts";
import { openSqliteStore } from "./sqlite.ts";
import { prefixRange, type Store } from "./store.ts";

const kills = 12;
const all = prefixRange("/");
let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "k3-crash-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

interface Told {
  readonly type: string;
  readonly revision: number;
}

/** Lets the child write until it has told `count` writes, then kills it in mid-flight. */
async function writeAndKill(path: string, round: number, count: number): Promise<string[]> {
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "testing", "crash-child.ts"), path, String(round)],
    { stdout: "pipe", stderr: "inherit" },
  );
  let text = "";
  let lines = 0;
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    const part = decoder.decode(chunk, { stream: true });
    text += part;
    lines += part.split("\n").length - 1;
    if (lines >= count) child.kill("SIGKILL");
  }
  await child.exited;
  expect(lines).toBeGreaterThanOrEqual(count);
  return text.split("\n").slice(0, -1); // a torn last line was not acknowledged
}

/** The whole kept log, as a watcher sees it. */
async function history(store: Store): Promise<number[]> {
  const newest = await store.revision();
  const seen: number[] = [];
  const from = await store.compactedRevision();
  for await (const batch of store.watch(all, from, new AbortController().signal)) {
    seen.push(...batch.map(revisionOf));
    if (seen.at(-1) === newest) break;
  }
  return seen;
}

test(`no acknowledged write is lost in ${kills} kills`, async () => {
  const path = join(dir, "state.db");
  const runtime = createRuntime({ logLevel: "error" });
  const latest = new Map<string, Told>();
  const used = new Set<number>();
  let newest = 0;
  for (let round = 0; round < kills; round++) {
    const lines = await writeAndKill(path, round, 150 + round * 40);
    for (const line of lines) {
      const [type = "", key = "", digits] = line.split(" ");
      const revision = Number(digits);
      expect(used.has(revision)).toBe(false);
      expect(revision).toBeGreaterThan(newest);
      used.add(revision);
      const before = latest.get(key);
      if (before === undefined || before.revision < revision) latest.set(key, { type, revision });
    }
    await using store = await openSqliteStore(path, runtime, { compactEveryMs: 0 });
    newest = await store.revision();
    expect(newest).toBeGreaterThanOrEqual(Math.max(...used));
    await checkAcknowledged(store, latest);
    const from = await store.compactedRevision();
    const log = newest > from ? await history(store) : [];
    expect(log).toEqual(Array.from({ length: newest - from }, (_, i) => from + 1 + i));
  }
  expect(latest.size).toBeGreaterThan(kills * 50);
}, 60_000);

/** A key may be newer than what was told: the answer can die with the process, the write not. */
async function checkAcknowledged(store: Store, latest: ReadonlyMap<string, Told>): Promise<void> {
  const entries = (await store.list(all, { limit: 0 })).entries;
  const living = new Map(entries.map((entry) => [entry.key, entry.revision]));
  for (const [key, { type, revision }] of latest) {
    const found = living.get(key);
    const kept = found === undefined || found >= revision;
    const lost = type === "put" && found === undefined && !mayBeDeleted(key);
    const risen = type === "delete" && found !== undefined;
    if (!kept || lost || risen) throw new Error(`${key} was ${type} at ${revision}, is ${found}`);
  }
}

/** The child deletes each ninth key itself. */
function mayBeDeleted(key: string): boolean {
  return Number(key.slice(key.lastIndexOf("/") + 1)) % 9 === 0;
}
