/** pods/proxy, services/proxy, nodes/proxy: a request carried to what the object names. */
import type { ApiRequest, ApiResponse } from "../../api/request.ts";
import type { ActionContext, Subresource } from "../../api/resource-definition.ts";
import { urlHost } from "../../api/service-address.ts";
import { passUpgrade } from "../../api/upgrade-tunnel.ts";
import { endpointSlices, pods } from "../../client/resources.ts";
import type { Node, Pod, Service } from "../../gen/core-v1.ts";
import type { Endpoint } from "../../gen/discovery-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { dialErrorText } from "../../lib/dial-error.ts";
import { isProxyableAddress } from "../../lib/proxyable.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { NodeConnector } from "../node-connector.ts";
import { headersForNode } from "./pod-connect.ts";
import { proxyPrefix, throughProxy } from "./proxy-links.ts";

type Target = Readonly<{ node: string } | { scheme: string; host: string; port: number }>;

export interface ProxyName {
  readonly scheme: string;
  readonly name: string;
  readonly port: string;
}

/** `[scheme:]name[:port]`, as the name stands in the path. */
export function splitProxyName(text: string): ProxyName {
  const parts = text.split(":");
  if (parts.length === 1) return { scheme: "", name: text, port: "" };
  if (parts.length === 2) return { scheme: "", name: parts[0] ?? "", port: parts[1] ?? "" };
  return { scheme: parts[0] ?? "", name: parts[1] ?? "", port: parts[2] ?? "" };
}

function podTarget(pod: DeepReadonly<Pod>, asked: ProxyName): Target {
  const host = pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? "";
  const containers = pod.spec.containers ?? [];
  // Whoever may write the pod's status must not lead us to our own loopback (CVE-2020-8555).
  if (!isProxyableAddress(host)) throw new ApiError("BadRequest", "address not allowed");
  const ports = containers.flatMap((container) => container.ports ?? []);
  const named = ports.find((port) => port.name === asked.port)?.containerPort;
  const first = containers.find((one) => (one.ports ?? []).length > 0)?.ports?.[0]?.containerPort;
  const port = named ?? (asked.port === "" ? (first ?? 80) : Number(asked.port));
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new ApiError("BadRequest", `invalid pod request ${JSON.stringify(asked.name)}`);
  }
  return { scheme: asked.scheme || "http", host, port };
}

function serviceTarget(
  service: DeepReadonly<Service>,
  asked: ProxyName,
  context: ActionContext,
): Target {
  const { namespace = "", name = "" } = service.metadata;
  const ports = service.spec.ports ?? [];
  const port =
    asked.port === ""
      ? ports.length === 1
        ? ports[0]
        : undefined
      : ports.find((one) => one.name === asked.port || String(one.port) === asked.port);
  const unavailable = (why: string): ApiError => new ApiError("ServiceUnavailable", why);
  if (port === undefined)
    throw unavailable(`no service port "${asked.port}" found for service "${name}"`);
  const candidates: Target[] = [];
  for (const { object: slice } of context.live.of(endpointSlices).list(`${namespace}/`)) {
    if (slice.metadata.labels?.["kubernetes.io/service-name"] !== name) continue;
    const at = (slice.ports ?? []).find((one) => (one.name ?? "") === (port.name ?? ""))?.port;
    if (at === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      const host = endpoint.addresses?.[0] ?? "";
      if (endpoint.conditions?.ready === false || !isOfPod(endpoint, host, namespace, context)) {
        continue;
      }
      candidates.push({ scheme: asked.scheme || "http", host, port: at });
    }
  }
  const chosen = candidates[context.runtime.random.int(Math.max(1, candidates.length))];
  if (chosen === undefined) throw unavailable(`no endpoints available for service "${name}"`);
  return chosen;
}

/** Endpoints are anyone's to write: only those lead somewhere that are a pod's own address. */
function isOfPod(
  { targetRef }: DeepReadonly<Endpoint>,
  host: string,
  namespace: string,
  context: ActionContext,
): boolean {
  if (targetRef === undefined || targetRef.namespace !== namespace) return false;
  const pod = context.live.of(pods).get(`${namespace}/${targetRef.name ?? ""}`)?.object;
  const isItsOwn = (pod?.status?.podIPs ?? []).some(({ ip }) => ip === host);
  return isItsOwn && isProxyableAddress(host);
}

