/** Custom resources are reached by the paths of their own kind and scope, and by no others. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { customResourceDefinitions } from "../../client/resources.ts";
import type { CustomResourceDefinition } from "../../gen/apiextensions-v1.ts";
import { type Send, sendTo } from "../test-http.ts";
import { openWorld, type World } from "../test-world.ts";
import { serveCustomResources } from "./serve.ts";

const group = "/apis/vault.example.com/v1";
const canary = "the-secret-of-another";
let world: World;
let serving: Disposable;
let send: Send;

function definition(plural: string, kind: string, scope: string): CustomResourceDefinition {
  const names = { plural, singular: kind.toLowerCase(), kind, listKind: `${kind}List` };
  const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.vault.example.com` },
    spec: {
      group: "vault.example.com",
      names,
      scope,
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
    status: {
      acceptedNames: names,
      conditions: [{ type: "Established", status: "True" }],
      storedVersions: ["v1"],
    },
  } as unknown as CustomResourceDefinition;
}

async function create(path: string, kind: string, name: string): Promise<void> {
  const body = { apiVersion: "vault.example.com/v1", kind, metadata: { name }, data: canary };
  const answer = await send(`${group}/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBe(201);
}

beforeAll(async () => {
  world = await openWorld();
  serving = serveCustomResources(world);
  send = sendTo(world);
  for (const crd of [
    definition("keys", "Key", "Namespaced"),
    definition("locks", "Lock", "Namespaced"),
    definition("houses", "House", "Cluster"),
  ]) {
    const { status } = crd;
    const made = await world.client.create(customResourceDefinitions, crd);
    const options = { subresource: "status" };
    await world.client.update(customResourceDefinitions, { ...made, status } as never, options);
  }
  await create("namespaces/default/keys", "Key", "front");
  await create("houses", "House", "front");
});
afterAll(async () => {
  serving[Symbol.dispose]();
  await world[Symbol.asyncDispose]();
});

describe("each scope has its own form of URL", () => {
  test.each([
    ["GET", "namespaces/default/houses"],
    ["GET", "namespaces/default/houses/front"],
    ["DELETE", "namespaces/default/houses/front"],
    ["PATCH", "namespaces/default/houses/front"],
    ["PUT", "namespaces/default/houses/front"],
    ["GET", "keys/front"],
    ["DELETE", "keys/front"],
    ["PUT", "keys/front"],
    ["POST", "namespaces/default/houses"],
  ])("%s %s", async (method, path) => {
    const isWrite = method === "PUT" || method === "POST" || method === "PATCH";
    const kind = path.includes("houses") ? "House" : "Key";
    const body = { apiVersion: "vault.example.com/v1", kind, metadata: { name: "front" } };
    const answer = await send(`${group}/${path}`, {
      method,
      headers: {
        "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
      },
      ...(isWrite && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    expect([404, 405]).toContain(answer.status);
    expect(text).not.toContain(canary);
  });

  test("both objects are still there", async () => {
    for (const path of ["namespaces/default/keys/front", "houses/front"]) {
      expect(await (await send(`${group}/${path}`)).text()).toContain(canary);
    }
  });
});

const up = [
  "..",
  "%2e%2e",
  ".%2e",
  "..%2fkeys",
  "%2e%2e%2fkeys",
  "..%2F..%2Fkeys",
  "keys%2ffront",
  "default%2fkeys",
  "..%5ckeys",
  "%252e%252e%252fkeys",
  "locks%2f..%2fkeys",
  "keys%00",
  "%2e",
];
describe("no spelling of a path leads to another kind of the group", () => {
  test.each(
    up.flatMap((odd) => [
      [`namespaces/default/locks/${odd}`],
      [`namespaces/default/locks/${odd}/front`],
      [`namespaces/${odd}/locks`],
      [`namespaces/${odd}/locks/front`],
      [`namespaces/default/locks?continue=${odd}`],
      [`namespaces/default/locks/front?resourceVersion=0&x=${odd}`],
    ]),
  )("%s", async (path) => {
    const answer = await send(`${group}/${path}`);
    const text = await answer.text();
    expect(text).not.toContain(canary);
    if (answer.status === 200)
      expect(JSON.parse(text)).toMatchObject({ kind: "LockList", items: [] });
    else expect([400, 404, 410]).toContain(answer.status);
  });
});
