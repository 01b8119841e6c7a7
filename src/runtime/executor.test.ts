import { expect, test } from "bun:test";
import { AssertionError } from "../lib/assert.ts";
import { createExecutor } from "./executor.ts";
import type { Component, Scope } from "./scope.ts";
import { createSimulatedRuntime } from "./simulated.ts";

function component(
  name: string,
  needs: readonly string[],
  start: (scope: Scope) => Promise<void> | void,
): Component {
  return { name, needs, start: async (scope) => start(scope), health: () => ({ ok: true }) };
}

test("components start after their needs and stop before them", async () => {
  const runtime = createSimulatedRuntime(1);
  const order: string[] = [];
  const row = (name: string, needs: string[]): Component =>
    component(name, needs, async (scope) => {
      scope.defer(() => void order.push(`-${name}`));
      await runtime.clock.sleep(100, scope.signal);
      order.push(`+${name}`);
    });
  const executor = createExecutor(runtime);
  const started = executor.start([
    row("api", ["store"]),
    row("store", []),
    row("cli", ["api", "absent"]),
  ]);
  expect(executor.health().get("api")).toEqual({ ok: false, reason: "starting" });
  await runtime.clock.advance(300);
  await started;
  expect(executor.timings().map(({ name, tookMs }) => [name, tookMs])).toEqual([
    ["store", 100],
    ["api", 100],
    ["cli", 100],
  ]);
  await executor[Symbol.asyncDispose]();
  expect(order).toEqual(["+store", "+api", "+cli", "-cli", "-api", "-store"]);
});

test("a failed task restarts its component with backoff", async () => {
  const runtime = createSimulatedRuntime(2);
  let starts = 0;
  let cleaned = 0;
  const executor = createExecutor(runtime);
  await executor.start([
    component("flaky", [], (scope) => {
      starts += 1;
      scope.defer(() => void cleaned++);
      if (starts === 2) throw new Error("port taken");
      scope.task("loop", async (signal) => {
        await runtime.clock.sleep(1000, signal);
        if (starts === 1) throw new Error("lost");
      });
    }),
  ]);
  await runtime.clock.advance(1000);
  expect(executor.health().get("flaky")).toEqual({ ok: false, reason: "loop: lost" });
  await runtime.clock.advance(700);
  expect(starts).toBe(2);
  expect(executor.health().get("flaky")).toEqual({ ok: false, reason: "port taken" });
  await runtime.clock.advance(1300);
  expect(starts).toBe(3);
  expect(executor.health().get("flaky")).toEqual({ ok: true });
  await executor[Symbol.asyncDispose]();
  expect(cleaned).toBe(3);
});

test("a first start that fails ends the start, and dispose still cleans up", async () => {
  const runtime = createSimulatedRuntime(3);
  let cleaned = false;
  const executor = createExecutor(runtime);
  const started = executor.start([
    component("bad", [], (scope) => {
      scope.defer(() => {
        cleaned = true;
      });
      throw new Error("no");
    }),
    component("after", ["bad"], () => {}),
  ]);
  await expect(started).rejects.toThrow("no");
  await executor[Symbol.asyncDispose]();
  expect(cleaned).toBe(true);
});

test("a broken invariant is not retried", async () => {
  const runtime = createSimulatedRuntime(4);
  const broken: string[] = [];
  const executor = createExecutor(runtime, {
    onBroken: (error) => void broken.push(error.message),
  });
  await executor.start([
    component("x", [], (scope) =>
      scope.task("t", async () => {
        throw new AssertionError("one is one");
      }),
    ),
  ]);
  await runtime.clock.advance(60_000);
  expect(broken).toEqual(["one is one"]);
  await executor[Symbol.asyncDispose]();
});

test("needs in a circle are refused", async () => {
  const executor = createExecutor(createSimulatedRuntime(5));
  const circle = [component("a", ["b"], () => {}), component("b", ["a"], () => {})];
  await expect(executor.start(circle)).rejects.toThrow("a -> b -> a");
});
