/** For tests: the real rows, schema, admission and roles over a memory store and a seeded world. */
import { defaultAdmission } from "../api/admission/default-plugins.ts";
import { AdmissionMetrics } from "../api/admission-metrics.ts";
import type { AdmissionPlugin } from "../api/admission-plugin.ts";
import type { Auditor } from "../api/audit/auditor.ts";
import { createAuthorizer } from "../api/auth/authorizers.ts";
import { ensureBootstrapPolicy } from "../api/auth/reconcile-policy.ts";
import { createPipeline, type Pipeline, serverUser } from "../api/pipeline.ts";
import { createRegistry, locateIn, type Registry } from "../api/registry.ts";
import { createSchemaCodec } from "../api/schema-codec.ts";
import type { Client, Resource } from "../client/client.ts";
import { namespaces, serviceAccounts } from "../client/resources.ts";
import { ApiError, isReason } from "../lib/api-error.ts";
import { createStoreLiveSets, type StoreLiveSets } from "../live/store-feed.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import type { KubeObject } from "../schema/object.ts";
import { openMemoryStore } from "../store/memory.ts";
import type { Store } from "../store/store.ts";
import { createGroups } from "./all.ts";
import type { UsageSource } from "./metrics/usage.ts";
import { noNodes } from "./node-connector.ts";

export interface World extends AsyncDisposable {
  /** With all rights. */
  readonly client: Client;
  readonly live: StoreLiveSets;
  readonly runtime: ReturnType<typeof createSimulatedRuntime>;
  readonly pipeline: Pipeline;
  readonly store: Store;
  readonly registry: Registry;
}

export interface WorldOptions {
  readonly usage?: UsageSource;
  /** Where admission is counted. */
  readonly metrics?: Metrics;
  readonly auditor?: (runtime: Runtime) => Auditor;
  /** The default chain unless told. */
  readonly admission?: readonly AdmissionPlugin[];
  /** One IPv4 range unless told. */
  readonly serviceCidrs?: readonly string[];
}

/** What a server is made of but for its store, which outlives it. */
type Server = Omit<World, keyof AsyncDisposable | "runtime" | "store">;

/** A server as it comes up over what `store` holds. */
export async function openServer(
  runtime: Runtime,
  store: Store,
  options: WorldOptions = {},
): Promise<Server> {
  const { serviceCidrs = ["10.43.0.0/16"] } = options;
  const registry = createRegistry(
    createGroups({
      network: { serviceCidrs, nodePortMin: 30000, nodePortMax: 32767 },
      ...options,
      nodes: noNodes,
      signToken: async ({ serviceAccountName }) => ({
        token: `token of ${serviceAccountName}`,
        audiences: ["k3"],
      }),
      verifyToken: async () => undefined,
    }),
  );
  const live = createStoreLiveSets({
    store,
    locate: locateIn(registry),
    freeze: true,
    onError: (error) => {
      throw error;
    },
  });
  const pipeline = createPipeline({
    store,
    registry,
    runtime,
    live,
    codec: createSchemaCodec(),
    authorizer: createAuthorizer(live),
    admission: options.admission ?? defaultAdmission(),
    auditor: options.auditor?.(runtime),
    ...(options.metrics && {
      admissionMetrics: new AdmissionMetrics(options.metrics, runtime.clock),
    }),
  });
  const client = pipeline.clientOf(serverUser);
  await ensureBootstrapPolicy(client);
  for (const name of ["default", "kube-system", "kube-public", "kube-node-lease"]) {
    const body = { apiVersion: "v1", kind: "Namespace", metadata: { name }, spec: {} };
    await unlessThere(client.create(namespaces, body));
  }
  return { client, live, pipeline, registry };
}

async function unlessThere(work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!isReason(error, "AlreadyExists")) throw error;
  });
}

/** A server with its own namespaces and the account of `default`, as controllers leave it. */
export async function openWorld(options: WorldOptions = {}): Promise<World> {
  const runtime = createSimulatedRuntime(1);
  const store = openMemoryStore(runtime);
  const server = await openServer(runtime, store, options);
  await server.client.create(serviceAccounts, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "default", namespace: "default" },
  });
  return {
    ...server,
    runtime,
    store,
    async [Symbol.asyncDispose](): Promise<void> {
      await store[Symbol.asyncDispose]();
    },
  };
}

/** `field: message` of every cause; empty when the object is accepted. */
export async function problemsOf<T extends KubeObject>(
  { client }: World,
  resource: Resource<T>,
  object: T,
): Promise<readonly string[]> {
  try {
    await client.create(resource, object);
    return [];
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 422) throw error;
    return (error.details?.causes ?? []).map(({ field, message }) => `${field}: ${message}`);
  }
}
