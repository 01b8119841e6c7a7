import { expect, test } from "bun:test";
import type { Resource } from "../../client/client.ts";
import { deployments, horizontalPodAutoscalers, pods } from "../../client/resources.ts";
import type { HorizontalPodAutoscaler } from "../../gen/autoscaling-v2.ts";
import { ApiError } from "../../lib/api-error.ts";
import { createMetrics, type Metrics } from "../../runtime/metrics.ts";
import type { KubeObject } from "../../schema/object.ts";
import { World } from "../testing/world.ts";
import { createAutoscalerController } from "./autoscaler.ts";
import { limitReplicas } from "./behavior.ts";

const podMetrics: Resource<KubeObject> = {
  group: "metrics.k8s.io",
  version: "v1beta1",
  plural: "pods",
  kind: "PodMetrics",
  namespaced: true,
};

let metrics: Metrics;
/** How often something was counted. */
const counted = (name: string, labels: string): number => {
  const sample = `horizontal_pod_autoscaler_controller_${name}{${labels}} `;
  const line = metrics
    .text()
    .split("\n")
    .find((one) => one.startsWith(sample));
  return Number(line?.slice(sample.length) ?? 0);
};

async function start(
  replicas: number,
  spec: Partial<HorizontalPodAutoscaler["spec"]> = {},
): Promise<World> {
  const world = new World();
  metrics = createMetrics();
  const options = { metrics, namespacedResources: () => [deployments, pods] };
  world.run(createAutoscalerController(world.context, options));
  const labels = { app: "web" };
  await world.client.create(deployments, {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "default" },
    spec: { replicas, selector: { matchLabels: labels }, template: {} as never },
  });
  for (let index = 0; index < replicas; index++) {
    const resources = { requests: { cpu: "100m" } };
    await world.client.create(pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `web-${index}`, namespace: "default", labels },
      spec: { containers: [{ name: "c", image: "i", resources }] },
      status: {
        phase: "Running",
        startTime: "2025-12-31T00:00:00Z",
        conditions: [{ type: "Ready", status: "True", lastTransitionTime: "2025-12-31T00:00:10Z" }],
      },
    });
  }
  await world.client.create(horizontalPodAutoscalers, {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name: "web", namespace: "default" },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
      minReplicas: 1,
      maxReplicas: 10,
      metrics: [
        {
          type: "Resource",
          resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 50 } },
        },
      ],
      ...spec,
    },
  });
  return world;
}

/** Every pod uses so much. */
async function use(world: World, cpu: string): Promise<void> {
  for (const { metadata } of world.list(pods)) {
    const name = metadata.name ?? "";
    const object = {
      apiVersion: "metrics.k8s.io/v1beta1",
      kind: "PodMetrics",
      metadata: { name, namespace: "default", labels: { ...metadata.labels } },
      timestamp: new Date(world.nowMs).toISOString(),
      window: "30s",
      containers: [{ name: "c", usage: { cpu } }],
    };
    const present = world.api.set(podMetrics).get(`default/${name}`);
    if (present === undefined) await world.client.create(podMetrics, object);
    else
      await world.change(podMetrics, `default/${name}`, (copy) =>
        Object.assign(copy, object, { metadata: copy.metadata }),
      );
  }
}

const size = (world: World) => world.get(deployments, "default/web").spec.replicas;
const status = (world: World) => world.get(horizontalPodAutoscalers, "default/web").status;
const condition = (world: World, wanted: string) =>
  status(world)?.conditions?.find(({ type }) => type === wanted);

test("use above the target raises the size, and the status tells why", async () => {
  const world = await start(2);
  await use(world, "100m");
  await world.settle();
  expect(size(world)).toBe(4);
  expect(status(world)).toMatchObject({
    currentReplicas: 2,
    desiredReplicas: 4,
    currentMetrics: [
      {
        type: "Resource",
        resource: { name: "cpu", current: { averageUtilization: 100, averageValue: "100m" } },
      },
    ],
  });
  const up = 'action="scale_up",error="none"';
  expect(counted("reconciliations_total", up)).toBe(1);
  expect(counted("reconciliation_duration_seconds_count", up)).toBe(1);
  expect(counted("metric_computation_total", `${up},metric_type="Resource"`)).toBe(1);
  expect(condition(world, "AbleToScale")).toMatchObject({
    status: "True",
    reason: "SucceededRescale",
    message: "the HPA controller was able to update the target scale to 4",
  });
  expect(condition(world, "ScalingActive")).toMatchObject({
    status: "True",
    reason: "ValidMetricFound",
    message:
      "the HPA was able to successfully calculate a replica count from cpu resource utilization " +
      "(percentage of request)",
  });
  expect(world.messages("SuccessfulRescale")).toEqual([
    "New size: 4; reason: cpu resource utilization (percentage of request) above target",
  ]);
});

