import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../../runtime/simulated.ts";
import { MemoryApi } from "../testing/memory-api.ts";
import { ServiceAccountTokens, sleepUntilRenewal } from "./service-account-tokens.ts";
import type { Pod } from "./types.ts";

const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "default", uid: "u1" },
  spec: { containers: [{ name: "c" }] },
};

/** A clock whose wall time can be set without time going by. */
function setUp() {
  const runtime = createSimulatedRuntime(1);
  let aheadMs = 0;
  const { clock } = runtime;
  const now = (): Date => new Date(clock.now().getTime() + aheadMs);
  const shown = {
    now,
    monotonicMs: () => clock.monotonicMs(),
    sleep: (ms: number, signal: AbortSignal) => clock.sleep(ms, signal),
    every: () => {},
  };
  const setAhead = (ms: number): void => {
    aheadMs = ms;
  };
  return { runtime: { ...runtime, clock: shown }, clock, setAhead };
}

class CountingApi extends MemoryApi {
  issued = 0;
  lifetimeMs = 3_600_000;
  nowMs = (): number => 0;

  override async createSubresource<R>(): Promise<R> {
    this.issued++;
    const expirationTimestamp = new Date(this.nowMs() + this.lifetimeMs).toISOString();
    return { status: { token: `token ${this.issued}`, expirationTimestamp } } as R;
  }
}

test("a token is renewed at 80 % of its life, and when the clock goes back", async () => {
  const { runtime, setAhead } = setUp();
  const api = new CountingApi();
  api.nowMs = () => runtime.clock.now().getTime();
  const tokens = new ServiceAccountTokens(api, runtime);
  const token = (): Promise<string> => tokens.token(pod, "", 3600);
  const hour = 3_600_000;
  expect(await token()).toBe("token 1");
  setAhead(hour * 0.79);
  expect(await token()).toBe("token 1");
  setAhead(hour * 0.81);
  expect(await token()).toBe("token 2");
  setAhead(hour * 0.81 - 59_000);
  expect(await token()).toBe("token 2");
  setAhead(0);
  expect(await token()).toBe("token 3");
});

test("sleepUntilRenewal() ends in time, and soon after the clock was set back", async () => {
  const { runtime, clock, setAhead } = setUp();
  const { signal } = new AbortController();
  const woken: number[] = [];
  const sleep = async (): Promise<void> => {
    const from = clock.monotonicMs();
    await sleepUntilRenewal(runtime.clock, 60_000, signal);
    woken.push(clock.monotonicMs() - from);
  };
  const first = sleep();
  await clock.advance(60_000);
  await first;
  const second = sleep();
  await clock.advance(10_000);
  setAhead(3_600_000);
  await clock.advance(10_000);
  expect(woken).toEqual([60_000]);
  setAhead(0);
  await clock.advance(2_000);
  await second;
  expect(woken).toEqual([60_000, 22_000]);
});
