/** Admission plugins with the configurations that --admission-control-config-file gives them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openAdmission } from "../api/admission/admission-config.ts";
import {
  clusterRoleBindings,
  clusterRoles,
  configMaps,
  events,
  namespaces,
  nodes,
  pods,
} from "../client/resources.ts";
import type { ConfigMap, Event, Pod, PodSpec } from "../gen/core-v1.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { askOf, sendTo } from "./test-http.ts";
import { openWorld, type World } from "./test-world.ts";

const kubeconfig = JSON.stringify({
  "current-context": "a",
  contexts: [{ name: "a", context: { cluster: "a" } }],
  clusters: [{ name: "a", cluster: { server: "https://images.test/" } }],
});

/** What the image policy was asked, and what it answers. */
const reviews: { readonly spec: { readonly containers: readonly { readonly image: string }[] } }[] =
  [];
const runtime = createSimulatedRuntime(1, {
  fetch: async (request) => {
    const review = (await request.json()) as (typeof reviews)[number];
    reviews.push(review);
    const isBad = review.spec.containers.some(({ image }) => image === "bad");
    if (review.spec.containers.some(({ image }) => image === "broken"))
      return new Response("no", { status: 400 });
    const status = isBad ? { allowed: false, reason: "it is bad" } : { allowed: true };
    return Response.json({ kind: "ImageReview", apiVersion: "any", status });
  },
});

const config = `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline, enforce-version: latest}
    exemptions: {namespaces: [free], usernames: [root], runtimeClasses: [vm]}
- name: EventRateLimit
  path: events.yaml
- name: ImagePolicyWebhook
  configuration:
    imagePolicy: {kubeConfigFile: /etc/images, allowTTL: 5, defaultAllow: false}
- name: PodNodeSelector
  configuration:
    podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: "zone=a", held: "zone=b,disk=ssd"}
- name: PodTolerationRestriction
  configuration:
    apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1
    kind: Configuration
    default: [{key: given, operator: Exists}]
    whitelist:
    - {key: given, operator: Exists}
    - {key: ok, operator: Exists}
    - {key: node.kubernetes.io/memory-pressure, operator: Exists}
`;

const limits = `
apiVersion: eventratelimit.admission.k8s.io/v1alpha1
kind: Configuration
limits: [{type: Namespace, qps: 1, burst: 2}]
`;

const enabled = [
  "EventRateLimit",
  "ImagePolicyWebhook",
  "OwnerReferencesPermissionEnforcement",
  "PodNodeSelector",
  "PodTolerationRestriction",
];

const settings = (configFile?: string, plugins: readonly string[] = enabled) => {
  return { enabled: plugins, disabled: ["DefaultTolerationSeconds", "ServiceAccount"], configFile };
};

let world: World;
beforeAll(async () => {
  await runtime.files.writeAtomic("/etc/k/admission.yaml", config, 0o600);
  await runtime.files.writeAtomic("/etc/k/events.yaml", limits, 0o600);
  await runtime.files.writeAtomic("/etc/images", kubeconfig, 0o600);
  const admission = await openAdmission(settings("/etc/k/admission.yaml"), runtime);
  world = await openWorld({ admission });
  const annotation = "scheduler.alpha.kubernetes.io/";
  const made = { free: {}, held: { [`${annotation}node-selector`]: "zone=b" } };
  for (const [name, annotations] of Object.entries(made))
    await world.client.create(namespaces, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, annotations },
      spec: {},
    });
});
afterAll(() => world[Symbol.asyncDispose]());

let count = 0;
const create = (spec: Partial<PodSpec>, namespace = "default", more = {}): Promise<Pod> => {
  count += 1;
  return world.client.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `p${count}`, namespace, ...more },
    spec: { containers: [{ name: "c", image: "i" }], ...spec },
  } as Pod);
};

