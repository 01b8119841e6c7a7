import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Controller } from "./controller.ts";
import { watchRule } from "./controller.ts";
import { ParsedObject } from "./live-object.ts";
import type { LiveSet } from "./live-set.ts";
import { LiveSetImpl } from "./live-set-impl.ts";
import { runController } from "./run-controller.ts";

const items = { group: "", version: "v1", plural: "items", kind: "Item", namespaced: false };

function open(reconcile: Controller["reconcile"], concurrent = 1) {
  const runtime = createSimulatedRuntime(1);
  const set = new LiveSetImpl<KubeObject>();
  const live = { of: <T extends KubeObject>() => set as unknown as LiveSet<T> };
  const abort = new AbortController();
  const watches = [watchRule(items, (change) => [change.now.key])];
  const controller: Controller = { name: "test", watches, concurrent, reconcile };
  const running = runController(controller, { live, runtime }, abort.signal);
  const put = (name: string, version: number) => {
    const metadata = { name, resourceVersion: String(version) };
    const object = new ParsedObject<KubeObject>(name, { apiVersion: "v1", kind: "Item", metadata });
    set.apply([{ type: "put", now: object }]);
  };
  return { runtime, set, abort, running, put };
}

test("a controller reconciles what is there and what changes", async () => {
  const seen: string[] = [];
  const world = open(async (key) => {
    seen.push(key);
    return "done";
  });
  world.set.reset([], 0);
  world.put("a", 1);
  await world.runtime.clock.runUntilIdle();
  world.put("b", 2);
  world.put("b", 3);
  await world.runtime.clock.runUntilIdle();
  expect(seen[0]).toBe("a");
  expect(seen.filter((key) => key === "b").length).toBeGreaterThan(0);
  world.abort.abort();
  await world.running;
});

test("a failed key is tried again with backoff, others go on", async () => {
  let failures = 3;
  const seen: string[] = [];
  const world = open(async (key) => {
    seen.push(key);
    if (key === "bad" && failures > 0) {
      failures -= 1;
      throw new Error("not yet");
    }
    return "done";
  });
  world.set.reset([], 0);
  world.put("bad", 1);
  world.put("good", 2);
  await world.runtime.clock.advance(100);
  expect(seen.filter((key) => key === "bad").length).toBe(4);
  expect(seen).toContain("good");
  world.abort.abort();
  await world.running;
});

test("againInMs comes back after that time", async () => {
  let count = 0;
  const world = open(async () => {
    count += 1;
    return { againInMs: 1000 };
  });
  world.set.reset([], 0);
  world.put("a", 1);
  await world.runtime.clock.advance(3500);
  expect(count).toBe(4);
  world.abort.abort();
  await world.running;
});
