/** The rows at work: real schema, admission, roles and pipeline over a memory store. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  configMaps,
  deployments,
  jobs,
  namespaces,
  nodes,
  pods,
  selfSubjectAccessReviews,
  serviceCIDRs,
  services,
} from "../client/resources.ts";
import type { Deployment } from "../gen/apps-v1.ts";
import type { Job } from "../gen/batch-v1.ts";
import type { ConfigMap, Pod, Service } from "../gen/core-v1.ts";
import { openWorld, type World } from "./test-world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const namespace = "default";
function pod(name: string, more: Partial<Pod["spec"]> = {}): Pod {
  const containers = [{ name: "web", image: "nginx:1.29" }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace },
    spec: { containers, ...more },
  };
}
function service(name: string, spec: Service["spec"]): Service {
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace }, spec };
}

test("a pod gets its defaults, its token volume, its phase and its QoS class", async () => {
  const made = await world.client.create(pods, pod("defaults"));
  expect(made.spec).toMatchObject({
    restartPolicy: "Always",
    dnsPolicy: "ClusterFirst",
    schedulerName: "default-scheduler",
    terminationGracePeriodSeconds: 30,
    enableServiceLinks: true,
    serviceAccountName: "default",
    serviceAccount: "default",
    securityContext: {},
    priority: 0,
  });
  expect(made.spec.containers[0]).toMatchObject({
    imagePullPolicy: "IfNotPresent",
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    resources: {},
  });
  expect(made.spec.volumes?.[0]?.name).toMatch(/^kube-api-access-.{5}$/);
  expect(made.spec.volumes?.[0]?.projected?.defaultMode).toBe(420);
  expect(made.spec.tolerations?.length).toBe(2);
  expect(made.status).toEqual({ phase: "Pending", qosClass: "BestEffort" });
  expect(made.metadata.generation).toBe(1);
});

const refusals: readonly (readonly [string, Pod, string])[] = [
  ["no container", pod("a", { containers: [] }), "spec.containers: Required value"],
  [
    "no image",
    pod("b", { containers: [{ name: "x" }] }),
    "spec.containers[0].image: Required value",
  ],
  [
    "two containers of one name",
    pod("c", {
      containers: [
        { name: "x", image: "i" },
        { name: "x", image: "i" },
      ],
    }),
    'spec.containers[1].name: Duplicate value: "x"',
  ],
  [
    "an unknown restart policy",
    pod("d", { restartPolicy: "Sometimes" }),
    'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", ' +
      '"OnFailure", "Never"',
  ],
  [
    "a mount of no volume",
    pod("e", {
      containers: [{ name: "x", image: "i", volumeMounts: [{ name: "v", mountPath: "/v" }] }],
    }),
    'spec.containers[0].volumeMounts[0].name: Not found: "v"',
  ],
  [
    "more requested than limited",
    pod("f", {
      containers: [
        {
          name: "x",
          image: "i",
          resources: { requests: { cpu: "2" }, limits: { cpu: "1500m" } },
        },
      ],
    }),
    'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to ' +
      "cpu limit of 1500m",
  ],
  [
    "a name in capitals",
    pod("Nope"),
    'metadata.name: Invalid value: "Nope": a lowercase RFC 1123 subdomain must consist of',
  ],
];
for (const [what, object, message] of refusals)
  test(`a pod with ${what} is refused`, async () => {
    await expect(world.client.create(pods, object)).rejects.toThrow(message);
  });

test("of a pod's spec only the image and few other fields change", async () => {
  const made = await world.client.create(pods, pod("frozen"));
  const withImage = structuredClone(made);
  if (withImage.spec.containers[0]) withImage.spec.containers[0].image = "nginx:1.30";
  const updated = await world.client.update(pods, withImage);
  expect(updated.spec.containers[0]?.image).toBe("nginx:1.30");
  expect(updated.metadata.generation).toBe(2);
  updated.spec.hostNetwork = true;
  await expect(world.client.update(pods, updated)).rejects.toThrow(
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`",
  );
});

test("a node and a pod have one address of each family", async () => {
  const node = (podCIDRs: string[]) => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: `six${podCIDRs.length}` },
    spec: { podCIDRs },
  });
  await expect(world.client.create(nodes, node(["10.1.0.0/24", "10.2.0.0/24"]))).rejects.toThrow(
    'spec.podCIDRs: Invalid value: ["10.1.0.0/24","10.2.0.0/24"]: may specify no more than one ' +
      "CIDR for each IP family",
  );
  await expect(world.client.create(nodes, node(["10.1.0/24"]))).rejects.toThrow(
    'spec.podCIDRs[0]: Invalid value: "10.1.0/24": must be a valid CIDR value',
  );
  const pair = ["10.1.0.0/24", "fd00:1::/64"];
  expect((await world.client.create(nodes, node(pair))).spec).toMatchObject({
    podCIDR: "10.1.0.0/24",
    podCIDRs: pair,
  });
  await world.client.create(pods, pod("six"));
  const tell = (status: object) =>
    world.client.patch(pods, namespace, "six", "merge", { status }, { subresource: "status" });
  const twice = tell({ podIPs: [{ ip: "fd00::1" }, { ip: "fd00::2" }] });
  await expect(twice).rejects.toThrow("may specify no more than one IP for each IP family");
  await expect(tell({ hostIP: "10.0.0.1", hostIPs: [{ ip: "fd00::1" }] })).rejects.toThrow(
    'status.hostIPs[0].ip: Invalid value: "fd00::1": must be equal to `hostIP`',
  );
  const ips = [{ ip: "10.1.0.7" }, { ip: "fd00:1::7" }];
  const told = { podIP: "10.1.0.7", podIPs: ips, hostIP: "10.1.0.7", hostIPs: ips };
  expect((await tell(told)).status).toMatchObject(told);
});

test("binding sets the node once", async () => {
  await world.client.create(pods, pod("bound"));
  const body = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name: "bound", namespace },
    target: { kind: "Node", name: "a" },
  };
  const bind = () => world.client.createSubresource(pods, namespace, "bound", "binding", body);
  await bind();
  const found = await world.client.get(pods, namespace, "bound");
  expect(found.spec.nodeName).toBe("a");
  expect(found.status?.conditions?.[0]).toMatchObject({ type: "PodScheduled", status: "True" });
  await expect(bind()).rejects.toThrow('pod bound is already assigned to node "a"');
});

test("services get distinct addresses and node ports, and keep them", async () => {
  const made = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      world.client.create(
        services,
        service(`s${index}`, { type: "NodePort", ports: [{ port: 80 }] }),
      ),
    ),
  );
  expect(new Set(made.map((one) => one.spec.clusterIP)).size).toBe(50);
  expect(new Set(made.map((one) => one.spec.ports?.[0]?.nodePort)).size).toBe(50);
  const first = made[0] as Service;
  expect(first.spec).toMatchObject({
    ipFamilies: ["IPv4"],
    ipFamilyPolicy: "SingleStack",
    sessionAffinity: "None",
    externalTrafficPolicy: "Cluster",
    internalTrafficPolicy: "Cluster",
  });
  const changed = structuredClone(first);
  delete changed.spec.clusterIP;
  delete changed.spec.clusterIPs;
  changed.spec.selector = { app: "x" };
  const updated = await world.client.update(services, changed);
  expect(updated.spec.clusterIP).toBe(first.spec.clusterIP ?? "");
  expect(updated.spec.ports?.[0]?.nodePort).toBe(first.spec.ports?.[0]?.nodePort ?? 0);
});

test("an address that is taken or out of range is refused", async () => {
  const asked = { ports: [{ port: 80 }], clusterIP: "10.43.0.10" };
  await world.client.create(services, service("dns", { ...asked }));
  await expect(world.client.create(services, service("dns2", { ...asked }))).rejects.toThrow(
    "failed to allocate IP 10.43.0.10: provided IP is already allocated",
  );
  await expect(
    world.client.create(services, service("far", { ...asked, clusterIP: "10.44.0.1" })),
  ).rejects.toThrow(
    "failed to allocate IP 10.44.0.1: the provided network does not match the current range",
  );
});

test("a ServiceCIDR adds a range, until it is deleted", async () => {
  const range = {
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    // It stays for a while when it is deleted.
    metadata: { name: "more", finalizers: ["example.com/stay"] },
    spec: { cidrs: ["10.60.0.0/29"] },
  };
  await world.client.create(serviceCIDRs, range);
  const asked = { ports: [{ port: 80 }] };
  const made = await world.client.create(
    services,
    service("more1", { ...asked, clusterIP: "10.60.0.1" }),
  );
  expect(made.spec.clusterIPs).toEqual(["10.60.0.1"]);
  await expect(
    world.client.create(services, service("more2", { ...asked, clusterIP: "10.60.0.1" })),
  ).rejects.toThrow("failed to allocate IP 10.60.0.1: provided IP is already allocated");
  await world.client.delete(serviceCIDRs, "", "more");
  await expect(
    world.client.create(services, service("more3", { ...asked, clusterIP: "10.60.0.2" })),
  ).rejects.toThrow("the provided network does not match the current range");
});

test("a headless service and an ExternalName have no address", async () => {
  const headless = await world.client.create(
    services,
    service("headless", { clusterIP: "None", selector: { a: "b" } }),
  );
  expect(headless.spec.clusterIPs).toEqual(["None"]);
  const named = await world.client.create(
    services,
    service("named", { type: "ExternalName", externalName: "example.com" }),
  );
  expect(named.spec.clusterIP).toBeUndefined();
  expect(named.spec.ipFamilies).toBeUndefined();
});

function deployment(name: string): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [{ name: "web", image: "nginx" }] },
      },
    },
  };
}

test("a deployment gets its defaults; its selector is fixed and selects its template", async () => {
  const made = await world.client.create(deployments, deployment("web"));
  expect(made.spec).toMatchObject({
    replicas: 1,
    revisionHistoryLimit: 10,
    progressDeadlineSeconds: 600,
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
  });
  expect(made.spec.template.spec?.containers[0]?.imagePullPolicy).toBe("Always");
  const other = deployment("other");
  other.spec.template.metadata = { labels: { app: "else" } };
  await expect(world.client.create(deployments, other)).rejects.toThrow(
    "`selector` does not match template `labels`",
  );
  made.spec.selector = { matchLabels: { app: "web", more: "x" } };
  if (made.spec.template.metadata) made.spec.template.metadata.labels = { app: "web", more: "x" };
  await expect(world.client.update(deployments, made)).rejects.toThrow(
    "spec.selector: Invalid value",
  );
});

test("a job gets a selector and labels of its own", async () => {
  const job: Job = {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "once", namespace },
    spec: {
      template: {
        metadata: {},
        spec: { restartPolicy: "Never", containers: [{ name: "x", image: "i" }] },
      },
    },
  };
  const made = await world.client.create(jobs, job);
  expect(made.spec).toMatchObject({ parallelism: 1, completions: 1, backoffLimit: 6 });
  expect(made.spec.selector?.matchLabels).toEqual({
    "batch.kubernetes.io/controller-uid": made.metadata.uid ?? "",
  });
  expect(made.spec.template.metadata?.labels?.["job-name"]).toBe("once");
});

test("an immutable config map stays as it is", async () => {
  const map: ConfigMap = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "fixed", namespace },
    immutable: true,
    data: { a: "b" },
  };
  const made = await world.client.create(configMaps, map);
  made.data = { a: "c" };
  await expect(world.client.update(configMaps, made)).rejects.toThrow(
    "data: Forbidden: field is immutable when `immutable` is set",
  );
});

test("the namespaces that a cluster needs are not deleted", async () => {
  await expect(world.client.delete(namespaces, "", "default")).rejects.toThrow(
    'namespaces "default" is forbidden: this namespace may not be deleted',
  );
});

test("a namespace is active, labelled with its name, and held until finalized", async () => {
  const made = await world.client.create(namespaces, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "short" },
    spec: {},
  });
  expect(made.metadata.labels).toEqual({ "kubernetes.io/metadata.name": "short" });
  expect(made.spec.finalizers).toEqual(["kubernetes"]);
  await world.client.delete(namespaces, "", "short");
  const going = await world.client.get(namespaces, "", "short");
  expect(going.status?.phase).toBe("Terminating");
  const inside = { ...pod("late"), metadata: { name: "late", namespace: "short" } };
  await expect(world.client.create(pods, inside)).rejects.toThrow("because it is being terminated");
  going.spec.finalizers = [];
  await world.client.update(namespaces, going, { subresource: "finalize" });
  await expect(world.client.get(namespaces, "", "short")).rejects.toThrow("not found");
});

test("someone without a role is told what is forbidden", async () => {
  const eve = world.client.as("eve", ["system:authenticated"]);
  await expect(eve.list(pods, namespace)).rejects.toThrow(
    'pods is forbidden: User "eve" cannot list resource "pods" in API group "" in the namespace ' +
      '"default"',
  );
  const review = await eve.create(selfSubjectAccessReviews, {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    metadata: {},
    spec: { resourceAttributes: { verb: "list", resource: "pods", namespace } },
  });
  expect(review.status?.allowed).toBe(false);
});

test("a pod that no node runs is deleted at once", async () => {
  await world.client.create(pods, pod("brief"));
  await world.client.delete(pods, namespace, "brief");
  await expect(world.client.get(pods, namespace, "brief")).rejects.toThrow(
    'pods "brief" not found',
  );
});

test("an affinity that is switched off loses its settings", async () => {
  const spec: Service["spec"] = { ports: [{ port: 80 }], sessionAffinity: "ClientIP" };
  const made = await world.client.create(services, service("sticky", spec));
  expect(made.spec?.sessionAffinityConfig?.clientIP?.timeoutSeconds).toBe(10800);
  const plain = { ...made, spec: { ...made.spec, sessionAffinity: "None" } };
  const updated = await world.client.update(services, plain);
  expect(updated.spec?.sessionAffinityConfig).toBeUndefined();
});

test("tolerations that are replaced keep those of every pod", async () => {
  const made = await world.client.create(pods, pod("tolerant"));
  const toleration = { key: "a", operator: "Exists", effect: "NoSchedule" };
  const next = { ...made, spec: { ...made.spec, tolerations: [toleration] } };
  const updated = await world.client.update(pods, next);
  expect(updated.spec.tolerations?.map(({ key }) => key)).toEqual([
    "a",
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
  ]);
});
