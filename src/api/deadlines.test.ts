import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { Deadlines, requestTimeoutMs } from "./deadlines.ts";

test("requestTimeoutMs() is the server's at most and refuses what is no duration", () => {
  const of = (text: string): number =>
    requestTimeoutMs(new URLSearchParams({ timeout: text }), 60_000);
  expect([of(""), of("2s"), of("10m"), of("0s")]).toEqual([60_000, 2000, 60_000, 60_000]);
  expect(() => of("soon")).toThrow(
    'invalid timeout specified in the request URL - time: invalid duration "soon"',
  );
});

test("Deadlines answers Timeout for work that takes too long, and only for that", async () => {
  const runtime = createSimulatedRuntime(1);
  const deadlines = new Deadlines(runtime.clock);
  const never = new Promise<never>(() => {});
  const slow = deadlines.within(2000, never).catch((error: unknown) => error);
  const quick = await deadlines.within(2000, Promise.resolve("done"));
  expect(quick).toBe("done");
  await runtime.clock.advance(3000);
  expect(await slow).toMatchObject({ reason: "Timeout", code: 504 });
});
