/** Who may do what: the bounds of nodes, and that nobody grants what they lack. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rulesFor } from "../api/auth/rbac.ts";
import { planBinding, planRole } from "../api/auth/reconcile-policy.ts";
import { uncovered } from "../api/auth/rule-coverage.ts";
import {
  clusterRoleBindings,
  clusterRoles,
  leases,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  roleBindings,
  secrets,
  serviceAccounts,
  subjectAccessReviews,
  volumeAttachments,
} from "../client/resources.ts";
import type { Node, Pod } from "../gen/core-v1.ts";
import type { ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding } from "../gen/rbac-v1.ts";
import { ApiError } from "../lib/api-error.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { openWorld, type World } from "./test-world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const apiGroup = "rbac.authorization.k8s.io";

describe("escalation", () => {
  const role = (name: string, verbs: string[]): ClusterRole => ({
    apiVersion: `${apiGroup}/v1`,
    kind: "ClusterRole",
    metadata: { name },
    rules: [{ verbs, apiGroups: [""], resources: ["pods"] }],
  });
  const binding = (name: string, roleName: string, user: string): RoleBinding => ({
    apiVersion: `${apiGroup}/v1`,
    kind: "RoleBinding",
    metadata: { name, namespace: "default" },
    subjects: [{ kind: "User", apiGroup, name: user }],
    roleRef: { apiGroup, kind: "ClusterRole", name: roleName },
  });

  test("roles and bindings grant only what their writer has", async () => {
    const { client } = world;
    await client.create<ClusterRole>(clusterRoles, {
      ...role("role-writer", ["get"]),
      rules: [
        { verbs: ["get"], apiGroups: [""], resources: ["pods"] },
        { verbs: ["create", "update", "patch"], apiGroups: [apiGroup], resources: ["*"] },
      ],
    });
    await client.create(clusterRoleBindings, {
      apiVersion: `${apiGroup}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: "role-writer" },
      subjects: [{ kind: "User", apiGroup, name: "writer" }],
      roleRef: { apiGroup, kind: "ClusterRole", name: "role-writer" },
    });
    await client.create(clusterRoles, role("pod-deleter", ["delete"]));
    const writer = client.as("writer", []);
    await writer.create(clusterRoles, role("pod-getter", ["get"]));
    await expect(writer.create(clusterRoles, role("too-much", ["get", "delete"]))).rejects.toThrow(
      'clusterroles.rbac.authorization.k8s.io "too-much" is forbidden: user "writer" ' +
        '(groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently ' +
        'held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
    );
    await expect(
      writer.create<ClusterRole>(clusterRoles, {
        ...role("all", ["get"]),
        aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: "b" } }] },
      }),
    ).rejects.toThrow("must have cluster-admin privileges to use the aggregationRule");
    await writer.create(roleBindings, binding("fine", "pod-getter", "jane"));
    await expect(
      writer.create(roleBindings, binding("grab", "pod-deleter", "writer")),
    ).rejects.toMatchObject({ code: 403 });
    await expect(
      writer.create(roleBindings, binding("none", "no-such-role", "writer")),
    ).rejects.toMatchObject({ code: 404 });
    // Who may not grant a role may not let its rules flow into another one either.
    const label = {
      metadata: { labels: { "rbac.authorization.k8s.io/aggregate-to-view": "true" } },
    };
    for (const name of ["pod-deleter", "cluster-admin"]) {
      await expect(writer.patch(clusterRoles, "", name, "merge", label)).rejects.toMatchObject({
        code: 403,
      });
    }
    for (const name of ["view", "admin"]) {
      const change = { metadata: { labels: { a: "b" } } };
      await expect(writer.patch(clusterRoles, "", name, "merge", change)).rejects.toMatchObject({
        code: 403,
      });
    }
    await writer.patch(clusterRoles, "", "pod-getter", "merge", label);
    // What only takes owners and finalizers away grants nothing.
    await client.patch(clusterRoles, "", "pod-deleter", "merge", {
      metadata: { finalizers: ["example.com/wait"] },
    });
    await writer.patch(clusterRoles, "", "pod-deleter", "merge", {
      metadata: { finalizers: null },
    });
  });

  test("no sequence of calls that are let through yields more than one had", async () => {
    const { client, live } = world;
    const random = createSimulatedRuntime(20_261_121).random;
    const pick = <T>(list: readonly T[]): T => list[random.int(list.length)] as T;
    const rule = (): PolicyRule => ({
      verbs: [
        pick(["get", "get", "list", "list", "delete", "*", "escalate", "bind", "impersonate"]),
      ],
      apiGroups: [pick(["", "", "", "apps", apiGroup, "*"])],
      resources: [pick(["pods", "pods", "pods", "secrets", "clusterroles", "users", "*"])],
    });
    const held: PolicyRule[] = [
      { verbs: ["get", "list"], apiGroups: [""], resources: ["pods"] },
      { verbs: ["get", "create", "update", "patch"], apiGroups: [apiGroup], resources: ["*"] },
    ];
    const grant = (name: string, rules: PolicyRule[]) => ({ ...role(name, []), rules });
    await client.create(clusterRoles, grant("mallory", held));
    const bind = (name: string, roleName: string): ClusterRoleBinding => ({
      ...binding(name, roleName, "mallory"),
      metadata: { name },
    });
    await client.create(clusterRoleBindings, bind("mallory", "mallory"));
    const mallory = client.as("mallory", []);
    const names = ["own-1", "own-2", "own-3", "cluster-admin", "edit", "view", "pod-deleter"];
    const label = `rbac.authorization.k8s.io/aggregate-to-${pick(["view", "edit"])}`;
    const attempts: readonly (() => Promise<unknown>)[] = [
      () => mallory.create(clusterRoles, grant(pick(names), [rule()])),
      () => mallory.patch(clusterRoles, "", pick(names), "merge", { rules: [rule()] }),
      () => {
        const patch = { metadata: { labels: { [label]: "true" } }, rules: [rule()] };
        return mallory.patch(clusterRoles, "", pick(names), "merge", patch);
      },
      () => {
        const clusterRoleSelectors = [{ matchLabels: { a: "b" } }];
        const aggregationRule = { clusterRoleSelectors };
        return mallory.patch(clusterRoles, "", pick(names), "merge", { aggregationRule });
      },
      () => mallory.create(clusterRoleBindings, bind(`b-${random.int(20)}`, pick(names))),
      () =>
        mallory.patch(clusterRoleBindings, "", `b-${random.int(20)}`, "merge", {
          subjects: [{ kind: "User", apiGroup, name: "mallory" }],
        }),
    ];
    let letThrough = 0;
    for (let i = 0; i < 600; i++) {
      await pick(attempts)().then(
        () => letThrough++,
        (error: unknown) => {
          const codes = [403, 404, 409, 422];
          if (!(error instanceof ApiError) || !codes.includes(error.code)) throw error;
        },
      );
    }
    expect(letThrough).toBeGreaterThan(10);
    const user = { name: "mallory", uid: "", groups: ["system:authenticated"], extra: {} };
    const now = [...rulesFor(user, "default", live)].flat();
    const everyone = [...rulesFor({ ...user, name: "nobody" }, "default", live)].flat();
    expect(uncovered([...held, ...everyone], now)).toEqual([]);
  });

  test("a review says which binding allows", async () => {
    const review = await world.client.create(subjectAccessReviews, {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      metadata: {},
      spec: { user: "writer", resourceAttributes: { verb: "get", resource: "pods" } },
    });
    expect(review.status).toEqual({
      allowed: true,
      reason:
        'RBAC: allowed by ClusterRoleBinding "role-writer" of ClusterRole "role-writer" to ' +
        'User "writer"',
    });
  });
});

describe("the bootstrap policy", () => {
  const wanted: ClusterRole = {
    apiVersion: `${apiGroup}/v1`,
    kind: "ClusterRole",
    metadata: { name: "r", labels: { a: "1" }, annotations: { auto: "true" } },
    rules: [{ verbs: ["get", "list"], apiGroups: [""], resources: ["pods"] }],
  };

  test("adds the rules that are missing and keeps what was added", () => {
    expect(planRole(wanted, wanted)).toEqual({ type: "keep" });
    const own = { verbs: ["get"], apiGroups: [""], resources: ["nodes"] };
    const half = { verbs: ["get"], apiGroups: [""], resources: ["pods"] };
    const existing = { ...wanted, metadata: { name: "r", labels: { a: "2" } }, rules: [own, half] };
    expect(planRole(existing, wanted)).toEqual({
      type: "update",
      object: {
        ...existing,
        metadata: { name: "r", labels: { a: "2" }, annotations: { auto: "true" } },
        rules: [own, half, { verbs: ["list"], apiGroups: [""], resources: ["pods"] }],
      },
    });
  });

  test("adds the subjects that are missing, and recreates for another role", () => {
    const group = (name: string) => ({ kind: "Group", apiGroup, name });
    const roleRef = { apiGroup, kind: "ClusterRole", name: "r" };
    const one: RoleBinding = {
      ...wanted,
      kind: "RoleBinding",
      subjects: [group("a"), group("b")],
      roleRef,
    };
    const existing: RoleBinding = { ...one, subjects: [group("b"), group("c")] };
    expect(planBinding(existing, one)).toMatchObject({
      type: "update",
      object: { subjects: [group("b"), group("c"), group("a")] },
    });
    const other = { ...one, roleRef: { ...roleRef, name: "s" } };
    expect(planBinding(other, one)).toEqual({ type: "recreate" });
  });

  test("every role of the policy is one that clusters have", async () => {
    const { items } = await world.client.list(clusterRoles, "");
    const names = items.map(({ metadata }) => metadata.name);
    expect(names).toContain("cluster-admin");
    expect(names).toContain("system:controller:clusterrole-aggregation-controller");
  });
});

describe("a node", () => {
  const own = () => world.client.as("system:node:n1", ["system:nodes"]);
  const node = (name: string, labels: Record<string, string> = {}): Node => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels },
    spec: {},
  });
  const refusal = (text: string) => ({ code: 403, message: expect.stringContaining(text) });

  test("registers itself with its own labels only", async () => {
    await expect(own().create(nodes, node("n2"))).rejects.toMatchObject(
      refusal('node "n1" is not allowed to modify node "n2"'),
    );
    const forbidden = { "node-role.kubernetes.io/control-plane": "", "kubernetes.io/os": "linux" };
    await expect(own().create(nodes, node("n1", forbidden))).rejects.toMatchObject(
      refusal("to set the following labels: node-role.kubernetes.io/control-plane"),
    );
    await own().create(nodes, node("n1", { "kubernetes.io/os": "linux", "example.com/a": "b" }));
    await expect(
      own().patch(nodes, "", "n1", "merge", { spec: { taints: [] } }),
    ).rejects.toMatchObject(refusal("is not allowed to modify taints"));
    await expect(
      own().patch(nodes, "", "n1", "merge", {
        metadata: { labels: { "a.node-restriction.kubernetes.io/x": "y" } },
      }),
    ).rejects.toMatchObject(refusal("is not allowed to modify labels: a.node-restriction"));
  });

  test("creates mirror pods of its own and deletes only pods that it runs", async () => {
    const pod: Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "static-n1", namespace: "default" },
      spec: { nodeName: "n1", containers: [{ name: "a", image: "b" }] },
    };
    await expect(own().create(pods, pod)).rejects.toMatchObject(
      refusal('node "n1" can only create mirror pods'),
    );
    const { uid = "" } = (await world.client.get(nodes, "", "n1")).metadata;
    const mirror: Pod = {
      ...pod,
      metadata: {
        ...pod.metadata,
        annotations: { "kubernetes.io/config.mirror": "hash" },
        ownerReferences: [{ apiVersion: "v1", kind: "Node", name: "n1", uid, controller: true }],
      },
    };
    await own().create(pods, mirror);
    await world.client.create(pods, {
      ...pod,
      metadata: { name: "elsewhere", namespace: "default" },
      spec: { ...pod.spec, nodeName: "n2" },
    });
    await expect(own().delete(pods, "default", "elsewhere")).rejects.toMatchObject(
      refusal('node "n1" can only delete pods with spec.nodeName set to itself'),
    );
    await own().delete(pods, "default", "static-n1", { gracePeriodSeconds: 0 });
  });

  test("reads its own pods and itself, and nothing of other nodes", async () => {
    const pod = (name: string, nodeName: string): Pod => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default" },
      spec: { nodeName, containers: [{ name: "a", image: "b" }] },
    });
    await world.client.create(pods, pod("on-n1", "n1"));
    await world.client.create(pods, pod("on-n2", "n2"));
    const { metadata } = await own().get(pods, "default", "on-n1");
    expect(metadata.name).toBe("on-n1");
    await expect(own().get(pods, "default", "on-n2")).rejects.toMatchObject(
      refusal("no relationship found between node 'n1' and this object"),
    );
    const listed = await own().list(pods, "", { fieldSelector: "spec.nodeName=n1" });
    expect(listed.items.map(({ spec }) => spec.nodeName)).toEqual(["n1"]);
    const narrowed = refusal("can only list/watch pods with spec.nodeName field selector");
    const selectors = ["", "spec.nodeName=n2", "spec.nodeName!=n1", "metadata.namespace=default"];
    for (const fieldSelector of selectors) {
      await expect(own().list(pods, "", { fieldSelector })).rejects.toMatchObject(narrowed);
    }
    expect((await own().get(nodes, "", "n1")).metadata.name).toBe("n1");
    expect((await own().list(nodes, "", { fieldSelector: "metadata.name=n1" })).items).toHaveLength(
      1,
    );
    await expect(own().get(nodes, "", "n2")).rejects.toMatchObject(
      refusal("node 'n1' cannot read 'n2', only its own Node object"),
    );
    await expect(own().list(nodes, "")).rejects.toMatchObject(
      refusal("node 'n1' cannot read all nodes, only its own Node object"),
    );
    for (const name of ["on-n1", "on-n2"]) await world.client.delete(pods, "default", name);
  });

  test("reads what drivers need for the volumes of its pods", async () => {
    const { client } = world;
    const metadata = { namespace: "default" };
    const secretRef = (name: string) => ({ namespace: "default", name });
    for (const name of ["for-node", "for-controller"]) {
      const secret = { apiVersion: "v1", kind: "Secret", metadata: { ...metadata, name } };
      await client.create(secrets, secret);
    }
    const common = { accessModes: ["ReadWriteOnce"], storageClassName: "" };
    await client.create(persistentVolumes, {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: "driven" },
      spec: {
        ...common,
        capacity: { storage: "1Mi" },
        csi: {
          driver: "d.example.com",
          volumeHandle: "h",
          nodeStageSecretRef: secretRef("for-node"),
          controllerPublishSecretRef: secretRef("for-controller"),
        },
      },
    });
    await client.create(persistentVolumeClaims, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { ...metadata, name: "driven" },
      spec: { ...common, volumeName: "driven", resources: { requests: { storage: "1Mi" } } },
    });
    for (const nodeName of ["n1", "n2"]) {
      await client.create(volumeAttachments, {
        apiVersion: "storage.k8s.io/v1",
        kind: "VolumeAttachment",
        metadata: { name: `of-${nodeName}` },
        spec: { attacher: "d", nodeName, source: { persistentVolumeName: "driven" } },
      });
    }
    const unrelated = refusal("no relationship found between node 'n1' and this object");
    await expect(own().get(secrets, "default", "for-node")).rejects.toMatchObject(unrelated);
    await client.create<Pod>(pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { ...metadata, name: "driven" },
      spec: {
        nodeName: "n1",
        containers: [{ name: "a", image: "b" }],
        volumes: [{ name: "v", persistentVolumeClaim: { claimName: "driven" } }],
      },
    });
    expect((await own().get(secrets, "default", "for-node")).metadata.name).toBe("for-node");
    await expect(own().get(secrets, "default", "for-controller")).rejects.toMatchObject(unrelated);
    await expect(own().get(volumeAttachments, "", "of-n2")).rejects.toMatchObject(unrelated);
    expect((await own().get(volumeAttachments, "", "of-n1")).spec.nodeName).toBe("n1");
    await client.delete(pods, "default", "driven", { gracePeriodSeconds: 0 });
  });

  test("takes tokens for its own pods, and leases of its own name", async () => {
    const made = await world.client.create<Pod>(pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "mine", namespace: "default" },
      spec: { nodeName: "n1", containers: [{ name: "a", image: "b" }] },
    });
    const ask = (boundObjectRef: object | undefined, audiences: string[] = []) =>
      own().createSubresource(serviceAccounts, "default", "default", "token", {
        spec: { audiences, ...(boundObjectRef && { boundObjectRef }) },
      });
    const ref = { apiVersion: "v1", kind: "Pod", name: "mine" };
    const bound = { ...ref, uid: made.metadata.uid };
    await expect(ask(undefined)).rejects.toMatchObject(
      refusal("node requested token not bound to a pod"),
    );
    await expect(ask(ref)).rejects.toMatchObject(
      refusal("node requested token with a pod binding without a uid"),
    );
    await expect(ask(bound, ["vault"])).rejects.toMatchObject(
      refusal('audience "vault" not found in pod spec volume'),
    );
    expect(await ask(bound)).toMatchObject({ status: { token: "token of default" } });
    await expect(
      own().create(leases, {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name: "n2", namespace: "kube-node-lease" },
        spec: {},
      }),
    ).rejects.toMatchObject(
      refusal("can only access node lease with the same name as the requesting node"),
    );
  });
});
