/** Whatever way an object is written, admission sees what is stored, and no container slips by. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { defaultAdmission } from "../api/admission/default-plugins.ts";
import type { AdmissionPlugin } from "../api/admission-plugin.ts";
import { deployments, namespaces, pods, secrets, serviceAccounts } from "../client/resources.ts";
import type { Deployment } from "../gen/apps-v1.ts";
import type { Pod, PodSpec } from "../gen/core-v1.ts";
import { openWorld, type World } from "./test-world.ts";

const seen: { readonly old: unknown; readonly now: unknown }[] = [];

/** Comes last and notes what it was shown. */
const recorder: AdmissionPlugin = {
  name: "Recorder",
  async validate(object, { definition, old, verb }) {
    if (definition.plural !== "deployments" || verb === "DELETE") return;
    seen.push(structuredClone({ old, now: object }) as (typeof seen)[number]);
  },
};

let world: World;
beforeAll(async () => {
  world = await openWorld({ admission: [...defaultAdmission(), recorder] });
});
afterAll(() => world[Symbol.asyncDispose]());

/** What is stored, without what only storing adds. */
async function stored(): Promise<unknown> {
  return without(await world.client.get(deployments, "default", "web"));
}

function without(object: unknown): unknown {
  const { metadata, ...rest } = structuredClone(object) as Deployment;
  const { resourceVersion: _, managedFields: __, generation: ___, ...kept } = metadata;
  return { ...rest, metadata: kept };
}

const web: Deployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace: "default" },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "c", image: "i:0" }] },
    },
  },
};
const containers = (image: string) => ({
  spec: { template: { spec: { containers: [{ name: "c", image }] } } },
});
const image = "/spec/template/spec/containers/0/image";

const writes: readonly (readonly [string, (world: World) => Promise<unknown>])[] = [
  [
    "an update",
    async ({ client }) => {
      const now = await client.get(deployments, "default", "web");
      now.metadata.labels = { by: "update" };
      return client.update(deployments, now);
    },
  ],
  [
    "a JSON patch",
    ({ client }) =>
      client.patch(deployments, "default", "web", "json", [
        { op: "replace", path: image, value: "i:1" },
      ]),
  ],
  [
    "a merge patch",
    ({ client }) => client.patch(deployments, "default", "web", "merge", containers("i:2")),
  ],
  [
    "a strategic patch",
    ({ client }) => client.patch(deployments, "default", "web", "strategic", containers("i:3")),
  ],
  [
    "an apply",
    ({ client }) =>
      client.patch(
        deployments,
        "default",
        "web",
        "apply",
        { apiVersion: "apps/v1", kind: "Deployment", ...containers("i:4") },
        { fieldManager: "test", force: true },
      ),
  ],
  [
    "the status",
    ({ client }) =>
      client.patch(
        deployments,
        "default",
        "web",
        "merge",
        { status: { replicas: 1 } },
        { subresource: "status" },
      ),
  ],
];

describe("admission sees the old and the new object as they are stored", () => {
  test("of a create", async () => {
    await world.client.create(deployments, web);
    expect(seen.at(-1)?.old).toBeUndefined();
    expect(without(seen.at(-1)?.now)).toEqual(await stored());
  });

  test.each(writes)("of %s", async (_name, write) => {
    const before = await stored();
    await write(world);
    expect(without(seen.at(-1)?.old)).toEqual(before);
    expect(without(seen.at(-1)?.now)).toEqual(await stored());
    expect(await stored()).not.toEqual(before);
  });

  test("of its scale, which is what is asked for", async () => {
    const scale = { spec: { replicas: 3 } };
    const options = { subresource: "scale" };
    await world.client.patch(deployments, "default", "web", "merge", scale, options);
    expect(seen.at(-1)).toMatchObject({
      old: { kind: "Scale", spec: { replicas: 1 } },
      now: { kind: "Scale", spec: { replicas: 3 } },
    });
  });
});

let count = 0;
function pod(spec: Partial<PodSpec>, namespace = "default"): Pod {
  count += 1;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `p${count}`, namespace },
    spec: { containers: [{ name: "c", image: "i" }], ...spec },
  };
}

function debug(of: Pod, container: object): Promise<unknown> {
  const { name = "", namespace = "" } = of.metadata;
  const body = { spec: { ephemeralContainers: [{ name: "d", image: "i", ...container }] } };
  const options = { subresource: "ephemeralcontainers" };
  return world.client.patch(pods, namespace, name, "strategic", body, options);
}

describe("policies hold for every kind of container", () => {
  test("pod security, for what is added to a pod that runs", async () => {
    const name = "guarded";
    const labels = { "pod-security.kubernetes.io/enforce": "baseline" };
    const metadata = { name, labels };
    await world.client.create(namespaces, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata,
      spec: {},
    });
    const account = { apiVersion: "v1", kind: "ServiceAccount" };
    await world.client.create(serviceAccounts, {
      ...account,
      metadata: { name: "default", namespace: name },
    });
    const made = await world.client.create(pods, pod({}, name));
    const privileged = { securityContext: { privileged: true } };
    expect(debug(made, privileged)).rejects.toThrow('violates PodSecurity "baseline:latest"');
  });

  test("mountable secrets, by volume, variable and source of variables", async () => {
    const apiVersion = "v1";
    const annotations = { "kubernetes.io/enforce-mountable-secrets": "true" };
    await world.client.create(serviceAccounts, {
      apiVersion,
      kind: "ServiceAccount",
      metadata: { name: "strict", namespace: "default", annotations },
      secrets: [{ name: "own" }],
    });
    for (const name of ["own", "foreign"]) {
      const metadata = { name, namespace: "default" };
      await world.client.create(secrets, { apiVersion, kind: "Secret", metadata });
    }
    const byVariable = (name: string) => ({
      env: [{ name: "V", valueFrom: { secretKeyRef: { name, key: "k" } } }],
    });
    const bySource = (name: string) => ({ envFrom: [{ secretRef: { name } }] });
    const strict = { serviceAccountName: "strict" };
    const container = (more: object) => [{ name: "c", image: "i", ...more }];
    const shapes = (name: string): readonly Partial<PodSpec>[] => [
      { ...strict, volumes: [{ name: "v", secret: { secretName: name } }] },
      { ...strict, containers: container(byVariable(name)) },
      { ...strict, containers: container(bySource(name)) },
      { ...strict, initContainers: [{ name: "d", image: "i", ...bySource(name) }] },
    ];
    for (const spec of shapes("own")) await world.client.create(pods, pod(spec));
    const why = "service account strict does not reference that secret";
    for (const spec of shapes("foreign")) {
      expect(world.client.create(pods, pod(spec))).rejects.toThrow(why);
    }
    const made = await world.client.create(pods, pod(strict));
    expect(debug(made, bySource("foreign"))).rejects.toThrow(why);
    expect(debug(made, byVariable("foreign"))).rejects.toThrow(why);
    await debug(made, bySource("own"));
  });
});
