/** K3s's own endpoints beside the Kubernetes API. Elysia is loaded by the first request to them. */
import type { Elysia } from "elysia";
import { sameSecret } from "../lib/same-secret.ts";
import type { TokenUser } from "../pki/tokens.ts";
import type { DoorPeer } from "./door-peer.ts";

export interface SupervisorOptions {
  readonly serverCaPem: string;
  readonly clientCaPem: string;
  /** Who may ask by name and password. */
  readonly users: readonly TokenUser[];
  readonly isReady: () => boolean;
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
]);

export function createSupervisor(options: SupervisorOptions): Supervisor {
  let app: Promise<Pick<Elysia, "fetch">> | undefined;
  return {
    serves: (path) => path === "/ping" || path === "/cacerts" || path.startsWith("/v1-k3s/"),
    fetch: async (request, peer) => {
      const { pathname } = new URL(request.url);
      if (pathname.startsWith("/v1-k3s/") && !isNode(request.headers, peer, options.users))
        return statusResponse(401, "Unauthorized", "Unauthorized");
      app ??= createApp(options);
      return (await app).fetch(request);
    },
  };
}

async function createApp(options: SupervisorOptions): Promise<Pick<Elysia, "fetch">> {
  const { Elysia } = await import("elysia");
  const text = (body: string): Response =>
    new Response(body, {
      headers: { "content-type": "text/plain", "content-length": String(Buffer.byteLength(body)) },
    });
  return new Elysia({ aot: false })
    .get("/ping", () => text("pong"))
    .get("/cacerts", () => text(options.serverCaPem))
    .get("/v1-k3s/server-ca.crt", () => text(options.serverCaPem))
    .get("/v1-k3s/client-ca.crt", () => text(options.clientCaPem))
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

/** A certificate of the cluster, or a name and password from the token table. */
function isNode(headers: Headers, peer: DoorPeer, users: readonly TokenUser[]): boolean {
  const organizations = peer.certificate?.organizations ?? [];
  if (organizations.some((group) => groupsOfNodes.has(group))) return true;
  const [, encoded = ""] =
    /^Basic ([A-Za-z0-9+/=]+)$/i.exec(headers.get("authorization") ?? "") ?? [];
  const [name = "", ...rest] = Buffer.from(encoded, "base64").toString().split(":");
  const password = rest.join(":");
  return users.some(
    (user) =>
      user.name === name &&
      sameSecret(user.password, password) &&
      user.groups.some((group) => groupsOfNodes.has(group)),
  );
}

function statusResponse(code: number, reason: string, message: string): Response {
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure" };
  return Response.json({ ...status, message, reason, code }, { status: code });
}
