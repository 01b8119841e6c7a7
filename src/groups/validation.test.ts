/** What is wrong with services, jobs and network objects, in upstream's words. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  horizontalPodAutoscalers,
  ingresses,
  jobs,
  networkPolicies,
  services,
} from "../client/resources.ts";
import type { HorizontalPodAutoscaler } from "../gen/autoscaling-v2.ts";
import type { Job } from "../gen/batch-v1.ts";
import type { Service } from "../gen/core-v1.ts";
import type { Ingress, NetworkPolicy } from "../gen/networking-v1.ts";
import { openWorld, problemsOf, type World } from "./test-world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

let count = 0;
const ofService: readonly (readonly [string, Service["spec"], ...string[]])[] = [
  [
    "ports",
    {
      ports: [
        { name: "a", port: 80, appProtocol: "a b" },
        { name: "a", port: 80, protocol: "TCP" },
        { port: 70000 },
      ],
    },
    'spec.ports[0].appProtocol: Invalid value: "a b": name part must consist of alphanumeric ' +
      "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. " +
      "'MyName',  or 'my.name',  or '123-abc', regex used for validation is " +
      "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    'spec.ports[1].name: Duplicate value: "a"',
    'spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80}',
    "spec.ports[2].name: Required value",
    "spec.ports[2].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
    "spec.ports[2].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
  ],
  [
    "fields of other types",
    {
      ports: [{ port: 80 }],
      loadBalancerClass: "a.example/b",
      loadBalancerSourceRanges: ["10.0.0.0/8"],
      externalTrafficPolicy: "Local",
      trafficDistribution: "Near",
    },
    'spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", ' +
      '"PreferSameNode", "PreferSameZone"',
    "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
    "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
  ],
  [
    "addresses",
    { ports: [{ port: 80 }], externalIPs: ["127.0.0.1", "x"] },
    'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range ' +
      "(127.0.0.0/8, ::1/128)",
    'spec.externalIPs[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or ' +
      "2001:db8::ffff)",
  ],
];

describe("services", () => {
  const service = (spec: Service["spec"]): Service => {
    count += 1;
    return {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: `s${count}`, namespace: "default" },
      spec,
    };
  };
  for (const [what, spec, ...expected] of ofService) {
    test(`are judged by their ${what}`, async () => {
      expect(await problemsOf(world, services, service(spec))).toEqual([...expected]);
    });
  }

  test("of balancers that keep the client's address get a port for health checks", async () => {
    const made = await world.client.create(
      services,
      service({ type: "LoadBalancer", externalTrafficPolicy: "Local", ports: [{ port: 80 }] }),
    );
    const { healthCheckNodePort = 0 } = made.spec;
    expect(healthCheckNodePort).toBeGreaterThanOrEqual(30000);
    expect(healthCheckNodePort).not.toBe(made.spec.ports?.[0]?.nodePort);
  });
});

test("ingresses are judged by hosts, paths and backends", async () => {
  const ingress: Ingress = {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name: "odd", namespace: "default" },
    spec: {
      rules: [
        {
          host: "*.*.example",
          http: {
            paths: [
              { path: "/a//b", pathType: "Prefix", backend: {} },
              {
                path: "x",
                pathType: "Exact",
                backend: { service: { name: "web", port: { name: "http", number: 80 } } },
              },
            ],
          },
        },
      ],
      tls: [{ hosts: ["ok.example", "10.0.0.1 "] }],
    },
  };
  expect(await problemsOf(world, ingresses, ingress)).toEqual([
    expect.stringContaining('spec.rules[0].host: Invalid value: "*.*.example": a wildcard'),
    "spec.rules[0].http.paths[0].path: Invalid value: \"/a//b\": must not contain '//'",
    'spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is ' +
      "required",
    'spec.rules[0].http.paths[1].path: Invalid value: "x": must be an absolute path',
    'spec.rules[0].http.paths[1].backend: Invalid value: "": cannot set both port name & port ' +
      "number",
    expect.stringContaining('spec.tls[0].hosts[1]: Invalid value: "10.0.0.1 "'),
  ]);
});

test("network policies are judged by ports, peers and types", async () => {
  const policy: NetworkPolicy = {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "odd", namespace: "default" },
    spec: {
      podSelector: {},
      ingress: [
        {
          ports: [
            { port: "http", endPort: 90 },
            { port: 80, endPort: 70 },
          ],
          from: [
            {},
            { ipBlock: { cidr: "10.0.0.0/8", except: ["10.0.0.0/8", "11.0.0.0/16"] } },
            { ipBlock: { cidr: "10.0.0.0" }, podSelector: {} },
          ],
        },
      ],
      policyTypes: ["Ingress", "Sideways"],
    },
  };
  const at = "spec.ingress[0]";
  expect(await problemsOf(world, networkPolicies, policy)).toEqual([
    `${at}.ports[0].endPort: Invalid value: 90: may not be specified when \`port\` is non-numeric`,
    `${at}.ports[1].endPort: Invalid value: 80: must be greater than or equal to \`port\``,
    `${at}.from[0]: Required value: must specify a peer`,
    `${at}.from[1].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of ` +
      "`cidr`",
    `${at}.from[1].ipBlock.except[1]: Invalid value: "11.0.0.0/16": must be a strict subset of ` +
      "`cidr`",
    `${at}.from[2].ipBlock.cidr: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. ` +
      "10.9.8.0/24 or 2001:db8::/64)",
    `${at}.from[2]: Forbidden: may not specify both ipBlock and another peer`,
    'spec.policyTypes[1]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"',
  ]);
});

test("jobs are judged by their policies, and little of them may change", async () => {
  const job = (name: string, spec: Partial<Job["spec"]>): Job => ({
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name, namespace: "default" },
    spec: {
      template: {
        metadata: {},
        spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] },
      },
      ...spec,
    },
  });
  const rules = [
    { action: "FailIndex", onExitCodes: { operator: "In", values: [3, 0, 3] } },
    { action: "Ignore" },
  ];
  expect(
    await problemsOf(world, jobs, job("odd", { podFailurePolicy: { rules }, maxFailedIndexes: 1 })),
  ).toEqual([
    "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
    "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
    'spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the ' +
      "backoffLimitPerIndex to be set",
    "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for " +
      "the In operator",
    "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 3",
    "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,3]: must be ordered",
    "spec.podFailurePolicy.rules[1]: Invalid value: specifying one of OnExitCodes and " +
      "OnPodConditions is required",
  ]);
  const template = { metadata: {}, spec: { containers: [{ name: "c", image: "i" }] } };
  expect(await problemsOf(world, jobs, job("always", { template }))).toEqual([
    'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
  ]);
  await world.client.create(jobs, job("fixed", { completions: 2 }));
  const change = { spec: { completions: 3, completionMode: "Indexed" } };
  await expect(world.client.patch(jobs, "default", "fixed", "merge", change)).rejects.toMatchObject(
    {
      code: 422,
      details: { causes: [{ field: "spec.completions" }, { field: "spec.completionMode" }] },
    },
  );
});

test("autoscalers name the group of what they scale, unless it is of the core group", async () => {
  const hpa = (kind: string): HorizontalPodAutoscaler => ({
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name: kind.toLowerCase(), namespace: "default" },
    spec: { scaleTargetRef: { apiVersion: "v1", kind, name: "web" }, maxReplicas: 3 },
  });
  expect(await problemsOf(world, horizontalPodAutoscalers, hpa("Deployment"))).toEqual([
    'spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group',
  ]);
  const made = await world.client.create(horizontalPodAutoscalers, hpa("ReplicationController"));
  expect(made.spec?.scaleTargetRef.apiVersion).toBe("v1");
});

test("autoscalers are judged by metrics and behavior", async () => {
  const hpa = (name: string, spec: object): HorizontalPodAutoscaler => ({
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name, namespace: "default" },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
      maxReplicas: 3,
      ...spec,
    },
  });
  const metrics = [
    { type: "Pods", resource: { name: "cpu", target: { type: "Utilization" } } },
    { type: "Odd" },
  ];
  const behavior = { scaleUp: { policies: [{ type: "Near", value: 0, periodSeconds: 9999 }] } };
  const wrong = hpa("wrong", { minReplicas: 5, metrics, behavior });
  const sources = '"ContainerResource", "External", "Object", "Pods", "Resource"';
  expect(await problemsOf(world, horizontalPodAutoscalers, wrong)).toEqual([
    "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
    "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a " +
      "target raw value or a target utilization",
    "spec.metrics[0].pods: Required value: must populate information for the given metric source",
    `spec.metrics[1].type: Unsupported value: "Odd": supported values: ${sources}`,
    'spec.behavior.scaleUp.policies[0].type: Unsupported value: "Near": supported values: ' +
      '"Percent", "Pods"',
    "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
    "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 9999: must be less than or " +
      "equal to 1800",
  ]);
  const made = await world.client.create(
    horizontalPodAutoscalers,
    hpa("right", { behavior: { scaleDown: { stabilizationWindowSeconds: 60 } } }),
  );
  expect(made.spec?.behavior?.scaleDown).toEqual({
    stabilizationWindowSeconds: 60,
    selectPolicy: "Max",
    policies: [{ type: "Percent", value: 100, periodSeconds: 15 }],
  });
});
