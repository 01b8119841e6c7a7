/** Differences that stay, each with its reason. */
import type { Exchange } from "./client.ts";
import type { Difference } from "./compare.ts";

interface Allowed {
  readonly reason: string;
  fits(difference: Difference, exchange: Exchange): boolean;
}

/** Documents that tell what a server is made of. */
const ownDocuments = new Set([
  "/",
  "/version",
  "/version/",
  "/livez?verbose",
  "/statusz",
  "/flagz",
]);
const failed = new WeakSet<Exchange>();

const allowed: readonly Allowed[] = [
  {
    reason: "the server's own parts have the server's name",
    fits: ({ path, upstream, k3 }) =>
      path.endsWith(".manager") && upstream === "kube-apiserver" && k3 === "k3",
  },
  {
    reason: "paths, version, health checks, metrics and flags tell what a server is made of",
    fits: (_, { path }) =>
      ownDocuments.has(path) || path === "/metrics" || path.startsWith("/api/v1/componentstatuses"),
  },
  {
    reason: "a required list that nobody gave is empty, not null",
    fits: ({ upstream, k3 }) => upstream === null && JSON.stringify(k3) === "[]",
  },
  {
    reason: "upstream's internal form of a daemon set holds its template generation elsewhere",
    fits: ({ path, upstream }) =>
      upstream === undefined && /\.metadata\.annotations(\.deprecated\.daemonset|$)/.test(path),
  },
  {
    reason: "what upstream answers with 500 or not at all, k3 refuses or serves",
    fits: (_, exchange) => failed.has(exchange),
  },
  {
    reason: "readers of YAML word its syntax errors in their own way",
    fits: ({ path, upstream }) =>
      path === ".body.message" && /yaml: line \d+: (found|did)/.test(String(upstream)),
  },
  {
    reason: "the control characters of a wrong manager are quoted as JSON quotes them",
    fits: ({ path, upstream }) => /message$/.test(path) && String(upstream).includes('"\\x00"'),
  },
  {
    reason: "the OpenAPI document of version 2 has fewer parameters and texts",
    fits: (_, { path }) => path.startsWith("/openapi/v2"),
  },
];

/** Remembers that upstream itself could not answer. */
export function upstreamFailed(exchange: Exchange): void {
  failed.add(exchange);
}

/** Why this difference is no failure; undefined when it is one. */
export function allowedFor(difference: Difference, exchange: Exchange): string | undefined {
  return allowed.find((one) => one.fits(difference, exchange))?.reason;
}
