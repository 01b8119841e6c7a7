import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "./simulated.ts";

async function story(seed: number): Promise<string> {
  const { clock, random } = createSimulatedRuntime(seed);
  const stop = new AbortController();
  let told = "";
  for (const name of "abcdefgh") {
    void (async () => {
      for (let i = 0; i < 5; i++) {
        await clock.sleep(10, stop.signal);
        told += name + random.int(10);
      }
    })();
  }
  clock.every(20, stop.signal, () => {
    told += "|";
  });
  await clock.advance(60);
  stop.abort();
  await clock.advance(60);
  return told;
}

test("one seed tells one story, another seed another", async () => {
  const first = await story(1);
  expect(first).toHaveLength(83);
  expect(await story(1)).toBe(first);
  expect(await story(2)).not.toBe(first);
});

test("until stops at the moment and has a limit", async () => {
  const { clock } = createSimulatedRuntime(1);
  const start = clock.now().getTime();
  let done = false;
  void clock.sleep(1500, new AbortController().signal).then(() => {
    done = true;
  });
  await clock.until(() => done);
  expect(clock.now().getTime() - start).toBe(1500);
  expect(clock.until(() => false, 10)).rejects.toThrow("Not reached");
});

test("files in memory behave like files", async () => {
  const { files } = createSimulatedRuntime(1);
  await files.writeAtomic("/a/b/c", "x", 0o600);
  await files.writeAtomic("/a/d", "y", 0o600);
  expect(await files.list("/a")).toEqual(["b", "d"]);
  await files.remove("/a/b");
  expect(await files.list("/a")).toEqual(["d"]);
  const stop = new AbortController();
  const names = files.watch("/a", stop.signal)[Symbol.asyncIterator]();
  const first = names.next();
  await files.writeAtomic("/a/e", "z", 0o600);
  expect((await first).value).toBe("e");
  stop.abort();
  expect((await names.next()).done).toBe(true);
});
