/** What each metric of a HorizontalPodAutoscaler proposes. */
import type { Resource } from "../../client/client.ts";
import type {
  CrossVersionObjectReference,
  HorizontalPodAutoscaler,
  MetricSpec,
  MetricStatus,
  MetricTarget,
  MetricValueStatus,
} from "../../gen/autoscaling-v2.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { formatQuantity, quantityMilliValue } from "../../lib/quantity.ts";
import { formatSelector, labelSelectorOf } from "../../lib/selector.ts";
import type { KubeObject } from "../../schema/object.ts";
import { mutable } from "../objects.ts";
import { textOf } from "../pod-control.ts";
import type { LivePod } from "../pod-state.ts";
import type { MetricsReader } from "./metrics.ts";
import {
  dividedReplicas,
  type PodsInput,
  sharedReplicas,
  type Tolerance,
  utilizationReplicas,
  valueReplicas,
} from "./replicas.ts";

type LiveMetric = DeepReadonly<MetricSpec>;
type LiveTarget = DeepReadonly<MetricTarget>;

export interface ProposalInput {
  readonly autoscaler: DeepReadonly<HorizontalPodAutoscaler>;
  readonly specReplicas: number;
  readonly statusReplicas: number;
  /** The scale target's selector, as text. */
  readonly selector: string;
  readonly pods: readonly LivePod[];
  readonly reader: MetricsReader;
  readonly resourceOf: (
    reference: DeepReadonly<CrossVersionObjectReference>,
  ) => Promise<Resource<KubeObject>>;
  readonly nowMs: number;
}

export interface MetricProposal {
  readonly replicas: number;
  /** For "cpu resource utilization (percentage of request) above target". */
  readonly name: string;
  readonly status: MetricStatus;
}

/** A metric that proposes nothing; its reason becomes the condition's. */
export class MetricError extends Error {
  override readonly name = "MetricError";

  constructor(
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }
}

const toleranceDefault = 0.1;

function toleranceOf({ spec }: DeepReadonly<HorizontalPodAutoscaler>): Tolerance {
  const of = (text: string | undefined) =>
    text === undefined ? toleranceDefault : quantityMilliValue(text) / 1000;
  return {
    up: of(spec.behavior?.scaleUp?.tolerance),
    down: of(spec.behavior?.scaleDown?.tolerance),
  };
}

function milli(text: string): number {
  return quantityMilliValue(text);
}

function quantityOf(milliValue: number, resource = ""): string {
  const format = resource === "memory" ? "BinarySI" : "DecimalSI";
  return formatQuantity({ nano: BigInt(milliValue) * 1_000_000n, format });
}

function selectorText(metric: { readonly selector?: LiveSelector }): string {
  return metric.selector === undefined ? "" : formatSelector(labelSelectorOf(metric.selector));
}
type LiveSelector = Parameters<typeof labelSelectorOf>[0];

/** What the metric proposes; throws a MetricError when it cannot. */
export async function proposalOf(
  metric: LiveMetric,
  input: ProposalInput,
): Promise<MetricProposal> {
  const { resource, containerResource, pods, object, external } = metric;
  if (metric.type === "Resource" && resource !== undefined) {
    return await failing("FailedGetResourceMetric", async () => {
      const answer = await ofResource(resource.name, resource.target, undefined, input);
      const current = answer.current;
      const status = { type: "Resource", resource: { name: resource.name, current } };
      return { ...answer, status };
    });
  }
  if (metric.type === "ContainerResource" && containerResource !== undefined) {
    return await failing("FailedGetContainerResourceMetric", async () => {
      const { name, target, container } = containerResource;
      const answer = await ofResource(name, target, container, input);
      const { current } = answer;
      const status = { type: "ContainerResource", containerResource: { name, container, current } };
      return { ...answer, status };
    });
  }
  if (metric.type === "Pods" && pods !== undefined) {
    return await failing("FailedGetPodsMetric", () => ofPods(pods, input));
  }
  if (metric.type === "Object" && object !== undefined) {
    return await failing("FailedGetObjectMetric", () => ofObject(object, input));
  }
  if (metric.type === "External" && external !== undefined) {
    return await failing("FailedGetExternalMetric", () => ofExternal(external, input));
  }
  throw new MetricError("InvalidMetricSourceType", `unknown metric source type "${metric.type}"`);
}

async function failing(
  reason: string,
  propose: () => Promise<MetricProposal>,
): Promise<MetricProposal> {
  try {
    return await propose();
  } catch (error) {
    throw new MetricError(reason, textOf(error));
  }
}

