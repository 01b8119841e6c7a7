import { expect, test } from "bun:test";
import { createMetrics } from "../../runtime/metrics.ts";
import { createSeededRandom } from "../../runtime/simulated.ts";
import { allocate, type Claim } from "./allocation.ts";
import { suggestedFlowSchemas } from "./bootstrap-objects.ts";
import { type EstimateSources, estimateWork } from "./estimate.ts";
import { InFlightGate } from "./in-flight.ts";
import { planRevision } from "./keep-bootstrap.ts";
import { RetryAfter } from "./retry-after.ts";
import { type DigestedResource, matches, type RequestDigest } from "./rules.ts";
import { planDangling } from "./schema-status.ts";
import { noDemand, SeatDemand } from "./seat-demand.ts";
import { deal, hashFlow, requiredEntropyBits } from "./shuffle-sharding.ts";
import { WatchCounts } from "./watch-counts.ts";

const configMaps: DigestedResource = {
  group: "",
  version: "v1",
  plural: "configmaps",
  subresource: "",
  namespace: "default",
  name: "",
};

function digest(
  name: string,
  groups: readonly string[],
  more: Partial<RequestDigest> = {},
): RequestDigest {
  return { user: { name, groups }, verb: "get", path: "/", resource: configMaps, ...more };
}

function firstOf(asked: RequestDigest): string | undefined {
  return suggestedFlowSchemas
    .toSorted((a, b) => (a.spec.matchingPrecedence ?? 0) - (b.spec.matchingPrecedence ?? 0))
    .find((schema) => matches(schema, asked))?.metadata.name;
}

test("matches() leads each kind of client to its schema", () => {
  const all = "system:authenticated";
  const lease = { ...configMaps, group: "coordination.k8s.io", plural: "leases" };
  const node = { ...configMaps, plural: "nodes", subresource: "status", namespace: "" };
  const account = (namespace: string) =>
    digest(`system:serviceaccount:${namespace}:x`, ["system:serviceaccounts", all]);
  expect(firstOf(digest("jane", [all]))).toBe("global-default");
  expect(firstOf(account("default"))).toBe("service-accounts");
  expect(firstOf(account("kube-system"))).toBe("kube-system-service-accounts");
  expect(firstOf(account("kube-system-2"))).toBe("service-accounts");
  expect(firstOf({ ...account("kube-system"), resource: lease })).toBe("system-leader-election");
  expect(firstOf(digest("system:kube-scheduler", [all]))).toBe("kube-scheduler");
  expect(firstOf(digest("system:node:a", ["system:nodes", all]))).toBe("system-nodes");
  const beat = digest("system:node:a", ["system:nodes", all], { verb: "patch", resource: node });
  expect(firstOf(beat)).toBe("system-node-high");
});

test("matches() knows paths that are no resource, and what lies below them", () => {
  const asks = (path: string, verb = "get") =>
    firstOf(
      digest("system:anonymous", ["system:unauthenticated"], { path, verb, resource: undefined }),
    );
  expect([asks("/healthz"), asks("/livez/etcd")]).toEqual(["probes", "probes"]);
  expect([asks("/healthzz"), asks("/livez", "post")]).toEqual(["global-default", "global-default"]);
});

test("deal() gives a flow upstream's hand, without doubles", () => {
  const hash = hashFlow("global-default", "alice");
  expect(hash).toBe(17644606172554983095n);
  expect(deal(hash, 128, 6)).toEqual([55, 62, 126, 125, 105, 1]);
  expect(deal(hashFlow("system-nodes", "system:node:a"), 64, 6)).toEqual([39, 38, 30, 56, 55, 0]);
  for (let i = 0; i < 200; i++) {
    expect(new Set(deal(hashFlow("s", `user-${i}`), 8, 8)).size).toBe(8);
  }
  expect([requiredEntropyBits(128, 6), requiredEntropyBits(1024, 7)]).toEqual([42, 70]);
});

