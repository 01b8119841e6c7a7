import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../../runtime/simulated.ts";
import { type FlowTally, type Limiting, QueueSet, type SeatedRequest } from "./queue-set.ts";

function tallyOf(schema: string): FlowTally {
  return {
    schema,
    inQueueRequests: 0,
    inQueueSeats: 0,
    executingRequests: 0,
    executingSeats: 0,
    dispatched: 0,
    notAccommodated: 0,
    rejected: { "concurrency-limit": 0, "queue-full": 0, "time-out": 0 },
  };
}

const queued: Limiting = { type: "queue", queues: 128, handSize: 6, queueLengthLimit: 50 };

function openSet(limiting: Limiting, concurrencyLimit: number) {
  const { clock } = createSimulatedRuntime(1);
  const demand: number[] = [];
  const set = new QueueSet({
    limiting,
    concurrencyLimit,
    nowMs: () => clock.monotonicMs(),
    after: (ms, then) => void clock.sleep(ms, new AbortController().signal).then(then),
    onDemand: (seats) => void demand.push(seats),
  });
  const tally = tallyOf("schema");
  const start = (distinguisher = "", work = {}): SeatedRequest | undefined =>
    set.start({
      tally,
      work: { initialSeats: 1, finalSeats: 0, additionalLatencyMs: 0, ...work },
      distinguisher,
      about: undefined,
    });
  return { set, start, tally, clock, demand };
}

/** Starts a request that must be let in. */
function seated(request: SeatedRequest | undefined): SeatedRequest {
  if (request === undefined) throw new Error("the request was turned away");
  return request;
}

test("an exempt level seats everyone", () => {
  const { start, tally } = openSet({ type: "exempt" }, 0);
  for (let i = 0; i < 100; i++) expect(start()?.state).toBe("executing");
  expect(tally.executingSeats).toBe(100);
});

test("a level without queues turns away who finds no seat", () => {
  const { set, start, tally } = openSet({ type: "reject" }, 2);
  const first = seated(start());
  start();
  expect(start()).toBeUndefined();
  expect(tally.rejected["concurrency-limit"]).toBe(1);
  set.finish(first);
  expect(start()?.state).toBe("executing");
});

test("who finds no seat waits, and gets the next one in order", () => {
  const { set, start, demand } = openSet(queued, 1);
  const [first, second, third] = [seated(start()), seated(start()), seated(start())];
  const decided: string[] = [];
  second.decided = (execute) => void decided.push(`second ${execute}`);
  third.decided = (execute) => void decided.push(`third ${execute}`);
  expect([first.state, second.state, third.state]).toEqual(["executing", "waiting", "waiting"]);
  expect(demand.at(-1)).toBe(3);
  set.finish(first);
  set.finish(second);
  expect(decided).toEqual(["second true", "third true"]);
  set.finish(third);
  expect([set.isIdle, set.dump().queues.size, demand.at(-1)]).toEqual([true, 0, 0]);
});

test("a queue that is full turns its flow away", () => {
  const one: Limiting = { type: "queue", queues: 1, handSize: 1, queueLengthLimit: 2 };
  const { start, tally } = openSet(one, 1);
  expect([start(), start(), start(), start()].map((one) => one?.state)).toEqual([
    "executing",
    "waiting",
    "waiting",
    undefined,
  ]);
  expect(tally.rejected["queue-full"]).toBe(1);
});

test("who waits no longer leaves without a trace, and only once", () => {
  const { set, start, tally } = openSet(queued, 1);
  const first = seated(start());
  const second = seated(start());
  let answer: boolean | undefined;
  second.decided = (execute) => {
    answer = execute;
  };
  set.cancel(second);
  set.cancel(second);
  expect([answer, tally.inQueueRequests, tally.rejected["time-out"]]).toEqual([false, 0, 1]);
  set.finish(first);
  set.finish(first);
  expect([set.isIdle, tally.executingSeats]).toEqual([true, 0]);
});

test("a flow of few requests is not held up by one of many", async () => {
  const { set, start, clock } = openSet(queued, 4);
  const elephants = Array.from({ length: 204 }, () => seated(start("elephant")));
  const mouse = seated(start("mouse"));
  expect(mouse.state).toBe("waiting");
  let served = 0;
  while (mouse.state === "waiting") {
    await clock.advance(10);
    const running = elephants.filter(({ state }) => state === "executing");
    served += running.length;
    for (const request of running) set.finish(request);
  }
  // Two hundred came before it, on the six queues of one hand.
  expect(served).toBeLessThanOrEqual(8);
});

test("two busy flows get the same number of seats, whatever each asks for", async () => {
  const { set, start, clock } = openSet(queued, 10);
  const served = { many: 0, few: 0 };
  const running = new Set<SeatedRequest>();
  const ask = (name: "many" | "few"): void => {
    const request = start(name);
    if (request === undefined) return;
    const run = (): void => {
      served[name] += 1;
      running.add(request);
    };
    if (request.state === "executing") run();
    else request.decided = run;
  };
  for (let i = 0; i < 240; i++) ask("many");
  for (let i = 0; i < 120; i++) ask("few");
  for (let turn = 0; turn < 20; turn++) {
    await clock.advance(10);
    const done = [...running];
    running.clear();
    for (const request of done) set.finish(request);
  }
  expect(served.many + served.few).toBe(210);
  expect(Math.abs(served.many - served.few)).toBeLessThan(60);
});

test("a wide request waits until it finds room, and more than all seats are taken alone", () => {
  const { set, start, tally } = openSet(queued, 4);
  const first = seated(start("a"));
  const wide = seated(start("b", { initialSeats: 9 }));
  expect([wide.state, tally.notAccommodated]).toEqual(["waiting", 1]);
  set.finish(first);
  expect([wide.state, tally.executingSeats]).toEqual(["executing", 9]);
  expect(seated(start("c")).state).toBe("waiting");
});

test("seats that the answer's watchers need stay taken for a while", async () => {
  const { set, start, clock, tally } = openSet(queued, 4);
  const work = { initialSeats: 1, finalSeats: 3, additionalLatencyMs: 50 };
  const request = seated(start("a", work));
  expect(tally.executingSeats).toBe(3);
  set.finish(request);
  const wide = seated(start("b", { initialSeats: 4 }));
  expect([tally.executingRequests, wide.state]).toEqual([0, "waiting"]);
  await clock.advance(60);
  expect([tally.executingSeats, String(wide.state)]).toEqual([4, "executing"]);
});

test("more seats let those who wait move up at once", () => {
  const { set, start } = openSet(queued, 1);
  start("a");
  const second = seated(start("b"));
  set.configure(queued, 2);
  expect(second.state).toBe("executing");
});
