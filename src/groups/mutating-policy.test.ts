/** Mutating admission policies against the built-in kinds. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  configMaps,
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  pods,
  services,
} from "../client/resources.ts";
import type { MutatingAdmissionPolicySpec } from "../gen/admissionregistration-v1.ts";
import type { ConfigMap, Pod } from "../gen/core-v1.ts";
import { ApiError } from "../lib/api-error.ts";
import { openWorld, type World } from "./test-world.ts";

const apiVersion = "admissionregistration.k8s.io/v1";
let world: World;
let number = 0;

beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
afterEach(async () => {
  for (const kind of [mutatingAdmissionPolicies, mutatingAdmissionPolicyBindings]) {
    for (const { metadata } of (await world.client.list(kind as never, "")).items) {
      await world.client.delete(kind as never, "", metadata.name ?? "");
    }
  }
});

async function policy(
  name: string,
  plural: string,
  spec: Partial<MutatingAdmissionPolicySpec>,
): Promise<void> {
  const rule = { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"] };
  await world.client.create(mutatingAdmissionPolicies, {
    apiVersion,
    kind: "MutatingAdmissionPolicy",
    metadata: { name },
    spec: {
      matchConstraints: { resourceRules: [{ ...rule, resources: [plural] }] },
      reinvocationPolicy: "Never",
      ...spec,
    },
  });
  await world.client.create(mutatingAdmissionPolicyBindings, {
    apiVersion,
    kind: "MutatingAdmissionPolicyBinding",
    metadata: { name: `${name}-binding` },
    spec: { policyName: name },
  });
}
const configuration = (expression: string) => ({
  patchType: "ApplyConfiguration",
  applyConfiguration: { expression },
});
const patch = (expression: string) => ({ patchType: "JSONPatch", jsonPatch: { expression } });
function createConfigMap(data: Record<string, string>): Promise<ConfigMap> {
  const metadata = { name: `c${++number}`, namespace: "default" };
  return world.client.create(configMaps, { apiVersion: "v1", kind: "ConfigMap", metadata, data });
}
async function failure(work: Promise<unknown>): Promise<ApiError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("it was let through");
}

describe("a mutating policy", () => {
  test("adds a container by applying a configuration, and defaults fill it", async () => {
    await policy("sidecar", "pods", {
      matchConditions: [{ name: "once", expression: "!object.spec.?initContainers.hasValue()" }],
      mutations: [
        configuration(`Object{
          metadata: Object.metadata{labels: {"mesh": "on"}},
          spec: Object.spec{initContainers: [Object.spec.initContainers{
            name: "proxy", image: "mesh/proxy:v1", restartPolicy: "Always"}]}}`),
      ],
    });
    const pod: Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "default", labels: { app: "web" } },
      spec: { containers: [{ name: "c", image: "busybox" }] },
    };
    const made = await world.client.create(pods, pod);
    expect(made.metadata.labels).toEqual({ app: "web", mesh: "on" });
    expect(made.spec.initContainers).toMatchObject([
      { name: "proxy", restartPolicy: "Always", imagePullPolicy: "IfNotPresent" },
    ]);
    expect(made.spec.containers).toHaveLength(1);
  });

  test("patches; each mutation sees what those before it did", async () => {
    await policy("patches", "configmaps", {
      variables: [{ name: "old", expression: "object.data.a" }],
      mutations: [
        patch("[JSONPatch{op: 'add', path: '/data/b', value: variables.old + 'x'}]"),
        patch(`[
          JSONPatch{op: 'add', path: '/metadata/labels', value: {}},
          JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('x/y'),
            value: object.data.b}]`),
      ],
    });
    const made = await createConfigMap({ a: "1" });
    expect(made.data).toEqual({ a: "1", b: "1x" });
    expect(made.metadata.labels).toEqual({ "x/y": "1x" });
  });

  test("runs again when a later one changed the object, if it wants to", async () => {
    await policy("a", "configmaps", {
      reinvocationPolicy: "IfNeeded",
      mutations: [
        configuration("Object{data: {'seen': 'late' in object.data ? 'late' : 'early'}}"),
      ],
    });
    await policy("b", "configmaps", { mutations: [configuration("Object{data: {'late': '1'}}")] });
    expect((await createConfigMap({ a: "1" })).data).toEqual({ a: "1", seen: "late", late: "1" });
  });

  test("that fails refuses, or is passed over", async () => {
    const mutations = [configuration("Object{data: {'x': object.data.absent}}")];
    await policy("fails", "configmaps", { mutations });
    const refused = await failure(createConfigMap({ a: "1" }));
    expect(refused).toMatchObject({ code: 403, reason: "Invalid" });
    expect(refused.message).toBe(
      "policy 'fails' with binding 'fails-binding' denied request: expression " +
        "'Object{data: {'x': object.data.absent}}' resulted in error: no such key: absent",
    );
    const made = await world.client.get(mutatingAdmissionPolicies, "", "fails");
    await world.client.update(mutatingAdmissionPolicies, {
      ...made,
      spec: { ...made.spec, failurePolicy: "Ignore" },
    });
    expect((await createConfigMap({ a: "1" })).data).toEqual({ a: "1" });
  });

  test("names messages by where they stand; a patch whose test fails does nothing", async () => {
    await policy("misnamed", "configmaps", {
      mutations: [configuration("Object{metadata: Object.spec{labels: {'a': 'b'}}}")],
    });
    const refused = await failure(createConfigMap({ a: "1" }));
    expect(refused.message).toContain(
      'type mismatch: unexpected type name "Object.spec", expected "Object.metadata", which ' +
        "matches field name path from root Object type",
    );
    await world.client.delete(mutatingAdmissionPolicies, "", "misnamed");
    await policy("unit", "services", {
      mutations: [configuration("Object{spec: Object.spec{selector: {'a': 'b'}}}")],
    });
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "s", namespace: "default" },
      spec: { ports: [{ port: 80 }] },
    };
    const kept = await failure(world.client.create(services, service));
    expect(kept.message).toEndWith(
      "denied request: error applying patch: invalid ApplyConfiguration: may not mutate atomic " +
        "arrays, maps or structs: .spec.selector",
    );
    await world.client.delete(mutatingAdmissionPolicies, "", "unit");
    await policy("unknown", "configmaps", {
      mutations: [configuration("Object{zork: 1}")],
    });
    expect((await failure(createConfigMap({ a: "1" }))).message).toEndWith(
      "error applying patch: failed to convert patch object to typed object: " +
        ".zork: field not declared in schema",
    );
    await world.client.delete(mutatingAdmissionPolicies, "", "unknown");
    const test = "JSONPatch{op: 'test', path: '/data/a', value: 'other'}";
    const add = "JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('x.y'), value: '1'}";
    await policy("tests", "configmaps", { mutations: [patch(`[${test}, ${add}]`)] });
    expect((await createConfigMap({ a: "1" })).data).toEqual({ a: "1" });
    expect((await createConfigMap({ a: "other" })).data).toEqual({ a: "other", "x.y": "1" });
  });

  test("is checked when it is written", async () => {
    const refused = await failure(
      policy("bad", "configmaps", {
        mutations: [configuration("Object{data: {'x': objekt}}"), patch("'text'")],
      }),
    );
    expect(refused.details?.causes?.map(({ field }) => field)).toEqual([
      "spec.mutations[0].applyConfiguration.expression",
      "spec.mutations[1].jsonPatch.expression",
    ]);
    expect(refused.message).toContain("undeclared reference to 'objekt'");
  });
});
