import { expect, test } from "bun:test";
import type { Service } from "../../../gen/core-v1.ts";
import type {
  Gateway,
  GatewayListener,
  HttpRoute,
  ParentReference,
  ReferenceGrant,
} from "../../../schema/gateway-api.ts";
import { commonHosts } from "./hostnames.ts";
import { type GatewayPlan, planGateways } from "./plan-gateways.ts";
import type { GatewayView } from "./view.ts";
import { statusWrites } from "./write-status.ts";

const apiVersion = "gateway.networking.k8s.io/v1";
const now = "2026-01-01T00:00:00Z";

function gateway(...listeners: GatewayListener[]): Gateway {
  return {
    apiVersion,
    kind: "Gateway",
    metadata: { name: "gw", namespace: "infra", generation: 3 },
    spec: { gatewayClassName: "traefik", listeners },
  };
}

const http: GatewayListener = { name: "http", port: 80, protocol: "HTTP" };
const parent: ParentReference = { name: "gw", namespace: "infra" };

function httpRoute(name: string, spec: HttpRoute["spec"], namespace = "infra"): HttpRoute {
  return { apiVersion, kind: "HTTPRoute", metadata: { name, namespace, generation: 2 }, spec };
}

const service: Service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "infra" },
  spec: { ports: [{ port: 80 }] },
};

function plan(of: Partial<GatewayView>): GatewayPlan {
  return planGateways({
    classes: [
      {
        apiVersion,
        kind: "GatewayClass",
        metadata: { name: "traefik" },
        spec: { controllerName: "traefik.io/gateway-controller" },
      },
    ],
    gateways: [gateway(http)],
    httpRoutes: [],
    grpcRoutes: [],
    grants: [],
    addresses: ["192.0.2.1"],
    namespaceLabels: () => ({}),
    service: (key) => (key === "infra/web" ? service : undefined),
    slices: () => [],
    secret: () => undefined,
    ...of,
  });
}

/** `type=status reason` of a route's only parent. */
function told({ parents }: GatewayPlan): readonly string[] {
  const [first] = parents[0]?.parents ?? [];
  return (first?.findings ?? []).map(({ type, status, reason }) => `${type}=${status} ${reason}`);
}

const toWeb = { backendRefs: [{ name: "web", port: 80 }] };

test.each([
  [undefined, undefined, [""]],
  ["a.test", undefined, ["a.test"]],
  ["*.test", ["a.test", "b.example"], ["a.test"]],
  ["a.test", ["*.test"], ["a.test"]],
  ["*.a.test", ["*.test", "x.y.a.test"], ["*.a.test", "x.y.a.test"]],
  ["*.a.test", ["a.test"], []],
])("commonHosts() of %j and %j", (listener, route, common) => {
  expect(commonHosts(listener, route)).toEqual(common);
});

test("a route is served at the hosts that it has in common with the listener", () => {
  const route = httpRoute("r", {
    parentRefs: [parent],
    hostnames: ["a.test", "*.b.test"],
    rules: [{ ...toWeb, matches: [{ path: { type: "Exact", value: "/x" }, method: "GET" }] }],
  });
  const planned = plan({ httpRoutes: [route] });
  expect(told(planned)).toEqual(["Accepted=True Accepted", "ResolvedRefs=True ResolvedRefs"]);
  expect(planned.routes).toMatchObject([
    { host: "a.test", path: "/x", match: "exact", conditions: { method: "GET" } },
    { host: "**.b.test", entryPoints: ["web"] },
  ]);
  expect(planned.routes[0]?.rules.shares).toEqual([{ backend: "infra/web:80/http", weight: 1 }]);
  expect(planned.gateways[0]?.listeners[0]?.attached).toBe(1);
});

test.each([
  ["a section that is not there", { ...parent, sectionName: "no" }, "infra", "NoMatchingParent"],
  ["a port that is not there", { ...parent, port: 81 }, "infra", "NoMatchingParent"],
  ["another namespace", parent, "other", "NotAllowedByListeners"],
])("a route that names %s is refused", (_, parentRef, namespace, reason) => {
  const planned = plan({ httpRoutes: [httpRoute("r", { parentRefs: [parentRef] }, namespace)] });
  expect(told(planned)[0]).toBe(`Accepted=False ${reason}`);
  expect(planned.routes).toEqual([]);
});

test("a route without a host of the listener's is refused", () => {
  const route = httpRoute("r", { parentRefs: [parent], hostnames: ["b.test"], rules: [toWeb] });
  const planned = plan({
    gateways: [gateway({ ...http, hostname: "a.test" })],
    httpRoutes: [route],
  });
  expect(told(planned)[0]).toBe("Accepted=False NoMatchingListenerHostname");
});

