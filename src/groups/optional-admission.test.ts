/** Admission plugins that are off unless asked for. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { admissionWith } from "../api/admission/default-plugins.ts";
import { configMaps, namespaces, pods, services } from "../client/resources.ts";
import type { Pod, PodSpec, Service } from "../gen/core-v1.ts";
import { openWorld, type World } from "./test-world.ts";

const names = [
  "AlwaysPullImages",
  "DenyServiceExternalIPs",
  "ExtendedResourceToleration",
  "LimitPodHardAntiAffinityTopology",
  "NamespaceAutoProvision",
  "NamespaceExists",
];

let world: World;
beforeAll(async () => {
  world = await openWorld({ admission: admissionWith(names, []) });
});
afterAll(() => world[Symbol.asyncDispose]());

let count = 0;
function pod(spec: Partial<PodSpec>): Pod {
  count += 1;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `p${count}`, namespace: "default" },
    spec: { containers: [{ name: "c", image: "i" }], ...spec },
  };
}

describe("AlwaysPullImages", () => {
  test("every image is pulled, those of volumes and of later containers too", async () => {
    const never = { imagePullPolicy: "Never" as const, image: "i" };
    const made = await world.client.create(
      pods,
      pod({
        containers: [{ name: "c", ...never }],
        initContainers: [{ name: "d", ...never }],
        volumes: [{ name: "v", image: { reference: "i", pullPolicy: "Never" } }],
      }),
    );
    expect(made.spec.containers[0]?.imagePullPolicy).toBe("Always");
    expect(made.spec.initContainers?.[0]?.imagePullPolicy).toBe("Always");
    expect(made.spec.volumes?.[0]?.image?.pullPolicy).toBe("Always");
  });

  test("an update that brings no image is let be", async () => {
    const made = await world.client.create(pods, pod({}));
    const changed = { ...made, metadata: { ...made.metadata, labels: { a: "b" } } };
    expect((await world.client.update(pods, changed)).metadata.labels).toEqual({ a: "b" });
  });
});

test("DenyServiceExternalIPs lets nobody add an address, and what is there stay", async () => {
  const metadata = { name: "web", namespace: "default" };
  const service = (externalIPs: string[]): Service => ({
    apiVersion: "v1",
    kind: "Service",
    metadata,
    spec: { ports: [{ port: 80 }], externalIPs },
  });
  const denied = 'services "web" is forbidden: Use of external IPs is denied by admission control';
  expect(world.client.create(services, service(["192.0.2.1"]))).rejects.toThrow(denied);
  await world.client.create(services, service([]));
  const add = { spec: { externalIPs: ["192.0.2.1"] } };
  for (const type of ["merge", "strategic", "apply"] as const) {
    const body = type === "apply" ? { ...service(["192.0.2.1"]) } : add;
    const options = type === "apply" ? { fieldManager: "test", force: true } : {};
    const patched = world.client.patch(services, "default", "web", type, body, options);
    expect(patched).rejects.toThrow(denied);
  }
});

test("ExtendedResourceToleration lets pods go where their devices are", async () => {
  const resources = { limits: { "example.com/gpu": "1", cpu: "1" } };
  const made = await world.client.create(
    pods,
    pod({ containers: [{ name: "c", image: "i", resources }] }),
  );
  expect(made.spec.tolerations).toContainEqual({
    key: "example.com/gpu",
    operator: "Exists",
    effect: "NoSchedule",
  });
  expect(made.spec.tolerations?.some(({ key }) => key === "cpu")).toBe(false);
});

test("LimitPodHardAntiAffinityTopology keeps others out of nodes only", async () => {
  const apart = (topologyKey: string): Partial<PodSpec> => ({
    affinity: {
      podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey }] },
    },
  });
  await world.client.create(pods, pod(apart("kubernetes.io/hostname")));
  expect(world.client.create(pods, pod(apart("topology.kubernetes.io/zone")))).rejects.toThrow(
    "has TopologyKey topology.kubernetes.io/zone but only key kubernetes.io/hostname is allowed",
  );
});

test("NamespaceAutoProvision makes the namespace that something is created in", async () => {
  const metadata = { name: "a", namespace: "fresh" };
  await world.client.create(configMaps, { apiVersion: "v1", kind: "ConfigMap", metadata });
  expect((await world.client.get(namespaces, "", "fresh")).metadata.name).toBe("fresh");
});
