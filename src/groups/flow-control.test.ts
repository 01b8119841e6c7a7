import { afterAll, beforeAll, expect, test } from "bun:test";
import { dumpOf } from "../api/flowcontrol/dumps.ts";
import { FlowControl } from "../api/flowcontrol/flow-control.ts";
import { WatchCounts } from "../api/flowcontrol/watch-counts.ts";
import { createApiApp } from "../api/http.ts";
import { webFetch } from "../api/test-http.ts";
import {
  clusterRoleBindings,
  flowSchemas,
  priorityLevelConfigurations,
} from "../client/resources.ts";
import type { FlowSchema, PriorityLevelConfiguration } from "../gen/flowcontrol-v1.ts";
import { createExecutor } from "../runtime/executor.ts";
import { createMetrics } from "../runtime/metrics.ts";
import { openWorld, problemsOf, type World } from "./test-world.ts";

const apiVersion = "flowcontrol.apiserver.k8s.io/v1";
const configMaps = "/api/v1/namespaces/default/configmaps";

let world: World;
let app: ReturnType<typeof createApiApp>;
let flow: FlowControl;
let executor: ReturnType<typeof createExecutor>;
const metrics = createMetrics();

/** The clock moves until what is asked for holds. */
async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !holds(); i++) await world.runtime.clock.advance(1000);
  expect(holds()).toBe(true);
}

beforeAll(async () => {
  world = await openWorld();
  const { runtime, live, client, pipeline } = world;
  flow = new FlowControl({
    runtime,
    live,
    client,
    metrics,
    watches: new WatchCounts(),
    serverLimit: 20,
  });
  // Everyone may do everything: this is about who is served when.
  await client.create(clusterRoleBindings, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: "all" },
    subjects: [{ kind: "Group", name: "all", apiGroup: "rbac.authorization.k8s.io" }],
    roleRef: { kind: "ClusterRole", name: "cluster-admin", apiGroup: "rbac.authorization.k8s.io" },
  });
  executor = createExecutor(runtime);
  const start = executor.start([
    {
      name: "flow-control",
      needs: [],
      start: async (scope) => flow.start(scope),
      health: () => ({ ok: true }),
    },
  ]);
  await runtime.clock.runUntilIdle();
  await start;
  app = createApiApp({
    pipeline,
    runtime,
    gate: flow,
    authenticate: async (headers) => {
      const name = headers.get("x-user") ?? "jane";
      const groups = name === "root" ? ["system:masters"] : ["all"];
      return { name, uid: "", groups: [...groups, "system:authenticated"], extra: {} };
    },
    health: async () => [],
    version: {},
    serverAddress: "",
  });
  await until(() => dangling("catch-all") === "False");
});
afterAll(async () => {
  await executor[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

const schemaOf = (name: string) => world.live.of(flowSchemas).get(name)?.object;
const levelOf = (name: string) => world.live.of(priorityLevelConfigurations).get(name)?.object;
const dangling = (name: string) => schemaOf(name)?.status?.conditions?.[0]?.status;

function ask(user: string, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { "x-user": user, "content-type": "application/json" };
  const request = new Request(`https://localhost${path}`, { headers, ...init });
  return webFetch(app, request);
}

/** A create whose body comes only when `send` is called: it keeps its seat until then. */
function slowCreate(user: string, name: string) {
  const { promise: sent, resolve: send } = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await sent;
      const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name } };
      controller.enqueue(new TextEncoder().encode(JSON.stringify(object)));
      controller.close();
    },
  });
  const init = { method: "POST", body, duplex: "half" };
  return { answer: ask(user, configMaps, init as RequestInit), send };
}

function schema(name: string, level: string, user: string): FlowSchema {
  return {
    apiVersion,
    kind: "FlowSchema",
    metadata: { name },
    spec: {
      priorityLevelConfiguration: { name: level },
      matchingPrecedence: 50,
      rules: [
        {
          subjects: [{ kind: "User", user: { name: user } }],
          resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"] }],
        },
      ],
    },
  };
}

function level(name: string, limited: object): PriorityLevelConfiguration {
  return {
    apiVersion,
    kind: "PriorityLevelConfiguration",
    metadata: { name },
    spec: { type: "Limited", limited },
  };
}

/** A level of one seat, whatever the others have, and a user who is led there. */
async function oneSeatFor(user: string, limitResponse: object): Promise<void> {
  const limited = { nominalConcurrencyShares: 1, borrowingLimitPercent: 0, limitResponse };
  await world.client.create(priorityLevelConfigurations, level(user, limited));
  await world.client.create(flowSchemas, schema(user, user, user));
  await until(() => dangling(user) === "False");
}

