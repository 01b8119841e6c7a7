/**
 * What k3 is when it is called `kube-apiserver`: the API and what upstream's API server keeps by
 * itself, without scheduler, controllers and node. Its clients bring their own authority.
 */

import type { AdmissionSettings } from "../api/admission/admission-config.ts";
import type { FrontProxyIdentity } from "../api/aggregation/backend.ts";
import type { ApiServer } from "../api/server.ts";
import { createCustomResourceDefinitionController } from "../controllers/custom-resources/definition.ts";
import { createIpAddressController } from "../controllers/ip-address.ts";
import { createLegacyTokenTracking } from "../controllers/legacy-tokens.ts";
import { addressAt } from "../lib/ip-range.ts";
import { createEventRecorder } from "../live/event-recorder.ts";
import { runController } from "../live/run-controller.ts";
import { createServiceAccountTokens, type TokenOptions } from "../pki/service-account-tokens.ts";
import { createExecutor } from "../runtime/executor.ts";
import { holdFileLock } from "../runtime/flock.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import { admissionFor } from "./admission.ts";
import { type ApiSettings, openApiServer } from "./api-server.ts";
import { openAuditor } from "./audit.ts";
import { openAuthentication } from "./authentication.ts";
import { openAuthorization } from "./authorization.ts";
import { bootstrapCluster } from "./bootstrap.ts";
import { storeFolderOf } from "./etcd-door.ts";
import { startFrontDoor } from "./front-door.ts";
import { type HealthSources, healthChecks } from "./health.ts";
import { LocalNodes } from "./local-nodes.ts";
import type { ServerOptions } from "./options.ts";
import { StartError } from "./start-error.ts";
import { k3Version } from "./version.ts";

export interface LoneApiServerOptions {
  /** An etcd of ours, which names the folder of the data. */
  readonly etcdUrl: string;
  /** "" listens on all addresses. */
  readonly bindAddress: string;
  readonly port: number;
  /** What the `kubernetes` Service leads to. */
  readonly advertiseAddress: string;
  readonly serving: { readonly certPem: string; readonly keyPem: string };
  /** PEM of the authorities that name users; "" when none does. */
  readonly clientCaPem: string;
  /** By which the servers of aggregated APIs know us. */
  readonly frontProxy: FrontProxyIdentity | undefined;
  readonly settings: ApiSettings &
    Pick<ServerOptions, "audit" | "authentication" | "authorization">;
  readonly tokens: Pick<TokenOptions, "keyPem" | "verificationPem">;
  readonly admission: AdmissionSettings;
}

/** Starts the server; the promise resolves once `signal` aborts and all has stopped. */
export async function runLoneApiServer(
  options: LoneApiServerOptions,
  runtime: Runtime,
  signal: AbortSignal,
): Promise<void> {
  const executor = createExecutor(runtime);
  const stopped = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  runtime.log.info(`Starting the API server of k3 ${k3Version}`);
  const server = new LoneApiServer(options, runtime, (store) => ({
    clock: runtime.clock,
    store,
    components: executor.health(),
    isStopping: signal.aborted,
    isStarting: false,
  }));
  try {
    await executor.start(server.components());
    runtime.log.info("the API server is up and running");
    await stopped;
  } finally {
    await executor[Symbol.asyncDispose]();
  }
}

class LoneApiServer {
  #store: Store | undefined;
  #api: ApiServer | undefined;

  constructor(
    private readonly options: LoneApiServerOptions,
    private readonly runtime: Runtime,
    private readonly health: (store: Store | undefined) => HealthSources,
  ) {}

