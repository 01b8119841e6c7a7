import { expect, test } from "bun:test";
import type { Service } from "../../gen/core-v1.ts";
import type { EndpointSlice } from "../../gen/discovery-v1.ts";
import type { Ingress, IngressClass } from "../../gen/networking-v1.ts";
import { type ClusterView, planIngress } from "./plan-ingress.ts";
import { pairFor } from "./testing/test-pairs.ts";

const classes: readonly IngressClass[] = ["traefik", "other"].map((name) => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "IngressClass",
  metadata: { name },
  spec: { controller: name === "traefik" ? "traefik.io/ingress-controller" : "example.com/x" },
}));

const service: Service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "default" },
  spec: {
    ports: [
      { name: "http", port: 80, protocol: "TCP" },
      { name: "grpc", port: 90, protocol: "TCP", appProtocol: "kubernetes.io/h2c" },
    ],
  },
};

type Endpoint = NonNullable<EndpointSlice["endpoints"]>[number];

function slice(...endpoints: readonly Endpoint[]): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-1", namespace: "default" },
    addressType: "IPv4",
    ports: [
      { name: "http", port: 8080, protocol: "TCP" },
      { name: "grpc", port: 9090, protocol: "TCP" },
    ],
    endpoints: [...endpoints],
  };
}

const readyAt = (ip: string): Endpoint => ({ addresses: [ip], conditions: { ready: true } });
const endingAt = (ip: string, serving: boolean): Endpoint => ({
  addresses: [ip],
  conditions: { ready: false, serving, terminating: true },
});

function ingress(spec: Ingress["spec"], metadata: Ingress["metadata"] = {}): Ingress {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name: "web", namespace: "default", uid: "1", ...metadata },
    spec,
  };
}

const toWeb = { service: { name: "web", port: { name: "http" } } };
const rule = (host: string, path = "/", pathType = "Prefix", backend: object = toWeb) => ({
  host,
  http: { paths: [{ path, pathType, backend }] },
});

function planned(ingresses: readonly Ingress[], given: Partial<ClusterView> = {}) {
  return planIngress({
    ingresses,
    classes,
    service: (key) => (key === "default/web" ? service : undefined),
    slices: () => [slice(readyAt("10.0.0.2"), readyAt("10.0.0.1"))],
    secret: () => undefined,
    ...given,
  });
}

test("planIngress() leads a path to the ready endpoints of the Service's port", () => {
  const { routes, backends, problems } = planned([ingress({ rules: [rule("A.test", "/x")] })]);
  expect(routes).toEqual([
    {
      ingress: "default/web",
      host: "a.test",
      path: "/x",
      match: "prefix",
      isDefault: false,
      entryPoints: ["web", "websecure"],
      backend: "default/web:80/http",
      rules: {},
    },
  ]);
  expect(backends).toEqual([
    {
      name: "default/web:80/http",
      protocol: "http",
      endpoints: ["10.0.0.1:8080", "10.0.0.2:8080"],
    },
  ]);
  expect(problems).toEqual([]);
});

test("planIngress() takes endpoints that end only while they serve and no other is ready", () => {
  const endpointsOf = (...all: readonly Endpoint[]) =>
    planned([ingress({ rules: [rule("a")] })], { slices: () => [slice(...all)] }).backends[0]
      ?.endpoints;
  expect(endpointsOf(readyAt("10.0.0.1"), endingAt("10.0.0.2", true))).toEqual(["10.0.0.1:8080"]);
  expect(endpointsOf(endingAt("10.0.0.2", true), endingAt("10.0.0.3", false))).toEqual([
    "10.0.0.2:8080",
  ]);
  expect(endpointsOf({ addresses: ["10.0.0.4"], conditions: { ready: false } })).toEqual([]);
});

test("planIngress() serves its own class, and Ingresses without one", () => {
  const rules = [rule("a")];
  const annotated = (name: string) => ({ annotations: { "kubernetes.io/ingress.class": name } });
  const routes = (one: Ingress) => planned([one]).routes.length;
  expect(routes(ingress({ rules, ingressClassName: "traefik" }))).toBe(1);
  expect(routes(ingress({ rules, ingressClassName: "other" }))).toBe(0);
  expect(routes(ingress({ rules, ingressClassName: "absent" }))).toBe(0);
  expect(routes(ingress({ rules }, annotated("traefik")))).toBe(1);
  expect(routes(ingress({ rules }, annotated("nginx")))).toBe(0);
});

