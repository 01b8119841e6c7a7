import { expect, test } from "bun:test";
import { ApiError } from "../lib/api-error.ts";
import type { Authenticate } from "./authorizer.ts";
import { createApiApp } from "./http.ts";
import { serverUser } from "./pipeline.ts";
import { webFetch } from "./test-http.ts";
import { createTestWorld, type Thing, thing } from "./test-world.ts";

const base = "https://localhost:6443";
const path = "/apis/example.com/v1/namespaces/default/things";

function open(authenticate: Authenticate = async () => serverUser) {
  const world = createTestWorld();
  const app = createApiApp({
    pipeline: world.pipeline,
    authenticate,
    runtime: world.runtime,
    health: async () => [
      { name: "ping", ok: true },
      { name: "store", ok: false, reason: "disk I/O error" },
    ],
    version: { gitVersion: "v1.36.4+k3.1" },
    serverAddress: "127.0.0.1:6443",
  });
  const send = (url: string, init: RequestInit = {}) =>
    webFetch(app, new Request(`${base}${url}`, init));
  const json = async (url: string, init: RequestInit = {}) => (await send(url, init)).json();
  return { ...world, app, send, json };
}

const post = (object: unknown, type = "application/json"): RequestInit => ({
  method: "POST",
  body: JSON.stringify(object),
  headers: { "content-type": type },
});

test("objects are created, read, listed, changed and deleted by HTTP", async () => {
  const { send, json } = open();
  const created = await send(path, post(thing("a")));
  expect(created.status).toBe(201);
  expect(created.headers.get("content-type")).toBe("application/json");
  expect(created.headers.get("audit-id")).toMatch(/^[0-9a-f-]{36}$/);
  expect(created.headers.get("cache-control")).toBe("no-cache, private");
  const object = (await created.json()) as Thing;
  expect(await json(`${path}/a`)).toEqual(object);
  expect(await json("/apis/example.com/v1/things")).toMatchObject({ items: [{}] });
  const headers = { "content-type": "application/merge-patch+json" };
  const body = JSON.stringify({ spec: { replicas: 3 } });
  expect(await json(`${path}/a`, { method: "PATCH", body, headers })).toMatchObject({
    spec: { replicas: 3 },
  });
  expect(await json(`${path}/a/scale`)).toMatchObject({ kind: "Scale", spec: { replicas: 3 } });
  const gone = await send(`${path}/a`, { method: "DELETE" });
  expect(gone.status).toBe(200);
  expect(await json(`${path}/a`)).toMatchObject({ kind: "Status", code: 404, reason: "NotFound" });
});

test("a watch is a stream of lines, in the new and the old form", async () => {
  const { send } = open();
  await send(path, post(thing("a")));
  for (const url of [`${path}?watch=1`, path.replace("/v1/", "/v1/watch/")]) {
    const reader = (await send(url)).body?.getReader();
    const first = await reader?.read();
    expect(new TextDecoder().decode(first?.value)).toStartWith('{"type":"ADDED","object":{');
    await reader?.cancel();
  }
});

test("unknown paths are 404s, as Status in known groups; unknown methods are 405", async () => {
  const { send } = open();
  for (const url of ["/nothing", "/apis/none/v1/x"]) {
    const response = await send(url);
    expect(response.status).toBe(404);
    expect(await response.text()).toBe("404 page not found\n");
  }
  for (const url of [`${path}/a/nothing`, "/api/v1/nothings", "/api/v2"]) {
    const response = await send(url);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      message: "the server could not find the requested resource",
      details: {},
    });
  }
  const refused = [
    [`${path}/a`, "OPTIONS"],
    [`${path}/a`, "POST"],
    [path, "PUT"],
    [path, "PATCH"],
    [`${path}/a`, "HEAD"],
    ["/version", "POST"],
    ["/api/v1", "DELETE"],
  ] as const;
  for (const [url, method] of refused) {
    const response = await send(url, { method });
    expect(response.status).toBe(405);
    if (method !== "HEAD")
      expect(await response.json()).toMatchObject({ reason: "MethodNotAllowed" });
  }
});

