/** autoscaling v1 and v2: one storage, the v2 form. */
import type { Column, ResourceDefinition } from "../api/resource-definition.ts";
import { horizontalPodAutoscalers, horizontalPodAutoscalersV1 } from "../client/resources.ts";
import type { HorizontalPodAutoscaler as V1 } from "../gen/autoscaling-v1.ts";
import type { HorizontalPodAutoscaler, MetricSpec, MetricStatus } from "../gen/autoscaling-v2.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { KubeObject } from "../schema/object.ts";
import { validateAutoscaler, validateBounds } from "./autoscaler-validation.ts";
import { column, define } from "./row.ts";

type ReadMetric = DeepReadonly<MetricSpec>;
type ReadCurrent = DeepReadonly<MetricStatus> | undefined;

interface Amounts {
  readonly averageUtilization?: number;
  readonly averageValue?: string;
  readonly value?: string;
}

function targetOf(metric: ReadMetric): Amounts {
  const source =
    metric.resource ?? metric.containerResource ?? metric.pods ?? metric.object ?? metric.external;
  return source?.target ?? {};
}

function currentOf(metric: ReadCurrent): Amounts {
  const source =
    metric?.resource ??
    metric?.containerResource ??
    metric?.pods ??
    metric?.object ??
    metric?.external;
  return source?.current ?? {};
}

function metricCell(metric: ReadMetric, current: ReadCurrent): string {
  const target = targetOf(metric);
  const now = currentOf(current);
  const name = metric.resource?.name ?? metric.containerResource?.name;
  const prefix = name === undefined ? "" : `${name}: `;
  if (target.averageUtilization !== undefined) {
    const actual =
      now.averageUtilization === undefined ? "<unknown>" : `${now.averageUtilization}%`;
    return `${prefix}${actual}/${target.averageUtilization}%`;
  }
  if (target.averageValue !== undefined) {
    const suffix = name === undefined && !metric.pods ? " (avg)" : "";
    return `${prefix}${now.averageValue ?? "<unknown>"}/${target.averageValue}${suffix}`;
  }
  return `${prefix}${now.value ?? "<unknown>"}/${target.value ?? "<auto>"}`;
}

function targetsCell(hpa: DeepReadonly<HorizontalPodAutoscaler>): string {
  const metrics = hpa.spec?.metrics ?? [];
  if (metrics.length === 0) return "<none>";
  const cells = metrics.map((metric, index) =>
    metricCell(metric, hpa.status?.currentMetrics?.[index]),
  );
  const more = cells.length > 2 ? ` + ${cells.length - 2} more...` : "";
  return cells.slice(0, 2).join(", ") + more;
}

const columns: readonly Column<HorizontalPodAutoscaler>[] = [
  column(
    "Reference",
    (one) => `${one.spec?.scaleTargetRef?.kind}/${one.spec?.scaleTargetRef?.name}`,
  ),
  column("Targets", targetsCell),
  column("MinPods", (one) => String(one.spec?.minReplicas ?? "<unset>")),
  column("MaxPods", (one) => one.spec?.maxReplicas ?? 0),
  column("Replicas", (one) => one.status?.currentReplicas ?? 0),
];

const perPeriod = { value: 100, periodSeconds: 15 };

/** What a behavior leaves open; without any, the controller has its own. */
function behaviorDefaults(spec: HorizontalPodAutoscaler["spec"]): void {
  if (!spec?.behavior) return;
  const { scaleUp, scaleDown } = spec.behavior;
  spec.behavior.scaleUp = {
    stabilizationWindowSeconds: 0,
    selectPolicy: "Max",
    policies: [
      { ...perPeriod, type: "Pods", value: 4 },
      { ...perPeriod, type: "Percent" },
    ],
    ...scaleUp,
  };
  spec.behavior.scaleDown = {
    selectPolicy: "Max",
    policies: [{ ...perPeriod, type: "Percent" }],
    ...scaleDown,
  };
}

const v2 = define<HorizontalPodAutoscaler>(horizontalPodAutoscalers, {
  shortNames: ["hpa"],
  categories: ["all"],
  columns,
  defaults({ spec }) {
    if (!spec) return;
    spec.minReplicas ??= 1;
    behaviorDefaults(spec);
    if ((spec.metrics ?? []).length === 0)
      spec.metrics = [
        {
          type: "Resource",
          resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } },
        },
      ];
  },
  status: true,
  validate: (object, { old }) => validateAutoscaler(object, old),
});

