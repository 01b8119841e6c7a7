/** The Gateway API as a user meets it: kubectl, pods, curl. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Cluster, reasonToSkip } from "./cluster.ts";
import { curl, nodeAddress, pods } from "./web-backends.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: Gateway API: ${skip}`);

const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: traefik
  listeners:
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - name: https
    port: 443
    protocol: HTTPS
    hostname: "*.gw.test"
    tls: {certificateRefs: [{name: edge-tls, namespace: keys}]}
`;

const routes = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: site}
spec:
  parentRefs: [{name: edge}]
  hostnames: [a.b.gw.test]
  rules:
  - matches: [{path: {value: /old}}]
    filters:
    - type: RequestRedirect
      requestRedirect:
        scheme: https
        statusCode: 301
        path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}
  - matches: [{path: {value: /in}}]
    filters:
    - type: URLRewrite
      urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /sub}}
    - type: ResponseHeaderModifier
      responseHeaderModifier: {set: [{name: X-Site, value: edge}], remove: [Last-Modified]}
    backendRefs: [{name: one, port: 80}]
  - matches: [{headers: [{name: X-To, value: two}]}, {queryParams: [{name: to, value: two}]}]
    backendRefs: [{name: two, port: 80}]
  - backendRefs: [{name: one, port: 80}, {name: two, port: 80, weight: 0}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shares, namespace: keys}
spec:
  parentRefs: [{name: edge, namespace: default, sectionName: http}]
  hostnames: [shares.test]
  rules:
  - backendRefs:
    - {name: one, namespace: default, port: 80}
    - {name: two, namespace: default, port: 80}
`;

const grant = (name: string, from: string, namespace: string, to: string): string => `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  from: [{group: gateway.networking.k8s.io, ${from}}]
  to: [{group: "", kind: ${to}}]
`;

describe.skipIf(skip !== undefined)("Gateway API", () => {
  const cluster = new Cluster();
  const node = nodeAddress();
  const at = (host: string): readonly string[] => ["-H", `Host: ${host}`];
  const condition = async (of: string, path: string): Promise<string> =>
    await cluster.run(`get ${of} -o jsonpath={${path}}`);

  beforeAll(async () => {
    await cluster.start();
    await cluster.run("create namespace keys");
    await cluster.run("apply -f -", `${pods("one", 1)}---${pods("two", 1)}`);
    await cluster.run("rollout status deployment/one --timeout=60s");
    await cluster.run("rollout status deployment/two --timeout=60s");
  });
  afterAll(async () => {
    await cluster.destroy();
  });

  test("the class is there and accepted", async () => {
    await cluster.until("the class is accepted", async () => {
      const { stdout } = await cluster.kubectl("get gatewayclass traefik");
      return /traefik\s+traefik\.io\/gateway-controller\s+True/.test(stdout);
    });
  });

  test("a Gateway has the node's address, and says what its listeners lack", async () => {
    await cluster.run("apply -f -", gateway);
    await cluster.until("the Gateway is programmed", async () => {
      const shown = await cluster.run("get gateway edge");
      return new RegExp(`edge\\s+traefik\\s+${node.replaceAll(".", "\\.")}\\s+True`).test(shown);
    });
    const path = '.status.listeners[1].conditions[?(@.type=="ResolvedRefs")].reason';
    expect(await condition("gateway edge", path)).toBe("RefNotPermitted");
  });

  test("routes lead by path, field and query, and change what they are asked to", async () => {
    await cluster.run("apply -f -", routes);
    const url = `http://${node}`;
    await cluster.until("the route is served", async () => {
      return (await curl(`${url}/`, ...at("a.b.gw.test"))).body === "one\n";
    });
    expect((await curl(`${url}/`, ...at("a.b.gw.test"), "-H", "x-to: two")).body).toBe("two\n");
    expect((await curl(`${url}/?to=two`, ...at("a.b.gw.test"))).body).toBe("two\n");
    const inside = await curl(`${url}/in/`, ...at("a.b.gw.test"), "-i");
    expect(inside.body).toEndWith("sub\n");
    expect(inside.body).toContain("\r\nX-Site: edge\r\n");
    expect(inside.body).not.toContain("Last-Modified");
    const moved = await curl(`${url}/old/x?y=1`, ...at("a.b.gw.test"), "-i");
    expect(moved.code).toBe("301");
    expect(moved.body).toContain("\r\nLocation: https://a.b.gw.test/new/x?y=1\r\n");
    expect((await curl(`${url}/`, ...at("elsewhere.test"))).code).toBe("404");
  });

  test("references to other namespaces wait for a ReferenceGrant", async () => {
    const url = `http://${node}/`;
    await cluster.until("nobody has a share", async () => {
      return (await curl(url, ...at("shares.test"))).code === "500";
    });
    const route = "kind: HTTPRoute, namespace: keys";
    await cluster.run("apply -f -", grant("routes", route, "default", "Service"));
    const seen = new Set<string>();
    await cluster.until("both backends have their share", async () => {
      seen.add((await curl(url, ...at("shares.test"))).body);
      return seen.has("one\n") && seen.has("two\n");
    });
    const path = '.status.parents[0].conditions[?(@.type=="ResolvedRefs")].status';
    expect(await condition("httproute shares -n keys", path)).toBe("True");
  });

  test("TLS is ended with a Secret of another namespace, once that is granted", async () => {
    const dir = cluster.dataDir;
    const make = [
      ..."openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=gw.test".split(" "),
      ...["-addext", "subjectAltName=DNS:a.b.gw.test"],
      ...["-keyout", `${dir}/edge.key`, "-out", `${dir}/edge.crt`],
    ];
    expect(await Bun.spawn(make, { stderr: "ignore" }).exited).toBe(0);
    const files = `--cert=${dir}/edge.crt --key=${dir}/edge.key`;
    await cluster.run(`create secret tls edge-tls -n keys ${files}`);
    await cluster.run(
      "apply -f -",
      grant("keys", "kind: Gateway, namespace: default", "keys", "Secret"),
    );
    const to = ["--resolve", `a.b.gw.test:443:${node}`, "--cacert", `${dir}/edge.crt`];
    await cluster.until("the certificate is shown", async () => {
      const child = Bun.spawn(["curl", "-s", ...to, "https://a.b.gw.test/"], { stdout: "pipe" });
      return (await new Response(child.stdout).text()) === "one\n";
    });
  });

  test("what cannot be is refused with its reasons", async () => {
    const wrong = routes
      .replace("path: {value: /old}", "path: {value: old}")
      .replace("replacePrefixMatch: /new", "replaceFullPath: /new");
    const { code, stderr } = await cluster.kubectl("apply -f -", wrong);
    expect(code).toBe(1);
    expect(stderr).toContain("spec.rules[0].matches[0].path: Invalid value");
    expect(stderr).toContain("replaceFullPath must be specified if and only if type is");
  });

  test("without routes and Gateways nobody listens", async () => {
    await cluster.run("delete httproute --all");
    await cluster.run("delete gateway edge");
    await cluster.until("the port is closed", async () => {
      return (await curl(`http://${node}/`)).code === "000";
    });
  });
});
