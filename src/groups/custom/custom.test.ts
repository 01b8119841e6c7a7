/** Custom resources through the real pipeline: served, checked, changed and taken away. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { serverUser } from "../../api/pipeline.ts";
import type { ApiRequest } from "../../api/request.ts";
import type { Resource } from "../../client/client.ts";
import { customResourceDefinitions } from "../../client/resources.ts";
import type { CustomResourceDefinition } from "../../gen/apiextensions-v1.ts";
import type { KubeObject } from "../../schema/object.ts";
import { openWorld, type World } from "../test-world.ts";
import { serveCustomResources } from "./serve.ts";

interface Foo extends KubeObject {
  spec?: { replicas?: number; color?: string; extra?: unknown };
  status?: { replicas?: number; phase?: string };
}

const foos: Resource<Foo> = {
  group: "example.com",
  version: "v1",
  plural: "foos",
  kind: "Foo",
  namespaced: true,
};

const spec: CustomResourceDefinition["spec"] = {
  group: "example.com",
  names: { plural: "foos", singular: "foo", kind: "Foo", listKind: "FooList", shortNames: ["fo"] },
  scope: "Namespaced",
  versions: [
    {
      name: "v1",
      served: true,
      storage: true,
      schema: {
        openAPIV3Schema: {
          type: "object",
          properties: {
            spec: {
              type: "object",
              properties: {
                replicas: { type: "integer", minimum: 0, default: 1 },
                color: { type: "string", enum: ["red", "blue"] },
              },
              "x-kubernetes-validations": [
                { rule: "!has(oldSelf.color) || self.color == oldSelf.color", message: "keep it" },
              ],
            },
            status: {
              type: "object",
              properties: { replicas: { type: "integer" }, phase: { type: "string" } },
            },
          },
        },
      },
      subresources: {
        status: {},
        scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
      },
      additionalPrinterColumns: [
        { name: "Color", type: "string", jsonPath: ".spec.color" },
        { name: "Replicas", type: "integer", jsonPath: ".spec.replicas", priority: 1 },
      ],
      selectableFields: [{ jsonPath: ".spec.color" }],
    },
  ],
};

let world: World;
let serving: Disposable;

async function establish(crd: CustomResourceDefinition): Promise<CustomResourceDefinition> {
  const status = {
    ...crd.status,
    acceptedNames: crd.spec.names,
    conditions: [{ type: "Established", status: "True" }],
  };
  const options = { subresource: "status" };
  return world.client.update(customResourceDefinitions, { ...crd, status }, options);
}

function foo(name: string, more: Foo["spec"] = {}): Foo {
  return {
    apiVersion: "example.com/v1",
    kind: "Foo",
    metadata: { name, namespace: "default" },
    spec: more,
  };
}

/** As over HTTP: the body is bytes. */
async function send(method: string, name: string, body: unknown, more: Partial<ApiRequest> = {}) {
  const verbs = { POST: "create", PUT: "update", PATCH: "patch", GET: "get" } as const;
  const answer = await world.pipeline.handle({
    verb: verbs[method as "POST"],
    method,
    resource: foos,
    namespace: "default",
    name,
    subresource: "",
    rest: "",
    query: new URLSearchParams(),
    accept: "",
    userAgent: "",
    user: serverUser,
    body: body === undefined ? undefined : new TextEncoder().encode(JSON.stringify(body)),
    contentType: method === "PATCH" ? "application/merge-patch+json" : "application/json",
    headers: new Headers(),
    signal: new AbortController().signal,
    ...more,
  });
  if (answer.type !== "object") throw new Error(`unexpected answer ${answer.type}`);
  return { object: answer.object as Foo, warnings: answer.warnings ?? [] };
}

beforeAll(async () => {
  world = await openWorld();
  serving = serveCustomResources(world);
  const crd = await world.client.create(customResourceDefinitions, {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "foos.example.com" },
    spec,
  });
  await expect(world.client.create(foos, foo("early"))).rejects.toThrow("could not find");
  await establish(crd);
});
afterAll(async () => {
  serving[Symbol.dispose]();
  await world[Symbol.asyncDispose]();
});

test("an object gets its defaults and generation, and loses its status", async () => {
  const { object } = await send("POST", "", {
    ...foo("one", { color: "red" }),
    status: { phase: "Ready" },
  });
  expect(object.spec).toEqual({ color: "red", replicas: 1 });
  expect(object.status).toBeUndefined();
  expect(object.metadata.generation).toBe(1);
});

test("unknown fields are pruned and told", async () => {
  const sent = foo("two", { extra: { a: 1 } });
  const query = new URLSearchParams({ fieldValidation: "Warn" });
  const { object, warnings } = await send("POST", "", sent, { query });
  expect(object.spec).toEqual({ replicas: 1 });
  expect(warnings).toEqual(['unknown field "spec.extra"']);
  const strict = new URLSearchParams({ fieldValidation: "Strict" });
  await expect(send("POST", "", foo("three", { extra: 1 }), { query: strict })).rejects.toThrow(
    'strict decoding error: unknown field "spec.extra"',
  );
});

test("the schema is enforced in Kubernetes' words", async () => {
  await expect(send("POST", "", foo("bad", { color: "green" }))).rejects.toThrow(
    'Foo.example.com "bad" is invalid: [spec.color: Unsupported value: "green": supported ' +
      'values: "red", "blue", ',
  );
  await expect(send("POST", "", foo("bad", { replicas: -1 }))).rejects.toThrow(
    "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0",
  );
});

