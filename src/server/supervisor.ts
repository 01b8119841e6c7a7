/** K3s's own endpoints beside the Kubernetes API. Elysia is loaded by the first request to them. */
import type { Elysia } from "elysia";
import { joinBytes } from "../lib/bytes.ts";
import { sameSecret } from "../lib/same-secret.ts";
import type { TokenUser } from "../pki/tokens.ts";
import type { DoorPeer } from "./door-peer.ts";
import { type CertificateAsk, JoinError, nodeCertificates } from "./join-endpoints.ts";

export interface SupervisorOptions {
  readonly serverCaPem: string;
  readonly clientCaPem: string;
  /** Who may ask by name and password. */
  readonly users: readonly TokenUser[];
  /** The groups of a bootstrap token's holder; undefined for one that is not known. */
  readonly bootstrapGroups: (token: string) => Promise<readonly string[] | undefined>;
  readonly isReady: () => boolean;
  /** What agents go by, as `/v1-k3s/config` tells it. */
  readonly config: () => Readonly<Record<string, unknown>>;
  /** `host:port` of every API server. */
  readonly apiServers: () => readonly string[];
  /** PEM of a certificate for a node; throws JoinError. */
  readonly issue: (ask: CertificateAsk) => Promise<string>;
}

export interface Supervisor {
  /** Whether a request for this path is the supervisor's to answer. */
  serves(path: string): boolean;
  fetch(request: Request, peer: DoorPeer): Promise<Response>;
}

const groupsOfNodes: ReadonlySet<string> = new Set([
  "k3s:agent",
  "k3s:server",
  "system:nodes",
  "system:masters",
  "system:bootstrappers:k3s:default-node-token",
]);
const limits = { requestBytesMax: 64 * 1024 } as const;

export function createSupervisor(options: SupervisorOptions): Supervisor {
  let app: Promise<Pick<Elysia, "fetch">> | undefined;
  return {
    serves: (path) => path === "/ping" || path === "/cacerts" || path.startsWith("/v1-k3s/"),
    fetch: async (request, peer) => {
      const { pathname } = new URL(request.url);
      if (pathname.startsWith("/v1-k3s/")) {
        if (!(await isNode(request.headers, peer, options)))
          return statusResponse(401, "Unauthorized", "Unauthorized");
        const file = pathname.slice("/v1-k3s/".length);
        if (isCertificateFile(file)) return await issue(options, file, request, peer);
      }
      app ??= createApp(options);
      return (await app).fetch(request);
    },
  };
}

function isCertificateFile(file: string): file is CertificateAsk["file"] {
  return Object.hasOwn(nodeCertificates, file);
}

async function issue(
  options: SupervisorOptions,
  file: CertificateAsk["file"],
  request: Request,
  peer: DoorPeer,
): Promise<Response> {
  if (request.method !== "POST")
    return statusResponse(405, "MethodNotAllowed", "a certificate request must be posted");
  if (!options.isReady())
    return statusResponse(503, "ServiceUnavailable", "the server is starting");
  const body = await bodyOf(request);
  if (body === undefined)
    return statusResponse(413, "RequestEntityTooLarge", "the request is too large");
  const [, certifiedNode] = /^system:node:(.+)$/.exec(peer.certificate?.commonName ?? "") ?? [];
  try {
    return text(await options.issue({ file, headers: request.headers, body, certifiedNode }));
  } catch (error) {
    if (!(error instanceof JoinError)) throw error;
    const reason = error.status === 403 ? "Forbidden" : "BadRequest";
    return statusResponse(error.status, reason, error.message);
  }
}

/** Undefined for more than a certificate request can have; the rest is not even read. */
async function bodyOf(request: Request): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of request.body ?? []) {
    bytes += part.length;
    if (bytes > limits.requestBytesMax) return undefined;
    parts.push(part);
  }
  return joinBytes(parts);
}

function text(body: string): Response {
  return new Response(body, {
    headers: { "content-type": "text/plain", "content-length": String(Buffer.byteLength(body)) },
  });
}

async function createApp(options: SupervisorOptions): Promise<Pick<Elysia, "fetch">> {
  const { Elysia } = await import("elysia");
  return new Elysia({ aot: false })
    .get("/ping", () => text("pong"))
    .get("/cacerts", () => text(options.serverCaPem))
    .get("/v1-k3s/server-ca.crt", () => text(options.serverCaPem))
    .get("/v1-k3s/client-ca.crt", () => text(options.clientCaPem))
    .get("/v1-k3s/config", () => Response.json(options.config()))
    .get("/v1-k3s/apiservers", () => Response.json(options.apiServers()))
    .get("/v1-k3s/readyz", () =>
      options.isReady()
        ? text("ok")
        : statusResponse(503, "ServiceUnavailable", "the server is starting"),
    )
    .onError(({ code }) =>
      code === "NOT_FOUND"
        ? statusResponse(404, "NotFound", "the server could not find the requested resource")
        : statusResponse(500, "InternalError", "internal error"),
    );
}

/** A certificate of the cluster, a name and password of the token table, or a bootstrap token. */
async function isNode(
  headers: Headers,
  peer: DoorPeer,
  { users, bootstrapGroups }: SupervisorOptions,
): Promise<boolean> {
  const isOne = (groups: readonly string[]): boolean =>
    groups.some((group) => groupsOfNodes.has(group));
  if (isOne(peer.certificate?.organizations ?? [])) return true;
  const [, scheme = "", credential = ""] =
    /^(basic|bearer) +(\S+)$/i.exec(headers.get("authorization") ?? "") ?? [];
  if (scheme.toLowerCase() === "bearer") return isOne((await bootstrapGroups(credential)) ?? []);
  const [name = "", ...rest] = Buffer.from(credential, "base64").toString().split(":");
  const password = rest.join(":");
  return users.some(
    (user) => user.name === name && sameSecret(user.password, password) && isOne(user.groups),
  );
}

function statusResponse(code: number, reason: string, message: string): Response {
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure" };
  return Response.json({ ...status, message, reason, code }, { status: code });
}
