/** Every controller does its work with the rights of its own cluster role, and no more. */
import { expect, test } from "bun:test";
import { controllerRoles } from "../src/api/auth/controller-roles.ts";
import {
  configMaps,
  cronJobs,
  daemonSets,
  deployments,
  jobs,
  namespaces,
  nodes,
  pods,
  replicaSets,
  replicationControllers,
  services,
  statefulSets,
} from "../src/client/resources.ts";
import { allControllers } from "../src/controllers/all.ts";
import type { MemoryRequest } from "../src/controllers/testing/memory-api.ts";
import { World } from "../src/controllers/testing/world.ts";
import type { PodTemplateSpec } from "../src/gen/core-v1.ts";
import type { PolicyRule } from "../src/gen/rbac-v1.ts";
import { ApiError } from "../src/lib/api-error.ts";

const accountPrefix = "system:serviceaccount:kube-system:";

function allows(one: PolicyRule, { verb, resource, name, subresource }: MemoryRequest): boolean {
  const has = (list: readonly string[] | undefined, item: string) =>
    list?.includes(item) === true || list?.includes("*") === true;
  const full = subresource === "" ? resource.plural : `${resource.plural}/${subresource}`;
  return (
    has(one.verbs, verb) &&
    has(one.apiGroups, resource.group) &&
    (has(one.resources, full) || has(one.resources, `*/${subresource}`)) &&
    ((one.resourceNames ?? []).length === 0 || one.resourceNames?.includes(name) === true)
  );
}

/** A world whose controllers get what their role gives; `refused` tells what it did not. */
function strictWorld(): { readonly world: World; readonly refused: Set<string> } {
  const world = new World();
  const refused = new Set<string>();
  world.api.authorize = (request) => {
    const { user, verb, resource, subresource } = request;
    const rules = controllerRoles[user.slice(accountPrefix.length)] ?? [];
    if (rules.some((one) => allows(one, request))) return undefined;
    const text = `${user} cannot ${verb} ${resource.plural}/${subresource}`;
    refused.add(text);
    return new ApiError("Forbidden", text);
  };
  world.run(
    ...allControllers(world.context, {
      rootCa: "PEM",
      serviceLb: true,
      clusterCidr: "10.42.0.0/16",
      collectable: [configMaps, pods, replicaSets, deployments, jobs, cronJobs],
      namespacedResources: () => [configMaps, pods, services],
    }),
  );
  return { world, refused };
}

const template: PodTemplateSpec = {
  metadata: { labels: { app: "a" } },
  spec: { containers: [{ name: "c", image: "i:1" }] },
};
const selector = { matchLabels: { app: "a" } };
/** What the API fills in for a Job. */
const jobSpec = {
  completions: 1,
  selector: { matchLabels: { job: "a" } },
  template: { ...template, metadata: { labels: { job: "a" } } },
};
const inDefault = (name: string) => ({ name, namespace: "default" });

async function applyOneOfEach(world: World): Promise<void> {
  const { client } = world;
  await client.create(namespaces, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "team" },
    spec: {},
  });
  await client.create(nodes, {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "n1" },
    spec: { unschedulable: true },
    status: { conditions: [{ type: "Ready", status: "True", lastHeartbeatTime: "a" }] },
  });
  const apps = "apps/v1";
  await client.create(deployments, {
    apiVersion: apps,
    kind: "Deployment",
    metadata: inDefault("deployment"),
    spec: { replicas: 2, selector, template },
  });
  await client.create(daemonSets, {
    apiVersion: apps,
    kind: "DaemonSet",
    metadata: inDefault("daemon-set"),
    spec: { selector, template },
  });
  await client.create(statefulSets, {
    apiVersion: apps,
    kind: "StatefulSet",
    metadata: inDefault("stateful-set"),
    spec: {
      replicas: 1,
      serviceName: "s",
      selector,
      template,
      volumeClaimTemplates: [
        { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: { name: "data" }, spec: {} },
      ],
    },
  });
  await client.create(replicationControllers, {
    apiVersion: "v1",
    kind: "ReplicationController",
    metadata: inDefault("replication-controller"),
    spec: { replicas: 1, selector: { app: "a" }, template },
  });
  await client.create(jobs, {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: inDefault("job"),
    spec: jobSpec,
  });
  await client.create(cronJobs, {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: inDefault("cron-job"),
    spec: { schedule: "* * * * *", jobTemplate: { metadata: {}, spec: jobSpec } },
  });
  await client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: inDefault("service"),
    spec: { selector: { app: "a" }, ports: [{ port: 80 }] },
  });
}

test("controllers are never refused what they do", async () => {
  const { world, refused } = strictWorld();
  await applyOneOfEach(world);
  await world.advance(61_000);
  await world.change(deployments, "default/deployment", (copy) => {
    const [container] = copy.spec.template.spec.containers;
    if (container) container.image = "i:2";
  });
  for (const pod of world.list(pods)) {
    await world.change(pods, `default/${pod.metadata.name}`, (copy) => {
      copy.status = { phase: "Succeeded" };
    });
  }
  await world.advance(120_000);
  await world.client.delete(namespaces, "", "team");
  await world.client.delete(deployments, "default", "deployment", {
    propagationPolicy: "Foreground",
  });
  await world.client.delete(nodes, "", "n1");
  await world.advance(120_000);
  expect([...refused]).toEqual([]);
  expect(world.list(namespaces)).toEqual([]);
  expect(world.list(deployments)).toEqual([]);
});