function podsInput(
  { specReplicas, pods, autoscaler, nowMs }: ProposalInput,
  resource: string,
  metrics: PodsInput["metrics"],
): PodsInput {
  const tolerance = toleranceOf(autoscaler);
  return { current: specReplicas, pods, metrics, resource, tolerance, nowMs };
}

async function ofResource(
  name: string,
  target: LiveTarget,
  container: string | undefined,
  input: ProposalInput,
): Promise<{ replicas: number; name: string; current: MetricValueStatus }> {
  const { namespace = "" } = input.autoscaler.metadata;
  const { averageValue, averageUtilization } = target;
  const isValue = averageValue !== undefined;
  if (!isValue && averageUtilization === undefined) {
    throw new Error(
      "invalid resource metric source: neither an average utilization target nor an average " +
        "value (usage) target was set",
    );
  }
  try {
    const metrics = await input.reader.resource(name, namespace, input.selector, container);
    const given = podsInput(input, name, metrics);
    if (isValue) {
      const { replicas, average } = valueReplicas(given, milli(averageValue));
      const current = { averageValue: quantityOf(average, name) };
      return { replicas, name: `${name} resource`, current };
    }
    const percent = averageUtilization ?? 0;
    const { replicas, average, utilization } = utilizationReplicas(given, percent, container);
    const of = container === undefined ? "" : "container ";
    return {
      replicas,
      name: `${name} ${of}resource utilization (percentage of request)`,
      current: { averageUtilization: utilization, averageValue: quantityOf(average, name) },
    };
  } catch (error) {
    const what = isValue ? "usage" : "utilization";
    throw new Error(`failed to get ${name} ${what}: ${textOf(error)}`);
  }
}

async function ofPods(
  { metric, target }: NonNullable<LiveMetric["pods"]>,
  input: ProposalInput,
): Promise<MetricProposal> {
  const { namespace = "" } = input.autoscaler.metadata;
  const by = selectorText(metric);
  const metrics = await input.reader.pods(metric.name, namespace, input.selector, by);
  const given = podsInput(input, "", metrics);
  const { replicas, average } = valueReplicas(given, milli(target.averageValue ?? "0"));
  const current = { averageValue: quantityOf(average) };
  const status = mutable<MetricStatus>({ type: "Pods", pods: { metric, current } });
  return { replicas, name: `pods metric ${metric.name}`, status };
}

function scaleBy(
  target: LiveTarget,
  used: number,
  input: ProposalInput,
): { readonly replicas: number; readonly current: MetricValueStatus } {
  const tolerance = toleranceOf(input.autoscaler);
  if (target.averageValue !== undefined) {
    const wanted = milli(target.averageValue);
    const divided = dividedReplicas(input.statusReplicas, used, wanted, tolerance);
    return {
      replicas: divided.replicas,
      current: { averageValue: quantityOf(divided.average) },
    };
  }
  const wanted = milli(target.value ?? "0");
  const replicas = sharedReplicas(input.specReplicas, input.pods, used, wanted, tolerance);
  return { replicas, current: { value: quantityOf(used) } };
}

async function ofObject(
  { metric, target, describedObject }: NonNullable<LiveMetric["object"]>,
  input: ProposalInput,
): Promise<MetricProposal> {
  const { namespace = "" } = input.autoscaler.metadata;
  const resource = await input.resourceOf(describedObject);
  const { name } = describedObject;
  const by = selectorText(metric);
  const used = await input.reader.object(resource, namespace, name, metric.name, by);
  const { replicas, current } = scaleBy(target, used, input);
  return {
    replicas,
    name: `${describedObject.kind} metric ${metric.name}`,
    status: mutable<MetricStatus>({
      type: "Object",
      object: { metric, current, describedObject },
    }),
  };
}

async function ofExternal(
  { metric, target }: NonNullable<LiveMetric["external"]>,
  input: ProposalInput,
): Promise<MetricProposal> {
  const { namespace = "" } = input.autoscaler.metadata;
  const by = selectorText(metric);
  const values = await input.reader.external(metric.name, namespace, by);
  const used = values.reduce((sum, value) => sum + value, 0);
  const { replicas, current } = scaleBy(target, used, input);
  return {
    replicas,
    name: `external metric ${metric.name}(${by === "" ? "nil" : `&LabelSelector{${by}}`})`,
    status: mutable<MetricStatus>({ type: "External", external: { metric, current } }),
  };
}