test("upstream's objects are there, each saying that its level is found", async () => {
  const names = [...world.live.of(flowSchemas).list()].map(({ key }) => key);
  expect(names).toHaveLength(11);
  expect(schemaOf("probes")?.metadata.annotations).toEqual({
    "apf.kubernetes.io/autoupdate-spec": "true",
  });
  await until(() => names.every((name) => dangling(name) === "False"));
  expect(
    schemaOf("probes")
      ?.metadata.managedFields?.map(({ manager }) => manager)
      .sort(),
  ).toEqual([
    "api-priority-and-fairness-config-consumer-v1",
    "api-priority-and-fairness-config-producer-v1",
  ]);
  expect(levelOf("workload-low")?.spec.limited?.limitResponse?.queuing).toEqual({
    queues: 128,
    handSize: 6,
    queueLengthLimit: 50,
  });
});

test("what is deleted comes back, and what is changed is taken back within a minute", async () => {
  await world.client.delete(flowSchemas, "", "catch-all");
  await world.client.delete(priorityLevelConfigurations, "", "system");
  await until(() => dangling("system-nodes") === "True");
  const spec = { matchingPrecedence: 9000 };
  await world.client.patch(flowSchemas, "", "global-default", "merge", { spec });
  await until(() => schemaOf("catch-all") !== undefined && levelOf("system") !== undefined);
  expect(schemaOf("global-default")?.spec.matchingPrecedence).toBe(9900);
  await until(() => dangling("system-nodes") === "False");
});

test("answers tell by which objects the request was classified", async () => {
  const answer = await ask("jane", configMaps);
  const uidOf = (one: { readonly metadata: { readonly uid?: string } } | undefined) =>
    one?.metadata.uid ?? "missing";
  expect(answer.status).toBe(200);
  expect(answer.headers.get("x-kubernetes-pf-flowschema-uid")).toBe(
    uidOf(schemaOf("global-default")),
  );
  expect(answer.headers.get("x-kubernetes-pf-prioritylevel-uid")).toBe(
    uidOf(levelOf("global-default")),
  );
  const denied = await ask("jane", `${configMaps}/none`);
  expect([denied.status, denied.headers.has("x-kubernetes-pf-flowschema-uid")]).toEqual([
    404,
    true,
  ]);
});

