/** Where proxied requests are led, and where they are not. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Backends } from "../api/aggregation/backend.ts";
import { apiServices, endpointSlices, endpoints, pods, services } from "../client/resources.ts";
import type { Pod, Service } from "../gen/core-v1.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { sendTo } from "./test-http.ts";
import { openWorld, problemsOf, type World } from "./test-world.ts";

let world: World;
const asked: { url: string; headers: Record<string, string>; redirect: string }[] = [];
let answer: () => Response = () => new Response("served");

beforeAll(async () => {
  world = await openWorld();
  // What leaves the process is written down, and answered as the test wants it.
  const net: Runtime["net"] = {
    ...world.runtime.net,
    fetch: async (request) => {
      const headers = Object.fromEntries(request.headers);
      asked.push({ url: request.url, headers, redirect: request.redirect });
      return answer();
    },
  };
  Object.assign(world.runtime, { net });
});
afterAll(() => world[Symbol.asyncDispose]());

async function podAt(name: string, ip: string): Promise<void> {
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: { containers: [{ name: "main", image: "x", ports: [{ containerPort: 8080 }] }] },
  };
  const made = await world.client.create(pods, pod);
  // Not every writer of a status is a kubelet: it is taken as stored, whatever it says.
  const status = { podIP: ip, podIPs: [{ ip }], phase: "Running" };
  await world.client.update(pods, { ...made, status }, { subresource: "status" });
}

const proxied = (path: string, headers: Record<string, string> = {}) =>
  sendTo(world)(`/api/v1/namespaces/default/${path}`, { headers });

test("a pod is not led to by an address that is not its own alone", async () => {
  const tricks = ["127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1", "fe80::1", "0.0.0.0"];
  for (const [i, ip] of tricks.entries()) {
    await podAt(`trick-${i}`, ip);
    const response = await proxied(`pods/trick-${i}:6443/proxy/metrics`);
    expect([ip, response.status, (await response.json()).message]).toEqual([
      ip,
      400,
      "address not allowed",
    ]);
  }
  expect(asked).toEqual([]);
});

test("a pod is reached at its address, without the client's credentials", async () => {
  await podAt("good", "10.42.0.9");
  const response = await proxied("pods/good/proxy/page", {
    authorization: "Bearer secret",
    "impersonate-user": "root",
    "impersonate-uid": "0",
    "impersonate-extra-scopes": "all",
    "x-remote-user": "root",
    "x-own": "kept",
  });
  expect(await response.text()).toBe("served");
  const [sent] = asked.splice(0);
  expect(sent).toMatchObject({ url: "http://10.42.0.9:8080/page", redirect: "manual" });
  const names = Object.keys(sent?.headers ?? {});
  expect(names).toContain("x-own");
  const secret = /^(authorization|cookie|impersonate-.*|x-remote-.*)$/;
  expect(names.filter((name) => secret.test(name))).toEqual([]);
});

test("a redirect of a pod is told, not followed", async () => {
  answer = () => new Response(null, { status: 302, headers: { location: "http://evil.invalid/" } });
  const response = await proxied("pods/good/proxy/away");
  expect(response.status).toBe(302);
  expect(asked.splice(0)).toHaveLength(1);
  answer = () => new Response("served");
});

test("ports that are none are refused", async () => {
  for (const port of ["none", "0", "70000", "80x"]) {
    expect((await proxied(`pods/good:${port}/proxy/`)).status).toBe(400);
  }
});

test("a Service is only reached at addresses of its namespace's own pods", async () => {
  const service: Service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "default" },
    spec: { ports: [{ port: 80, targetPort: 8080 }] },
  };
  await world.client.create(services, service);
  const targets: readonly (readonly [string, object | undefined])[] = [
    ["10.42.0.77", undefined],
    ["10.42.0.78", { kind: "Pod", namespace: "default", name: "good" }],
    ["10.42.0.9", { kind: "Pod", namespace: "kube-system", name: "good" }],
    ["10.42.0.9", { kind: "Pod", namespace: "default", name: "good" }],
  ];
  for (const [i, [address, targetRef]] of targets.entries()) {
    const name = `slice-${i}`;
    await world.client.create(endpointSlices, {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name,
        namespace: "default",
        labels: { "kubernetes.io/service-name": "web" },
      },
      addressType: "IPv4",
      ports: [{ port: 8080, name: "" }],
      endpoints: [{ addresses: [address], ...(targetRef === undefined ? {} : { targetRef }) }],
    });
    const response = await proxied("services/web/proxy/");
    expect([i, response.status]).toEqual([i, i === targets.length - 1 ? 200 : 503]);
    await world.client.delete(endpointSlices, "default", name);
  }
  expect(asked.splice(0).map(({ url }) => url)).toEqual(["http://10.42.0.9:8080/"]);
});

test("endpoints are never loopback or link-local, however they are spelled", async () => {
  const tricks = ["127.0.0.1", "127.1.2.3", "169.254.169.254", "0.0.0.0", "224.0.0.5"];
  const longTricks = ["::1", "0:0:0:0:0:0:0:1", "::ffff:7f00:1", "fe80::1", "FEBF::1", "::"];
  for (const address of [...tricks, ...longTricks, "::ffff:a9fe:a9fe", "ff02::1"]) {
    const isShort = address.includes(".");
    const problems = await problemsOf(world, endpointSlices, {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "trick", namespace: "default" },
      addressType: isShort ? "IPv4" : "IPv6",
      endpoints: [{ addresses: [address] }],
    });
    expect([address, problems[0]]).toEqual([
      address,
      expect.stringMatching(/may not be (in the (loopback|link-local)|unspecified)/),
    ]);
    const old = await problemsOf(world, endpoints, {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: { name: "trick", namespace: "default" },
      subsets: [{ addresses: [{ ip: address }], ports: [{ port: 80 }] }],
    });
    expect([address, old.length]).toEqual([address, 1]);
  }
});

test("an aggregated API's redirect is refused, and only its own credentials leave", async () => {
  await world.client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "extension", namespace: "default" },
    spec: { type: "ExternalName", externalName: "extension.example.com" },
  });
  const service = await world.client.create(apiServices, {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: "v1.example.com" },
    spec: {
      group: "example.com",
      version: "v1",
      groupPriorityMinimum: 1000,
      versionPriority: 15,
      insecureSkipTLSVerify: true,
      service: { namespace: "default", name: "extension", port: 443 },
    },
  });
  const backends = new Backends({ ...world, identity: () => undefined });
  const user = { name: "jane", uid: "", groups: ["developers"], extra: {} };
  const forward = () =>
    backends.forward(
      service,
      "/apis/example.com/v1/things",
      new Request("https://localhost/", {
        headers: { authorization: "Bearer secret", "x-remote-user": "root" },
      }),
      user,
    );
  for (const status of [301, 302, 303, 307, 308]) {
    answer = () => new Response(null, { status, headers: { location: "http://169.254.169.254/" } });
    const response = await forward();
    expect([status, response.status, response.headers.get("location")]).toEqual([
      status,
      502,
      null,
    ]);
    expect(await response.text()).toContain("attempted to redirect this request");
  }
  const sent = asked.splice(0);
  expect(sent.map(({ redirect }) => redirect)).toEqual(Array(5).fill("manual"));
  for (const { headers } of sent) {
    expect([headers.authorization, headers["x-remote-user"]]).toEqual([undefined, undefined]);
  }
  answer = () => new Response("served");
});