function targetOf(
  object: DeepReadonly<KubeObject>,
  request: ApiRequest,
  context: ActionContext,
): Target {
  const asked = splitProxyName(request.name);
  switch (request.resource.plural) {
    case "pods":
      return podTarget(object as DeepReadonly<Pod>, asked);
    case "services":
      return serviceTarget(object as DeepReadonly<Service>, asked, context);
    default:
      return { node: (object as DeepReadonly<Node>).metadata.name ?? "" };
  }
}

function pathOf(request: ApiRequest): string {
  const query = request.query.toString();
  return `${request.rest || "/"}${query === "" ? "" : `?${query}`}`;
}

const connectionHeaders = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "content-length",
  "content-encoding",
  "upgrade",
]);

function answer(response: Response): ApiResponse {
  const headers: Record<string, string> = {};
  response.headers.forEach((value, name) => {
    if (!connectionHeaders.has(name) && name !== "content-type") headers[name] = value;
  });
  return {
    type: "stream",
    status: response.status,
    contentType: response.headers.get("content-type") ?? "text/plain; charset=utf-8",
    frames: (response.body ?? new Blob([]).stream()) as ReadableStream<Uint8Array>,
    headers,
  };
}

async function fetchTarget(
  nodes: NodeConnector,
  target: Target,
  request: ApiRequest,
  context: ActionContext,
): Promise<ApiResponse> {
  const headers = headersForNode(request);
  for (const name of connectionHeaders) headers.delete(name);
  headers.set("x-forwarded-uri", `${proxyPrefix(request)}${request.rest}`);
  const body = request.body instanceof Uint8Array ? request.body : undefined;
  const init = {
    method: request.method,
    headers,
    signal: request.signal,
    redirect: "manual" as const,
    ...(body === undefined || body.length === 0 ? {} : { body: body as BodyInit }),
  };
  if ("node" in target)
    return answer(
      await nodes.nodeFetch(target.node, new Request(`https://node${pathOf(request)}`, init)),
    );
  const host = `${urlHost(target.host)}:${target.port}`;
  const url = `${target.scheme}://${host}${pathOf(request)}`;
  try {
    // Nobody could check a pod's certificate: there is none of a pod's address.
    const options = { tls: { rejectUnauthorized: false } };
    const response = await context.runtime.net.fetch(new Request(url, init), options);
    return answer(throughProxy(response, request, host));
  } catch (error) {
    const why = dialErrorText(error, target.host, target.port);
    const message = `error trying to reach service: ${why}`;
    throw new ApiError("ServiceUnavailable", message, { cause: error });
  }
}

/** Relative links of a page need the slash at the end of its address. */
function rootRedirect(request: ApiRequest): ApiResponse | undefined {
  if (request.rest !== "" || !["GET", "HEAD"].includes(request.method)) return undefined;
  const query = request.query.toString();
  const location = `${proxyPrefix(request)}/${query === "" ? "" : `?${query}`}`;
  return {
    type: "bytes",
    status: 301,
    contentType: "text/html; charset=utf-8",
    bytes: new Uint8Array(),
    headers: { location },
  };
}

/** Serves every method; an upgrade is piped as bytes. */
export function proxy<T extends KubeObject>(nodes: NodeConnector, kind: string): Subresource<T> {
  return {
    type: "stream",
    kind,
    verbs: ["create", "delete", "get", "patch", "update"],
    fetch: async (target, request, context) =>
      rootRedirect(request) ??
      fetchTarget(nodes, targetOf(target.object as never, request, context), request, context),
    async open(target, request, socket, context): Promise<void> {
      const to = targetOf(target.object as never, request, context);
      const headers = headersForNode(request);
      const path = pathOf(request);
      if ("node" in to) {
        return nodes.nodeStream(to.node, { method: request.method, path, headers }, socket);
      }
      const { net, clock } = context.runtime;
      const address = { type: "tcp", host: to.host, port: to.port } as const;
      // Nobody could check a pod's certificate: there is none of a pod's address.
      const tls = to.scheme === "https" ? { rejectUnauthorized: false } : undefined;
      const peer = await net.dial(address, request.signal, tls).catch((error: unknown) => {
        const why = dialErrorText(error, to.host, to.port);
        throw new ApiError("ServiceUnavailable", `error trying to reach service: ${why}`);
      });
      const protocol = headers.get("upgrade") ?? "";
      for (const name of connectionHeaders) headers.delete(name);
      const host = `${urlHost(to.host)}:${to.port}`;
      await passUpgrade(
        socket,
        peer,
        { method: request.method, pathAndQuery: path, host, protocol, headers },
        { clock, passesRedirects: true },
      );
    },
  };
}
