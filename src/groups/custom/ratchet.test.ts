/** Rules that come later: what breaks them already may stay, and its writer is told. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { customResourceDefinitions } from "../../client/resources.ts";
import type { CustomResourceDefinition } from "../../gen/apiextensions-v1.ts";
import { askOf, sendTo } from "../test-http.ts";
import { openWorld, type World } from "../test-world.ts";
import { serveCustomResources } from "./serve.ts";

let world: World;
let serving: Disposable;

function definition(rules: readonly object[]): CustomResourceDefinition {
  const spec = {
    type: "object",
    properties: { a: { type: "integer" }, b: { type: "string" } },
    "x-kubernetes-validations": rules,
  };
  const names = { plural: "rats", singular: "rat", kind: "Rat", listKind: "RatList" };
  const openAPIV3Schema = { type: "object", properties: { spec } };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "rats.x.io" },
    spec: {
      group: "x.io",
      names,
      scope: "Namespaced",
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema } }],
    },
    status: {
      acceptedNames: names,
      conditions: [{ type: "Established", status: "True" }],
      storedVersions: ["v1"],
    },
  } as unknown as CustomResourceDefinition;
}

beforeAll(async () => {
  world = await openWorld();
  serving = serveCustomResources(world);
});
afterAll(async () => {
  serving[Symbol.dispose]();
  await world[Symbol.asyncDispose]();
});

test("what does not change stays allowed; changes are not", async () => {
  const { status, ...first } = definition([]);
  const made = await world.client.create(customResourceDefinitions, first as never);
  const options = { subresource: "status" };
  await world.client.update(customResourceDefinitions, { ...made, status } as never, options);
  const ask = askOf(sendTo(world));
  const path = "/apis/x.io/v1/namespaces/default/rats";
  const body = { apiVersion: "x.io/v1", kind: "Rat", metadata: { name: "r" }, spec: { a: 0 } };
  expect((await ask("POST", path, { body })).code).toBe(201);
  const crd = await world.client.get(customResourceDefinitions, "", "rats.x.io");
  const { spec } = definition([{ rule: "self.a > 0", message: "be more" }]);
  await world.client.update(customResourceDefinitions, { ...crd, spec });
  const patch = (change: object) =>
    ask("PATCH", `${path}/r`, { body: change, type: "application/merge-patch+json" });
  const labelled = await patch({ metadata: { labels: { x: "y" } } });
  expect(labelled.code).toBe(200);
  expect(labelled.warnings).toContain("spec: Invalid value: be more");
  const changed = await patch({ spec: { b: "new" } });
  expect(changed.code).toBe(422);
  expect(changed.message).toContain("spec: Invalid value: be more");
  const mended = await patch({ spec: { a: 1 } });
  expect(mended).toMatchObject({ code: 200, warnings: null });
});