test("path tricks reach nothing", async () => {
  const { send } = open();
  const tricks = ["%2e%2e", "..%2f..%2fnodes%2fx", "a%2fb", "%zz"];
  for (const trick of tricks) {
    const { status } = await send(`${path}/${trick}`);
    expect([400, 404]).toContain(status);
  }
});

test("bodies beyond 3 MiB are refused", async () => {
  const { send } = open();
  const response = await send(path, post({ filler: "x".repeat(3 * 1024 * 1024) }));
  expect(response.status).toBe(413);
  expect(await response.json()).toMatchObject({ reason: "RequestEntityTooLarge" });
});

test("bad credentials are 401", async () => {
  const { send } = open(async () => {
    throw new ApiError("Unauthorized", "Unauthorized");
  });
  const response = await send(path);
  expect(response.status).toBe(401);
  expect(await response.json()).toMatchObject({ kind: "Status", reason: "Unauthorized" });
});

test("discovery names groups, versions, resources and subresources", async () => {
  const { json, send } = open();
  expect(await json("/api")).toMatchObject({ kind: "APIVersions", versions: ["v1"] });
  expect(await json("/apis")).toMatchObject({
    groups: [{ name: "example.com", preferredVersion: { groupVersion: "example.com/v1" } }],
  });
  const list = (await json("/apis/example.com/v1")) as { resources: { name: string }[] };
  expect(list.resources.map(({ name }) => name)).toEqual([
    "things",
    "things/scale",
    "things/status",
  ]);
  const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  const first = await send("/apis", { headers: { accept } });
  expect(first.headers.get("content-type")).toBe(accept);
  expect(await first.json()).toMatchObject({
    kind: "APIGroupDiscoveryList",
    items: [{ metadata: { name: "example.com" }, versions: [{ freshness: "Current" }] }],
  });
  const etag = first.headers.get("etag") ?? "";
  const again = await send("/apis", { headers: { accept, "if-none-match": etag } });
  expect(again.status).toBe(304);
});

test("health endpoints tell checks by name", async () => {
  const { send } = open();
  expect((await send("/readyz")).status).toBe(500);
  expect(await (await send("/readyz?verbose&exclude=store")).text()).toBe(
    "[+]ping ok\n[+]store excluded: ok\nreadyz check passed\n",
  );
  expect(await (await send("/readyz?verbose&exclude=store&exclude=other")).text()).toBe(
    "[+]ping ok\n[+]store excluded: ok\n" +
      'warn: some health checks cannot be excluded: no matches for "other"\n' +
      "readyz check passed\n",
  );
  expect(await (await send("/livez/store")).text()).toBe("internal server error: disk I/O error\n");
  expect(await (await send("/livez/ping")).text()).toBe("ok");
  expect((await send("/livez/none")).status).toBe(404);
  expect(await (await send("/version")).json()).toEqual({ gitVersion: "v1.36.4+k3.1" });
});

test("a long list is sent while it is made, as it is and compressed", async () => {
  const { send } = open();
  const text = "x".repeat(5000);
  for (let i = 0; i < 120; i++) {
    await send(path, post(thing(`thing-${i}`, { metadata: { annotations: { text } } })));
  }
  const plain = await send(path);
  const body = await plain.text();
  expect(plain.headers.has("content-length")).toBe(false);
  expect(JSON.parse(body).items).toHaveLength(120);
  const packed = await send(path, { headers: { "accept-encoding": "gzip" } });
  expect(packed.headers.get("content-encoding")).toBe("gzip");
  const bytes = new Uint8Array(await packed.arrayBuffer());
  expect(new TextDecoder().decode(Bun.gunzipSync(bytes))).toBe(body);
});

test("pretty printing and gzip", async () => {
  const { send } = open();
  await send(path, post(thing("a", { metadata: { annotations: { text: "x".repeat(200_000) } } })));
  const headers = { "user-agent": "curl/8" };
  expect(await (await send(`${path}/a`, { headers })).text()).toStartWith('{\n  "metadata": {\n');
  const packed = await send(`${path}/a`, { headers: { "accept-encoding": "gzip" } });
  expect(packed.headers.get("content-encoding")).toBe("gzip");
});
