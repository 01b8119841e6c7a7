/** All controllers as a server runs them; some need what only a server has: authorities, keys. */
import type { Registry } from "../api/registry.ts";
import type { ApiServer } from "../api/server.ts";
import type { ActingContext } from "../controllers/acting-as.ts";
import { allControllers } from "../controllers/all.ts";
import { signerNames } from "../controllers/certificates/signer-rules.ts";
import { identityControllers } from "../controllers/identity.ts";
import { createIpAddressController } from "../controllers/ip-address.ts";
import { createNodeHostsController } from "../controllers/node/node-hosts.ts";
import { createNodePasswordController } from "../controllers/node/node-password.ts";
import type { Controller, ControllerContext } from "../live/controller.ts";
import { createEventRecorder } from "../live/event-recorder.ts";
import { QueueMetrics } from "../live/queue-metrics.ts";
import { runController } from "../live/run-controller.ts";
import type { WorkWatch } from "../live/work-watch.ts";
import { createRequestSigner } from "../pki/certificate-signers.ts";
import type { Pki } from "../pki/ensure.ts";
import type { ServiceAccountTokens } from "../pki/service-account-tokens.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";
import { createScriptProvisioner } from "./local-storage.ts";
import type { ServerOptions } from "./options.ts";

export interface ServerControllerOptions {
  readonly authorities: Pki["authorities"];
  /** Its key may still be in the making. */
  readonly tokens: Promise<ServiceAccountTokens>;
}

export interface ControllersOptions extends ServerControllerOptions {
  readonly options: ServerOptions;
  readonly api: ApiServer;
  readonly runtime: Runtime;
  /** Told of all work, to find what is stuck. */
  readonly watch: WorkWatch;
}

/** Runs every controller the flags ask for, until the scope ends. */
export function startControllers(scope: Scope, of: ControllersOptions): void {
  const { options, api, runtime, watch } = of;
  const { client, live } = api;
  const queueMetrics = new QueueMetrics(api.metrics, () => runtime.clock.monotonicMs());
  const context = { client, live, runtime, queueMetrics, watch };
  const controllers = allControllers(context, {
    rootCa: of.authorities["server-ca"].certPem,
    metrics: api.metrics,
    serviceLb: !options.disable.has("servicelb"),
    servesIngress: !options.disable.has("traefik"),
    clusterCidrs: options.clusterCidrs,
    nodeCidrMaskSizes: options.nodeCidrMaskSizes,
    allocatesNodeCidrs: options.controllerManager["allocate-node-cidrs"],
    ...controlledResources(api.registry),
  });
  const own = serverControllers(context, of);
  if (!options.disable.has("coredns")) own.push(createNodeHostsController(supervising(context)));
  if (!options.disable.has("local-storage")) own.push(createScriptProvisioner(context));
  const running = api.metrics.gauge(
    "running_managed_controllers",
    "Indicates where instances of a controller are currently running",
  );
  for (const controller of [...controllers, ...own]) {
    const { name } = controller;
    scope.task(name, async (signal) => {
      running.set({ manager: "kube-controller-manager", name }, 1);
      await runController(controller, context, signal).finally(() =>
        running.set({ manager: "kube-controller-manager", name }, 0),
      );
    });
  }
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

/** K3s' own controllers act with all rights. */
function supervising({ client, live, runtime }: ActingContext): ControllerContext {
  return { client, live, runtime, events: createEventRecorder(client, runtime, "k3s", "") };
}

/** Each with its own identity. */
function serverControllers(
  context: ActingContext,
  { authorities, tokens }: ServerControllerOptions,
): Controller[] {
  const { clock } = context.runtime;
  const ofClients = createRequestSigner(authorities["client-ca"], clock);
  const ofServers = createRequestSigner(authorities["server-ca"], clock);
  // Upstream's API server keeps the addresses of services by itself, with all its rights.
  const { client, live, runtime } = context;
  const events = createEventRecorder(client, runtime, "ipallocator", "");
  return [
    createIpAddressController({ client, live, runtime, events }),
    createNodePasswordController(supervising(context)),
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
