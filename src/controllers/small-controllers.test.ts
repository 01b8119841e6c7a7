import { expect, test } from "bun:test";
import {
  clusterRoles,
  customResourceDefinitions,
  endpointSlices,
  endpoints,
  ipAddresses,
  nodes,
  serviceCIDRs,
  services,
  validatingAdmissionPolicies,
} from "../client/resources.ts";
import { createPolicyTypeChecker } from "./admission-policies/type-checker.ts";
import { createClusterRoleAggregationController } from "./cluster-role-aggregation.ts";
import { createEndpointSliceMirroringController } from "./endpoints/mirroring.ts";
import { createTtlController, ttlStep } from "./node/ttl.ts";
import { createServiceCidrController } from "./service-cidr.ts";
import { World } from "./testing/world.ts";

test("an aggregate role holds each rule of the roles it selects once", async () => {
  const world = new World();
  world.run(createClusterRoleAggregationController(world.context));
  const kind = { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole" };
  const rule = (resource: string) => ({ verbs: ["get"], apiGroups: [""], resources: [resource] });
  await world.client.create(clusterRoles, {
    ...kind,
    metadata: { name: "sum" },
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { into: "sum" } }] },
  });
  const labels = { into: "sum" };
  const part = { ...kind, metadata: { name: "b", labels }, rules: [rule("pods"), rule("nodes")] };
  await world.client.create(clusterRoles, part);
  await world.client.create(clusterRoles, {
    ...part,
    metadata: { name: "a", labels },
    rules: [rule("pods")],
  });
  await world.settle();
  expect(world.get(clusterRoles, "sum").rules).toEqual([rule("pods"), rule("nodes")]);
  await world.client.delete(clusterRoles, "", "b");
  await world.settle();
  expect(world.get(clusterRoles, "sum").rules).toEqual([rule("pods")]);
});

test("Endpoints of a Service without selector are mirrored, others are not", async () => {
  const world = new World();
  world.run(createEndpointSliceMirroringController(world.context));
  for (const [name, selector] of [
    ["manual", undefined],
    ["chosen", { app: "a" }],
  ] as const) {
    const metadata = { name, namespace: "default", labels: { team: "x" } };
    await world.client.create(services, {
      apiVersion: "v1",
      kind: "Service",
      metadata,
      spec: { ports: [{ port: 80 }], ...(selector === undefined ? {} : { selector }) },
    });
    await world.client.create(endpoints, {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata,
      subsets: [
        {
          addresses: [{ ip: "10.1.2.3", nodeName: "n1" }],
          notReadyAddresses: [{ ip: "10.1.2.4" }],
          ports: [{ name: "http", port: 80, protocol: "TCP" }],
        },
      ],
    });
  }
  await world.settle();
  const [slice, ...others] = world.list(endpointSlices);
  expect(others).toEqual([]);
  expect(slice).toMatchObject({
    metadata: {
      labels: {
        team: "x",
        "kubernetes.io/service-name": "manual",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
      },
      ownerReferences: [{ kind: "Endpoints", name: "manual" }],
    },
    addressType: "IPv4",
    endpoints: [
      { addresses: ["10.1.2.3"], conditions: { ready: true }, nodeName: "n1" },
      { addresses: ["10.1.2.4"], conditions: { ready: false } },
    ],
    ports: [{ name: "http", port: 80, protocol: "TCP" }],
  });
  await world.change(endpoints, "default/manual", (copy) => {
    copy.subsets = [{ addresses: [{ ip: "10.1.2.9" }], ports: [{ name: "http", port: 80 }] }];
  });
  await world.settle();
  expect(world.list(endpointSlices)[0]?.endpoints?.map(({ addresses }) => addresses)).toEqual([
    ["10.1.2.9"],
  ]);
  await world.client.delete(endpoints, "default", "manual");
  await world.settle();
  expect(world.list(endpointSlices)).toEqual([]);
});

