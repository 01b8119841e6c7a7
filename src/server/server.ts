/** `k3 server` from decoded options to a running node; resolves when it has stopped. */

import type { FrontProxyIdentity } from "../api/aggregation/backend.ts";
import type { HealthCheck } from "../api/health.ts";
import type { HealthEndpoint } from "../api/http.ts";
import type { ApiServer } from "../api/server.ts";
import { urlHost } from "../api/service-address.ts";
import { createCustomResourceDefinitionController } from "../controllers/custom-resources/definition.ts";
import { createLegacyTokenTracking } from "../controllers/legacy-tokens.ts";
import { UsageCollector } from "../groups/metrics/usage.ts";
import { addressAt, familyOf, firstOf } from "../lib/ip-range.ts";
import type { ControllerContext } from "../live/controller.ts";
import { createEventRecorder } from "../live/event-recorder.ts";
import { runController } from "../live/run-controller.ts";
import { WorkWatch } from "../live/work-watch.ts";
import type { Pki } from "../pki/ensure.ts";
import {
  createServiceAccountTokens,
  type ServiceAccountTokens,
} from "../pki/service-account-tokens.ts";
import type { ServerTokens } from "../pki/tokens.ts";
import { type Bundle, payloadFile, unpackBundle } from "../runtime/bundle.ts";
import { createExecutor, type TimedExecutor } from "../runtime/executor.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Component, Health, Scope } from "../runtime/scope.ts";
import { createScheduler } from "../scheduler/scheduler.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import { admissionFor } from "./admission.ts";
import { openApiServer } from "./api-server.ts";
import { openAuditor } from "./audit.ts";
import { openAuthentication } from "./authentication.ts";
import { openAuthorization } from "./authorization.ts";
import { bootstrapCluster } from "./bootstrap.ts";
import { CachePulse } from "./cache-pulse.ts";
import { collectCertificateMetrics } from "./certificate-metrics.ts";
import { doorCertificates, kubeletCertificates } from "./door-certificates.ts";
import { type FrontDoor, startFrontDoor } from "./front-door.ts";
import { componentHealth, type HealthSources, healthChecks } from "./health.ts";
import { keepCertificates, prepareIdentity } from "./identity.ts";
import { LocalNodes } from "./local-nodes.ts";
import { asksForTunnel, type NodeTunnels } from "./node-tunnels.ts";
import { openSupervisor } from "./open-supervisor.ts";
import type { ServerOptions } from "./options.ts";
import { nodeIpsOf } from "./own-address.ts";
import { startOwnNode } from "./own-node.ts";
import { createRemoteNodes } from "./remote-nodes.ts";
import { readSchedulerConfig } from "./scheduler-config.ts";
import { startControllers } from "./server-controllers.ts";
import { ServiceManager } from "./service-manager.ts";
import { refuseSecondServer } from "./single.ts";
import type { Supervisor } from "./supervisor.ts";
import { k3Version } from "./version.ts";

/** What the components make for each other, in the order of their needs. */
interface Made {
  bundle?: Bundle;
  pki?: Pki;
  tokens?: ServerTokens;
  store?: Store;
  api?: ApiServer;
  pulse?: CachePulse;
  accountTokens?: Promise<ServiceAccountTokens>;
  door?: FrontDoor;
  kubeletDoor?: FrontDoor;
}

/** Starts everything; the promise resolves once `signal` aborts and all has stopped. */
export async function runServer(
  options: ServerOptions,
  runtime: Runtime,
  signal: AbortSignal,
): Promise<void> {
  refuseSecondServer(options);
  const executor = createExecutor(runtime);
  const stopped = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  const alive = new AbortController();
  const manager = new ServiceManager(runtime, process.env);
  runtime.log.info(`Starting k3 ${k3Version}`, { dataDir: options.dataDir });
  const server = new Server(options, runtime, executor, signal);
  try {
    await executor.start(server.components());
    if (options.debug) tellTimings(executor, runtime);
    runtime.log.info("k3 is up and running");
    manager.ready(alive.signal);
    await stopped;
    manager.stopping();
    // Balancers see that it is not ready any more before it stops to serve.
    const delayMs = options.apiServer["shutdown-delay-duration"];
    await runtime.clock.sleep(delayMs, alive.signal);
  } finally {
    await executor[Symbol.asyncDispose]();
    alive.abort();
    runtime.log.info("k3 has stopped");
  }
}

