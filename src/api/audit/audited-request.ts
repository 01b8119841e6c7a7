/** What the record of an HTTP request, or of a call inside the process, says about it. */
import ipaddr from "ipaddr.js";
import type { Random } from "../../runtime/runtime.ts";
import { attributesOf } from "../authorize-call.ts";
import type { Peer } from "../authorizer.ts";
import type { HttpRequest } from "../http-exchange.ts";
import type { Registry } from "../registry.ts";
import type { ApiRequest, User } from "../request.ts";
import { isLongRunning, parsePath, type Target, verbOf } from "../request-path.ts";
import type { AuditedAttributes } from "./policy.ts";
import type { AuditedRequest } from "./trail.ts";

/** The header by which a client may name the record of its request. */
export const auditIdHeader = "audit-id";

type RequestHead = Pick<HttpRequest, "method" | "url" | "headers">;

export interface HttpRequestParts {
  readonly request: RequestHead;
  readonly peer: Peer;
  readonly auditId: string;
  readonly user: User | undefined;
  readonly receivedAt: Date;
}

export function auditedRequest(registry: Registry, parts: HttpRequestParts): AuditedRequest {
  const { request, peer, auditId, user, receivedAt } = parts;
  const url = new URL(request.url);
  return {
    auditId,
    uri: `${url.pathname}${url.search}`,
    attributes: httpAttributes(registry, request, user),
    sourceIps: sourceIpsOf(request.headers, peer.address),
    userAgent: request.headers.get("user-agent") ?? "",
    receivedAt,
  };
}

/** What is asked, before it is known whether there is such a thing. */
export function httpAttributes<U extends User | undefined>(
  registry: Registry,
  request: RequestHead,
  user: U,
): AuditedAttributes & { readonly user: U } {
  const url = new URL(request.url);
  const target = targetOf(url.pathname);
  const method = request.method.toLowerCase();
  if (target === undefined) {
    return {
      user,
      verb: method,
      group: "",
      version: "",
      resource: "",
      subresource: "",
      namespace: "",
      name: "",
      path: url.pathname,
      isResourceRequest: false,
    };
  }
  const { resource, subresource, namespace, name } = target;
  const verb = verbOf(registry, request.method, target, url.searchParams) ?? method;
  return attributesOf({
    user,
    verb,
    resource,
    subresource,
    namespace,
    name,
    method: request.method,
    query: url.searchParams,
  });
}

function targetOf(path: string): Target | undefined {
  try {
    return parsePath(path);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}

/** Proxies on the way first, as they tell; all but the last can be made up by the client. */
function sourceIpsOf(headers: Headers, remote: string): readonly string[] {
  const forwarded = (headers.get("x-forwarded-for") ?? "").split(",").map((text) => text.trim());
  const addresses = forwarded.filter((text) => ipaddr.isValid(text));
  const real = headers.get("x-real-ip")?.trim() ?? "";
  if (ipaddr.isValid(real) && !addresses.includes(real)) addresses.push(real);
  if (remote !== "" && addresses.at(-1) !== remote) addresses.push(remote);
  return addresses;
}

/** A call of one of the server's own parts. */
export function auditedCall(request: ApiRequest, random: Random, receivedAt: Date): AuditedRequest {
  const query = request.query.toString();
  return {
    auditId: random.uuid(),
    uri: query === "" ? pathOf(request) : `${pathOf(request)}?${query}`,
    attributes: attributesOf(request),
    sourceIps: ["127.0.0.1"],
    userAgent: request.userAgent,
    receivedAt,
  };
}

function pathOf({ resource, namespace, name, subresource }: ApiRequest): string {
  const { group, version, plural } = resource;
  const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const within = namespace === "" ? "" : `/namespaces/${namespace}`;
  const object = [plural, name, subresource].filter((part) => part !== "").join("/");
  return `${root}${within}/${object}`;
}

/** Requests that have an event of their own when their answer begins. */
export function hasBeginning(attributes: AuditedAttributes): boolean {
  return attributes.verb === "watch" || isLongRunning(attributes);
}

/** Why a request without a user was refused, for its record. */
export function attemptText(request: RequestHead, { certificate, certificateError }: Peer): string {
  const [scheme = "", credential = ""] = (request.headers.get("authorization") ?? "").split(/ +/);
  const tried = [
    ...(/^basic$/i.test(scheme) ? ["basic"] : []),
    ...(/^bearer$/i.test(scheme) && credential !== "" ? ["bearer"] : []),
    ...(new URL(request.url).searchParams.get("access_token") ? ["access_token"] : []),
    ...(certificate !== undefined || certificateError !== undefined ? ["x509"] : []),
  ];
  return tried.length === 0
    ? "Authentication failed, no credentials provided"
    : `Authentication failed, attempted: ${tried.join(", ")}`;
}
