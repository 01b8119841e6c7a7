import { expect, test } from "bun:test";
import type { NodeCondition } from "../../gen/core-v1.ts";
import { nodeStatusEvents } from "./node-events.ts";

const condition = (type: string, status: string): NodeCondition => ({ type, status });

test("nodeStatusEvents() tells what a new node is like, and then what changed", () => {
  const first = [condition("MemoryPressure", "False"), condition("Ready", "False")];
  expect(nodeStatusEvents([], first)).toEqual(["NodeHasSufficientMemory"]);
  const ready = [condition("MemoryPressure", "False"), condition("Ready", "True")];
  expect(nodeStatusEvents(first, ready)).toEqual(["NodeReady"]);
  expect(nodeStatusEvents(ready, ready)).toEqual([]);
  const pressed = [condition("MemoryPressure", "True"), condition("Ready", "False")];
  expect(nodeStatusEvents(ready, pressed)).toEqual(["NodeHasInsufficientMemory", "NodeNotReady"]);
});
