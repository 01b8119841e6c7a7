/** Every controller does its work with the rights of its own cluster role, and no more. */

import { expect, test } from "bun:test";
import { controllerRoles } from "../src/api/auth/controller-roles.ts";
import {
  clusterRoles,
  configMaps,
  cronJobs,
  daemonSets,
  deployments,
  endpoints,
  horizontalPodAutoscalers,
  jobs,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  podDisruptionBudgets,
  pods,
  replicaSets,
  replicationControllers,
  resourceQuotas,
  serviceCIDRs,
  services,
  statefulSets,
} from "../src/client/resources.ts";
import { allControllers } from "../src/controllers/all.ts";
import type { MemoryRequest } from "../src/controllers/testing/memory-api.ts";
import { World } from "../src/controllers/testing/world.ts";
import type { PodTemplateSpec } from "../src/gen/core-v1.ts";
import type { PolicyRule } from "../src/gen/rbac-v1.ts";
import { ApiError } from "../src/lib/api-error.ts";
import { createMetrics } from "../src/runtime/metrics.ts";

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
    const name = user.slice(accountPrefix.length);
    const rules = controllerRoles[name] ?? [];
    if (rules.some((one) => allows(one, request))) return undefined;
    const text = `${user} cannot ${verb} ${resource.plural}/${subresource}`;
    refused.add(text);
    return new ApiError("Forbidden", text);
  };
  world.run(
    ...allControllers(world.context, {
      rootCa: "PEM",
      metrics: createMetrics(),
      serviceLb: true,
      servesIngress: false,
      clusterCidrs: ["10.42.0.0/16"],
      allocatesNodeCidrs: true,
      collectable: [configMaps, pods, replicaSets, deployments, jobs, cronJobs],
      namespacedResources: () => [configMaps, pods, services, replicaSets, deployments],
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
  await applyPolicies(world);
  await applyVolumes(world);
  await client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: inDefault("service"),
    spec: { selector: { app: "a" }, ports: [{ port: 80 }] },
  });
}

async function applyPolicies({ client }: World): Promise<void> {
  await client.create(podDisruptionBudgets, {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: inDefault("budget"),
    spec: { maxUnavailable: 1, selector },
  });
  await client.create(horizontalPodAutoscalers, {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: inDefault("autoscaler"),
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "deployment" },
      minReplicas: 3,
      maxReplicas: 5,
    },
  });
  await client.create(resourceQuotas, {
    apiVersion: "v1",
    kind: "ResourceQuota",
    metadata: inDefault("quota"),
    spec: { hard: { pods: "100" } },
  });
  await client.create(clusterRoles, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "sum" },
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: "b" } }] },
    rules: [{ verbs: ["get"], apiGroups: [""], resources: ["pods"] }],
  });
  await client.create(serviceCIDRs, {
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    metadata: { name: "extra" },
    spec: { cidrs: ["10.50.0.0/24"] },
  });
}

async function applyVolumes({ client }: World): Promise<void> {
  await client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: inDefault("manual"),
    spec: { ports: [{ port: 80 }] },
  });
  await client.create(endpoints, {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: inDefault("manual"),
    subsets: [{ addresses: [{ ip: "10.1.2.3" }], ports: [{ port: 80 }] }],
  });
  await client.create(persistentVolumes, {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "volume" },
    spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"] },
  });
  for (const name of ["first", "second"]) {
    await client.create(persistentVolumeClaims, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: inDefault(name),
      spec: {
        storageClassName: "",
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Gi" } },
      },
    });
  }
  const volumeClaimTemplate = {
    metadata: {},
    spec: { accessModes: ["ReadWriteOnce"], storageClassName: "" },
  };
  await client.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: inDefault("ephemeral"),
    spec: {
      containers: [{ name: "c", image: "i" }],
      volumes: [{ name: "v", ephemeral: { volumeClaimTemplate } }],
    },
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
  await world.client.delete(serviceCIDRs, "", "extra");
  await world.client.delete(persistentVolumeClaims, "default", "first");
  await world.advance(120_000);
  expect([...refused]).toEqual([]);
  expect(world.list(namespaces)).toEqual([]);
  expect(world.list(deployments)).toEqual([]);
});
