/** Custom resources in two versions, converted by a scripted webhook. */
import { afterAll, beforeAll, expect, spyOn, test } from "bun:test";
import type { Resource } from "../../client/client.ts";
import { customResourceDefinitions } from "../../client/resources.ts";
import type { CustomResourceDefinition } from "../../gen/apiextensions-v1.ts";
import type { KubeObject } from "../../schema/object.ts";
import { openWorld, type World } from "../test-world.ts";
import { serveCustomResources } from "./serve.ts";

interface Thing extends KubeObject {
  hostPort?: string;
  host?: string;
  port?: string;
}

const v1: Resource<Thing> = {
  group: "example.com",
  version: "v1",
  plural: "things",
  kind: "Thing",
  namespaced: true,
};
const v2: Resource<Thing> = { ...v1, version: "v2" };

interface Review {
  readonly apiVersion: string;
  readonly request: { uid: string; desiredAPIVersion: string; objects: Thing[] };
}

/** hostPort of v1 is host and port of v2. */
function convert(object: Thing, apiVersion: string): Thing {
  const { hostPort, host, port, ...rest } = object;
  const [left = "", right = ""] = (hostPort ?? "").split(":");
  const parts = apiVersion.endsWith("v2")
    ? { host: left, port: right }
    : { hostPort: `${host}:${port}` };
  return { ...rest, ...parts, apiVersion };
}

let world: World;
let serving: Disposable;
let reviews: Review[] = [];
let failure: string | undefined;

beforeAll(async () => {
  world = await openWorld();
  serving = serveCustomResources(world);
  spyOn(world.runtime.net, "fetch").mockImplementation(async (request) => {
    const review = (await request.json()) as Review;
    reviews.push(review);
    const { uid, desiredAPIVersion, objects } = review.request;
    const convertedObjects = objects.map((object) => convert(object, desiredAPIVersion));
    const result =
      failure === undefined ? { status: "Success" } : { status: "Failure", message: failure };
    const response = { uid, result, ...(failure === undefined && { convertedObjects }) };
    return Response.json({ kind: "ConversionReview", apiVersion: review.apiVersion, response });
  });
  const schema = (...names: string[]) => ({
    openAPIV3Schema: {
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, { type: "string" }])),
    },
  });
  const crd: CustomResourceDefinition = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "things.example.com" },
    spec: {
      group: "example.com",
      names: { plural: "things", singular: "thing", kind: "Thing", listKind: "ThingList" },
      scope: "Namespaced",
      conversion: {
        strategy: "Webhook",
        webhook: {
          clientConfig: { url: "https://convert.example/crd" },
          conversionReviewVersions: ["v1"],
        },
      },
      versions: [
        { name: "v1", served: true, storage: true, schema: schema("hostPort") },
        { name: "v2", served: true, storage: false, schema: schema("host", "port") },
      ],
    },
  };
  const made = await world.client.create(customResourceDefinitions, crd);
  const status = {
    ...made.status,
    acceptedNames: made.spec.names,
    conditions: [{ type: "Established", status: "True" }],
  };
  const options = { subresource: "status" };
  await world.client.update(customResourceDefinitions, { ...made, status }, options);
});
afterAll(async () => {
  serving[Symbol.dispose]();
  await world[Symbol.asyncDispose]();
});

function metadata(name: string) {
  return { name, namespace: "default" };
}

test("each version is read and written as itself, and stored as one", async () => {
  const made = await world.client.create(v2, {
    apiVersion: "example.com/v2",
    kind: "Thing",
    metadata: metadata("a"),
    host: "left",
    port: "80",
  });
  expect(made).toMatchObject({ apiVersion: "example.com/v2", host: "left", port: "80" });
  expect(await world.client.get(v1, "default", "a")).toMatchObject({
    apiVersion: "example.com/v1",
    hostPort: "left:80",
  });
  const patched = await world.client.patch(v2, "default", "a", "merge", { port: "81" });
  expect(patched).toMatchObject({ host: "left", port: "81" });
  expect(patched.metadata.uid).toBe(made.metadata.uid as string);
  expect(await world.client.get(v1, "default", "a")).toMatchObject({ hostPort: "left:81" });
});

test("a list is converted by one request", async () => {
  for (const name of ["b", "c"]) {
    const object = { apiVersion: "example.com/v1", kind: "Thing", metadata: metadata(name) };
    await world.client.create(v1, { ...object, hostPort: `${name}:1` });
  }
  reviews = [];
  const { items } = await world.client.list(v2, "default");
  expect(items.map(({ host }) => host)).toEqual(["left", "b", "c"]);
  expect(reviews.map(({ request }) => request.objects.length)).toEqual([3]);
});

test("a watch shows its own version, in the order of the changes", async () => {
  const stop = new AbortController();
  const { resourceVersion } = await world.client.list(v2, "default");
  const seen: string[] = [];
  const watching = (async () => {
    for await (const { type, object } of world.client.watch(
      v2,
      "default",
      { resourceVersion },
      stop.signal,
    )) {
      seen.push(`${type} ${(object as Thing).host}`);
      if (seen.length === 3) return;
    }
  })();
  const object = { apiVersion: "example.com/v1", kind: "Thing", metadata: metadata("w") };
  await world.client.create(v1, { ...object, hostPort: "first:1" });
  await world.client.patch(v1, "default", "w", "merge", { hostPort: "second:1" });
  await world.client.delete(v1, "default", "w");
  await watching;
  stop.abort();
  expect(seen).toEqual(["ADDED first", "MODIFIED second", "DELETED second"]);
});

test("a failing webhook is told to who asked", async () => {
  failure = "cannot do that";
  await expect(world.client.get(v2, "default", "a")).rejects.toThrow(
    "conversion webhook for example.com/v1, Kind=Thing failed: cannot do that",
  );
  expect(await world.client.get(v1, "default", "a")).toMatchObject({ hostPort: "left:81" });
  failure = undefined;
});
