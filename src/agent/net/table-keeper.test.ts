import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../../runtime/simulated.ts";
import type { NftTable } from "./nft.ts";
import { emptyTable } from "./nft.ts";
import { TableKeeper } from "./table-keeper.ts";

const table = (elements: number): NftTable => {
  const keys = Array.from({ length: elements }, (_, i) => [`10.0.0.${i}`, ""] as const);
  const set = { kind: "set", type: "type ipv4_addr", elements: [new Map(keys)] } as const;
  return { ...emptyTable, sets: new Map([["ips", set]]) };
};

test("a change after a calm is written at once, those of a burst together", async () => {
  const writes: number[] = [];
  const runtime = createSimulatedRuntime(1, {
    run: () => {
      writes.push(runtime.clock.monotonicMs());
      return { exitCode: 0, stdout: "", stderr: "" };
    },
  });
  const { clock } = runtime;
  const stop = new AbortController();
  let elements = 0;
  const keeper = new TableKeeper({ runtime, name: "ip t", plan: () => table(elements) });
  const change = (): void => {
    elements++;
    keeper.ring();
  };
  const running = keeper.run(stop.signal);
  await clock.advance(1000);
  change();
  await clock.runUntilIdle();
  for (let i = 0; i < 5; i++) {
    await clock.advance(1);
    change();
  }
  await clock.advance(100);
  expect(writes).toEqual([0, 1000, 1010]);
  stop.abort();
  await running;
});