test("use near the target changes nothing, use below it only after five minutes", async () => {
  const world = await start(4);
  await use(world, "52m");
  await world.settle();
  expect(size(world)).toBe(4);
  await use(world, "10m");
  await world.advance(200_000);
  expect(size(world)).toBe(4);
  expect(condition(world, "AbleToScale")?.reason).toBe("ScaleDownStabilized");
  await world.advance(130_000);
  expect(size(world)).toBe(1);
  expect(world.messages("SuccessfulRescale")).toEqual([
    "New size: 1; reason: All metrics below target",
  ]);
});

test("without the metrics API the conditions say so", async () => {
  const world = await start(2);
  const list = world.client.list;
  Object.assign(world.api.client, {
    list: async (...args: Parameters<typeof list>) => {
      if (args[0].group !== "metrics.k8s.io") return await list(...args);
      throw new ApiError("NotFound", "the server could not find the requested resource");
    },
  });
  await world.settle();
  expect(condition(world, "ScalingActive")).toMatchObject({
    status: "False",
    reason: "FailedGetResourceMetric",
    message:
      "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to " +
      "get metrics for resource cpu: unable to fetch metrics from resource metrics API: the " +
      "server could not find the requested resource",
  });
  const failed = 'action="none",error="internal"';
  expect(counted("reconciliations_total", failed)).toBeGreaterThan(0);
  expect(counted("metric_computation_total", `${failed},metric_type="Resource"`)).toBe(
    counted("reconciliations_total", failed),
  );
  expect(world.messages("FailedComputeMetricsReplicas")[0]).toContain(
    "invalid metrics (1 invalid out of 1), first error is: failed to get cpu utilization",
  );
});

test("a size out of range is brought into it, a target of zero or none is left alone", async () => {
  const large = await start(5, { maxReplicas: 3 });
  await large.settle();
  expect(size(large)).toBe(3);
  const off = await start(0);
  await off.settle();
  expect(size(off)).toBe(0);
  expect(condition(off, "ScalingActive")?.reason).toBe("ScalingDisabled");
  const lost = await start(1, {
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "nobody" },
  });
  await lost.settle();
  expect(condition(lost, "AbleToScale")).toMatchObject({
    status: "False",
    reason: "FailedGetScale",
  });
});

test("limitReplicas() keeps to the rates and windows of the behavior", () => {
  const none = { recommendations: [], ups: [], downs: [] };
  const wish = { current: 4, desired: 20, min: 1, max: 30, nowMs: 1_000_000 };
  const up = (behavior: Parameters<typeof limitReplicas>[0], history = none) =>
    limitReplicas(behavior, history, wish);
  expect(up(undefined).replicas).toBe(8);
  expect(up({}).replicas).toBe(8);
  const slow = {
    scaleUp: { policies: [{ type: "Pods", value: 1, periodSeconds: 60 }] },
    scaleDown: { selectPolicy: "Disabled" },
  };
  expect(up(slow)).toMatchObject({ replicas: 5, limited: { reason: "ScaleUpLimit" } });
  const added = { ...none, ups: [{ change: 1, atMs: 990_000 }] };
  expect(limitReplicas(slow, added, wish).replicas).toBe(4);
  expect(limitReplicas(slow, none, { ...wish, desired: 1 }).replicas).toBe(4);
  const waiting = { scaleUp: { stabilizationWindowSeconds: 60 } };
  const seen = { ...none, recommendations: [{ replicas: 5, atMs: 990_000 }] };
  expect(limitReplicas(waiting, seen, wish)).toMatchObject({
    replicas: 5,
    ableToScale: { reason: "ScaleUpStabilized" },
  });
});