test("planIngress() tells what it cannot do, and serves the rest", () => {
  const paths = [
    rule("a", "/none", "Prefix", { service: { name: "none", port: { number: 80 } } }),
    rule("b", "/port", "Prefix", { service: { name: "web", port: { number: 81 } } }),
    rule("c", "/bucket", "Prefix", { resource: { kind: "Bucket", name: "b" } }),
    rule("d"),
  ];
  const { routes, problems } = planned([
    ingress({ rules: paths, tls: [{ hosts: ["d"], secretName: "s" }] }),
  ]);
  expect(problems.map(({ reason, message }) => `${reason}: ${message}`)).toEqual([
    "BackendNotFound: Service default/none does not exist",
    "BackendNotFound: Service default/web has no port 81",
    "UnsupportedBackend: resource backends are not supported",
    "CertificateNotFound: Secret s does not exist",
  ]);
  // Without a backend the route stands, so that no other Ingress takes its path.
  expect(routes.map(({ host, backend }) => `${host} ${backend}`)).toEqual([
    "a ",
    "b ",
    "d default/web:80/http",
  ]);
});

test("planIngress() reads certificates from Secrets, the rules' hosts where none are named", () => {
  const pair = pairFor("a.test");
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {},
    data: { "tls.crt": btoa(pair.cert), "tls.key": btoa(pair.key) },
  } as const;
  const spec = { rules: [rule("A.test"), rule("b.test")], tls: [{ secretName: "s" }] };
  const torn = { ...secret, data: { ...secret.data, "tls.key": btoa(pairFor("b").key) } };
  expect(planned([ingress(spec)], { secret: () => torn }).problems[0]?.message).toBe(
    "Secret s has a key of another certificate",
  );
  expect(planned([ingress(spec)], { secret: () => secret }).certificates).toEqual([
    { hosts: ["a.test", "b.test"], ...pair },
  ]);
});

test("planIngress() knows what a port speaks: its appProtocol, the Service, the Ingress", () => {
  const grpc = { service: { name: "web", port: { name: "grpc" } } };
  const protocolOf = (one: Ingress, given: Partial<ClusterView> = {}) =>
    planned([one], given).backends[0]?.protocol;
  const annotated = (name: string, value: string) => ({ annotations: { [name]: value } });
  expect(protocolOf(ingress({ rules: [rule("a", "/", "Prefix", grpc)] }))).toBe("h2c");
  const asked = annotated("nginx.ingress.kubernetes.io/backend-protocol", "HTTPS");
  expect(protocolOf(ingress({ rules: [rule("a")] }, asked))).toBe("https");
  const scheme = annotated("traefik.ingress.kubernetes.io/service.serversscheme", "h2c");
  const spoken = { ...service, metadata: { ...service.metadata, ...scheme } };
  expect(protocolOf(ingress({ rules: [rule("a")] }), { service: () => spoken })).toBe("h2c");
});

test("planIngress() serves nobody where a guard is asked for that it does not have", () => {
  const annotations = { "traefik.ingress.kubernetes.io/router.middlewares": "default-auth@x" };
  const { routes, problems } = planned([ingress({ rules: [rule("a")] }, { annotations })]);
  expect(routes[0]?.rules.refusal).toContain("router.middlewares");
  expect(problems[0]?.reason).toBe("UnsupportedAnnotation");
});

test("planIngress() puts the older Ingress first, and default backends behind", () => {
  const at = (creationTimestamp: string, name: string) => ({ creationTimestamp, name });
  const plan = planned([
    ingress({ rules: [rule("a")] }, at("2026-01-02T00:00:00Z", "young")),
    ingress({ defaultBackend: toWeb }, at("2026-01-01T00:00:00Z", "old")),
  ]);
  expect(plan.routes.map((one) => [one.ingress, one.isDefault])).toEqual([
    ["default/old", true],
    ["default/young", false],
  ]);
});

test("planIngress() leads to a name outside for an ExternalName Service", () => {
  const outside: Service = { ...service, spec: { type: "ExternalName", externalName: "x.test" } };
  const backend = { service: { name: "web", port: { number: 8080 } } };
  const { backends } = planned([ingress({ rules: [rule("a", "/", "Prefix", backend)] })], {
    service: () => outside,
  });
  expect(backends[0]?.endpoints).toEqual(["x.test:8080"]);
});