  components() {
    const rows: readonly (readonly [
      name: string,
      needs: readonly string[],
      start: (scope: Scope) => Promise<void>,
    ])[] = [
      ["store", [], (scope) => this.#openStore(scope)],
      ["api", ["store"], (scope) => this.#openApi(scope)],
      ["bootstrap", ["api"], () => this.#bootstrap()],
      ["front-door", ["api"], (scope) => this.#frontDoor(scope)],
      ["aggregator", ["bootstrap"], async (scope) => this.#ready().aggregator.start(scope)],
      ["flow-control", ["bootstrap"], async (scope) => this.#ready().flowControl?.start(scope)],
      ["controllers", ["bootstrap"], async (scope) => this.#controllers(scope)],
    ];
    return rows.map(([name, needs, start]) => ({
      name,
      needs,
      start,
      health: () => ({ ok: true }) as const,
    }));
  }

  async #openStore(scope: Scope): Promise<void> {
    const folder = await storeFolderOf(this.options.etcdUrl, this.runtime);
    const other = holdFileLock(`${folder}/k3.lock`);
    if (other !== undefined)
      throw new StartError(`Cannot use ${folder}: process ${other.heldBy} stores its data there`);
    const store = await openSqliteStore(`${folder}/state.db`, this.runtime);
    this.#store = store;
    scope.defer(async () => store[Symbol.asyncDispose]());
  }

  async #openApi(scope: Scope): Promise<void> {
    const { options, runtime } = this;
    if (this.#store === undefined) throw new Error("The API was started before its store");
    const { audiences, issuers } = options.settings.accountTokens;
    const [issuer = "", ...otherIssuers] = issuers;
    const own = { ...options.tokens, issuer, otherIssuers, audiences };
    const tokens = Promise.resolve(createServiceAccountTokens({ ...runtime, ...own }));
    const world = { runtime, scope, tokens };
    const api = openApiServer({
      server: options.settings,
      admission: await admissionFor(options.admission, runtime),
      store: this.#store,
      runtime,
      tokens,
      staticUsers: [],
      nodes: new LocalNodes(runtime.clock, ""),
      usage: undefined,
      authentication: await openAuthentication(options.settings.authentication, world),
      authorization: await openAuthorization(options.settings.authorization, runtime, scope),
      auditor: await openAuditor(options.settings.audit, runtime, scope),
      address: `${options.advertiseAddress}:${options.port}`,
      health: (endpoint) => healthChecks(endpoint, this.health(this.#store)),
      components: async () => [],
      frontProxy: () => options.frontProxy,
    });
    scope.defer(() => api.live[Symbol.dispose]());
    this.#api = api;
  }

  #ready(): ApiServer {
    if (this.#api === undefined) throw new Error("A component was started before the API");
    return this.#api;
  }

  async #bootstrap(): Promise<void> {
    const { settings, advertiseAddress, port, clientCaPem } = this.options;
    await bootstrapCluster(this.#ready().client, {
      service: {
        serviceIp: addressAt(settings.serviceCidrs[0] ?? "", 1),
        address: advertiseAddress,
        port,
      },
      authorities: { clientCaPem, requestHeaderCaPem: undefined },
      serviceCidrs: settings.serviceCidrs,
      clusterDns: [],
      localStoragePath: undefined,
      servesIngress: false,
    });
  }

  async #frontDoor(scope: Scope): Promise<void> {
    const { options, runtime } = this;
    const { app } = this.#ready();
    await startFrontDoor({
      port: options.port,
      host: options.bindAddress === "" ? undefined : options.bindAddress,
      certificates: { ...options.serving, clientCaPem: options.clientCaPem },
      runtime,
      scope,
      fetch: (request, peer) => app.fetch(request, peer),
      upgrade: ({ request, peer, stream }) => app.upgrade(request, peer, stream),
    });
  }

  /** What upstream's API server does on its own behalf. */
  #controllers(scope: Scope): void {
    const { client, live } = this.#ready();
    const { runtime } = this;
    const context = (component: string) => ({
      client,
      live,
      runtime,
      events: createEventRecorder(client, runtime, component, ""),
    });
    const controllers = [
      createCustomResourceDefinitionController(context("apiserver")),
      createIpAddressController(context("ipallocator")),
      createLegacyTokenTracking(context("apiserver")),
    ];
    for (const controller of controllers)
      scope.task(controller.name, (signal) =>
        runController(controller, context("apiserver"), signal),
      );
  }
}
