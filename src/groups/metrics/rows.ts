/** metrics.k8s.io/v1beta1: what `kubectl top` and autoscalers read; worked out when asked for. */
import type { ResourceDefinition } from "../../api/resource-definition.ts";
import { nodeMetrics, nodes, podMetrics, pods } from "../../client/resources.ts";
import type { Node, Pod } from "../../gen/core-v1.ts";
import type { NodeMetrics, PodMetrics } from "../../gen/metrics-v1beta1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LiveSets } from "../../live/live-set.ts";
import { column, define } from "../row.ts";
import type { Usage, UsageSource } from "./usage.ts";

const apiVersion = "metrics.k8s.io/v1beta1";
const never = new AbortController().signal;

/** The rows of the group, over the usage that `source` knows. */
export function metricsRows(source: UsageSource): readonly ResourceDefinition[] {
  return [
    define<NodeMetrics>(nodeMetrics, {
      singular: "node",
      verbs: ["get", "list"],
      columns: [
        column("CPU", ({ usage }) => usage.cpu ?? ""),
        column("Memory", ({ usage }) => usage.memory ?? ""),
        column("Window", ({ window }) => window),
      ],
      age: -1,
      storagePrefix: null,
      computed: (_namespace, { live }) => allNodes(source, live),
    }),
    define<PodMetrics>(podMetrics, {
      singular: "pod",
      verbs: ["get", "list"],
      columns: [
        column("CPU", ({ containers }) => total(containers, "cpu")),
        column("Memory", ({ containers }) => total(containers, "memory")),
        column("Window", ({ window }) => window),
      ],
      age: -1,
      storagePrefix: null,
      computed: (namespace, { live }) => allPods(source, live, namespace),
    }),
  ];
}

async function allNodes(source: UsageSource, live: LiveSets): Promise<NodeMetrics[]> {
  const set = live.of(nodes);
  await set.ready(never);
  return Array.from(set.list()).flatMap(({ object }) => {
    const usage = source.node(object.metadata.name ?? "");
    if (usage === undefined) return [];
    return [
      {
        apiVersion,
        kind: "NodeMetrics",
        metadata: metadataOf(object, usage),
        ...timesOf(usage),
        usage: amounts(usage),
      },
    ];
  });
}

async function allPods(
  source: UsageSource,
  live: LiveSets,
  namespace: string,
): Promise<PodMetrics[]> {
  const set = live.of(pods);
  await set.ready(never);
  const prefix = namespace === "" ? "" : `${namespace}/`;
  return Array.from(set.list(prefix)).flatMap(({ object }) => {
    const { namespace: place = "", name = "" } = object.metadata;
    const used = source.pod(place, name);
    const [first] = used?.values() ?? [];
    if (used === undefined || first === undefined) return [];
    return [
      {
        apiVersion,
        kind: "PodMetrics",
        metadata: metadataOf(object, first),
        ...timesOf(first),
        containers: Array.from(used, ([container, usage]) => ({
          name: container,
          usage: amounts(usage),
        })),
      },
    ];
  });
}

function metadataOf({ metadata }: DeepReadonly<Node | Pod>, { atMs }: Usage) {
  const { name = "", namespace, labels } = metadata;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(labels === undefined ? {} : { labels: { ...labels } }),
    creationTimestamp: timeText(atMs),
  };
}

function timesOf({ atMs, windowMs }: Usage) {
  return { timestamp: timeText(atMs), window: `${windowMs / 1000}s` };
}

function timeText(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19)}Z`;
}

/** In metrics-server's units. */
function amounts({ cpuNanoCores, memoryBytes }: Usage): Record<string, string> {
  return { cpu: `${cpuNanoCores}n`, memory: `${Math.round(memoryBytes / 1024)}Ki` };
}

function total(containers: DeepReadonly<PodMetrics["containers"]>, resource: string): string {
  const unit = resource === "cpu" ? "n" : "Ki";
  const sum = containers.reduce((all, { usage }) => all + parseInt(usage[resource] ?? "0", 10), 0);
  return `${sum}${unit}`;
}