test("allocate() gives each claim its target times one proportion, within its bounds", () => {
  const random = createSeededRandom(7);
  const part = (): number => random.int(1000) / 1000;
  for (let round = 0; round < 500; round++) {
    const claims: Claim[] = Array.from({ length: 1 + random.int(9) }, () => {
      const lowerBound = Math.max(0, part() * 5 - 1);
      return { lowerBound, target: lowerBound + 2 * part(), upperBound: lowerBound + 3 * part() };
    });
    const low = claims.reduce((sum, { lowerBound }) => sum + lowerBound, 0);
    const high = claims.reduce((sum, { upperBound }) => sum + upperBound, 0);
    const total = low + (high - low) * part();
    const { seats, fairProportion } = allocate(total, claims);
    expect(seats.reduce((sum, one) => sum + one, 0)).toBeCloseTo(total, 6);
    for (const [i, { lowerBound, upperBound, target }] of claims.entries()) {
      const fair = fairProportion * Math.max(target, 0.001);
      expect(seats[i]).toBeCloseTo(Math.max(lowerBound, Math.min(upperBound, fair)), 6);
    }
  }
});

test("SeatDemand measures mean, spread and peak, and forgets peaks slowly", () => {
  const demand = new SeatDemand(0);
  demand.set(10, 0);
  demand.set(0, 5000);
  const first = demand.endPeriod(noDemand, 10_000);
  expect(first).toEqual({ average: 5, deviation: 5, highWatermark: 10, smoothed: 10 });
  const second = demand.endPeriod(first, 20_000);
  expect(second).toMatchObject({ average: 0, deviation: 0, highWatermark: 0 });
  expect(second.smoothed).toBeCloseTo(9.77);
});

test("RetryAfter doubles under load, at most once in its own time, and comes down again", () => {
  const one = new RetryAfter();
  const dropAt = (second: number, times: number): number => {
    for (let i = 0; i < times; i++) one.record(second);
    return one.seconds;
  };
  expect([dropAt(1000, 3), dropAt(1001, 6), dropAt(1002, 6)]).toEqual([1, 2, 2]);
  expect(dropAt(1003, 1)).toBe(4);
  expect([dropAt(1020, 1), dropAt(1040, 1), dropAt(1060, 1)]).toEqual([3, 2, 1]);
  for (let second = 2000; second < 2200; second++) dropAt(second, 200);
  expect(one.seconds).toBe(32);
});

test("estimateWork() weighs lists by their bytes and writes by their watchers", () => {
  const sources: EstimateSources = {
    statsOf: ({ plural }) =>
      plural === "pods" ? { count: 10_000, averageBytes: 1500 } : undefined,
    watchersOf: ({ plural }) => (plural === "pods" ? 200 : 9),
  };
  const pods = { ...configMaps, plural: "pods" };
  const of = (verb: string, resource: DigestedResource, query = "", seatsMax = 0) =>
    estimateWork(verb, resource, new URLSearchParams(query), seatsMax, sources);
  expect(of("get", pods).initialSeats).toBe(1);
  expect(of("list", pods).initialSeats).toBe(10);
  expect(of("list", pods, "", 4).initialSeats).toBe(4);
  expect(of("list", pods, "limit=500").initialSeats).toBe(8);
  expect(of("list", pods, "limit=500&continue=x").initialSeats).toBe(8);
  expect(of("list", pods, "continue=x").initialSeats).toBe(100);
  expect(of("list", { ...pods, name: "one" }).initialSeats).toBe(1);
  expect(of("list", configMaps).initialSeats).toBe(1);
  expect(of("watch", pods).initialSeats).toBe(10);
  expect(of("watch", pods, "resourceVersion=9").initialSeats).toBe(1);
  const wide = { initialSeats: 1, finalSeats: 10, additionalLatencyMs: 10 };
  expect(of("update", pods)).toEqual(wide);
  expect(of("update", configMaps).finalSeats).toBe(0);
  expect(
    of("create", { ...pods, plural: "serviceaccounts", subresource: "token" }).finalSeats,
  ).toBe(0);
});