describe("PodSecurity", () => {
  const hostNetwork = { hostNetwork: true };
  test("holds namespaces to the default, and nobody who is exempt", async () => {
    const refused = 'violates PodSecurity "baseline:latest"';
    await expect(create(hostNetwork)).rejects.toThrow(refused);
    expect((await create(hostNetwork, "free")).spec.hostNetwork).toBe(true);
    const root = world.pipeline.clientOf({
      name: "root",
      uid: "",
      groups: ["system:masters"],
      extra: {},
    });
    const metadata = { name: "of-root", namespace: "default" };
    const spec = { containers: [{ name: "c", image: "i" }], ...hostNetwork };
    const made = await root.create(pods, { apiVersion: "v1", kind: "Pod", metadata, spec });
    expect(made.spec.hostNetwork).toBe(true);
  });
});

describe("EventRateLimit", () => {
  test("refuses what is too much in a namespace until time has passed", async () => {
    const event = (name: string, namespace = "default"): Promise<Event> =>
      world.client.create(events, {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name, namespace },
        involvedObject: { namespace },
      });
    await event("a");
    await event("b");
    await expect(event("c")).rejects.toThrow("limit reached on type Namespace for key default");
    await expect(event("c")).rejects.toMatchObject({ reason: "TooManyRequests" });
    await event("d", "free");
    await runtime.clock.advance(1001);
    await event("e");
  });
});

describe("ImagePolicyWebhook", () => {
  test("lets run what another server allows, and asks it again after a while", async () => {
    const containers = (image: string) => ({ containers: [{ name: "c", image }] });
    await create(containers("asked"));
    await create(containers("asked"));
    const asked = () => reviews.filter(({ spec }) => spec.containers[0]?.image === "asked");
    expect(asked()).toHaveLength(1);
    await runtime.clock.advance(5001);
    await create(containers("asked"));
    expect(asked()).toHaveLength(2);
    const why = "image policy webhook backend denied one or more images: it is bad";
    await expect(create(containers("bad"))).rejects.toThrow(why);
    await expect(create(containers("broken"))).rejects.toThrow("forbidden");
  });
});

test("PodNodeSelector sends pods where their namespace wants them", async () => {
  expect((await create({ nodeSelector: { x: "y" } })).spec.nodeSelector).toEqual({
    zone: "a",
    x: "y",
  });
  const conflicts = "pod node label selector conflicts with its namespace node label selector";
  await expect(create({ nodeSelector: { zone: "c" } })).rejects.toThrow(conflicts);
  expect((await create({ nodeSelector: { disk: "ssd" } }, "held")).spec.nodeSelector).toEqual({
    zone: "b",
    disk: "ssd",
  });
  const outside = "pod node label selector labels conflict with its namespace whitelist";
  await expect(create({ nodeSelector: { disk: "hdd" } }, "held")).rejects.toThrow(outside);
});

test("PodTolerationRestriction gives tolerations and takes no others", async () => {
  const exists = (key: string) => ({ key, operator: "Exists" }) as const;
  const made = await create({ tolerations: [{ key: "given", operator: "Equal", value: "x" }] });
  expect(made.spec.tolerations?.[0]).toEqual(exists("given"));
  await create({ tolerations: [exists("ok")] });
  const conflict = "conflict with its cluster whitelist";
  await expect(create({ tolerations: [exists("other")] })).rejects.toThrow(conflict);
});

describe("OwnerReferencesPermissionEnforcement", () => {
  const owner = { apiVersion: "v1", kind: "Node", name: "n", uid: "u", blockOwnerDeletion: true };
  const owned = (name: string, ownerReferences: readonly (typeof owner)[] = []) =>
    ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace: "default", ownerReferences: [...ownerReferences] },
    }) satisfies ConfigMap;

  test("takes the right to delete what gets an owner, and to keep the owner", async () => {
    const rules = [{ apiGroups: [""], resources: ["configmaps"], verbs: ["create", "update"] }];
    const role = { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole" };
    await world.client.create(clusterRoles, { ...role, metadata: { name: "writer" }, rules });
    await world.client.create(clusterRoleBindings, {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "writer" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "writer" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "jane" }],
    });
    const jane = world.pipeline.clientOf({ name: "jane", uid: "", groups: [], extra: {} });
    await world.client.create(nodes, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "n" },
      spec: {},
    });
    const soft = { ...owner, blockOwnerDeletion: false };
    await jane.create(configMaps, owned("soft", [soft]));
    const keeps =
      "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't";
    await expect(jane.create(configMaps, owned("hard", [owner]))).rejects.toThrow(keeps);
    await jane.create(configMaps, owned("later"));
    const deletes = "cannot set an ownerRef on a resource you can't delete";
    await expect(jane.update(configMaps, owned("later", [soft]))).rejects.toThrow(deletes);
    const odd = { ...owner, kind: "Nothing" };
    const none = 'no matches for kind "Nothing" in version "v1"';
    await expect(jane.create(configMaps, owned("odd", [odd]))).rejects.toThrow(none);
    await world.client.create(configMaps, owned("free", [owner]));
  });
});