test("ttlStep() moves with the number of nodes and does not flap", async () => {
  expect(ttlStep(0, 100)).toBe(0);
  expect(ttlStep(0, 101)).toBe(1);
  expect(ttlStep(1, 95)).toBe(1);
  expect(ttlStep(1, 89)).toBe(0);
  expect(ttlStep(0, 20_000)).toBe(5);
  const world = new World();
  world.run(createTtlController(world.context));
  const metadata = { name: "n1" };
  await world.client.create(nodes, { apiVersion: "v1", kind: "Node", metadata, spec: {} });
  await world.settle();
  expect(world.get(nodes, "n1").metadata.annotations).toEqual({
    "node.alpha.kubernetes.io/ttl": "0",
  });
});

test("a ServiceCIDR stays while an address needs it", async () => {
  const world = new World();
  world.run(createServiceCidrController(world.context));
  const kind = { apiVersion: "networking.k8s.io/v1", kind: "ServiceCIDR" };
  await world.client.create(serviceCIDRs, {
    ...kind,
    metadata: { name: "extra" },
    spec: { cidrs: ["10.50.0.0/24"] },
  });
  await world.client.create(ipAddresses, {
    apiVersion: "networking.k8s.io/v1",
    kind: "IPAddress",
    metadata: { name: "10.50.0.7" },
    spec: { parentRef: { resource: "services", name: "s", namespace: "default" } },
  });
  await world.settle();
  const ready = () => world.get(serviceCIDRs, "extra").status?.conditions?.[0];
  expect(ready()).toMatchObject({ type: "Ready", status: "True" });
  await world.client.delete(serviceCIDRs, "", "extra");
  await world.advance(20_000);
  expect(ready()).toMatchObject({ type: "Ready", status: "False", reason: "Terminating" });
  await world.client.delete(ipAddresses, "", "10.50.0.7");
  await world.advance(20_000);
  expect(world.list(serviceCIDRs)).toEqual([]);
});

test("a policy's status tells which of its expressions cannot be right", async () => {
  const world = new World();
  world.run(createPolicyTypeChecker(world.context));
  const crd = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "widgets.x.io" },
    spec: {
      group: "x.io",
      names: { kind: "Widget", plural: "widgets" },
      scope: "Namespaced",
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: "object",
              properties: {
                spec: { type: "object", properties: { size: { type: "integer" } } },
              },
            },
          },
        },
      ],
    },
    status: { conditions: [{ type: "Established", status: "True" }] },
  };
  await world.client.create(customResourceDefinitions, crd as never);
  const resourceRules = [
    { operations: ["CREATE"], apiGroups: ["x.io"], apiVersions: ["v1"], resources: ["widgets"] },
  ];
  await world.client.create(validatingAdmissionPolicies, {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicy",
    metadata: { name: "p", generation: 1 },
    spec: {
      matchConstraints: { resourceRules },
      validations: [{ expression: "object.spec.size > 1" }, { expression: "object.spec.size" }],
    },
  });
  await world.settle();
  expect(world.get(validatingAdmissionPolicies, "p").status).toEqual({
    observedGeneration: 1,
    typeChecking: {},
  });
  const policy = world.get(validatingAdmissionPolicies, "p");
  await world.client.update(validatingAdmissionPolicies, {
    ...policy,
    metadata: { ...policy.metadata, generation: 2 },
    spec: {
      ...policy.spec,
      validations: [{ expression: "object.spec.size == 'big'" }],
    },
  } as never);
  await world.settle();
  expect(world.get(validatingAdmissionPolicies, "p").status).toMatchObject({
    observedGeneration: 2,
    typeChecking: {
      expressionWarnings: [
        {
          fieldRef: "spec.validations[0].expression",
          warning: expect.stringContaining("x.io/v1, Kind=Widget: ERROR: <input>:1:18: found no"),
        },
      ],
    },
  });
});