test("WatchCounts counts who will be told of a write", () => {
  const counts = new WatchCounts();
  const watch = (plural: string, namespace: string, name: string, query = "") =>
    counts.add({
      resource: { group: "", version: "v1", plural },
      namespace,
      name,
      query: new URLSearchParams(query),
    });
  const everywhere = watch("configmaps", "", "");
  watch("configmaps", "default", "");
  watch("configmaps", "other", "");
  watch("configmaps", "default", "", "fieldSelector=metadata.name%3Da");
  watch("pods", "", "", "fieldSelector=spec.nodeName%3Dn1");
  const of = (more: Partial<DigestedResource>) => counts.interestedIn({ ...configMaps, ...more });
  expect([of({}), of({ name: "a" }), of({ name: "b" })]).toEqual([2, 3, 2]);
  expect(of({ plural: "pods" })).toBe(0);
  everywhere.forget();
  everywhere.forget();
  expect(of({})).toBe(1);
});

test("InFlightGate bounds reads and writes apart, but never administrators", () => {
  const gate = new InFlightGate(
    { maxRequestsInFlight: 1, maxMutatingRequestsInFlight: 1 },
    createMetrics(),
  );
  const enter = (verb: string, groups: readonly string[] = []) =>
    gate.enter({
      digest: digest("jane", groups, { verb }),
      query: new URLSearchParams(),
      timeoutMs: 60_000,
      signal: new AbortController().signal,
    });
  const first = enter("get");
  expect([first.admitted, enter("list").admitted]).toEqual([true, false]);
  expect([enter("create").admitted, enter("patch").admitted]).toEqual([true, false]);
  expect([enter("watch").admitted, enter("list", ["system:masters"]).admitted]).toEqual([
    true,
    true,
  ]);
  expect(enter("delete")).toEqual({ admitted: false, headers: [], retryAfterSeconds: 1 });
  if (first.admitted) first.leave();
  expect(enter("get").admitted).toBe(false);
});

test("planRevision() leaves suggested objects that someone took over alone", () => {
  const [wanted] = suggestedFlowSchemas;
  if (wanted === undefined) throw new Error("there are suggested schemas");
  const changed = structuredClone(wanted);
  changed.spec.matchingPrecedence = 7;
  changed.metadata.generation = 2;
  expect(planRevision(wanted, wanted, false)).toBeUndefined();
  expect(planRevision(changed, wanted, false)?.spec).toEqual(wanted.spec);
  const key = "apf.kubernetes.io/autoupdate-spec";
  changed.metadata.annotations = { [key]: "false" };
  expect(planRevision(changed, wanted, false)).toBeUndefined();
  expect(planRevision(changed, wanted, true)?.metadata.annotations).toEqual({ [key]: "true" });
  // Without a word on it, the first change was the administrator's.
  changed.metadata.annotations = {};
  expect(planRevision(changed, wanted, false)).toMatchObject({
    metadata: { annotations: { [key]: "false" } },
    spec: { matchingPrecedence: 7 },
  });
});

test("planDangling() says whether the level exists, in upstream's words, and only when new", () => {
  const [schema] = suggestedFlowSchemas;
  if (schema === undefined) throw new Error("there are suggested schemas");
  const now = new Date("2026-01-01T00:00:00Z");
  const missing = planDangling(schema, false, now);
  expect(missing).toEqual({
    type: "Dangling",
    status: "True",
    reason: "NotFound",
    message:
      "This FlowSchema references the PriorityLevelConfiguration object named " +
      '"system" but there is no such object',
    lastTransitionTime: "2026-01-01T00:00:00Z",
  });
  const told = { ...schema, status: { conditions: missing === undefined ? [] : [missing] } };
  expect(planDangling(told, false, now)).toBeUndefined();
  expect(planDangling(told, true, now)).toMatchObject({ status: "False", reason: "Found" });
});
