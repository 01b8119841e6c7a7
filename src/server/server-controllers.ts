/** The controllers that need what only a server has: authorities and keys. */
import type { Registry } from "../api/registry.ts";
import type { ActingContext } from "../controllers/acting-as.ts";
import { signerNames } from "../controllers/certificates/signer-rules.ts";
import { identityControllers } from "../controllers/identity.ts";
import { createIpAddressController } from "../controllers/ip-address.ts";
import type { Controller } from "../live/controller.ts";
import { createEventRecorder } from "../live/event-recorder.ts";
import { createRequestSigner } from "../pki/certificate-signers.ts";
import type { Pki } from "../pki/ensure.ts";
import type { ServiceAccountTokens } from "../pki/service-account-tokens.ts";

export interface ServerControllerOptions {
  readonly authorities: Pki["authorities"];
  /** Its key may still be in the making. */
  readonly tokens: Promise<ServiceAccountTokens>;
}

/** What is collected, counted and emptied: all that is stored, custom resources as they come. */
export function controlledResources(registry: Registry) {
  const stored = () => registry.all().filter(({ storagePrefix }) => storagePrefix !== null);
  const watched = stored().filter(({ verbs }) => verbs.includes("watch"));
  return {
    collectable: watched.filter(({ custom }) => custom === undefined),
    customResources: () => stored().filter(({ custom, version }) => custom?.storedAs === version),
    namespacedResources: () =>
      stored().filter(({ namespaced, verbs }) => namespaced && verbs.includes("delete")),
  };
}

/** Each with its own identity; whoever runs them uses `runController`. */
export function serverControllers(
  context: ActingContext,
  { authorities, tokens }: ServerControllerOptions,
): readonly Controller[] {
  const { clock } = context.runtime;
  const ofClients = createRequestSigner(authorities["client-ca"], clock);
  const ofServers = createRequestSigner(authorities["server-ca"], clock);
  // Upstream's API server keeps the addresses of services by itself, with all its rights.
  const { client, live, runtime } = context;
  const events = createEventRecorder(client, runtime, "ipallocator", "");
  return [
    createIpAddressController({ client, live, runtime, events }),
    ...identityControllers(context, {
      rootCa: authorities["server-ca"].certPem,
      signSecretToken: async (claims) => (await tokens).signLegacy(claims),
      signers: {
        [signerNames.client]: ofClients,
        [signerNames.kubeletClient]: ofClients,
        [signerNames.kubeletServing]: ofServers,
        [signerNames.legacy]: ofServers,
      },
    }),
  ];
}
