import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { WorkQueue } from "./work-queue.ts";

function open() {
  const { clock } = createSimulatedRuntime(1);
  const abort = new AbortController();
  return { clock, abort, queue: new WorkQueue(clock, abort.signal) };
}

test("a key that is added twice is handed out once", async () => {
  const { queue } = open();
  queue.add("a");
  queue.add("a");
  queue.add("b");
  expect(queue.depth).toBe(2);
  expect([await queue.take(), await queue.take()]).toEqual(["a", "b"]);
  expect(queue.depth).toBe(0);
});

test("a key in flight is handed out again only after it is done", async () => {
  const { queue } = open();
  queue.add("a");
  await queue.take();
  queue.add("a");
  expect(queue.depth).toBe(0);
  queue.done("a");
  expect(await queue.take()).toBe("a");
});

test("addAfter waits, and the earlier of two times counts", async () => {
  const { clock, queue } = open();
  queue.addAfter("a", 1000);
  queue.addAfter("a", 100);
  await clock.advance(99);
  expect(queue.depth).toBe(0);
  await clock.advance(1);
  expect(queue.depth).toBe(1);
  await queue.take();
  queue.done("a");
  await clock.advance(2000);
  expect(queue.depth).toBe(0);
});

test("failures wait 5 ms, then twice as long each time, until forgotten", async () => {
  const { clock, queue } = open();
  for (const ms of [5, 10, 20]) {
    queue.addFailed("a");
    await clock.advance(ms - 1);
    expect(queue.depth).toBe(0);
    await clock.advance(1);
    expect(await queue.take()).toBe("a");
    queue.done("a");
  }
  queue.forget("a");
  queue.addFailed("a");
  await clock.advance(5);
  expect(queue.depth).toBe(1);
});

test("take() of a closed queue answers undefined", async () => {
  const { abort, queue } = open();
  const taken = queue.take();
  abort.abort();
  expect(await taken).toBeUndefined();
});