test("a listener lets in the namespaces that its selector means", () => {
  const from = { from: "Selector", selector: { matchLabels: { team: "a" } } } as const;
  const listener: GatewayListener = { ...http, allowedRoutes: { namespaces: from } };
  const of = (team: string): readonly string[] =>
    told(
      plan({
        gateways: [gateway(listener)],
        httpRoutes: [httpRoute("r", { parentRefs: [parent], rules: [] }, "other")],
        namespaceLabels: () => ({ team }),
      }),
    );
  expect(of("a")[0]).toBe("Accepted=True Accepted");
  expect(of("b")[0]).toBe("Accepted=False NotAllowedByListeners");
});

test("a backend of another namespace needs a grant, and has no share without", () => {
  const spec = {
    parentRefs: [{ name: "gw" }],
    rules: [{ backendRefs: [{ name: "web", namespace: "infra", port: 80 }] }],
  };
  const own: Gateway = { ...gateway(http), metadata: { name: "gw", namespace: "app" } };
  const of = (grants: readonly ReferenceGrant[]): GatewayPlan =>
    plan({ gateways: [own], httpRoutes: [httpRoute("r", spec, "app")], grants });
  const grant: ReferenceGrant = {
    apiVersion: "gateway.networking.k8s.io/v1beta1",
    kind: "ReferenceGrant",
    metadata: { name: "g", namespace: "infra" },
    spec: {
      from: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: "app" }],
      to: [{ group: "", kind: "Service", name: "web" }],
    },
  };
  expect(told(of([]))[1]).toBe("ResolvedRefs=False RefNotPermitted");
  expect(of([]).routes[0]?.rules.shares).toEqual([{ backend: "", weight: 1 }]);
  expect(told(of([grant]))[1]).toBe("ResolvedRefs=True ResolvedRefs");
  const other = {
    ...grant,
    spec: { ...grant.spec, to: [{ group: "", kind: "Service", name: "db" }] },
  };
  expect(told(of([other]))[1]).toBe("ResolvedRefs=False RefNotPermitted");
});

test("a filter that is not known keeps the route from being served without it", () => {
  const rule = { ...toWeb, filters: [{ type: "RequestMirror" }] };
  const planned = plan({ httpRoutes: [httpRoute("r", { parentRefs: [parent], rules: [rule] })] });
  expect(told(planned)[0]).toBe("Accepted=False UnsupportedValue");
  expect(planned.routes).toEqual([]);
});

test("listeners say why they do not serve", () => {
  const planned = plan({
    gateways: [
      gateway(
        { name: "udp", port: 53, protocol: "UDP" },
        { name: "port", port: 81, protocol: "HTTP" },
        { name: "tls", port: 443, protocol: "HTTPS", tls: { certificateRefs: [{ name: "no" }] } },
        { ...http, name: "kinds", allowedRoutes: { kinds: [{ kind: "TCPRoute" }] } },
      ),
    ],
  });
  const reasons = planned.gateways[0]?.listeners.map(({ findings }) =>
    findings
      .filter(({ type, status }) => (status === "False") !== (type === "Conflicted"))
      .map(({ reason }) => reason),
  );
  expect(reasons).toEqual([
    ["UnsupportedProtocol", "Invalid"],
    ["PortUnavailable", "Invalid"],
    ["InvalidCertificateRef", "Invalid"],
    ["InvalidRouteKinds", "Invalid"],
  ]);
});

test("statusWrites() tells each object once, and keeps what other controllers said", () => {
  const others = {
    parentRef: { name: "theirs" },
    controllerName: "example.com/other",
    conditions: [],
  };
  const route: HttpRoute = {
    ...httpRoute("r", { parentRefs: [parent], rules: [toWeb] }),
    status: { parents: [others] },
  };
  const first = statusWrites(plan({ httpRoutes: [route] }), now);
  expect(first.map(({ object }) => object.kind)).toEqual(["GatewayClass", "Gateway", "HTTPRoute"]);
  const written = first[2]?.status as NonNullable<HttpRoute["status"]>;
  expect(written.parents.map(({ controllerName }) => controllerName)).toEqual([
    "example.com/other",
    "traefik.io/gateway-controller",
  ]);
  expect(written.parents[1]?.conditions[0]).toEqual({
    type: "Accepted",
    status: "True",
    reason: "Accepted",
    message: "",
    observedGeneration: 2,
    lastTransitionTime: now,
  });
  const again = statusWrites(plan({ httpRoutes: [{ ...route, status: written }] }), "2027");
  expect(again.map(({ object }) => object.kind)).toEqual(["GatewayClass", "Gateway"]);
});
