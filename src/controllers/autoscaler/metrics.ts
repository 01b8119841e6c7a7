/** Reads the metrics that HorizontalPodAutoscalers ask for from the metrics APIs. */
import type { Client, Resource } from "../../client/client.ts";
import { parseDuration } from "../../lib/duration.ts";
import { quantityMilliValue } from "../../lib/quantity.ts";
import type { KubeObject } from "../../schema/object.ts";
import { parseTime } from "../objects.ts";
import { textOf } from "../pod-control.ts";

/** One pod's use, in thousandths. */
export interface PodMetric {
  readonly value: number;
  readonly timestampMs: number;
  readonly windowMs: number;
}
export type PodMetrics = ReadonlyMap<string, PodMetric>;

interface PodMetricsObject extends KubeObject {
  readonly timestamp: string;
  readonly window: string;
  readonly containers?: readonly {
    readonly name: string;
    readonly usage: Record<string, string>;
  }[];
}

interface MetricValueList extends KubeObject {
  readonly items?: readonly {
    readonly describedObject?: { readonly name?: string };
    readonly timestamp?: string;
    readonly windowSeconds?: number;
    readonly windowSeconds64?: number;
    readonly value: string;
  }[];
}

interface ExternalMetricValue extends KubeObject {
  readonly value: string;
}

const podMetrics: Resource<PodMetricsObject> = {
  group: "metrics.k8s.io",
  version: "v1beta1",
  plural: "pods",
  kind: "PodMetrics",
  namespaced: true,
};

function custom(plural: string, namespaced: boolean): Resource<MetricValueList> {
  const group = "custom.metrics.k8s.io";
  return { group, version: "v1beta2", plural, kind: "MetricValueList", namespaced };
}

function external(plural: string): Resource<ExternalMetricValue> {
  const group = "external.metrics.k8s.io";
  return { group, version: "v1beta1", plural, kind: "ExternalMetricValue", namespaced: true };
}

async function fetched<T>(api: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new Error(`unable to fetch metrics from ${api} metrics API: ${textOf(error)}`);
  }
}

export class MetricsReader {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** The use of cpu or memory by each pod, or by one container of each. */
  async resource(
    resource: string,
    namespace: string,
    labelSelector: string,
    container: string | undefined,
  ): Promise<PodMetrics> {
    const problem = `unable to get metrics for resource ${resource}`;
    let items: readonly PodMetricsObject[];
    try {
      const list = await fetched("resource", () =>
        this.#client.list(podMetrics, namespace, { labelSelector }),
      );
      items = list.items;
      if (items.length === 0) throw new Error("no metrics returned from resource metrics API");
    } catch (error) {
      throw new Error(`${problem}: ${textOf(error)}`);
    }
    const metrics = new Map<string, PodMetric>();
    for (const item of items) {
      const value = usageOf(item, resource, container);
      if (value === undefined) continue;
      metrics.set(item.metadata.name ?? "", {
        value,
        timestampMs: parseTime(item.timestamp),
        windowMs: parseDuration(item.window),
      });
    }
    return metrics;
  }

  /** A custom metric of each pod. */
  async pods(
    metric: string,
    namespace: string,
    labelSelector: string,
    metricLabelSelector: string,
  ): Promise<PodMetrics> {
    const query = { labelSelector, ...(metricLabelSelector ? { metricLabelSelector } : {}) };
    const list = await fetched("custom", () =>
      this.#client.get(custom("pods", true), namespace, "*", { subresource: metric, query }),
    );
    const items = list.items ?? [];
    if (items.length === 0) throw new Error("no metrics returned from custom metrics API");
    return new Map(
      items.map(({ describedObject, timestamp, windowSeconds = 60, value }) => [
        describedObject?.name ?? "",
        {
          value: quantityMilliValue(value),
          timestampMs: parseTime(timestamp),
          windowMs: windowSeconds * 1000,
        },
      ]),
    );
  }

  /** A custom metric of one object, in thousandths. */
  async object(
    resource: Resource<KubeObject>,
    namespace: string,
    name: string,
    metric: string,
    metricLabelSelector: string,
  ): Promise<number> {
    const { plural, group, namespaced } = resource;
    const full = group === "" ? plural : `${plural}.${group}`;
    const query = metricLabelSelector === "" ? {} : { metricLabelSelector };
    const list = await fetched("custom", () =>
      this.#client.get(custom(full, namespaced), namespace, name, { subresource: metric, query }),
    );
    const [item] = list.items ?? [];
    if (item === undefined) throw new Error("no metrics returned from custom metrics API");
    return quantityMilliValue(item.value);
  }

  /** The values of a metric from outside the cluster, in thousandths. */
  async external(metric: string, namespace: string, labelSelector: string): Promise<number[]> {
    const options = labelSelector === "" ? {} : { labelSelector };
    const { items } = await fetched("external", () =>
      this.#client.list(external(metric), namespace, options),
    );
    if (items.length === 0) throw new Error("no metrics returned from external metrics API");
    return items.map(({ value }) => quantityMilliValue(value));
  }
}

/** Undefined when a container does not tell. */
function usageOf(
  { containers = [] }: PodMetricsObject,
  resource: string,
  container: string | undefined,
): number | undefined {
  const wanted =
    container === undefined ? containers : containers.filter(({ name }) => name === container);
  if (wanted.length === 0) return undefined;
  let sum = 0;
  for (const { usage } of wanted) {
    const amount = usage[resource];
    if (amount === undefined) return undefined;
    sum += quantityMilliValue(amount);
  }
  return sum;
}
