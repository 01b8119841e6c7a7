/** The API server of this process: which rows, keys and authorities `api/server.ts` gets. */

import type { AdmissionPlugin } from "../api/admission-plugin.ts";
import type { FrontProxyIdentity } from "../api/aggregation/backend.ts";
import type { Auditor } from "../api/audit/auditor.ts";
import { createAuthenticate, type StaticUser } from "../api/auth/authenticate.ts";
import type { HealthCheck } from "../api/health.ts";
import type { HealthEndpoint } from "../api/http.ts";
import { type ApiServer, createApiServer } from "../api/server.ts";
import { createGroups } from "../groups/all.ts";
import type { SignToken } from "../groups/core/service-account-token.ts";
import type { ComponentHealth } from "../groups/core/virtual.ts";
import { serveCustomResources } from "../groups/custom/serve.ts";
import type { UsageSource } from "../groups/metrics/usage.ts";
import type { NodeConnector } from "../groups/node-connector.ts";
import type { ServiceAccountTokens } from "../pki/service-account-tokens.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Store } from "../store/store.ts";
import type { Authentication } from "./authentication.ts";
import type { Authorization } from "./authorization.ts";
import type { AccountTokenOptions, ServerOptions } from "./options.ts";
import { versionInfo } from "./version.ts";

/** What of a server's options is about its API. */
export type ApiSettings = Pick<
  ServerOptions,
  "accountTokens" | "serviceCidrs" | "serviceNodePortRange" | "apiServer"
>;

export interface ApiParts {
  readonly server: ApiSettings;
  readonly admission: readonly AdmissionPlugin[];
  readonly store: Store;
  readonly runtime: Runtime;
  /** The signer of tokens; its key may still be in the making when the server starts. */
  readonly tokens: Promise<ServiceAccountTokens>;
  readonly staticUsers: readonly StaticUser[];
  readonly nodes: NodeConnector;
  readonly usage: UsageSource | undefined;
  /** `host:port` as `/api` tells it. */
  readonly address: string;
  readonly auditor: Auditor | undefined;
  readonly authentication: Authentication;
  readonly authorization: Authorization;
  readonly frontProxy: () => FrontProxyIdentity | undefined;
  readonly health: (endpoint: HealthEndpoint) => Promise<readonly HealthCheck[]>;
  readonly components: () => Promise<readonly ComponentHealth[]>;
}

export function openApiServer(parts: ApiParts): ApiServer {
  const { jwksUri } = parts.server.accountTokens;
  const { server, tokens, staticUsers, runtime } = parts;
  const rows = createGroups({
    network: {
      serviceCidrs: server.serviceCidrs,
      nodePortMin: server.serviceNodePortRange.first,
      nodePortMax: server.serviceNodePortRange.last,
    },
    nodes: parts.nodes,
    usage: parts.usage,
    components: parts.components,
    signToken: signerOf(tokens, server.accountTokens),
    expirationSecondsMax: server.accountTokens.expirationSecondsMax,
    verifyToken: async (token, audiences) => (await tokens).verify(token, audiences),
    otherTokens: parts.authentication.otherTokens,
  });
  const api = createApiServer({
    store: parts.store,
    runtime,
    rows,
    admission: parts.admission,
    authorizer: parts.authorization.authorizer,
    auditor: parts.auditor,
    authenticate: (live, client) =>
      createAuthenticate({
        verifyToken: async (token, audiences) => (await tokens).verify(token, audiences),
        ...parts.authentication,
        staticUsers,
        client,
        live,
        clock: runtime.clock,
        onRefused: (error) => runtime.log.warn("Cannot authenticate a request", { error }),
      }),
    health: parts.health,
    frontProxy: parts.frontProxy,
    version: versionInfo,
    serverAddress: parts.address,
    freeze: false,
    concurrency: {
      isFair: server.apiServer["enable-priority-and-fairness"],
      maxRequestsInFlight: server.apiServer["max-requests-inflight"],
      maxMutatingRequestsInFlight: server.apiServer["max-mutating-requests-inflight"],
    },
    flags: {
      ...server.apiServer.flagz,
      "service-cluster-ip-range": server.serviceCidrs.join(","),
      "service-node-port-range": Object.values(server.serviceNodePortRange).join("-"),
    },
    requestTimeoutMs: server.apiServer["request-timeout"],
    minRequestTimeoutSeconds: server.apiServer["min-request-timeout"],
    extra: async (request) =>
      openIdDocument(
        new URL(request.url).pathname,
        await tokens,
        jwksUri ?? `https://${parts.address}/openid/v1/jwks`,
      ),
  });
  for (const { reloads } of [parts.authentication, parts.authorization]) {
    reloads?.countIn(api.metrics);
  }
  serveCustomResources({ ...api, runtime: parts.runtime });
  return api;
}

/**
 * What ServiceAccount admission asks for (an hour and 7 s). Such tokens work for a year, as long
 * as they are for the API server: programs that never read their file again go on.
 */
const extended = { askedSeconds: 3607, givenSeconds: 365 * 24 * 60 * 60 } as const;

function signerOf(
  tokens: Promise<ServiceAccountTokens>,
  { extendsExpiration }: AccountTokenOptions,
): SignToken {
  return async (claims) => {
    const signer = await tokens;
    const asked = claims.audiences;
    const audiences = asked.length === 0 ? signer.defaultAudiences : [...asked];
    const { boundObject, node, expirationSeconds } = claims;
    const kinds = { Pod: "pod", Secret: "secret", Node: "node" } as const;
    const isForServer = audiences.every((one) => signer.defaultAudiences.includes(one));
    const isExtended =
      extendsExpiration && expirationSeconds === extended.askedSeconds && isForServer;
    const { id, token } = await signer.sign({
      claims: {
        namespace: claims.namespace,
        serviceAccount: { name: claims.serviceAccountName, uid: claims.serviceAccountUid },
        ...(node === undefined ? {} : { node }),
        ...(boundObject === undefined
          ? {}
          : { [kinds[boundObject.kind]]: { name: boundObject.name, uid: boundObject.uid } }),
      },
      audiences,
      expirationSeconds: isExtended ? extended.givenSeconds : expirationSeconds,
      ...(isExtended ? { warnAfterSeconds: expirationSeconds } : {}),
    });
    return { id, token, audiences };
  };
}

/** OpenID discovery of the service account issuer (KEP-1393). */
async function openIdDocument(
  path: string,
  tokens: ServiceAccountTokens,
  jwksUri: string,
): Promise<Response | undefined> {
  const headers = { "cache-control": "public, max-age=3600" };
  if (path === "/.well-known/openid-configuration") {
    const type = { "content-type": "application/json" };
    const document = JSON.stringify(tokens.discovery(jwksUri));
    return new Response(document, { headers: { ...headers, ...type } });
  }
  if (path !== "/openid/v1/jwks") return undefined;
  const type = { "content-type": "application/jwk-set+json" };
  return new Response(JSON.stringify(await tokens.keySet()), { headers: { ...headers, ...type } });
}
