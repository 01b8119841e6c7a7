/** The checks behind `/healthz`, `/livez` and `/readyz`, under upstream's names. */
import type { HealthCheck } from "../api/health.ts";
import type { HealthEndpoint } from "../api/http.ts";
import type { ComponentHealth } from "../groups/core/virtual.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { Health } from "../runtime/scope.ts";
import type { Store } from "../store/store.ts";

const limits = { storeMsMax: 2_000 } as const;

const all: readonly HealthEndpoint[] = ["healthz", "livez", "readyz"];
const readyOnly: readonly HealthEndpoint[] = ["readyz"];

const well: Health = { ok: true };
const hook = "poststarthook/";

/** Each check stands for the component of ours that does what it asks about. */
const rows: readonly {
  readonly name: string;
  readonly endpoints: readonly HealthEndpoint[];
  readonly by: "nothing" | "the store" | "no stop" | { readonly component: string };
}[] = [
  { name: "ping", endpoints: all, by: "nothing" },
  { name: "log", endpoints: all, by: "nothing" },
  { name: "etcd", endpoints: all, by: "the store" },
  { name: "etcd-readiness", endpoints: readyOnly, by: "the store" },
  { name: "informer-sync", endpoints: readyOnly, by: { component: "api" } },
  ...[
    ["start-apiserver-admission-initializer", "api"],
    ["generic-apiserver-start-informers", "api"],
    ["priority-and-fairness-config-consumer", "flow-control"],
    ["priority-and-fairness-filter", "flow-control"],
    ["storage-readiness", "api"],
    ["start-apiextensions-informers", "api"],
    ["start-apiextensions-controllers", "api"],
    ["crd-informer-synced", "api"],
    ["start-system-namespaces-controller", "bootstrap"],
    ["start-cluster-authentication-info-controller", "bootstrap"],
    // Addresses are given out by looking at the Services: there is no state to repair first.
    ["start-service-ip-repair-controllers", "api"],
    ["rbac/bootstrap-roles", "bootstrap"],
    ["scheduling/bootstrap-system-priority-classes", "bootstrap"],
    ["priority-and-fairness-config-producer", "flow-control"],
    ["bootstrap-controller", "bootstrap"],
    ["start-kube-aggregator-informers", "aggregator"],
    ["apiservice-status-local-available-controller", "aggregator"],
    ["apiservice-status-remote-available-controller", "aggregator"],
    ["apiservice-registration-controller", "aggregator"],
    ["apiservice-discovery-controller", "aggregator"],
    ["kube-apiserver-autoregistration", "aggregator"],
    ["apiservice-openapi-controller", "aggregator"],
  ].map(([name, component = ""]) => ({
    name: `${hook}${name}`,
    endpoints: all,
    by: { component },
  })),
  { name: "autoregister-completion", endpoints: all, by: { component: "aggregator" } },
  { name: "shutdown", endpoints: readyOnly, by: "no stop" },
];

export interface HealthSources {
  readonly clock: Clock;
  /** Undefined while it is being opened. */
  readonly store: Store | undefined;
  readonly components: ReadonlyMap<string, Health>;
  readonly isStopping: boolean;
  /** What has not started yet counts as alive (`--livez-grace-period`). */
  readonly isStarting: boolean;
}

export async function healthChecks(
  endpoint: HealthEndpoint,
  sources: HealthSources,
): Promise<readonly HealthCheck[]> {
  const store = await storeHealth(sources);
  return rows
    .filter(({ endpoints }) => endpoints.includes(endpoint))
    .map((row) => {
      const isGraced = endpoint === "livez" && sources.isStarting && typeof row.by === "object";
      return { name: row.name, ...(isGraced ? well : healthBy(row.by, sources, store)) };
    });
}

/** What `kubectl get componentstatuses` asks about, under the names it has elsewhere. */
export async function componentHealth(sources: HealthSources): Promise<readonly ComponentHealth[]> {
  const store = await storeHealth(sources);
  const parts = [
    ["controller-manager", healthBy({ component: "controllers" }, sources, store)],
    ["etcd-0", store],
    ["scheduler", healthBy({ component: "scheduler" }, sources, store)],
  ] as const;
  return parts.map(([name, health]) => ({ name, reason: health.ok ? "" : health.reason }));
}

function healthBy(by: (typeof rows)[number]["by"], sources: HealthSources, store: Health): Health {
  if (by === "nothing") return { ok: true };
  if (by === "the store") return store;
  if (by === "no stop")
    return sources.isStopping ? { ok: false, reason: "process is shutting down" } : { ok: true };
  const health = sources.components.get(by.component);
  return health ?? { ok: false, reason: `${by.component} has not started` };
}

/** A read through to the disk: it shows a database that is damaged, locked or gone. */
async function storeHealth({ store, clock }: HealthSources): Promise<Health> {
  if (store === undefined) return { ok: false, reason: "the store is not open" };
  const over = new AbortController();
  const late = clock.sleep(limits.storeMsMax, over.signal).then((): Health => {
    return { ok: false, reason: `the store did not answer in ${limits.storeMsMax} ms` };
  });
  const read = store.get("/registry/health").then(
    (): Health => ({ ok: true }),
    (error: unknown): Health => ({ ok: false, reason: `error getting data from etcd: ${error}` }),
  );
  const health = await Promise.race([read, late]);
  over.abort();
  return health;
}