test("PodResizeValidator lets a pod grow to what its node has, and no further", async () => {
  const resources = (cpu: string) => ({ requests: { cpu }, limits: { cpu } });
  const containers = (cpu: string) => [{ name: "c", image: "i", resources: resources(cpu) }];
  await world.client.create(nodes, {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "small" },
    spec: {},
    status: { allocatable: { cpu: "2" } },
  });
  const pod = await create({ nodeName: "small", containers: containers("1") });
  const ask = askOf(sendTo(world));
  const resize = (cpu: string) =>
    ask("PATCH", `/api/v1/namespaces/default/pods/${pod.metadata.name}/resize`, {
      type: "application/strategic-merge-patch+json",
      body: { spec: { containers: containers(cpu) } },
    });
  expect(await resize("2")).toMatchObject({ kind: "Pod" });
  const refused = await resize("3");
  expect(refused.details.causes).toEqual([{ reason: "NodeCapacity" }]);
  expect(refused.message).toContain("cpu, requested: 3000, allocatable: 2000");
});

test("NodeDeclaredFeatureValidator changes a pod as its node has declared", async () => {
  const node = { apiVersion: "v1", kind: "Node", metadata: { name: "plain" }, spec: {} };
  const status = { allocatable: { cpu: "4", memory: "4Gi" } };
  const made = await world.client.create(nodes, { ...node, status });
  const resources = (cpu: string) => ({ requests: { cpu }, limits: { cpu } });
  const pod = await create({ nodeName: "plain", resources: resources("1") });
  const ask = askOf(sendTo(world));
  const resize = () =>
    ask("PATCH", `/api/v1/namespaces/default/pods/${pod.metadata.name}/resize`, {
      type: "application/strategic-merge-patch+json",
      body: { spec: { resources: resources("2") } },
    });
  const feature = "InPlacePodLevelResourcesVerticalScaling";
  expect((await resize()).message).toContain(
    `pod update requires features ${feature} which are not available on node "plain"`,
  );
  const declaring = { ...made, status: { ...status, declaredFeatures: [feature] } };
  await world.client.update(nodes, declaring, { subresource: "status" });
  expect(await resize()).toMatchObject({ kind: "Pod" });
});

describe("openAdmission()", () => {
  test("takes no plugin that lacks what it needs", async () => {
    await expect(openAdmission(settings(), runtime)).rejects.toThrow();
  });

  test.each([
    ["kind: Other", 'no kind "Other" is registered for version ""'],
    ["plugins: [{name: ResourceQuota}]", "this version takes no configuration of ResourceQuota"],
    ["plugins: [{name: A, colour: red}]", 'unknown field "plugins[0].colour"'],
    ["plugins: [{name: A}, {name: A}]", "plugins[1]: A is configured twice"],
    ["plugins: [{name: A, path: gone.yaml}]", "open /etc/k/gone.yaml: no such file"],
    [
      "plugins: [{name: EventRateLimit, configuration: {limits: [{type: Odd}]}}]",
      'no kind "" is registered',
    ],
    [
      "plugins: [{name: PodSecurity, configuration: {defaults: {enforce: most}, " +
        "apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration}}]",
      'defaults.enforce: Invalid value: "most": must be one of privileged, baseline, restricted',
    ],
  ])("refuses %s", async (text, why) => {
    const head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n";
    await runtime.files.writeAtomic(
      "/etc/k/bad.yaml",
      text.startsWith("kind") ? text : head + text,
      0o600,
    );
    const plugins = text.includes("EventRateLimit") ? ["EventRateLimit"] : [];
    const opened = openAdmission(settings("/etc/k/bad.yaml", plugins), runtime);
    await expect(opened).rejects.toThrow(why);
  });
});
