/** The plugins that are on by default, at work on real requests. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  configMaps,
  ingressClasses,
  ingresses,
  limitRanges,
  namespaces,
  nodes,
  persistentVolumeClaims,
  pods,
  priorityClasses,
  resourceQuotas,
  runtimeClasses,
  serviceAccounts,
} from "../client/resources.ts";
import { createResourceQuotaController } from "../controllers/resource-quota.ts";
import type { Pod, PodSpec, ResourceQuota, ResourceQuotaSpec } from "../gen/core-v1.ts";
import { openWorld, type World } from "./test-world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

async function openNamespace(name: string, labels: Record<string, string> = {}): Promise<void> {
  await world.client.create(namespaces, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels },
    spec: {},
  });
  await world.client.create(serviceAccounts, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "default", namespace: name },
  });
}

function pod(namespace: string, name: string, spec: Partial<PodSpec> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace },
    spec: { containers: [{ name: "c", image: "i" }], ...spec },
  };
}
const withResources = (resources: object): Partial<PodSpec> => ({
  containers: [{ name: "c", image: "i", resources }],
});
const forbidden = (text: string) => ({ code: 403, message: text });

describe("LimitRanger", () => {
  beforeAll(async () => {
    await openNamespace("limited");
    await world.client.create(limitRanges, {
      apiVersion: "v1",
      kind: "LimitRange",
      metadata: { name: "l", namespace: "limited" },
      spec: {
        limits: [
          {
            type: "Container",
            default: { cpu: "500m", memory: "256Mi" },
            defaultRequest: { cpu: "100m" },
            min: { cpu: "50m" },
            max: { cpu: "1" },
            maxLimitRequestRatio: { memory: "2" },
          },
          { type: "Pod", max: { memory: "1Gi" } },
          { type: "PersistentVolumeClaim", min: { storage: "1Gi" }, max: { storage: "5Gi" } },
        ],
      },
    });
  });

  test("fills in what containers lack and says so", async () => {
    const made = await world.client.create(pods, pod("limited", "filled"));
    expect(made.spec.containers[0]?.resources).toEqual({
      requests: { cpu: "100m", memory: "256Mi" },
      limits: { cpu: "500m", memory: "256Mi" },
    });
    expect(made.metadata.annotations?.["kubernetes.io/limit-ranger"]).toBe(
      "LimitRanger plugin set: cpu, memory request for container c; " +
        "cpu, memory limit for container c",
    );
  });

  test("refuses pods and claims out of range", async () => {
    const wide = withResources({
      requests: { cpu: "10m", memory: "100Mi" },
      limits: { cpu: "2", memory: "2Gi" },
    });
    await expect(world.client.create(pods, pod("limited", "wide", wide))).rejects.toMatchObject(
      forbidden(
        'pods "wide" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, ' +
          "maximum cpu usage per Container is 1, but limit is 2, memory max limit to request " +
          "ratio per Container is 2, but provided ratio is 20.480000, maximum memory usage per " +
          "Pod is 1Gi, but limit is 2Gi]",
      ),
    );
    await expect(
      world.client.create(persistentVolumeClaims, {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: { name: "big", namespace: "limited" },
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "6Gi" } } },
      }),
    ).rejects.toMatchObject(
      forbidden(
        'persistentvolumeclaims "big" is forbidden: maximum storage usage per ' +
          "PersistentVolumeClaim is 5Gi, but request is 6Gi",
      ),
    );
  });
});

describe("PodSecurity", () => {
  const label = (mode: string): string => `pod-security.kubernetes.io/${mode}`;

  test("holds pods to the level of their namespace", async () => {
    await openNamespace("hard", { [label("enforce")]: "restricted" });
    await expect(world.client.create(pods, pod("hard", "nginx"))).rejects.toMatchObject(
      forbidden(
        'pods "nginx" is forbidden: violates PodSecurity "restricted:latest": ' +
          'allowPrivilegeEscalation != false (container "c" must set ' +
          "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container " +
          '"c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or ' +
          'container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or ' +
          'container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or ' +
          '"Localhost")',
      ),
    );
    await world.client.create(
      pods,
      pod("hard", "good", {
        securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
        containers: [
          {
            name: "c",
            image: "i",
            securityContext: {
              allowPrivilegeEscalation: false,
              capabilities: { drop: ["ALL"] },
            },
          },
        ],
      }),
    );
  });

  test("names every breach of the baseline", async () => {
    await openNamespace("base", { [label("enforce")]: "baseline" });
    const wild = pod("base", "wild", {
      hostNetwork: true,
      hostPID: true,
      volumes: [{ name: "etc", hostPath: { path: "/etc" } }],
      securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] },
      containers: [
        {
          name: "a",
          image: "i",
          ports: [{ containerPort: 80, hostPort: 80 }],
          securityContext: { privileged: true, capabilities: { add: ["NET_ADMIN"] } },
        },
      ],
    });
    await expect(world.client.create(pods, wild)).rejects.toMatchObject(
      forbidden(
        'pods "wild" is forbidden: violates PodSecurity "baseline:latest": non-default ' +
          'capabilities (container "a" must not include "NET_ADMIN" in ' +
          "securityContext.capabilities.add), host namespaces (hostNetwork=true, hostPID=true), " +
          'hostPath volumes (volume "etc"), hostPort (container "a" uses hostPort 80), ' +
          'privileged (container "a" must not set securityContext.privileged=true), ' +
          "forbidden sysctls (kernel.msgmax)",
      ),
    );
  });

  test("refuses labels that mean nothing", async () => {
    await expect(
      openNamespace("odd", { [label("enforce")]: "strict", [label("warn-version")]: "1.30" }),
    ).rejects.toMatchObject({
      code: 422,
      details: {
        causes: [
          { field: "metadata.labels[pod-security.kubernetes.io/enforce]" },
          { field: "metadata.labels[pod-security.kubernetes.io/warn-version]" },
        ],
      },
    });
  });
});

describe("ResourceQuota", () => {
  async function quota(namespace: string, spec: ResourceQuotaSpec): Promise<void> {
    await openNamespace(namespace);
    await world.client.create<ResourceQuota>(resourceQuotas, {
      apiVersion: "v1",
      kind: "ResourceQuota",
      metadata: { name: "q", namespace },
      spec,
    });
    await recount(namespace);
  }

  async function recount(namespace: string): Promise<void> {
    const { client, live, runtime } = world;
    const events = { event: () => {} };
    const controller = createResourceQuotaController(
      { client, live, runtime, events },
      { collectable: [], namespacedResources: () => [pods, configMaps, serviceAccounts] },
    );
    await live.of(resourceQuotas).ready(new AbortController().signal);
    await controller.reconcile(`${namespace}/q`, new AbortController().signal);
  }

  const used = async (namespace: string) =>
    (await world.client.get(resourceQuotas, namespace, "q")).status?.used;

  test("charges what is let in and refuses what exceeds", async () => {
    await quota("few", { hard: { pods: "1", "requests.cpu": "500m", "count/configmaps": "1" } });
    await expect(world.client.create(pods, pod("few", "silent"))).rejects.toMatchObject(
      forbidden('pods "silent" is forbidden: failed quota: q: must specify requests.cpu for: c'),
    );
    const asks = (cpu: string) => withResources({ requests: { cpu } });
    await expect(world.client.create(pods, pod("few", "big", asks("1")))).rejects.toMatchObject(
      forbidden(
        'pods "big" is forbidden: exceeded quota: q, requested: requests.cpu=1, used: ' +
          "requests.cpu=0, limited: requests.cpu=500m",
      ),
    );
    await world.client.create(pods, pod("few", "fits", asks("300m")));
    expect(await used("few")).toEqual({
      pods: "1",
      "requests.cpu": "300m",
      "count/configmaps": "0",
    });
    await expect(world.client.create(pods, pod("few", "more", asks("100m")))).rejects.toMatchObject(
      forbidden(
        'pods "more" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: ' +
          "pods=1",
      ),
    );
    await world.client.delete(pods, "few", "fits", { gracePeriodSeconds: 0 });
    await recount("few");
    expect(await used("few")).toMatchObject({ pods: "0", "requests.cpu": "0" });
  });

  test("charges a pod that an update brings into its scope", async () => {
    await quota("moved", { hard: { pods: "1" }, scopes: ["Terminating"] });
    const made = await world.client.create(pods, pod("moved", "a"));
    expect(await used("moved")).toEqual({ pods: "0" });
    const timed = structuredClone(made);
    timed.spec.activeDeadlineSeconds = 3600;
    await world.client.update(pods, timed);
    expect(await used("moved")).toEqual({ pods: "1" });
    const next = pod("moved", "b");
    next.spec.activeDeadlineSeconds = 3600;
    await expect(world.client.create(pods, next)).rejects.toMatchObject(
      forbidden(
        'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, ' +
          "limited: pods=1",
      ),
    );
  });

  test("never lets more in than it has room for, however many ask at once", async () => {
    await quota("rush", { hard: { "count/configmaps": "3" } });
    const answers = await Promise.allSettled(
      Array.from({ length: 10 }, (_, index) =>
        world.client.create(configMaps, {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: `c${index}`, namespace: "rush" },
        }),
      ),
    );
    expect(answers.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
    expect(await used("rush")).toEqual({ "count/configmaps": "3" });
  });

  test("counts only what is in its scopes", async () => {
    await quota("scoped", { hard: { pods: "0" }, scopes: ["BestEffort"] });
    await expect(world.client.create(pods, pod("scoped", "best"))).rejects.toMatchObject({
      code: 403,
    });
    const burstable = withResources({ requests: { cpu: "1m" } });
    await world.client.create(pods, pod("scoped", "burstable", burstable));
  });
});

describe("small plugins", () => {
  test("a runtime class brings its overhead and its nodes", async () => {
    await world.client.create(runtimeClasses, {
      apiVersion: "node.k8s.io/v1",
      kind: "RuntimeClass",
      metadata: { name: "kata" },
      handler: "kata",
      overhead: { podFixed: { cpu: "250m" } },
      scheduling: { nodeSelector: { kata: "yes" } },
    });
    const made = await world.client.create(
      pods,
      pod("default", "kata", { runtimeClassName: "kata", nodeSelector: { disk: "ssd" } }),
    );
    expect(made.spec).toMatchObject({
      overhead: { cpu: "250m" },
      nodeSelector: { disk: "ssd", kata: "yes" },
    });
    await expect(
      world.client.create(pods, pod("default", "none", { runtimeClassName: "nope" })),
    ).rejects.toMatchObject(
      forbidden('pods "none" is forbidden: pod rejected: RuntimeClass "nope" not found'),
    );
  });

  test("a pod on a node learns its zone", async () => {
    await world.client.create(nodes, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "zoned", labels: { "topology.kubernetes.io/zone": "z1" } },
      spec: {},
    });
    await world.client.create(pods, pod("default", "bound"));
    await world.client.createSubresource(pods, "default", "bound", "binding", {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name: "bound" },
      target: { kind: "Node", name: "zoned" },
    });
    const { labels } = (await world.client.get(pods, "default", "bound")).metadata;
    expect(labels).toEqual({ "topology.kubernetes.io/zone": "z1" });
  });

  test("an Ingress gets the default class, and there is one default priority", async () => {
    await world.client.create(ingressClasses, {
      apiVersion: "networking.k8s.io/v1",
      kind: "IngressClass",
      metadata: {
        name: "main",
        annotations: { "ingressclass.kubernetes.io/is-default-class": "true" },
      },
      spec: { controller: "example.com/ingress" },
    });
    const ingress = await world.client.create(ingresses, {
      apiVersion: "networking.k8s.io/v1",
      kind: "Ingress",
      metadata: { name: "web", namespace: "default" },
      spec: { defaultBackend: { service: { name: "web", port: { number: 80 } } } },
    });
    expect(ingress.spec?.ingressClassName).toBe("main");
    const priority = (name: string) => ({
      apiVersion: "scheduling.k8s.io/v1",
      kind: "PriorityClass",
      metadata: { name },
      value: 5,
      globalDefault: true,
    });
    await world.client.create(priorityClasses, priority("five"));
    await expect(world.client.create(priorityClasses, priority("six"))).rejects.toMatchObject({
      code: 403,
      message: expect.stringContaining("PriorityClass five is already marked as default"),
    });
    const made = await world.client.create(pods, pod("default", "prior"));
    expect(made.spec).toMatchObject({ priority: 5, priorityClassName: "five" });
    // As `kubectl replace` with the file that made the pod: it names no number.
    const { priority: _, preemptionPolicy: __, ...asked } = made.spec;
    const replaced = await world.client.update(pods, { ...made, spec: asked });
    expect(replaced.spec).toMatchObject({ priority: 5, preemptionPolicy: "PreemptLowerPriority" });
  });
});
