import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import type { Store } from "../store/store.ts";
import { componentHealth, type HealthSources, healthChecks } from "./health.ts";

const { clock } = createSimulatedRuntime(1);
const storeThat = (get: () => Promise<undefined>): Store => ({ get }) as unknown as Store;
const working: HealthSources = {
  clock,
  store: storeThat(async () => undefined),
  components: new Map([
    ["api", { ok: true }],
    ["bootstrap", { ok: true }],
  ]),
  isStopping: false,
};

const failing = async (sources: HealthSources, endpoint: "livez" | "readyz" = "readyz") =>
  (await healthChecks(endpoint, sources)).filter(({ ok }) => !ok).map(({ name }) => name);

test("healthChecks() have upstream's names, and those of readiness only in readyz", async () => {
  const live = (await healthChecks("livez", working)).map(({ name }) => name);
  const ready = (await healthChecks("readyz", working)).map(({ name }) => name);
  expect(live).toContain("ping");
  expect(live).toContain("poststarthook/rbac/bootstrap-roles");
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