const metricsAnnotation = "autoscaling.alpha.kubernetes.io/metrics";

function isCpuUtilization(metric: MetricSpec): boolean {
  return (
    metric.type === "Resource" &&
    metric.resource?.name === "cpu" &&
    metric.resource.target?.averageUtilization !== undefined
  );
}

/** What v1 cannot say in fields it carries in an annotation. */
export function hpaToV2(object: V1): KubeObject {
  const { targetCPUUtilizationPercentage, ...spec } = object.spec;
  const {
    currentCPUUtilizationPercentage: current,
    currentReplicas,
    ...status
  } = object.status ?? {};
  const carried = object.metadata.annotations?.[metricsAnnotation];
  const others: MetricSpec[] = carried === undefined ? [] : JSON.parse(carried);
  const cpu: MetricSpec[] =
    targetCPUUtilizationPercentage === undefined
      ? []
      : [
          {
            type: "Resource",
            resource: {
              name: "cpu",
              target: { type: "Utilization", averageUtilization: targetCPUUtilizationPercentage },
            },
          },
        ];
  const metrics = [...others, ...cpu];
  const { [metricsAnnotation]: _carried, ...annotations } = object.metadata.annotations ?? {};
  const { annotations: _all, ...metadata } = object.metadata;
  return {
    ...object,
    apiVersion: "autoscaling/v2",
    metadata: Object.keys(annotations).length === 0 ? metadata : { ...metadata, annotations },
    spec: { ...spec, ...(metrics.length === 0 ? {} : { metrics }) },
    ...(object.status === undefined
      ? {}
      : {
          status: {
            ...status,
            ...(currentReplicas ? { currentReplicas } : {}),
            ...(current === undefined
              ? { currentMetrics: null }
              : {
                  currentMetrics: [
                    {
                      type: "Resource",
                      resource: { name: "cpu", current: { averageUtilization: current } },
                    },
                  ],
                }),
          },
        }),
  } as KubeObject;
}

/** The v1 form of a stored autoscaler. */
export function hpaToV1(stored: KubeObject): V1 {
  const object = stored as HorizontalPodAutoscaler;
  const { metrics = [], behavior: _behavior, ...spec } = object.spec;
  const { currentMetrics, conditions: _conditions, ...status } = object.status ?? {};
  const cpu = metrics.find(isCpuUtilization);
  const others = metrics.filter((metric) => metric !== cpu);
  const current = currentMetrics?.find((metric) => metric.resource?.name === "cpu");
  const target = cpu?.resource?.target?.averageUtilization;
  const now = current?.resource?.current?.averageUtilization;
  const annotations = {
    ...object.metadata.annotations,
    ...(others.length === 0 ? {} : { [metricsAnnotation]: JSON.stringify(others) }),
  };
  return {
    ...object,
    apiVersion: "autoscaling/v1",
    metadata: {
      ...object.metadata,
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    },
    spec: { ...spec, ...(target === undefined ? {} : { targetCPUUtilizationPercentage: target }) },
    status: {
      ...status,
      currentReplicas: object.status?.currentReplicas ?? 0,
      ...(now === undefined ? {} : { currentCPUUtilizationPercentage: now }),
    },
  } as V1;
}

const v1 = define<V1>(horizontalPodAutoscalersV1, {
  shortNames: ["hpa"],
  categories: ["all"],
  columns: columns.map((one) => ({
    ...one,
    value: (object: DeepReadonly<V1>, now: Date) =>
      one.value(hpaToV2(object as V1) as HorizontalPodAutoscaler, now),
  })),
  defaults({ spec }) {
    if (spec) spec.minReplicas ??= 1;
  },
  status: true,
  validate: (object, { old }) => validateBounds(object.spec ?? {}, old?.spec),
  conversion: {
    storedAs: { group: "autoscaling", version: "v2" },
    toStorage: hpaToV2,
    fromStorage: hpaToV1,
  },
});

export const autoscalingV1: readonly ResourceDefinition[] = [v1];
export const autoscalingV2: readonly ResourceDefinition[] = [v2];
