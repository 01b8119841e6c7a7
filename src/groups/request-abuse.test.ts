/** Requests made to cost much, to reach what they may not, or to leave traces for good. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { clusterRoleBindings, clusterRoles, roleBindings } from "../client/resources.ts";
import { openApp, sendDistinct, type TestApp } from "./test-app.ts";
import type { World } from "./test-world.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";
const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "one" } };
let app: TestApp;
let world: World;

beforeAll(async () => {
  app = await openApp();
  world = app.world;
});
afterAll(() => app[Symbol.asyncDispose]());

function send(path: string, init: RequestInit = {}): Promise<Response> {
  return app.send(path, init);
}

/** The answer's code, and the processor time in milliseconds that it took. */
async function costOf(path: string, method: string, type: string, body: string) {
  const before = process.cpuUsage();
  const answer = await send(path, { method, body, headers: { "content-type": type } });
  await answer.bytes();
  const { user, system } = process.cpuUsage(before);
  return { code: answer.status, ms: (user + system) / 1000 };
}

const deep = (open: string, close: string, depth: number): string =>
  open.repeat(depth) + close.repeat(depth);
const nineTimes = (name: string): string => Array(9).fill(name).join(",");
const yamlBombs: Readonly<Record<string, string>> = {
  "aliases of aliases": Array.from({ length: 12 }, (_, i) =>
    i === 0 ? `a0: &a0 [${nineTimes("x")}]` : `a${i}: &a${i} [${nineTimes(`*a${i - 1}`)}]`,
  ).join("\n"),
  "many aliases": `a: &a x\nb: [${Array(100_000).fill("*a").join(",")}]`,
  "deep lists": deep("[", "]", 1_000_000),
  "deep maps": `${"{a: ".repeat(300_000)}${"}".repeat(300_000)}`,
  "deep sequences": `${"- ".repeat(500_000)}a`,
  "deep keys": `${"? ".repeat(500_000)}a`,
  "many tags": `${"!!binary ".repeat(10_000)}a`,
};

test.each(Object.entries(yamlBombs))("YAML: %s are refused, at little cost", async (_, body) => {
  const { code, ms } = await costOf(configMaps, "POST", "application/yaml", body);
  expect(code).toBe(400);
  expect(ms).toBeLessThan(1000);
});

test("YAML: only the first document is read, however many follow", async () => {
  const body = `${JSON.stringify(object)}\n${"---\n".repeat(500_000)}`;
  const { code, ms } = await costOf(configMaps, "POST", "application/yaml", body);
  expect(code).toBe(201);
  expect(ms).toBeLessThan(1000);
});

const jsonBombs: Readonly<Record<string, readonly [code: number, body: string]>> = {
  "deep lists": [400, deep("[", "]", 1_000_000)],
  "deep objects": [400, `${'{"a":'.repeat(400_000)}1${"}".repeat(400_000)}`],
  "an endless number": [400, `{"metadata":{"generation":${"9".repeat(2_900_000)}}}`],
  "a huge exponent": [400, '{"metadata":{"generation":1e1000000000}}'],
  "a long key": [422, `{"metadata":{"name":"x"},"data":{"${"k".repeat(2_900_000)}":""}}`],
  "too many bytes": [413, `{"${"k".repeat(10_000_000)}":""}`],
};

test.each(Object.entries(jsonBombs))("JSON: %s is refused", async (_, [code, body]) => {
  const cost = await costOf(configMaps, "POST", "application/json", body);
  expect(cost.code).toBe(code);
  expect(cost.ms).toBeLessThan(1000);
});

test("JSON patches have a limit, and copies of copies too", async () => {
  const type = "application/json-patch+json";
  const tests = Array.from({ length: 10_001 }, () => ({ op: "test", path: "/kind", value: "x" }));
  const many = await send(`${configMaps}/one`, {
    method: "PATCH",
    body: JSON.stringify(tests),
    headers: { "content-type": type },
  });
  expect(many.status).toBe(413);
  expect((await many.json()).message).toBe(
    "The allowed maximum operations in a JSON patch is 10000, got 10001",
  );
  const doubling = [
    { op: "add", path: "/data", value: { a: "x".repeat(1000) } },
    ...Array.from({ length: 60 }, (_, i) => ({ op: "copy", from: "/data", path: `/data/c${i}` })),
  ];
  const copied = await costOf(`${configMaps}/one`, "PATCH", type, JSON.stringify(doubling));
  expect(copied.code).toBe(422);
  expect(copied.ms).toBeLessThan(1000);
});

test("strategic merges and applies of long keyed lists take time in proportion", async () => {
  const env = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ name: `E${i}`, value: "v" }));
  const pod = (name: string, count: number) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { containers: [{ name: "c", image: "i", env: env(count) }] },
  });
  const path = "/api/v1/namespaces/default/pods";
  const apply = (name: string, count: number) =>
    costOf(
      `${path}/${name}?fieldManager=m`,
      "PATCH",
      "application/apply-patch+yaml",
      JSON.stringify(pod(name, count)),
    );
  await apply("warm", 2_000);
  const small = await apply("small", 2_000);
  const large = await apply("large", 10_000);
  expect([small.code, large.code]).toEqual([201, 201]);
  // Five times as much may cost five times as much and a little for memory: not 25 times.
  expect(large.ms).toBeLessThan(20 * Math.max(small.ms, 20));
  const body = JSON.stringify({
    spec: { $setElementOrder: {}, containers: [{ name: "c", env: env(10_000) }] },
  });
  const type = "application/strategic-merge-patch+json";
  const merged = await costOf(`${path}/small`, "PATCH", type, body);
  expect(merged.code).toBe(422);
  expect(merged.ms).toBeLessThan(3000);
});

