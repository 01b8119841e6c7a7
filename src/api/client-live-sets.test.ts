import { expect, test } from "bun:test";
import { createClientLiveSets } from "../live/http-feed.ts";
import { createTestWorld, thing, things } from "./test-world.ts";

function open() {
  const world = createTestWorld();
  const abort = new AbortController();
  const { client, runtime } = world;
  const sets = createClientLiveSets({ client, runtime, signal: abort.signal, freeze: true });
  const keys = (selector?: string) =>
    [...sets.of(things, selector === undefined ? {} : { fieldSelector: selector }).list()].map(
      (one) => one.key,
    );
  return { ...world, sets, abort, keys };
}

test("an agent's set follows the API and only what its selector matches", async () => {
  const { abort, client, keys, runtime, sets } = open();
  await client.create(things, thing("a", { spec: { node: "n1" } }));
  const mine = sets.of(things, { fieldSelector: "spec.node=n1" });
  const ready = mine.ready(abort.signal);
  await runtime.clock.runUntilIdle();
  await ready;
  expect(keys("spec.node=n1")).toEqual(["default/a"]);
  await client.create(things, thing("b", { spec: { node: "n1" } }));
  await client.create(things, thing("c", { spec: { node: "n2" } }));
  await client.delete(things, "default", "a");
  await runtime.clock.runUntilIdle();
  expect(keys("spec.node=n1")).toEqual(["default/b"]);
  abort.abort();
});

test("an agent's set goes on after its watch ended, and lists again after 410", async () => {
  const { abort, client, keys, runtime, sets, store } = open();
  const ready = sets.of(things).ready(abort.signal);
  await runtime.clock.runUntilIdle();
  await ready;
  await runtime.clock.advance(2 * 3600 * 1000);
  await client.create(things, thing("a"));
  await store.compact(await store.revision());
  await runtime.clock.advance(2 * 3600 * 1000);
  await client.create(things, thing("b"));
  await runtime.clock.advance(60_000);
  expect(keys()).toEqual(["default/a", "default/b"]);
  abort.abort();
});
