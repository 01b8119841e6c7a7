/** What `/metrics` tells of objects and watches, under upstream's names. */
import type { StoreLiveSets } from "../live/store-feed.ts";
import type { Labels, Metrics } from "../runtime/metrics.ts";
import { prefixRange, type Store } from "../store/store.ts";
import { groupResource } from "./errors.ts";
import type { WatchCounts } from "./flowcontrol/watch-counts.ts";
import { type Registry, storagePrefixOf } from "./registry.ts";
import type { ApiRequest } from "./request.ts";
import type { ResourceDefinition } from "./resource-definition.ts";

export interface ServerMetricsOptions {
  readonly metrics: Metrics;
  readonly registry: Registry;
  readonly live: StoreLiveSets;
  readonly store: Store;
  readonly watches: WatchCounts;
  /** The object of `/version`. */
  readonly version: Readonly<Record<string, string>>;
}

/** Counted anew at each look; the answer is to be awaited before the metrics are read. */
export function collectServerMetrics(options: ServerMetricsOptions): () => Promise<void> {
  const { metrics, watches, version } = options;
  const counts = new Map<ResourceDefinition, number>();
  metrics.collect("apiserver_storage_objects", objectsHelp, () =>
    [...counts].map(([row, count]) => [{ resource: groupResource(row) }, count] as const),
  );
  metrics.collect("apiserver_resource_objects", objectsHelp, () =>
    [...counts].map(([row, count]) => [{ group: row.group, resource: row.plural }, count] as const),
  );
  const size = { bytes: 0 };
  metrics.collect("apiserver_storage_size_bytes", "Bytes that the store's data takes.", () => [
    [{ storage_cluster_id: "k3" }, size.bytes],
  ]);
  metrics.collect(
    "apiserver_longrunning_requests",
    "Gauge of all active long-running apiserver requests broken out by verb, group, version, " +
      "resource, scope and component. Not all requests are tracked this way.",
    () => [...watches.tallies].map(({ resource, open }) => [watchLabels(resource), open] as const),
  );
  metrics.collect(
    "apiserver_watch_events_total",
    "Number of events sent in watch clients",
    () => [...watches.tallies].map(({ resource, events }) => [labelsOf(resource), events] as const),
    "counter",
  );
  metrics.collect(
    "apiserver_storage_events_received_total",
    "Number of etcd events received split by kind.",
    () => receivedEvents(options),
    "counter",
  );
  const build = {
    build_date: version.buildDate ?? "",
    compiler: version.compiler ?? "",
    git_commit: version.gitCommit ?? "",
    git_tree_state: version.gitTreeState ?? "",
    git_version: version.gitVersion ?? "",
    go_version: version.goVersion ?? "",
    major: version.major ?? "",
    minor: version.minor ?? "",
    platform: version.platform ?? "",
  };
  metrics.collect("kubernetes_build_info", buildHelp, () => [[build, 1]]);
  return async () => {
    size.bytes = await options.store.sizeBytes().catch(() => -1);
    await countObjects(options, counts);
  };
}

/** Of each resource by the version that was told of most. */
function receivedEvents({ registry, live }: ServerMetricsOptions) {
  const received = new Map<string, readonly [Labels, number]>();
  for (const definition of registry.all()) {
    const { group, plural } = definition;
    const key = groupResource(definition);
    const count = definition.storagePrefix === null ? 0 : (live.stats(definition)?.received ?? 0);
    if (count > (received.get(key)?.[1] ?? 0))
      received.set(key, [{ group, resource: plural }, count]);
  }
  return received.values();
}

/** Where the sizes of a resource's watch events are told. */
export function watchEventSizes(
  metrics: Metrics,
): (resource: WatchedResource) => (bytes: number) => void {
  const sizes = metrics.histogram(
    "apiserver_watch_events_sizes",
    "Watch event size distribution in bytes",
    Array.from({ length: 8 }, (_, exponent) => 1024 * 2 ** exponent),
  );
  return (resource) => sizes.bound(labelsOf(resource));
}

/** Notes which deprecated kinds have been asked for. */
export function deprecatedUses(metrics: Metrics): (request: ApiRequest) => void {
  const uses = metrics.gauge(
    "apiserver_requested_deprecated_apis",
    "Deprecated APIs that have been requested, by group, version, resource, subresource and the " +
      "release that will not have them.",
  );
  return ({ resource, subresource }) => {
    const { group, version, plural } = resource;
    uses.set({ group, removed_release: "", resource: plural, subresource, version }, 1);
  };
}

const objectsHelp =
  "Number of stored objects at the time of last check split by kind. In case of a fetching " +
  "error, the value will be -1.";
const buildHelp =
  "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree " +
  "state, build date, Go version, and compiler from which Kubernetes was built, and platform on " +
  "which it is running.";

function labelsOf({ group, version, plural }: WatchedResource): Labels {
  return { group, resource: plural, version };
}

interface WatchedResource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
}

function watchLabels(resource: WatchedResource): Labels {
  return {
    ...labelsOf(resource),
    component: "apiserver",
    scope: "",
    subresource: "",
    verb: "WATCH",
  };
}

/** Caches know how much they hold; what has none is counted in the store. */
async function countObjects(
  { registry, live, store }: ServerMetricsOptions,
  counts: Map<ResourceDefinition, number>,
): Promise<void> {
  counts.clear();
  const seen = new Set<string>();
  for (const row of registry.all()) {
    if (row.storagePrefix === null) continue;
    const prefix = storagePrefixOf(row);
    if (seen.has(prefix)) continue;
    seen.add(prefix);
    const known = live.stats(row)?.count;
    counts.set(row, known ?? (await store.count(prefixRange(prefix)).catch(() => -1)));
  }
}
