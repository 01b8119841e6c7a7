import { expect, test } from "bun:test";
import type { StoreLiveSets } from "../live/store-feed.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import type { Store } from "../store/store.ts";
import { CachePulse } from "./cache-pulse.ts";
import { componentHealth, type HealthSources, healthChecks } from "./health.ts";

const { clock } = createSimulatedRuntime(1);
const storeThat = (get: () => Promise<undefined>): Store => ({ get }) as unknown as Store;
const working: HealthSources = {
  clock,
  store: storeThat(async () => undefined),
  components: new Map([
    ["api", { ok: true }],
    ["bootstrap", { ok: true }],
    ["aggregator", { ok: true }],
    ["flow-control", { ok: true }],
  ]),
  isStopping: false,
  isStarting: false,
};

const failing = async (sources: HealthSources, endpoint: "livez" | "readyz" = "readyz") =>
  (await healthChecks(endpoint, sources)).filter(({ ok }) => !ok).map(({ name }) => name);

test("healthChecks() have upstream's names, and those of readiness only in readyz", async () => {
  const live = (await healthChecks("livez", working)).map(({ name }) => name);
  const ready = (await healthChecks("readyz", working)).map(({ name }) => name);
  expect(live).toContain("ping");
  const hooks = [
    "rbac/bootstrap-roles",
    "start-service-ip-repair-controllers",
    "storage-readiness",
  ];
  expect(live).toEqual(expect.arrayContaining(hooks.map((name) => `poststarthook/${name}`)));
  expect(live).toContain("autoregister-completion");
  const onlyReady = ready.filter((name) => !live.includes(name));
  expect(onlyReady).toEqual(["etcd-readiness", "informer-sync", "shutdown"]);
  expect(await failing(working)).toEqual([]);
});

test("healthChecks() tell a store that fails, is not open, or does not answer", async () => {
  const broken = storeThat(() => Promise.reject(new Error("disk I/O error")));
  expect(await failing({ ...working, store: broken })).toEqual(["etcd", "etcd-readiness"]);
  expect(await failing({ ...working, store: undefined })).toEqual(["etcd", "etcd-readiness"]);
  const silent = storeThat(() => new Promise(() => {}));
  const asked = failing({ ...working, store: silent }, "livez");
  await clock.advance(3_000);
  expect(await asked).toEqual(["etcd"]);
});

test("componentHealth() names the parts that are not well, and why", async () => {
  const components = new Map([...working.components, ["controllers", { ok: true } as const]]);
  expect(await componentHealth({ ...working, components })).toEqual([
    { name: "controller-manager", reason: "" },
    { name: "etcd-0", reason: "" },
    { name: "scheduler", reason: "scheduler has not started" },
  ]);
});

test("healthChecks() tell what has not started yet and a server that stops", async () => {
  const components = new Map([["api", { ok: true } as const]]);
  const names = await failing({ ...working, components });
  expect(names).toContain("poststarthook/bootstrap-controller");
  expect(await failing({ ...working, isStopping: true })).toEqual(["shutdown"]);
  expect(await failing({ ...working, isStopping: true }, "livez")).toEqual([]);
});

test("livez-grace-period is for what has not started yet, and for livez alone", async () => {
  const starting = { ...working, components: new Map(), isStarting: true };
  expect(await failing(starting, "livez")).toEqual([]);
  expect(await failing(starting, "readyz")).toContain("poststarthook/bootstrap-controller");
  const broken = storeThat(() => Promise.reject(new Error("disk I/O error")));
  expect(await failing({ ...starting, store: broken }, "livez")).toEqual(["etcd"]);
});

test("CachePulse fails when a cache stays behind the store, and recovers", async () => {
  const world = createSimulatedRuntime(2);
  let behind: readonly string[] = [];
  const store = { revision: async () => 7 } as unknown as Store;
  const live = { behind: () => behind } as unknown as StoreLiveSets;
  const pulse = new CachePulse(world.clock, store, live);
  const stop = new AbortController();
  const running = pulse.run(stop.signal);
  await world.clock.advance(20_000);
  expect(pulse.health()).toEqual({ ok: true });
  behind = ["/v1/pods"];
  await world.clock.advance(20_000);
  expect(pulse.health()).toEqual({ ok: true });
  await world.clock.advance(30_000);
  const reason = "the cache of /v1/pods does not follow the store";
  expect(pulse.health()).toEqual({ ok: false, reason });
  behind = [];
  await world.clock.advance(10_000);
  expect(pulse.health()).toEqual({ ok: true });
  stop.abort();
  await running;
});