function tellTimings(executor: TimedExecutor, runtime: Runtime): void {
  for (const { name, startedAtMs, tookMs } of executor.timings()) {
    const fields = { startedAtMs: Math.round(startedAtMs), tookMs: Math.round(tookMs) };
    runtime.log.debug(`started ${name}`, fields);
  }
}

/** Events of a starting pod are written while the runtime works, not before it is called. */
const eventLagMs = 20;

class Server {
  readonly #made: Made = {};
  readonly #nodes: LocalNodes;
  readonly #tunnels: NodeTunnels | undefined;
  /** Absent with `--disable=metrics-server`. */
  readonly #usage: UsageCollector | undefined;
  readonly #nodeIps: readonly string[];
  readonly #serviceIp: string;
  readonly #startedMs: number;
  readonly #work: Readonly<Record<"controllers" | "scheduler", WorkWatch>>;

  constructor(
    private readonly options: ServerOptions,
    private readonly runtime: Runtime,
    private readonly executor: TimedExecutor,
    private readonly stop: AbortSignal,
  ) {
    const { clock } = runtime;
    this.#startedMs = clock.monotonicMs();
    this.#work = { controllers: new WorkWatch(clock), scheduler: new WorkWatch(clock) };
    const { remote, tunnels } = createRemoteNodes(options, runtime, {
      pki: () => need(this.#made.pki),
      live: () => need(this.#made.api).live,
    });
    this.#nodes = new LocalNodes(clock, options.nodeName, remote);
    this.#tunnels = tunnels;
    this.#usage = options.disable.has("metrics-server")
      ? undefined
      : new UsageCollector(this.#nodes, runtime);
    this.#nodeIps = nodeIpsOf(options.nodeIps, options.serviceCidrs.map(familyOf));
    this.#serviceIp = addressAt(options.serviceCidrs[0] ?? "", 1);
  }

  /** Where others reach the API: of the family of the Service that leads to it. */
  #advertised(): string {
    const { advertise, serviceCidrs } = this.options;
    const family = familyOf(serviceCidrs[0] ?? "");
    return advertise.address ?? firstOf(this.#nodeIps, family) ?? this.#nodeIps[0] ?? "";
  }

  /** The table of what runs for which flags. */
  components(): readonly Component[] {
    const { options } = this;
    const rows: readonly (readonly [
      name: string,
      needs: readonly string[],
      start: (scope: Scope) => Promise<void>,
      wanted: boolean,
    ])[] = [
      ["bundle", [], () => this.#unpack(), true],
      ["pki", [], (scope) => this.#keys(scope), true],
      ["store", [], (scope) => this.#openStore(scope), true],
      ["api", ["store", "pki"], (scope) => this.#api(scope), true],
      ["bootstrap", ["api"], () => this.#bootstrap(), true],
      ["front-door", ["api"], (scope) => this.#frontDoor(scope), true],
      [
        "aggregator",
        ["bootstrap"],
        async (scope) => need(this.#made.api).aggregator.start(scope),
        true,
      ],
      ["definitions", ["bootstrap"], async (scope) => this.#definitions(scope), true],
      [
        "flow-control",
        ["bootstrap"],
        async (scope) => need(this.#made.api).flowControl?.start(scope),
        true,
      ],
      [
        "controllers",
        ["bootstrap"],
        async (scope) => this.#controllers(scope),
        !options.disableControllerManager,
      ],
      ["scheduler", ["bootstrap"], (scope) => this.#scheduler(scope), !options.disableScheduler],
      [
        "usage",
        ["bootstrap"],
        async (scope) => this.#usage?.start(scope, need(this.#made.api).live),
        this.#usage !== undefined,
      ],
      ["agent", ["bundle", "bootstrap"], (scope) => this.#agent(scope), !options.disableAgent],
    ];
    return rows
      .filter(([, , , wanted]) => wanted)
      .map(([name, needs, start]) => ({ name, needs, start, health: this.#healthOf(name) }));
  }

  /** What is known of a component beyond that its tasks have not failed. */
  #healthOf(name: string): () => Health {
    const { controllers, scheduler } = this.#work;
    const known: Readonly<Record<string, () => Health>> = {
      api: () => this.#made.pulse?.health() ?? { ok: true },
      controllers: () => controllers.health(),
      scheduler: () => scheduler.health(),
    };
    return known[name] ?? (() => ({ ok: true }));
  }

  async #unpack(): Promise<void> {
    const payload = payloadFile();
    if (payload === undefined) {
      throw new Error("Cannot find the bundled programs: build them with scripts/build");
    }
    const { dataDir } = this.options;
    this.#made.bundle = await unpackBundle({ dataDir, payload });
    // Everything k3 starts finds its own nft, ip, conntrack and runc first.
    process.env.PATH = `${this.#made.bundle.bin}:${process.env.PATH ?? ""}`;
  }

  async #keys(scope: Scope): Promise<void> {
    const { options, runtime } = this;
    const of = { options, runtime, nodeIps: this.#nodeIps, serviceIp: this.#serviceIp };
    const { pki, tokens } = await prepareIdentity(of);
    this.#made.pki = pki;
    this.#made.tokens = tokens;
    scope.task("certificates", (signal) =>
      keepCertificates(of, pki, (renewed) => this.#renewed(renewed), signal),
    );
  }

  #renewed(pki: Pki): void {
    this.#made.door?.replaceCertificates(doorCertificates(pki));
    this.#made.kubeletDoor?.replaceCertificates(kubeletCertificates(pki));
  }

  async #openStore(scope: Scope): Promise<void> {
    const store = await openSqliteStore(this.options.databaseFile, this.runtime);
    this.#made.store = store;
    scope.defer(async () => store[Symbol.asyncDispose]());
  }

  async #api(scope: Scope): Promise<void> {
    const { options, runtime } = this;
    const pki = need(this.#made.pki);
    const { audiences, issuers } = options.accountTokens;
    const [issuer = "", ...otherIssuers] = issuers;
    const tokens = pki.serviceKeyPem.then((keyPem) =>
      createServiceAccountTokens({ ...runtime, keyPem, issuer, otherIssuers, audiences }),
    );
    this.#made.accountTokens = tokens;
    tokens.catch((error) => runtime.log.error("No service account key", { error: String(error) }));
    const auditor = await openAuditor(options.audit, runtime, scope);
    const api = openApiServer({
      server: options,
      admission: await admissionFor(options.admission, runtime),
      store: need(this.#made.store),
      runtime,
      tokens,
      staticUsers: need(this.#made.tokens).users,
      nodes: this.#nodes,
      usage: this.#usage,
      address: `${urlHost(this.#advertised())}:${options.httpsListenPort}`,
      health: (endpoint) => this.#health(endpoint),
      components: () => componentHealth(this.#healthSources()),
      frontProxy: () => this.#frontProxy(),
      auditor,
      authentication: await openAuthentication(options.authentication, { runtime, scope, tokens }),
      authorization: await openAuthorization(options.authorization, runtime, scope),
    });
    scope.defer(() => api.live[Symbol.dispose]());
    this.#made.api = api;
    collectCertificateMetrics(api.metrics, pki, runtime.clock);
    const pulse = new CachePulse(runtime.clock, need(this.#made.store), api.live);
    this.#made.pulse = pulse;
    scope.task("pulse", (signal) => pulse.run(signal));
  }

  #frontProxy(): FrontProxyIdentity {
    const { certPem: cert, keyPem: key } = need(this.#made.pki).leaves["client-auth-proxy"];
    return { cert, key };
  }

  #health(endpoint: HealthEndpoint): Promise<readonly HealthCheck[]> {
    return healthChecks(endpoint, this.#healthSources());
  }

  #healthSources(): HealthSources {
    const { clock } = this.runtime;
    const graceMs = this.options.apiServer["livez-grace-period"];
    return {
      clock,
      store: this.#made.store,
      components: this.executor.health(),
      isStopping: this.stop.aborted,
      isStarting: clock.monotonicMs() < this.#startedMs + graceMs,
    };
  }

  /** A server is ready without its own node: that one reports by its Node object. */
  #isReady(): boolean {
    const { stop, executor } = this;
    const own = [...executor.health()].filter(([name]) => name !== "bundle" && name !== "agent");
    return !stop.aborted && own.every(([, { ok }]) => ok);
  }

  async #bootstrap(): Promise<void> {
    const { options } = this;
    const { authorities } = need(this.#made.pki);
    await bootstrapCluster(need(this.#made.api).client, {
      service: {
        serviceIp: this.#serviceIp,
        address: this.#advertised(),
        port: options.advertise.port,
      },
      authorities: {
        clientCaPem: authorities["client-ca"].certPem,
        requestHeaderCaPem: authorities["request-header-ca"].certPem,
        requestHeaders: options.authentication.requestHeaders,
      },
      serviceCidrs: options.serviceCidrs,
      clusterDns: options.disable.has("coredns") ? [] : options.clusterDns,
      localStoragePath: options.disable.has("local-storage") ? undefined : options.localStoragePath,
      servesIngress: !options.disable.has("traefik"),
    });
  }

  async #frontDoor(scope: Scope): Promise<void> {
    const { options, runtime } = this;
    const pki = need(this.#made.pki);
    const { app } = need(this.#made.api);
    const args = options.apiServer;
    const supervisor = this.#supervisor();
    this.#made.door = await startFrontDoor({
      port: options.httpsListenPort,
      host: options.bindAddress === "" ? undefined : options.bindAddress,
      certificates: doorCertificates(pki),
      runtime,
      scope,
      fetch: (request, peer) =>
        supervisor.serves(request.path)
          ? supervisor.fetch(request.toRequest(), peer)
          : app.fetch(request, peer),
      upgrade: (asked) =>
        this.#tunnels !== undefined && asksForTunnel(asked)
          ? this.#tunnels.serve(asked)
          : app.upgrade(asked.request, asked.peer, asked.stream),
      manners: {
        drainMs: args["request-timeout"],
        goawayChance: args["goaway-chance"],
        streamsPerConnectionMax: args["http2-max-streams-per-connection"],
        sendsRetryAfter: args["shutdown-send-retry-after"],
      },
    });
  }

  #supervisor(): Supervisor {
    const { options, runtime } = this;
    const { pki, tokens, api } = this.#made;
    return openSupervisor({
      options,
      runtime,
      pki: need(pki),
      users: need(tokens).users,
      api: need(api),
      serviceIp: this.#serviceIp,
      apiAddress: `${urlHost(this.#advertised())}:${options.advertise.port}`,
      isReady: () => this.#isReady(),
    });
  }

  #context(component: string): ControllerContext {
    const { client, live } = need(this.#made.api);
    const { runtime, options } = this;
    const events = createEventRecorder(client, runtime, component, options.nodeName, eventLagMs);
    return { client, live, runtime, events };
  }

  #controllers(scope: Scope): void {
    startControllers(scope, {
      options: this.options,
      api: need(this.#made.api),
      runtime: this.runtime,
      authorities: need(this.#made.pki).authorities,
      tokens: need(this.#made.accountTokens),
      watch: this.#work.controllers,
    });
  }

  /** What is the API server's own affair: it acts with all its rights. */
  #definitions(scope: Scope): void {
    const context = this.#context("apiserver");
    for (const controller of [
      createCustomResourceDefinitionController(context),
      createLegacyTokenTracking(context),
    ]) {
      scope.task(controller.name, (signal) => runController(controller, context, signal));
    }
  }

  async #scheduler(scope: Scope): Promise<void> {
    const { client, live } = need(this.#made.api);
    const own = client.as("system:kube-scheduler", ["system:authenticated"]);
    const events = createEventRecorder(own, this.runtime, "default-scheduler", "", eventLagMs);
    const options = await readSchedulerConfig(this.options.schedulerConfigFile, this.runtime);
    const { scheduler: watch } = this.#work;
    const context = { client: own, live, runtime: this.runtime, events, watch };
    const { metrics } = need(this.#made.api);
    const scheduler = createScheduler(context, { ...options, metrics });
    scope.task("scheduler", (signal) => scheduler.run(signal));
  }

  async #agent(scope: Scope): Promise<void> {
    const context = this.#context("kubelet");
    const { app, door } = await startOwnNode({
      options: this.options,
      nodeIps: this.#nodeIps,
      context,
      scope,
      bundle: need(this.#made.bundle),
      certificates: kubeletCertificates(need(this.#made.pki)),
    });
    this.#nodes.add(this.options.nodeName, app);
    this.#made.kubeletDoor = door;
  }
}

function need<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("A component was started before what it needs");
  return value;
}