test("another kind and another version are refused", async () => {
  await expect(send("POST", "", { ...foo("a"), kind: "Other" })).rejects.toThrow(
    'Other.example.com "a" is invalid: kind: Invalid value: "Other": must be Foo',
  );
  await expect(send("POST", "", { ...foo("a"), apiVersion: "example.com/v9" })).rejects.toThrow(
    "the API version in the data (example.com/v9) does not match the expected API version " +
      "(example.com/v1)",
  );
});

test("there is no protobuf, though the answer names it; a list says that it ends", async () => {
  const query = new URLSearchParams();
  await expect(
    send("GET", "", undefined, {
      verb: "list",
      query,
      accept: "application/vnd.kubernetes.protobuf",
    }),
  ).rejects.toThrow("application/json, application/yaml, application/vnd.kubernetes.protobuf");
  const { object } = await send("GET", "", undefined, { verb: "list", query });
  expect(object.metadata).toMatchObject({ continue: "" });
});

test("a fraction for an integer is told twice", async () => {
  await expect(send("POST", "", foo("half", { replicas: 1.5 }))).rejects.toThrow(
    '<nil>: Invalid value: "": Checked value must be of type integer (default format)',
  );
});

test("rules of the schema hold for changes", async () => {
  await world.client.create(foos, foo("painted", { color: "red" }));
  await expect(send("PATCH", "painted", { spec: { color: "blue" } })).rejects.toThrow(
    'Foo.example.com "painted" is invalid: spec: Invalid value: keep it',
  );
  await expect(send("PATCH", "painted", { spec: { color: "green" } })).rejects.toThrow(
    "<nil>: Invalid value: null: some validation rules were not checked because the object was",
  );
});

test("status and spec are written by their own doors", async () => {
  const made = await world.client.create(foos, foo("doors"));
  const labelled = { ...made.metadata, labels: { a: "b" } };
  const changed = { ...made, metadata: labelled, spec: { replicas: 9 }, status: { phase: "Up" } };
  const { object: status } = await send("PUT", "doors", changed, { subresource: "status" });
  expect(status).toMatchObject({ spec: { replicas: 1 }, status: { phase: "Up" } });
  expect(status.metadata.labels).toBeUndefined();
  expect(status.metadata.generation).toBe(1);
  const { object: patched } = await send("PATCH", "doors", { spec: { replicas: 5 }, status: null });
  expect(patched).toMatchObject({ spec: { replicas: 5 }, status: { phase: "Up" } });
  expect(patched.metadata.generation).toBe(2);
  await expect(
    send("PATCH", "doors", {}, { contentType: "application/strategic-merge-patch+json" }),
  ).rejects.toThrow("accepted media types include");
  await expect(world.client.update(foos, foo("doors"))).rejects.toThrow(
    "must be specified for an update",
  );
});

test("the scale subresource reads and writes the replicas", async () => {
  await world.client.create(foos, foo("scaled", { replicas: 2 }));
  const { object } = await send("GET", "scaled", undefined, { subresource: "scale" });
  expect(object).toMatchObject({ kind: "Scale", spec: { replicas: 2 }, status: { replicas: 0 } });
  await send("PATCH", "scaled", { spec: { replicas: 4 } }, { subresource: "scale" });
  expect((await world.client.get(foos, "default", "scaled")).spec?.replicas).toBe(4);
});

test("columns and selectable fields come from the definition", async () => {
  await world.client.create(foos, foo("blue", { color: "blue" }));
  const row = world.registry.find(foos);
  expect(row?.columns.map(({ name, priority }) => [name, priority])).toEqual([
    ["Name", 0],
    ["Color", 0],
    ["Replicas", 1],
  ]);
  const listed = await world.client.list(foos, "default", { fieldSelector: "spec.color=blue" });
  expect(listed.items.map(({ metadata }) => metadata.name)).toEqual(["blue"]);
});

test("a new schema holds for what is stored, a second version reads the same", async () => {
  await world.client.create(foos, foo("stored", { color: "red" }));
  const crd = await world.client.get(customResourceDefinitions, "", "foos.example.com");
  const [first] = structuredClone(crd.spec.versions);
  if (first === undefined) throw new Error("the definition has no version");
  const props = first.schema?.openAPIV3Schema?.properties?.spec?.properties ?? {};
  props.size = { type: "string", default: "small" };
  const second = { ...structuredClone(first), name: "v2", storage: false };
  const next = { ...crd, spec: { ...crd.spec, versions: [first, second] } };
  await world.client.update(customResourceDefinitions, next);
  const read = await world.client.get(foos, "default", "stored");
  expect(read).toMatchObject({
    apiVersion: "example.com/v1",
    spec: { color: "red", size: "small" },
  });
  const v2 = { ...foos, version: "v2" };
  const other = await world.client.get(v2, "default", "stored");
  expect(other).toMatchObject({ apiVersion: "example.com/v2", spec: { size: "small" } });
  await world.client.create(v2, { ...foo("later"), apiVersion: "example.com/v2" });
  expect((await world.client.get(foos, "default", "later")).apiVersion).toBe("example.com/v1");
});

test("a definition on its way out takes no new objects, then its kind is gone", async () => {
  await world.client.delete(customResourceDefinitions, "", "foos.example.com");
  await expect(world.client.create(foos, foo("late"))).rejects.toThrow(
    "create not allowed while custom resource definition is terminating",
  );
  const crd = await world.client.get(customResourceDefinitions, "", "foos.example.com");
  const metadata = { ...crd.metadata, finalizers: [] };
  await world.client.update(customResourceDefinitions, { ...crd, metadata });
  expect(world.registry.find(foos)).toBeUndefined();
});
