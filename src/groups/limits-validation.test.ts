/** What is wrong with quotas, limits, endpoints and storage objects, in upstream's words. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  csiDrivers,
  csiNodes,
  endpointSlices,
  endpoints,
  leases,
  limitRanges,
  namespaces,
  persistentVolumeClaims,
  podDisruptionBudgets,
  resourceQuotas,
  runtimeClasses,
  secrets,
  services,
  storageClasses,
} from "../client/resources.ts";
import { openWorld, problemsOf, type World } from "./test-world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const metadata = { name: "odd", namespace: "default" };

test("quotas are judged by resources and scopes", async () => {
  const quota = {
    apiVersion: "v1",
    kind: "ResourceQuota",
    metadata,
    spec: {
      hard: { pods: "1.5", "requests.storage": "-1", bananas: "1", "a.example/gpu": "500m" },
      scopes: ["BestEffort", "NotBestEffort", "Sometimes"],
      scopeSelector: {
        matchExpressions: [
          { scopeName: "PriorityClass", operator: "In" },
          { scopeName: "Terminating", operator: "Exists", values: ["a"] },
        ],
      },
    },
  } as const;
  const scopes = '["BestEffort","NotBestEffort","Sometimes"]';
  const misapplied = "unsupported scope applied to resource";
  const at = "spec.scopeSelector.matchExpressions";
  expect(await problemsOf(world, resourceQuotas, quota as never)).toEqual([
    'spec.hard[pods]: Invalid value: "1500m": must be an integer',
    'spec.hard[requests.storage]: Invalid value: "-1": must be greater than or equal to 0',
    'spec.hard[bananas]: Invalid value: "bananas": must be a standard resource type or fully ' +
      "qualified",
    'spec.hard[bananas]: Invalid value: "bananas": must be a standard resource for quota',
    'spec.hard[a.example/gpu]: Invalid value: "500m": must be an integer',
    `spec.scopes: Invalid value: ${scopes}: ${misapplied}`,
    `spec.scopes: Invalid value: ${scopes}: ${misapplied}`,
    `spec.scopes: Invalid value: ${scopes}: unsupported scope`,
    `spec.scopes: Invalid value: ${scopes}: conflicting scopes`,
    expect.stringContaining(`}: ${misapplied}`),
    `${at}.values: Required value: must be at least one value when \`operator\` is 'In' or ` +
      "'NotIn' for scope selector",
    expect.stringContaining(`}: ${misapplied}`),
    `${at}.values: Invalid value: ["a"]: must be no value when \`operator\` is 'Exist' or ` +
      "'DoesNotExist' for scope selector",
  ]);
});

test("limit ranges are judged by the order of their bounds", async () => {
  const range = {
    apiVersion: "v1",
    kind: "LimitRange",
    metadata,
    spec: {
      limits: [
        {
          type: "Container",
          min: { cpu: "2", memory: "1Gi" },
          max: { cpu: "1", memory: "2Gi" },
          defaultRequest: { cpu: "3" },
          maxLimitRequestRatio: { memory: "3" },
        },
        { type: "Pod", default: { cpu: "1" } },
        { type: "PersistentVolumeClaim", max: { cpu: "1" } },
        { type: "Pod" },
      ],
    },
  };
  const zero = "spec.limits[0]";
  expect(await problemsOf(world, limitRanges, range)).toEqual([
    `${zero}.min[cpu]: Invalid value: "2": min value 2 is greater than max value 1`,
    `${zero}.defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than ` +
      "max value 1",
    `${zero}.defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than ` +
      "default limit value 1",
    `${zero}.default[cpu]: Invalid value: "2": min value 2 is greater than default value 1`,
    `${zero}.maxLimitRequestRatio[memory]: Invalid value: "3": ratio 3 is greater than max/min = ` +
      "2.000000",
    "spec.limits[1].default: Forbidden: may not be specified when `type` is 'Pod'",
    "spec.limits[2].limits: Required value: either minimum or maximum storage value is required, " +
      "but neither was provided",
    'spec.limits[3].type: Duplicate value: "Pod"',
  ]);
});

test("endpoints and slices are judged by addresses and ports", async () => {
  const object = {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata,
    subsets: [{ ports: [{ port: 0 }, { name: "a", port: 1 }] }],
  };
  expect(await problemsOf(world, endpoints, object)).toEqual([
    "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
    "subsets[0].ports[0].name: Required value",
    "subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
  ]);
  const slice = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata,
    addressType: "IPv4",
    endpoints: [{ addresses: ["fd00::1", "x"], hints: { forZones: [{ name: "a b" }] } }],
    ports: [
      { name: "a", port: 1 },
      { name: "a", port: 2 },
    ],
  };
  expect(await problemsOf(world, endpointSlices, slice)).toEqual([
    'ports[1].name: Duplicate value: "a"',
    'endpoints[0].addresses: Invalid value: "fd00::1": must be an IPv4 address',
    'endpoints[0].addresses[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 ' +
      "or 2001:db8::ffff)",
    expect.stringMatching(/^endpoints\[0\]\.hints\.forZones\[0\]\.name: Invalid value: "a b": /),
  ]);
});

test("storage objects are judged by names and parameters", async () => {
  const name = { name: "odd" };
  const group = "storage.k8s.io/v1";
  const storageClass = {
    apiVersion: group,
    kind: "StorageClass",
    metadata: name,
    provisioner: "A b",
    parameters: { "": "x" },
    reclaimPolicy: "Recycle",
    allowedTopologies: [
      {
        matchLabelExpressions: [
          { key: "zone", values: ["a", "a"] },
          { key: "zone", values: [] },
        ],
      },
    ],
  };
  const at = "allowedTopologies[0].matchLabelExpressions";
  expect(await problemsOf(world, storageClasses, storageClass)).toEqual([
    expect.stringMatching(/^provisioner: Invalid value: "a b": name part must consist of /),
    'parameters: Invalid value: "": field can not be empty.',
    'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"',
    `${at}[0].values[1]: Duplicate value: "a"`,
    `${at}[1].values: Required value`,
    `${at}[1].key: Duplicate value: "zone"`,
  ]);
  const driver = {
    apiVersion: group,
    kind: "CSIDriver",
    metadata: name,
    spec: {
      tokenRequests: [{ audience: "a", expirationSeconds: 60 }, { audience: "a" }],
      volumeLifecycleModes: ["Sometimes"],
      nodeAllocatableUpdatePeriodSeconds: 1,
    },
  };
  expect(await problemsOf(world, csiDrivers, driver)).toEqual([
    "spec.tokenRequests[0].expirationSeconds: Invalid value: 60: may not specify a duration " +
      "less than 10 minutes",
    'spec.tokenRequests[1].audience: Duplicate value: "a"',
    'spec.volumeLifecycleModes: Unsupported value: "Sometimes": supported values: "Ephemeral", ' +
      '"Persistent"',
    "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 1: must be greater than or equal " +
      "to 10 seconds",
  ]);
  const node = {
    apiVersion: group,
    kind: "CSINode",
    metadata: name,
    spec: {
      drivers: [
        { name: "a", nodeID: "" },
        { name: "a", nodeID: "n" },
      ],
    },
  };
  expect(await problemsOf(world, csiNodes, node)).toEqual([
    "spec.drivers[0].nodeID: Required value",
    'spec.drivers[1].name: Duplicate value: "a"',
  ]);
});

test("claims are judged by their sources, and change only where they may", async () => {
  const claim = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata,
    spec: {
      accessModes: ["ReadWriteOnce"],
      resources: { requests: { storage: "1Gi" } },
      dataSource: { kind: "PersistentVolumeClaim", name: "a" },
      dataSourceRef: { kind: "Snapshot", name: "" },
    },
  };
  expect(await problemsOf(world, persistentVolumeClaims, claim)).toEqual([
    "spec.dataSourceRef.name: Required value",
    "spec.dataSourceRef: Invalid value: \"Snapshot\": must be 'PersistentVolumeClaim' when " +
      "referencing the default apiGroup",
    'spec: Invalid value: "spec.dataSource": must match dataSourceRef',
  ]);
  const { dataSourceRef: _ref, ...spec } = claim.spec;
  const made = await world.client.create(persistentVolumeClaims, { ...claim, spec });
  expect(made.spec.dataSourceRef).toEqual({ kind: "PersistentVolumeClaim", name: "a" });
  const larger = { ...made.spec, resources: { requests: { storage: "2Gi" } } };
  const unbound = world.client.update(persistentVolumeClaims, { ...made, spec: larger });
  await expect(unbound).rejects.toThrow("spec: Forbidden: spec is immutable after creation");
  const bound = await world.client.update(
    persistentVolumeClaims,
    { ...made, status: { phase: "Bound", capacity: { storage: "1Gi" } } },
    { subresource: "status" },
  );
  await expect(
    world.client.update(persistentVolumeClaims, {
      ...bound,
      spec: { ...made.spec, resources: { requests: { storage: "512Mi" } } },
    }),
  ).rejects.toThrow("spec.resources.requests.storage: Forbidden: field can not be less than");
});

test("statuses are judged by phases, conditions and addresses", async () => {
  const { client } = world;
  const space = await client.get(namespaces, "", "default");
  await expect(
    client.update(
      namespaces,
      { ...space, status: { phase: "Terminating" } },
      { subresource: "status" },
    ),
  ).rejects.toThrow("may only be 'Active' if `deletionTimestamp` is empty");
  const budget = await client.create(podDisruptionBudgets, {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata,
    spec: { minAvailable: 1 },
  });
  const condition = { type: "a b", status: "Maybe", reason: "_", message: "" };
  const status = {
    currentHealthy: -1,
    desiredHealthy: 0,
    disruptionsAllowed: 0,
    expectedPods: 0,
    conditions: [{ ...condition, lastTransitionTime: "2026-01-01T00:00:00Z" }],
  };
  const changed = { ...budget, status };
  await expect(
    client.update(podDisruptionBudgets, changed as never, { subresource: "status" }),
  ).rejects.toThrow(/\[0\]\.type: .*\[0\]\.status: .*\[0\]\.reason: .*currentHealthy: /);
  const service = await client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata,
    spec: { type: "LoadBalancer", ports: [{ port: 80 }] },
  });
  const balanced = await client.update(
    services,
    { ...service, status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } } },
    { subresource: "status" },
  );
  expect(balanced.status?.loadBalancer?.ingress).toEqual([{ ip: "192.0.2.1", ipMode: "VIP" }]);
  await expect(
    client.update(
      services,
      { ...balanced, status: { loadBalancer: { ingress: [{ hostname: "192.0.2.1" }] } } },
      { subresource: "status" },
    ),
  ).rejects.toThrow("must be a DNS name, not an IP address");
});

test("what is the cluster's loses the namespace it was given", async () => {
  const made = await world.client.create(storageClasses, {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "spaced", namespace: "default" },
    provisioner: "a.example/b",
  });
  expect(made.metadata.namespace).toBeUndefined();
});

test("runtime classes and leases are judged by what they bring", async () => {
  const runtimeClass = {
    apiVersion: "node.k8s.io/v1",
    kind: "RuntimeClass",
    metadata: { name: "odd" },
    handler: "h",
    overhead: { podFixed: { bananas: "1" } },
    scheduling: {
      tolerations: [
        { key: "a", operator: "Exists" },
        { key: "a", operator: "Exists" },
      ],
    },
  };
  expect(await problemsOf(world, runtimeClasses, runtimeClass)).toEqual([
    'overhead.limits[bananas]: Invalid value: "bananas": must be a standard resource type or ' +
      "fully qualified",
    'overhead.limits[bananas]: Invalid value: "bananas": must be a standard resource for ' +
      "containers",
    'scheduling.tolerations[1]: Duplicate value: {"key":"a","operator":"Exists"}',
  ]);
  const lease = {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata,
    spec: { leaseDurationSeconds: 0 },
  };
  expect(await problemsOf(world, leases, lease)).toEqual([
    "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
  ]);
});

test("secrets of a type carry what it needs", async () => {
  const secret = (type: string, data: Readonly<Record<string, string>>) =>
    problemsOf(world, secrets, { apiVersion: "v1", kind: "Secret", metadata, type, data });
  expect(await secret("kubernetes.io/dockerconfigjson", { ".dockerconfigjson": "eA==" })).toEqual([
    expect.stringMatching(
      /^data\[\.dockerconfigjson\]: Invalid value: "<secret contents redacted>": /,
    ),
  ]);
  expect(await secret("kubernetes.io/ssh-auth", { "ssh-privatekey": "" })).toEqual([
    "data[ssh-privatekey]: Required value",
  ]);
});
