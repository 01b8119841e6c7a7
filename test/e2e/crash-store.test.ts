/**
 * kill -9 under write load, over and over, with a checker outside the process: no acknowledged
 * write lost, no resourceVersion reused, no watch event missing, doubled or out of order.
 * K3_CRASH_CYCLES sets the number of kills, K3_CRASH_SEED repeats the moments of an earlier run.
 */
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { binary } from "./cluster.ts";
import type { Connection } from "./crash/connection.ts";
import { History, Selection, sameEvents, Violation } from "./crash/history.ts";
import { Harness, list, randomFrom, revisionOf, Watcher, Writer } from "./crash/load.ts";
import { CrashServer } from "./crash/server.ts";

const cycles = Number(process.env.K3_CRASH_CYCLES ?? 12);
const seed = Number(process.env.K3_CRASH_SEED ?? Date.now() % 1_000_000);
const writers = 6;
const limits = { loadMs: 900, startMs: 350, reachMs: 10_000, cycleMs: 15_000 } as const;
/** A kill says nothing before there is something to lose: a slow machine loads for longer. */
const writesPerCycleMin = 20;

function reasonToSkip(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root, as k3 server does";
  if (!existsSync(binary)) return `needs ${binary}: run scripts/build first`;
  return undefined;
}
const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: kill -9 under write load: ${skip}`);

class Run {
  readonly server = new CrashServer();
  readonly history = new History();
  readonly startsMs: number[] = [];
  killedInStart = 0;
  readonly #random = randomFrom(seed);
  readonly #selection = new Selection();
  readonly #harness = new Harness(this.history);
  readonly #writers = Array.from(
    { length: writers },
    (_, i) => new Writer(i, this.history, randomFrom(seed + i + 1)),
  );
  #watchers: Watcher[] = [];
  /** Where the last checked stretch of the watch ended. */
  #fence = 0;

  async first(): Promise<void> {
    await this.server.start();
    const connection = this.server.connect();
    await this.#harness.prepareNamespace(connection);
    this.#fence = (await list(connection)).revision;
    this.#watchers = [Watcher.all, Watcher.everywhere, Watcher.selecting].map((make) =>
      make(this.history, this.#fence),
    );
    await this.#harness.prepareShared(connection);
    connection.close();
  }

  /** Load and checks on the running server until a random moment, then kill -9 and a new start. */
  async cycle(): Promise<void> {
    const before = this.history.acknowledged;
    await this.#underLoad(async () => {
      await Bun.sleep(this.#random() * limits.loadMs);
      const end = performance.now() + limits.reachMs;
      while (this.history.acknowledged - before < writesPerCycleMin && performance.now() < end)
        await Bun.sleep(10);
      await this.server.kill();
    });
    if (this.#random() < 0.3) {
      this.server.spawn();
      await Bun.sleep(this.#random() * limits.startMs);
      await this.server.kill();
      this.killedInStart += 1;
    }
    this.history.restarted();
    this.startsMs.push(await this.server.start());
  }

  /** A last stretch that ends without a kill: what is left must be as told, and sound. */
  async last(): Promise<void> {
    await this.#underLoad(() => Promise.resolve());
    expect(await this.server.stop()).toBe(0);
    const database = new Database(this.server.database);
    expect(database.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    database.close();
  }

  /** Runs writers and watchers, checks all that was owed from before, then calls `end`. */
  async #underLoad(end: () => Promise<void>): Promise<void> {
    const connections: Connection[] = [];
    const connect = () => {
      const connection = this.server.connect();
      connections.push(connection);
      return connection;
    };
    const load = [...this.#watchers, ...this.#writers].map((one) => one.run(connect()));
    let isKilled = false;
    const broken = Promise.race(load).then(() => {
      if (!isKilled) throw new Violation("a writer or a watcher was cut off without a kill");
      return new Promise<never>(() => {});
    });
    const checked = this.#check(connect()).then(() => {
      isKilled = true;
      return end();
    });
    try {
      await Promise.race([checked, broken]);
      await Promise.race([Promise.all(connections.map(({ closed }) => closed)), Bun.sleep(100)]);
    } finally {
      for (const connection of connections) connection.close();
    }
    await Promise.all(load);
  }

  async #check(connection: Connection): Promise<void> {
    const owed = this.history.owed();
    const listed = await list(connection);
    const fence = await this.#harness.fence(connection);
    for (const watcher of this.#watchers) await inTime(watcher, fence);
    const [all, everywhere, selecting] = this.#watchers as [Watcher, Watcher, Watcher];
    const events = all.take(fence);
    const toList = events.filter(({ revision }) => revision <= listed.revision);
    this.history.check(toList, []);
    this.history.compare(
      listed.items.map((item) => ({
        key: item.metadata?.name ?? "",
        revision: revisionOf(item),
        id: Number(item.data?.id),
      })),
    );
    this.history.check(events.slice(toList.length), owed);
    sameEvents(everywhere.name, everywhere.take(fence), events);
    sameEvents(selecting.name, selecting.take(fence), this.#selection.of(events));
    const replay = Watcher.all(this.history, this.#fence);
    const watching = replay.run(connection);
    await Promise.race([inTime(replay, fence), watching]);
    if (replay.at < fence) {
      const where = `from ${this.#fence} to ${fence} ended at ${replay.at}`;
      throw new Violation(`a new watch ${where}: ${replay.ended}`);
    }
    sameEvents("a new watch of the same stretch", replay.take(fence), events);
    this.#fence = fence;
  }
}

async function inTime(watcher: Watcher, revision: number): Promise<void> {
  const late = Bun.sleep(limits.reachMs).then(() => {
    throw new Violation(`${watcher.name} stays at ${watcher.at}, ${revision} was acknowledged`);
  });
  await Promise.race([watcher.reach(revision), late]);
}

describe.skipIf(skip !== undefined)("kill -9 under write load", () => {
  let run: Run | undefined;
  afterAll(() => run?.server.destroy());

  test(
    `no promise is broken in ${cycles} kills`,
    async () => {
      run = new Run();
      const { history, startsMs } = run;
      let cycle = 0;
      try {
        await run.first();
        for (; cycle < cycles; cycle += 1) await run.cycle();
        await run.last();
      } catch (error) {
        const tail = run.server.logTail();
        console.log(`K3_CRASH_SEED=${seed}, cycle ${cycle}; the log ends in\n${tail}`);
        throw error;
      }
      const median = startsMs.sort((a, b) => a - b)[Math.floor(startsMs.length / 2)] ?? 0;
      console.log(
        `seed ${seed}: ${cycles} kills under load, ${run.killedInStart} more in a start; ` +
          `${history.acknowledged} writes acknowledged, ${history.unknownDone} done unanswered, ` +
          `${history.checkedEvents} events checked; ` +
          `restart to /readyz: median ${Math.round(median)} ms, ` +
          `longest ${Math.round(startsMs.at(-1) ?? 0)} ms`,
      );
      expect(history.acknowledged).toBeGreaterThan(cycles * (writesPerCycleMin / 2));
    },
    20_000 + cycles * limits.cycleMs,
  );
});
