/**
 * The API over TLS: durable creates and reads by 64 clients, lists and watches. The load tool shares
 * the machine, so what the server itself needs is told as processor time.
 */
import type { ClientHttp2Session } from "node:http2";
import type { Bench, Measure } from "./main.ts";
import { BenchServer, usageOf } from "./server.ts";

const runs = 5;
const clients = 64;
const createsPerRun = 6_400;
const getsPerRun = 12_800;
const podsListed = 10_000;
const listsPerRun = 5;
const watchers = 1000;
const changesPerRun = 20;
const path = "/api/v1/namespaces/default/configmaps";
const podPath = "/api/v1/namespaces/default/pods";

export const apiBench: Bench = {
  name: "api",
  async run(): Promise<readonly Measure[]> {
    const server = new BenchServer(["--disable-agent"]);
    try {
      await server.start();
      const sessions = Array.from({ length: clients }, () => server.connect());
      const measures = [
        ...(await writesAndReads(server, sessions)),
        ...(await lists(server, sessions)),
        ...(await fanOut(server, sessions)),
      ];
      for (const session of sessions) session.destroy();
      return measures;
    } finally {
      await server.destroy();
    }
  },
};

interface Speed {
  readonly perSecond: number;
  readonly perCoreSecond: number;
}

async function speed(server: BenchServer, count: number, work: () => Promise<void>) {
  const before = usageOf(server.pid).cpuSeconds;
  const begin = performance.now();
  await work();
  const seconds = (performance.now() - begin) / 1000;
  const cpuSeconds = usageOf(server.pid).cpuSeconds - before;
  return { perSecond: count / seconds, perCoreSecond: count / cpuSeconds } satisfies Speed;
}

async function writesAndReads(
  server: BenchServer,
  sessions: readonly ClientHttp2Session[],
): Promise<readonly Measure[]> {
  const creates: Speed[] = [];
  const gets: Speed[] = [];
  const create = (run: number) => async (session: ClientHttp2Session, i: number) => {
    const metadata = { name: `run-${run}-${i}` };
    const object = { apiVersion: "v1", kind: "ConfigMap", metadata, data: { i: `${i}` } };
    const { status } = await server.request("POST", path, object, session);
    if (status !== 201) throw new Error(`create answered ${status}`);
  };
  const get = (run: number) => async (session: ClientHttp2Session, i: number) => {
    const name = `run-${run}-${i % createsPerRun}`;
    const { status } = await server.request("GET", `${path}/${name}`, undefined, session);
    if (status !== 200) throw new Error(`get answered ${status}`);
  };
  for (let run = 0; run <= runs; run++) {
    const creating = () => shared(createsPerRun, sessions, create(run));
    const getting = () => shared(getsPerRun, sessions, get(run));
    const created = await speed(server, createsPerRun, creating);
    const got = await speed(server, getsPerRun, getting);
    if (run === 0) continue; // it only warms up
    creates.push(created);
    gets.push(got);
  }
  const fast = (all: readonly Speed[]) => all.map(({ perSecond }) => perSecond);
  const cheap = (all: readonly Speed[]) => all.map(({ perCoreSecond }) => perCoreSecond);
  const unit = "1/s";
  return [
    { name: "durable creates, 64 clients, TLS", unit, runs: fast(creates), budget: "≥ 2500" },
    { name: "the same per second of processor", unit, runs: cheap(creates) },
    { name: "GET, 64 clients, TLS, load tool beside it", unit, runs: fast(gets) },
    { name: "the same per second of processor", unit, runs: cheap(gets), budget: "≥ 8000" },
  ];
}

async function lists(
  server: BenchServer,
  sessions: readonly ClientHttp2Session[],
): Promise<readonly Measure[]> {
  await shared(podsListed, sessions, async (session, i) => {
    const spec = { containers: [{ name: "main", image: "nowhere.invalid/none:1" }] };
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: `pod-${i}` }, spec };
    const { status, body } = await server.request("POST", podPath, pod, session);
    if (status !== 201) throw new Error(`create answered ${status}: ${body}`);
  });
  // The scheduler writes to each of them that there is no node.
  await server.atRest();
  const took: number[] = [];
  const session = server.connect({ isWide: true });
  for (let run = 0; run <= runs; run++) {
    const { perCoreSecond } = await speed(server, listsPerRun, async () => {
      for (let i = 0; i < listsPerRun; i++)
        await server.request("GET", podPath, undefined, session);
    });
    if (run > 0) took.push(1000 / perCoreSecond);
  }
  session.destroy();
  const name = `LIST of ${podsListed} pods, processor time`;
  return [{ name, unit: "ms", runs: took, budget: "≤ 60" }];
}

async function fanOut(
  server: BenchServer,
  sessions: readonly ClientHttp2Session[],
): Promise<readonly Measure[]> {
  let events = 0;
  const onEvent = (): void => {
    events += 1;
  };
  const query = `${path}?watch=true&resourceVersion=0&sendInitialEvents=false`;
  const selector = `&fieldSelector=metadata.name%3Dwatched&resourceVersionMatch=NotOlderThan`;
  const streams = Array.from({ length: watchers }, (_, i) =>
    server.watch(query + selector, onEvent, sessions[i % sessions.length]),
  );
  const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "watched" } };
  await server.request("POST", path, object);
  await server.until(async () => events === watchers);
  const took: number[] = [];
  const cpu: number[] = [];
  for (let run = 0; run <= runs; run++) {
    const before = usageOf(server.pid).cpuSeconds;
    const begin = performance.now();
    for (let i = 0; i < changesPerRun; i++) {
      events = 0;
      const data = { x: `${run} ${i}`.padEnd(1000) };
      await server.request("PUT", `${path}/watched`, { ...object, data });
      while (events < watchers) await new Promise((resolve) => setImmediate(resolve));
    }
    if (run === 0) continue;
    took.push((performance.now() - begin) / changesPerRun);
    cpu.push(((usageOf(server.pid).cpuSeconds - before) * 1000) / changesPerRun);
  }
  for (const stream of streams) stream.destroy();
  return [
    {
      name: `a change of 1 kB to ${watchers} watchers, load tool beside it`,
      unit: "ms",
      runs: took,
    },
    { name: "the same, processor time", unit: "ms", runs: cpu, budget: "≤ 8" },
  ];
}

async function shared(
  count: number,
  sessions: readonly ClientHttp2Session[],
  work: (session: ClientHttp2Session, i: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    sessions.map(async (session) => {
      while (next < count) await work(session, next++);
    }),
  );
}
