/** Puts the API together: LiveSets over the store, the pipeline over both, HTTP in front. */
import type { Client } from "../client/client.ts";
import type { LiveSets } from "../live/live-set.ts";
import { createStoreLiveSets, type StoreLiveSets } from "../live/store-feed.ts";
import { collectLoopDelay } from "../runtime/loop-delay.ts";
import { createMetrics, type Metrics } from "../runtime/metrics.ts";
import { collectProcessMetrics } from "../runtime/process-metrics.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Store } from "../store/store.ts";
import { AdmissionMetrics } from "./admission-metrics.ts";
import type { AdmissionPlugin } from "./admission-plugin.ts";
import { Aggregator } from "./aggregation/aggregator.ts";
import type { FrontProxyIdentity } from "./aggregation/backend.ts";
import type { Auditor } from "./audit/auditor.ts";
import { createImpersonate } from "./auth/impersonate.ts";
import type { Authenticate, Authorizer } from "./authorizer.ts";
import { FlowControl, type FlowControlOptions } from "./flowcontrol/flow-control.ts";
import { InFlightGate, type InFlightLimits } from "./flowcontrol/in-flight.ts";
import { WatchCounts } from "./flowcontrol/watch-counts.ts";
import { type ApiApp, type ApiAppOptions, createApiApp } from "./http.ts";
import { listedPaths } from "./listed-paths.ts";
import { createOpenApi } from "./openapi.ts";
import { createPipeline, type Pipeline, serverUser } from "./pipeline.ts";
import { createRegistry, locateIn, type Registry } from "./registry.ts";
import type { ResourceDefinition } from "./resource-definition.ts";
import { createSchemaCodec } from "./schema-codec.ts";
import { collectServerMetrics, deprecatedUses, watchEventSizes } from "./server-metrics.ts";
import { zPage } from "./zpages.ts";

export interface ApiServerOptions
  extends Pick<
    ApiAppOptions,
    "health" | "version" | "serverAddress" | "extra" | "requestTimeoutMs"
  > {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly rows: readonly ResourceDefinition[];
  readonly admission: readonly AdmissionPlugin[];
  /** Made here because RBAC and token checks read the LiveSets. */
  readonly authorizer: (live: LiveSets) => Authorizer;
  readonly authenticate: (live: LiveSets, client: Client) => Authenticate;
  /** Makes the records of requests. */
  readonly auditor?: Auditor | undefined;
  /** By which the servers of aggregated APIs know us. */
  readonly frontProxy?: () => FrontProxyIdentity | undefined;
  /** Of kube-apiserver, as `/flagz` tells them. */
  readonly flags?: Readonly<Record<string, string>>;
  /** How many requests are served at once, and by which rules; absent serves all. */
  readonly concurrency?: Concurrency;
  /** How long a watch lasts at least when its client does not say. */
  readonly minRequestTimeoutSeconds?: number;
  /** Freeze shared objects; on in development and tests. */
  readonly freeze: boolean;
}

/** `--max-requests-inflight` and its mutating sister, shared fairly or taken as they are. */
export interface Concurrency extends InFlightLimits {
  readonly isFair: boolean;
}

export interface ApiServer {
  readonly registry: Registry;
  /** What `/metrics` tells. */
  readonly metrics: Metrics;
  readonly live: StoreLiveSets;
  readonly pipeline: Pipeline;
  readonly app: ApiApp;
  /** To be started once the cluster's own objects are there. */
  readonly aggregator: Aggregator;
  /** Likewise; absent without priority and fairness. */
  readonly flowControl: FlowControl | undefined;
  /** The server as a client of itself, with all rights; others by `as`. */
  readonly client: Client;
}

export function createApiServer(options: ApiServerOptions): ApiServer {
  const { store, runtime, rows, admission, freeze, minRequestTimeoutSeconds } = options;
  const registry = createRegistry(rows);
  const log = runtime.log.named("api");
  const live = createStoreLiveSets({
    store,
    locate: locateIn(registry),
    freeze,
    onError: (error) => log.error("cannot read from the store", { error: String(error) }),
    sleep: (ms) => runtime.clock.sleep(ms, new AbortController().signal),
  });
  const authorizer = options.authorizer(live);
  const metrics = createMetrics();
  const watches = new WatchCounts(watchEventSizes(metrics));
  const pipeline = createPipeline({
    watches,
    admissionMetrics: new AdmissionMetrics(metrics, runtime.clock),
    deprecated: deprecatedUses(metrics),
    store,
    registry,
    runtime,
    live,
    admission,
    codec: createSchemaCodec(),
    authorizer,
    auditor: options.auditor,
    ...(minRequestTimeoutSeconds === undefined ? {} : { minRequestTimeoutSeconds }),
  });
  const client = pipeline.clientOf(serverUser);
  const { frontProxy: identity = () => undefined } = options;
  const aggregator = new Aggregator({ runtime, live, registry, client, identity });
  options.auditor?.countIn(metrics);
  collectProcessMetrics(metrics);
  collectLoopDelay(metrics);
  const flowControl = flowControlOf(options, { live, client, metrics, watches });
  const gate = flowControl ?? inFlightGateOf(options, metrics);
  const zPages = zPagesOf(options, registry);
  const app = createApiApp({
    ...options,
    extra: async (request, user) =>
      flowControl?.dump(new URL(request.url)) ??
      zPage(new URL(request.url).pathname, request.headers.get("accept") ?? "", zPages) ??
      (await options.extra?.(request, user)),
    beforeMetrics: collectServerMetrics({ ...options, metrics, registry, live, watches }),
    ...(gate === undefined ? {} : { gate }),
    metrics,
    pipeline,
    aggregator,
    authenticate: options.authenticate(live, client),
    impersonate: createImpersonate(authorizer),
    openapi: createOpenApi(registry, options.version.gitVersion ?? ""),
  });
  return { registry, metrics, live, pipeline, app, client, aggregator, flowControl };
}

function flowControlOf(
  { concurrency, runtime }: ApiServerOptions,
  parts: Pick<FlowControlOptions, "live" | "client" | "metrics" | "watches">,
): FlowControl | undefined {
  if (concurrency?.isFair !== true) return undefined;
  // The two bounds together are what is shared.
  const { maxRequestsInFlight, maxMutatingRequestsInFlight } = concurrency;
  const serverLimit = maxRequestsInFlight + maxMutatingRequestsInFlight;
  return new FlowControl({ ...parts, runtime, serverLimit });
}

function inFlightGateOf(
  { concurrency }: ApiServerOptions,
  metrics: Metrics,
): InFlightGate | undefined {
  return concurrency === undefined ? undefined : new InFlightGate(concurrency, metrics);
}

function zPagesOf({ runtime, version, flags = {} }: ApiServerOptions, registry: Registry) {
  const { gitVersion = "", major, minor, goVersion = "" } = version;
  return {
    startedAt: runtime.clock.now(),
    now: () => runtime.clock.now(),
    binaryVersion: gitVersion.replace(/^v/, ""),
    emulationVersion: `${major}.${minor}`,
    builtWith: goVersion,
    paths: () => listedPaths(registry),
    flags,
  };
}