test("a level without queues answers 429, and only to its own", async () => {
  await oneSeatFor("nervous", { type: "Reject" });
  const held = slowCreate("nervous", "held");
  const refused = await ask("nervous", configMaps);
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
  expect(refused.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  expect(refused.headers.has("x-kubernetes-pf-flowschema-uid")).toBe(true);
  expect(await refused.text()).toBe("Too many requests, please try again later.\n");
  expect((await ask("jane", configMaps)).status).toBe(200);
  expect((await ask("root", configMaps)).status).toBe(200);
  held.send();
  expect((await held.answer).status).toBe(201);
  expect((await ask("nervous", configMaps)).status).toBe(200);
});

test("a level with queues lets requests wait, for a quarter of their time", async () => {
  const queuing = { queues: 1, handSize: 1, queueLengthLimit: 2 };
  await oneSeatFor("patient", { type: "Queue", queuing });
  const held = slowCreate("patient", "first");
  const waits = ask("patient", configMaps);
  const gone = new AbortController();
  const left = ask("patient", configMaps, { signal: gone.signal });
  const full = await ask("patient", configMaps);
  expect(full.status).toBe(429);
  gone.abort();
  expect((await left).status).toBe(429);
  const late = ask("patient", `${configMaps}?timeout=20s`);
  await world.runtime.clock.advance(5001);
  expect((await late).status).toBe(429);
  held.send();
  expect((await waits).status).toBe(200);
  const text = metrics.text();
  const labels = 'flow_schema="patient",priority_level="patient"';
  const rejected = (reason: string) =>
    `apiserver_flowcontrol_rejected_requests_total{${labels},reason="${reason}"}`;
  expect(text).toContain(`${rejected("time-out")} 2\n`);
  expect(text).toContain(`${rejected("queue-full")} 1\n`);
  expect(text).toContain(`apiserver_flowcontrol_current_executing_seats{${labels}} 0\n`);
});

test("dumps show levels, queues and requests as upstream prints them", async () => {
  const held = slowCreate("patient", "dumped");
  const waits = ask("patient", configMaps);
  await world.runtime.clock.runUntilIdle();
  const lines = (name: string, query = ""): string[] => {
    const url = new URL(`https://localhost/debug/api_priority_and_fairness/${name}?${query}`);
    return (dumpOf(flow.levels, url, world.runtime.clock) ?? "").split("\n");
  };
  const rowOf = (all: readonly string[]) => all.filter((row) => row.startsWith("patient,"));
  const [head = "", ...levels] = lines("dump_priority_levels");
  expect(head.split(/,\s+/)).toEqual([
    "PriorityLevelName",
    "ActiveQueues",
    "IsIdle",
    "IsQuiescing",
    "WaitingRequests",
    "ExecutingRequests",
    "DispatchedRequests",
    "RejectedRequests",
    "TimedoutRequests",
    "CancelledRequests",
  ]);
  expect(rowOf(levels)[0]?.split(/,\s+/).slice(1, 6)).toEqual(["1", "false", "false", "1", "1"]);
  expect(rowOf(lines("dump_queues"))[0]?.split(/,\s+/).slice(1, 5)).toEqual(["0", "1", "1", "1"]);
  const requests = rowOf(lines("dump_requests", "includeRequestDetails=1"));
  expect(requests.map((row) => row.split(/,\s+/).slice(10, 13))).toEqual([
    ["patient", "list", configMaps],
    ["patient", "create", configMaps],
  ]);
  expect(dumpOf(flow.levels, new URL("https://localhost/debug/pprof/"), world.runtime.clock)).toBe(
    undefined,
  );
  held.send();
  await Promise.all([held.answer, waits]);
});

test("a level goes once nobody needs it, and not before", async () => {
  const held = slowCreate("nervous", "quiescing");
  await world.client.delete(priorityLevelConfigurations, "", "nervous");
  await until(() => dangling("nervous") === "True");
  const seats = 'apiserver_flowcontrol_nominal_limit_seats{priority_level="nervous"}';
  expect(metrics.text()).toContain(seats);
  expect((await ask("nervous", configMaps)).status).toBe(200);
  held.send();
  await held.answer;
  await until(() => !metrics.text().includes(seats));
});

test("flow schemas are judged as upstream judges them", async () => {
  const good = schema("good", "system", "jane");
  const bad = (change: (spec: FlowSchema["spec"]) => void, name = "bad"): FlowSchema => {
    const object = structuredClone({ ...good, metadata: { name } });
    change(object.spec);
    return object;
  };
  const problems = (object: FlowSchema) => problemsOf(world, flowSchemas, object);
  const rule = (spec: FlowSchema["spec"]) => spec.rules?.[0] as Record<string, unknown> | undefined;
  expect(await problems(bad((spec) => (spec.matchingPrecedence = 1)))).toEqual([
    "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have " +
      "matchingPrecedence 1",
  ]);
  expect(await problems(bad((spec) => (spec.matchingPrecedence = 10_001)))).toEqual([
    "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
  ]);
  expect(await problems(bad((spec) => Object.assign(rule(spec) ?? {}, { subjects: [] })))).toEqual([
    "spec.rules[0].subjects: Required value: subjects must contain at least one value",
  ]);
  const strange = { kind: "User", group: { name: "x" } };
  expect(
    await problems(bad((spec) => Object.assign(rule(spec) ?? {}, { subjects: [strange] }))),
  ).toEqual([
    "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
    "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not " +
      "'Group'",
  ]);
  const paths = { verbs: ["get", "fly"], nonResourceURLs: ["healthz", "/a*b"] };
  expect(
    await problems(bad((spec) => Object.assign(rule(spec) ?? {}, { nonResourceRules: [paths] }))),
  ).toEqual([
    'spec.rules[0].nonResourceRules[0].verbs: Unsupported value: ["get","fly"]: supported ' +
      'values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", ' +
      '"update", "watch"',
    'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "healthz": must start ' +
      "with slash",
    'spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a*b": wildcard can ' +
      "only do suffix matching",
  ]);
});

test("priority levels are judged as upstream judges them", async () => {
  const problems = (limited: object, name = "bad") =>
    problemsOf(world, priorityLevelConfigurations, level(name, limited));
  const at = "spec.limited.limitResponse";
  expect(await problems({})).toEqual([`${at}.type: Required value`]);
  expect(await problems({ limitResponse: { type: "Queue" } })).toEqual([
    `${at}.queuing: Required value: must not be empty if limited.limitResponse.type is Limited`,
  ]);
  const queuing = { queues: 1024, handSize: 7, queueLengthLimit: 50 };
  expect(await problems({ limitResponse: { type: "Queue", queuing } })).toEqual([
    `${at}.queuing.handSize: Invalid value: 7: required entropy bits of deckSize 1024 and ` +
      "handSize 7 should not be greater than 60",
  ]);
  const reject = { limitResponse: { type: "Reject" } };
  expect(await problems({ ...reject, lendablePercent: 101, borrowingLimitPercent: -1 })).toEqual([
    "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
    "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a " +
      "non-negative integer",
  ]);
  const change = { spec: { limited: { nominalConcurrencyShares: 6 } } };
  const patched = world.client.patch(priorityLevelConfigurations, "", "catch-all", "merge", change);
  await expect(patched).rejects.toThrow("spec of 'catch-all' must equal the fixed value");
  const shares = { spec: { exempt: { nominalConcurrencyShares: 3 } } };
  const given = await world.client.patch(
    priorityLevelConfigurations,
    "",
    "exempt",
    "merge",
    shares,
  );
  expect(given.spec.exempt?.nominalConcurrencyShares).toBe(3);
});
