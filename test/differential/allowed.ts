/** Differences that stay, each with its reason. */
import { type Answer, type Exchange, isObject, type Json, type JsonObject } from "./client.ts";
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
const refusedEmpty = new WeakSet<Exchange>();

function same(text: string, _: number, all: readonly string[]): boolean {
  return text.includes("<empty>") && text === all[0];
}

function wrapsAround({ headers, body }: Exchange): boolean {
  const type = headers?.["content-type"] ?? "";
  const goesAround = /^application\/(strategic-merge|apply)-patch/.test(type);
  return goesAround && /:(2147483648|4294967296)\b/.test(textOf(body));
}

/** A dry run that asks for a port out of the range. */
function triesNodePort({ path, body }: Exchange): boolean {
  const ports = [...textOf(body).matchAll(/"nodePort":(-?\d+)/g)].map(([, port]) => Number(port));
  return /\/services\b.*dryRun/.test(path) && ports.some((port) => port < 30000 || port > 32767);
}

/** Whether a body gives something empty. */
function givesEmpty({ body }: Exchange): boolean {
  return /:(\[\]|\{\})/.test(textOf(body));
}

function textOf(body: Exchange["body"]): string {
  return typeof body === "string" ? body : JSON.stringify(body ?? "");
}

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
    reason: "what is given empty is as what is not given: no generation counts it, nobody owns it",
    fits: ({ path, upstream, k3 }, exchange) =>
      refusedEmpty.has(exchange) ||
      (/\.(generation|managers)\b/.test(path) && givesEmpty(exchange)) ||
      [upstream, k3].map((text) => String(text).replaceAll("<value>", "<empty>")).every(same),
  },
  {
    reason: "fields behind gates that are off go before anybody counts what changed",
    fits: ({ path }, { path: asked }) =>
      path === ".body.metadata.generation" && asked.includes("/resourceslices/"),
  },
  {
    reason: "upstream loses the record of managers where an item of a keyed list has no key",
    fits: ({ path, upstream }, { path: asked }) =>
      asked.includes("/serviceaccounts") &&
      /\.(managedFields|managers)$/.test(path) &&
      upstream === undefined,
  },
  {
    reason: "numbers that do not fit are refused, not wrapped around, in patches that skip JSON",
    fits: (_, exchange) => wrapsAround(exchange),
  },
  {
    reason: "a dry run looks at the range of node ports too",
    fits: (_, exchange) => triesNodePort(exchange),
  },
  {
    reason: "a request with wrong options is refused before anybody says what is deprecated",
    fits: ({ path, k3 }, { path: asked }) =>
      path === ".headers.warning" && k3 === undefined && /\/endpoints\//.test(asked),
  },
  {
    reason: "the version of a custom resource is looked at before its fields",
    fits: (_, { path, body }) =>
      path.startsWith("/apis/custom.example.com/v1/") &&
      isObject(body as Json) &&
      (body as JsonObject).apiVersion === "custom.example.com/v2",
  },
  {
    reason: "Debian's etcd cannot tell its progress, so that upstream refuses streamed lists",
    fits: (_, { path }) => path.includes("sendInitialEvents=true"),
  },
  {
    reason: "definitions are established, and go with their instances, in their own time",
    fits: (difference, { method, path }) =>
      path.startsWith("/apis/apiextensions.k8s.io/") &&
      (method === "DELETE" ||
        path.includes("watch=1") ||
        (method === "GET" && /conditions/.test(difference.path))),
  },
  {
    reason: "a claim that nobody changed is not written again",
    fits: (_, { path }) => /\/persistentvolumeclaims\?watch=1/.test(path),
  },
  {
    reason: "no document tells when it changed last",
    fits: ({ path }, { path: asked }) =>
      path === ".headers.last-modified" && asked.startsWith("/openapi/v2"),
  },
  {
    reason: "the reader of CEL stops at the first mistake of syntax",
    fits: ({ upstream, k3 }) => {
      const [first = ""] = String(upstream).split("\nERROR");
      return first.includes("Syntax error") && String(k3).startsWith(first);
    },
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
    reason: "types of OpenAPI whose sources are not published have texts of our own",
    fits: ({ path }, { path: asked }) =>
      asked.startsWith("/openapi/v2") && /\.(description|enum|version)$/.test(path),
  },
  {
    reason: "an OpenAPI document tells of the metrics and not of versions that nobody serves",
    fits: ({ path, upstream }, { path: asked }) =>
      asked.startsWith("/openapi/v2") &&
      (path.includes("group-version-kind") || (upstream === undefined && path.includes("metrics"))),
  },
];

const aboutEmpty = /is immutable|for an Ephemeral Container|fields are allowed at the root/;

/** Remembers that upstream itself could not answer, or minds what is given empty. */
export function noteUpstream(exchange: Exchange, { status, body }: Answer): void {
  if (status === 0 || status === 500) failed.add(exchange);
  if (status === 422 && givesEmpty(exchange) && aboutEmpty.test(JSON.stringify(body)))
    refusedEmpty.add(exchange);
}

/** Why this difference is no failure; undefined when it is one. */
export function allowedFor(difference: Difference, exchange: Exchange): string | undefined {
  return allowed.find((one) => one.fits(difference, exchange))?.reason;
}