const list = (count: number, of: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => of(i)).join(",");
const selectors: Readonly<Record<string, readonly [code: number, query: Record<string, string>]>> =
  {
    "many terms": [200, { labelSelector: list(5_000, (i) => `k${i}=v`) }],
    "a large set": [200, { labelSelector: `k in (${list(10_000, (i) => `v${i}`)})` }],
    "open brackets": [400, { labelSelector: "(".repeat(50_000) }],
    negations: [400, { labelSelector: "!".repeat(50_000) }],
    "a long key": [400, { labelSelector: "a".repeat(60_000) }],
    "many fields": [200, { fieldSelector: list(5_000, (i) => `metadata.name!=v${i}`) }],
    "unknown fields": [400, { fieldSelector: `${"a.".repeat(10_000)}b=x` }],
    escapes: [400, { fieldSelector: "\\".repeat(40_000) }],
    "a made-up continue token": [400, { continue: "a".repeat(50_000) }],
    "a limit beyond all numbers": [400, { limit: "9".repeat(1000) }],
    "a revision beyond all numbers": [400, { resourceVersion: "9".repeat(1000) }],
  };

test.each(Object.entries(selectors))("selectors: %s", async (_, [code, query]) => {
  const cost = await costOf(`${configMaps}?${new URLSearchParams(query)}`, "GET", "", "");
  expect(cost.code).toBe(code);
  expect(cost.ms).toBeLessThan(1000);
});

test("names and namespaces are no way out of where the user may be", async () => {
  await world.client.create(clusterRoles, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "reader" },
    rules: [{ apiGroups: [""], resources: ["configmaps"], verbs: ["get", "list"] }],
  });
  await world.client.create(roleBindings, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "RoleBinding",
    metadata: { name: "reader", namespace: "default" },
    subjects: [{ kind: "User", name: "tenant", apiGroup: "rbac.authorization.k8s.io" }],
    roleRef: { kind: "ClusterRole", name: "reader", apiGroup: "rbac.authorization.k8s.io" },
  });
  const as = { headers: { "x-user": "tenant" } };
  expect((await send(configMaps, as)).status).toBe(200);
  const up = ["%2e%2e", "%2E%2e", "..%2f", "%252e%252e", "..%00", "%c0%ae%c0%ae", "..;", ".. "];
  const tricks = [
    ...up.map((part) => `/api/v1/namespaces/default/configmaps/${part}/secrets`),
    ...up.map((part) => `/api/v1/namespaces/${part}/secrets`),
    ...up.map((part) => `/api/v1/namespaces/default/${part}/kube-system/configmaps`),
    "/api/v1/namespaces/default/configmaps%2f..%2fsecrets",
    "/api/v1/namespaces/default%2fconfigmaps",
    "/api/v1/namespaces//configmaps",
    "/api/v1/namespaces/default/configmaps/..%2fsecrets%2fx",
    "/apis//v1/namespaces/default/configmaps",
  ];
  for (const path of tricks) {
    const { status } = await send(path, as);
    expect([path, status >= 400 && status < 500]).toEqual([path, true]);
  }
});

test("a large body is not read from who may not send it", async () => {
  let pulled = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled += 1;
      controller.enqueue(new Uint8Array(64 * 1024).fill(32));
    },
  });
  const init = { method: "POST", body, duplex: "half", headers: { "x-user": "stranger" } };
  const answer = await send(configMaps, init as RequestInit);
  expect(answer.status).toBe(403);
  expect(pulled).toBeLessThan(4);
});

test("a GET that runs something needs the right to create", async () => {
  await world.client.create(clusterRoles, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "looker" },
    rules: [
      { apiGroups: [""], resources: ["pods/exec", "pods/attach", "nodes/proxy"], verbs: ["get"] },
    ],
  });
  await world.client.create(clusterRoleBindings, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: "looker" },
    subjects: [{ kind: "User", name: "looker", apiGroup: "rbac.authorization.k8s.io" }],
    roleRef: { kind: "ClusterRole", name: "looker", apiGroup: "rbac.authorization.k8s.io" },
  });
  const codeOf = async (path: string): Promise<number> =>
    (await send(path, { headers: { "x-user": "looker" } })).status;
  for (const path of [
    "/api/v1/namespaces/default/pods/one/exec?command=sh",
    "/api/v1/namespaces/default/pods/one/attach",
    "/api/v1/nodes/a/proxy/exec/default/one/c?command=sh",
    "/api/v1/nodes/a/proxy//run/default/one/c",
    "/api/v1/nodes/a/proxy/%65xec/default/one/c",
    "/api/v1/nodes/a/proxy/portForward/default/one",
  ]) {
    expect([path, await codeOf(path)]).toEqual([path, 403]);
  }
  expect(await codeOf("/api/v1/nodes/a/proxy/metrics")).toBe(404);
});

test("requests that differ in everything leave no more traces than a few", async () => {
  for (let i = 0; i < 300; i++) await sendDistinct(app, i);
  const before = app.metrics.text().length;
  for (let i = 300; i < 1_500; i++) await sendDistinct(app, i);
  expect(app.metrics.text().length - before).toBeLessThan(2_000);
});

test("there is nothing to profile or debug by, but what upstream's names are for", async () => {
  for (const path of [
    "/debug/pprof/",
    "/debug/pprof/heap",
    "/debug/flags/v",
    "/debug/vars",
    "/debug",
    "/logs/",
    "/stacks",
  ]) {
    expect([path, (await send(path)).status]).toEqual([path, 404]);
    const asked = await send(path, { headers: { "x-user": "tenant" } });
    expect([path, asked.status]).toEqual([path, 403]);
  }
});
