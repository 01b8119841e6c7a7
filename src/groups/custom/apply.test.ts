/** Server-side apply of custom resources: lists and maps merge as their schema says. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { customResourceDefinitions } from "../../client/resources.ts";
import type { CustomResourceDefinition } from "../../gen/apiextensions-v1.ts";
import { askOf, sendTo } from "../test-http.ts";
import { openWorld, type World } from "../test-world.ts";
import { serveCustomResources } from "./serve.ts";

const item = {
  type: "object",
  required: ["name"],
  properties: {
    name: { type: "string" },
    port: { type: "integer", default: 80 },
    note: { type: "string" },
  },
};
const openAPIV3Schema = {
  type: "object",
  properties: {
    spec: {
      type: "object",
      properties: {
        replicas: { type: "integer" },
        set: { type: "array", items: { type: "string" }, "x-kubernetes-list-type": "set" },
        plain: { type: "array", items: { type: "string" } },
        list: {
          type: "array",
          items: item,
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["name", "port"],
        },
        unit: {
          type: "object",
          properties: { a: { type: "string" }, b: { type: "string" } },
          "x-kubernetes-map-type": "atomic",
        },
      },
    },
    status: { type: "object", properties: { phase: { type: "string" } } },
  },
};

const kind = "Bar";
const names = { plural: "bars", singular: "bar", kind, listKind: "BarList" };
const path = "/apis/example.com/v1/namespaces/default/bars";
let world: World;
let serving: Disposable;
let ask: ReturnType<typeof askOf>;

beforeAll(async () => {
  world = await openWorld();
  serving = serveCustomResources(world);
  ask = askOf(sendTo(world));
  const crd = await world.client.create(customResourceDefinitions, {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "bars.example.com" },
    spec: {
      group: "example.com",
      names,
      scope: "Namespaced",
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema },
          subresources: { status: {} },
        },
      ],
    },
  } as CustomResourceDefinition);
  const conditions = [{ type: "Established", status: "True" }];
  const established = { ...crd, status: { ...crd.status, acceptedNames: names, conditions } };
  await world.client.update(customResourceDefinitions, established, { subresource: "status" });
});
afterAll(async () => {
  serving[Symbol.dispose]();
  await world[Symbol.asyncDispose]();
});

const apply = (name: string, fieldManager: string, spec: object, more = "") =>
  ask("PATCH", `${path}/${name}`, {
    type: "application/apply-patch+yaml",
    query: `fieldManager=${fieldManager}${more}`,
    body: { apiVersion: "example.com/v1", kind, metadata: { name }, spec },
  });

test("two appliers own items of one list, one set, and not of an atomic one", async () => {
  await apply("a", "one", { list: [{ name: "x" }], set: ["p"], unit: { a: "1" } });
  const both = await apply("a", "two", { list: [{ name: "x", port: 81 }], set: ["q"] });
  expect(both.spec).toEqual({
    list: [
      { name: "x", port: 80 },
      { name: "x", port: 81 },
    ],
    set: ["p", "q"],
    unit: { a: "1" },
  });
  const refused = await apply("a", "two", { unit: { a: "1", b: "2" } });
  expect(refused.message).toBe('Apply failed with 1 conflict: conflict with "one": .spec.unit');
  const less = await apply("a", "one", { set: ["p"] });
  expect(less.spec).toEqual({ list: [{ name: "x", port: 81 }], set: ["p", "q"] });
});

test("the status has managers of its own, and unknown fields are refused", async () => {
  await apply("b", "one", { replicas: 1 });
  const body = { status: { phase: "Up" }, spec: { replicas: 9 } };
  const type = "application/merge-patch+json";
  const patched = await ask("PATCH", `${path}/b/status`, { body, type, agent: "op/1" });
  expect(patched).toMatchObject({ spec: { replicas: 1 }, status: { phase: "Up" } });
  expect(patched.metadata.managedFields).toMatchObject([
    { manager: "one", operation: "Apply" },
    { manager: "op", fieldsV1: { "f:status": { ".": {}, "f:phase": {} } }, subresource: "status" },
  ]);
  expect((await apply("b", "one", { colour: "red" })).message).toBe(
    "failed to create typed patch object (/b; example.com/v1, Kind=Bar): .spec.colour: field " +
      "not declared in schema",
  );
});
