/** The API server put together: store, live sets, pipeline, HTTP. */

import { defaultAdmission } from "../api/admission/default-plugins.ts";
import { createAuthenticate, type StaticUser } from "../api/auth/authenticate.ts";
import { createAuthorizer } from "../api/auth/authorizers.ts";
import type { HealthCheck } from "../api/health.ts";
import { type ApiApp, createApiApp } from "../api/http.ts";
import { createPipeline, type Pipeline, serverUser } from "../api/pipeline.ts";
import { createRegistry, locateIn } from "../api/registry.ts";
import { createSchemaCodec } from "../api/schema-codec.ts";
import type { Client } from "../client/client.ts";
import { createGroups } from "../groups/all.ts";
import type { SignToken } from "../groups/core/service-account-token.ts";
import type { NodeConnector } from "../groups/node-connector.ts";
import { createStoreLiveSets, type StoreLiveSets } from "../live/store-feed.ts";
import type { ServiceAccountTokens } from "../pki/service-account-tokens.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Store } from "../store/store.ts";
import type { ServerOptions } from "./options.ts";
import { versionInfo } from "./version.ts";

export interface ApiServerOptions {
  readonly server: ServerOptions;
  readonly store: Store;
  readonly runtime: Runtime;
  /** The signer of tokens; its key may still be in the making when the server starts. */
  readonly tokens: Promise<ServiceAccountTokens>;
  readonly staticUsers: readonly StaticUser[];
  readonly nodes: NodeConnector;
  /** `host:port` as `/api` tells it. */
  readonly address: string;
  readonly health: () => readonly HealthCheck[];
}

export interface ApiServer {
  readonly app: ApiApp;
  readonly pipeline: Pipeline;
  readonly live: StoreLiveSets;
  /** The server itself as a client, with all rights. */
  readonly client: Client;
}

export function createApiServer(options: ApiServerOptions): ApiServer {
  const { server, store, runtime, tokens } = options;
  const registry = createRegistry(
    createGroups({
      network: {
        serviceCidrs: server.serviceCidr.split(","),
        nodePortMin: server.serviceNodePortRange.first,
        nodePortMax: server.serviceNodePortRange.last,
      },
      nodes: options.nodes,
      signToken: signerOf(tokens),
      verifyToken: async (token, audiences) => (await tokens).verify(token, audiences),
    }),
  );
  const live = createStoreLiveSets({
    store,
    locate: locateIn(registry),
    freeze: false,
    onError: (error) => runtime.log.error("live set lost its feed", { error: String(error) }),
  });
  const pipeline = createPipeline({
    store,
    registry,
    runtime,
    live,
    codec: createSchemaCodec(),
    authorizer: createAuthorizer(live),
    admission: defaultAdmission(),
  });
  const app = createApiApp({
    pipeline,
    runtime,
    authenticate: createAuthenticate({
      verifyToken: async (token) => (await tokens).verify(token),
      staticUsers: options.staticUsers,
      live,
    }),
    health: options.health,
    version: versionInfo,
    serverAddress: options.address,
    extra: async (request) => openIdDocument(new URL(request.url).pathname, await tokens),
  });
  return { app, pipeline, live, client: pipeline.clientOf(serverUser) };
}

function signerOf(tokens: Promise<ServiceAccountTokens>): SignToken {
  return async (claims) => {
    const signer = await tokens;
    const audiences =
      claims.audiences.length === 0 ? signer.defaultAudiences : [...claims.audiences];
    const { boundObject, node } = claims;
    const kinds = { Pod: "pod", Secret: "secret", Node: "node" } as const;
    const { token } = await signer.sign({
      claims: {
        namespace: claims.namespace,
        serviceAccount: { name: claims.serviceAccountName, uid: claims.serviceAccountUid },
        ...(node === undefined ? {} : { node }),
        ...(boundObject === undefined
          ? {}
          : { [kinds[boundObject.kind]]: { name: boundObject.name, uid: boundObject.uid } }),
      },
      audiences,
      expirationSeconds: Math.round(
        (claims.expiresAt.getTime() - claims.issuedAt.getTime()) / 1000,
      ),
    });
    return { token, audiences };
  };
}

/** OpenID discovery of the service account issuer (KEP-1393). */
async function openIdDocument(
  path: string,
  tokens: ServiceAccountTokens,
): Promise<Response | undefined> {
  if (path === "/.well-known/openid-configuration") {
    return Response.json(tokens.discovery(`${tokens.issuer}/openid/v1/jwks`));
  }
  if (path !== "/openid/v1/jwks") return undefined;
  const headers = { "content-type": "application/jwk-set+json" };
  return new Response(JSON.stringify(await tokens.keySet()), { headers });
}
