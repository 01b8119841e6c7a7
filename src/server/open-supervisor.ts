/** The supervisor of this server: who may ask, and what nodes get to know and to have. */
import { bootstrapUser } from "../api/auth/bootstrap-token.ts";
import type { ApiServer } from "../api/server.ts";
import type { Pki } from "../pki/ensure.ts";
import type { TokenUser } from "../pki/tokens.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { clusterSettings, issueToNode } from "./join-endpoints.ts";
import { NodePasswords } from "./node-passwords.ts";
import type { ServerOptions } from "./options.ts";
import { createSupervisor, type Supervisor } from "./supervisor.ts";

export interface SupervisorParts {
  readonly options: ServerOptions;
  readonly runtime: Runtime;
  readonly pki: Pki;
  readonly users: readonly TokenUser[];
  readonly api: ApiServer;
  readonly serviceIp: string;
  /** `host:port` by which other machines reach this API server. */
  readonly apiAddress: string;
  readonly isReady: () => boolean;
}

export function openSupervisor(parts: SupervisorParts): Supervisor {
  const { options, runtime, pki, api } = parts;
  const { authorities } = pki;
  const desk = {
    authorities,
    passwords: new NodePasswords(api.client, runtime.random),
    clock: runtime.clock,
    clusterDomain: options.clusterDomain,
    serviceIp: parts.serviceIp,
    leafDays: options.leafDays,
  };
  return createSupervisor({
    serverCaPem: authorities["server-ca"].certPem,
    clientCaPem: authorities["client-ca"].certPem,
    users: parts.users,
    bootstrapGroups: async (token) => {
      const user = await bootstrapUser(token, { live: api.live, now: runtime.clock.now() });
      return user?.groups;
    },
    isReady: parts.isReady,
    config: () => clusterSettings(options),
    apiServers: () => [parts.apiAddress],
    issue: (ask) => issueToNode(desk, ask),
  });
}
