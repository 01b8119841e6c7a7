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
  ["an extender without an address", { ...head, extenders: [{}] }, "extenders[0].urlPrefix"],
  [
    "an extender that scores without a weight",
    { ...head, extenders: [{ urlPrefix: "http://e", prioritizeVerb: "p" }] },
    "extenders[0].weight: must have a positive weight applied to it",
  ],
  [
    "two extenders that bind",
    {
      ...head,
      extenders: [
        { urlPrefix: "http://a", bindVerb: "b" },
        { urlPrefix: "http://b", bindVerb: "b" },
      ],
    },
    "only one extender can implement bind",
  ],
  [
    "an extender that manages what is Kubernetes' own",
    { ...head, extenders: [{ urlPrefix: "http://a", managedResources: [{ name: "cpu" }] }] },
    "extenders[0].managedResources[0].name: is an invalid extended resource name",
  ],
];

test.each(broken)("decodeSchedulerConfig() refuses %s", (_what, document, message) => {
  expect(() => decodeSchedulerConfig(document)).toThrow(message);
});

test("extenders have upstream's defaults; what they manage may be left to them", () => {
  const { extenders, profiles } = decodeSchedulerConfig({
    ...head,
    extenders: [
      {
        urlPrefix: "https://extender:8888/scheduler/",
        filterVerb: "filter",
        enableHTTPS: true,
        managedResources: [{ name: "example.com/foo", ignoredByScheduler: true }],
      },
      {
        urlPrefix: "https://other",
        httpTimeout: "1m30s",
        tlsConfig: { caFile: "/ca.pem", certData: Buffer.from("PEM").toString("base64") },
      },
    ],
  });
  expect(extenders[0]).toMatchObject({
    urlPrefix: "https://extender:8888/scheduler",
    timeoutMs: 5000,
    tls: { rejectUnauthorized: false },
    ignorable: false,
  });
  expect(extenders[1]).toMatchObject({
    timeoutMs: 90_000,
    tls: { cert: "PEM" },
    tlsFiles: { ca: "/ca.pem" },
  });
  expect(profiles[0]?.ignoredResources.has("example.com/foo")).toBe(true);
});
