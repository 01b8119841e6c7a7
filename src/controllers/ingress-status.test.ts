import { expect, test } from "bun:test";
import { ingressClasses, ingresses, services } from "../client/resources.ts";
import type { Ingress, IngressClass } from "../gen/networking-v1.ts";
import { createIngressStatusController } from "./ingress-status.ts";
import { World } from "./testing/world.ts";

const backend = { service: { name: "web", port: { number: 80 } } };

function ingress(name: string, ingressClassName: string): Ingress {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name, namespace: "default" },
    spec: { ingressClassName, defaultBackend: backend },
  };
}

function classOf(name: string, controller: string): IngressClass {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "IngressClass",
    metadata: { name },
    spec: { controller },
  };
}

test("Ingresses of ours get the addresses of the Service, and lose them with it", async () => {
  const world = new World();
  const { client } = world;
  await client.create(ingressClasses, classOf("traefik", "traefik.io/ingress-controller"));
  await client.create(ingressClasses, classOf("other", "example.com/other"));
  await client.create(ingresses, ingress("own", "traefik"));
  await client.create(ingresses, ingress("foreign", "other"));
  world.run(createIngressStatusController(world.context));
  const pointsOf = async (name: string) => {
    await world.settle();
    const found = await client.get(ingresses, "default", name);
    return found.status?.loadBalancer?.ingress ?? [];
  };
  expect(await pointsOf("own")).toEqual([]);
  const service = await client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "traefik", namespace: "kube-system" },
    spec: { type: "LoadBalancer", ports: [{ port: 80 }] },
  });
  const points = [{ ip: "10.0.0.1", ipMode: "VIP" }, { hostname: "lb.test" }];
  const served = { ...service, status: { loadBalancer: { ingress: points } } };
  await client.update(services, served, { subresource: "status" });
  expect(await pointsOf("own")).toEqual([{ ip: "10.0.0.1" }, { hostname: "lb.test" }]);
  expect(await pointsOf("foreign")).toEqual([]);
  await client.delete(services, "kube-system", "traefik");
  expect(await pointsOf("own")).toEqual([]);
});
