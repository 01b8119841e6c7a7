import { expect, test } from "bun:test";
import { decodeSchedulerConfig } from "./config.ts";
import { filterNames } from "./profile.ts";

const head = {
  apiVersion: "kubescheduler.config.k8s.io/v1",
  kind: "KubeSchedulerConfiguration",
};

test("an empty configuration is the default profile", () => {
  const { profiles, backoff } = decodeSchedulerConfig(head);
  expect(profiles).toHaveLength(1);
  expect(profiles?.[0]).toMatchObject({ schedulerName: "default-scheduler", preempts: true });
  expect([...(profiles?.[0]?.filters ?? [])]).toEqual([...filterNames]);
  expect(backoff).toEqual({ initialMs: 1000, maxMs: 10_000 });
});

test("profiles choose plugins, weights and arguments", () => {
  const { profiles } = decodeSchedulerConfig({
    ...head,
    percentageOfNodesToScore: 30,
    profiles: [
      {},
      {
        schedulerName: "packing",
        plugins: {
          multiPoint: { disabled: [{ name: "ImageLocality" }] },
          score: {
            disabled: [{ name: "*" }],
            enabled: [{ name: "NodeResourcesFit", weight: 5 }],
          },
          postFilter: { disabled: [{ name: "DefaultPreemption" }] },
          filter: { disabled: [{ name: "NodePorts" }] },
        },
        pluginConfig: [
          {
            name: "NodeResourcesFit",
            args: {
              ignoredResources: ["example.com/foo"],
              scoringStrategy: {
                type: "RequestedToCapacityRatio",
                resources: [{ name: "cpu", weight: 3 }],
                requestedToCapacityRatio: {
                  shape: [
                    { utilization: 0, score: 0 },
                    { utilization: 100, score: 10 },
                  ],
                },
              },
            },
          },
          { name: "InterPodAffinity", args: { hardPodAffinityWeight: 7 } },
        ],
      },
    ],
  });
  const [first, second] = profiles ?? [];
  expect(first?.percentageOfNodesToScore).toBe(30);
  expect(second).toMatchObject({
    schedulerName: "packing",
    weights: { NodeResourcesFit: 5 },
    preempts: false,
    hardPodAffinityWeight: 7,
    fit: { type: "RequestedToCapacityRatio", resources: [{ name: "cpu", weight: 3 }] },
  });
  expect(Object.keys(second?.weights ?? {})).toEqual(["NodeResourcesFit"]);
  expect(second?.filters.has("NodePorts")).toBe(false);
  expect(second?.ignoredResources.has("example.com/foo")).toBe(true);
});

const broken: readonly (readonly [string, object, string])[] = [
  ["another kind", { apiVersion: "v1" }, "apiVersion: must be kubescheduler.config.k8s.io/v1"],
  ["a share above all", { ...head, percentageOfNodesToScore: 200 }, "percentageOfNodesToScore"],
  [
    "an unknown plugin",
    { ...head, profiles: [{ plugins: { score: { enabled: [{ name: "Foo" }] } } }] },
    'profiles[0].plugins.score.enabled[0]: plugin "Foo" does not exist',
  ],
  ["one name twice", { ...head, profiles: [{}, {}] }, "profiles: two have the same schedulerName"],
  ["extenders", { ...head, extenders: [{}] }, "extenders: this version calls no extenders"],
];

test.each(broken)("decodeSchedulerConfig() refuses %s", (_what, document, message) => {
  expect(() => decodeSchedulerConfig(document)).toThrow(message);
});
