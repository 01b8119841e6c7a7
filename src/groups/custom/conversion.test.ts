/** Custom resources in two versions, converted by a scripted webhook. */
import { afterAll, beforeAll, expect, spyOn, test } from "bun:test";
import type { Resource } from "../../client/client.ts";
import {
  customResourceDefinitions,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
} from "../../client/resources.ts";
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
/** What the webhook does to its answer. */
let spoil: ((objects: Thing[], response: Record<string, unknown>) => void) | undefined;

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
    spoil?.(convertedObjects, response);
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

const at = "conversion webhook for example.com/v1, Kind=Thing";
const change = (work: (object: Thing) => void) => (objects: Thing[]) => objects.forEach(work);
test.each<[string, NonNullable<typeof spoil>]>([
  [`${at} returned 0 objects, expected 1`, (objects) => objects.splice(0)],
  [
    `${at} returned invalid object: invalid groupVersion (expected example.com/v2, received x/v1)`,
    change((object) => Object.assign(object, { apiVersion: "x/v1" })),
  ],
  [
    `${at} returned invalid object: invalid kind (expected Thing, received Other)`,
    change((object) => Object.assign(object, { kind: "Other" })),
  ],
  [
    `${at} returned invalid object: must have the same name: a != b`,
    change((object) => Object.assign(object.metadata, { name: "b" })),
  ],
  [
    `${at} returned invalid metadata: missing metadata in converted object`,
    change((object) => Reflect.deleteProperty(object, "metadata")),
  ],
  [
    `${at} returned invalid metadata: metadata.labels: Invalid value: "-"`,
    change((object) => Object.assign(object.metadata, { labels: { "-": "x" } })),
  ],
  [`${at} failed: expected response.uid="`, (_objects, response) => (response.uid = "other")],
  [
    `${at} failed: response.result.status was '', not 'Success'`,
    (_objects, response) => (response.result = {}),
  ],
])("an answer that is not what was asked for: %s", async (message, work) => {
  spoil = work;
  const refused = await world.client.get(v2, "default", "a").catch((error: Error) => error);
  spoil = undefined;
  expect((refused as Error).message).toContain(message);
});

test("all other metadata stays what it was", async () => {
  spoil = change(({ metadata }) =>
    Object.assign(metadata, {
      labels: { new: "1" },
      generation: 99,
      finalizers: ["x.io/y"],
      creationTimestamp: "2000-01-01T00:00:00Z",
    }),
  );
  const before = await world.client.get(v1, "default", "a");
  const { metadata: after } = await world.client.get(v2, "default", "a");
  spoil = undefined;
  expect(after.labels).toEqual({ new: "1" });
  expect({ ...after, labels: {} }).toEqual({ ...before.metadata, labels: {} });
});

test("policies that know another version see objects converted", async () => {
  const resourceRules = [
    {
      operations: ["CREATE"],
      apiGroups: ["example.com"],
      apiVersions: ["v2"],
      resources: ["things"],
    },
  ];
  await world.client.create(validatingAdmissionPolicies, {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicy",
    metadata: { name: "hosts" },
    spec: {
      matchConstraints: { resourceRules },
      validations: [
        {
          expression: "object.host != 'bad'",
          messageExpression: "object.apiVersion + ' for ' + request.requestKind.version",
        },
      ],
    },
  });
  await world.client.create(validatingAdmissionPolicyBindings, {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicyBinding",
    metadata: { name: "hosts" },
    spec: { policyName: "hosts", validationActions: ["Deny"] },
  });
  const thing = (name: string, hostPort: string) => ({
    apiVersion: "example.com/v1",
    kind: "Thing",
    metadata: metadata(name),
    hostPort,
  });
  await world.client.create(v1, thing("fine", "good:1"));
  await expect(world.client.create(v1, thing("refused", "bad:1"))).rejects.toThrow(
    "denied request: example.com/v2 for v1",
  );
});

test("the strategy changes at once, for what is stored too", async () => {
  const name = "things.example.com";
  const crd = await world.client.get(customResourceDefinitions, "", name);
  const { webhook } = crd.spec.conversion ?? {};
  await world.client.update(customResourceDefinitions, {
    ...crd,
    spec: { ...crd.spec, conversion: { strategy: "None" } },
  });
  const plain = await world.client.get(v2, "default", "a");
  expect(plain.apiVersion).toBe("example.com/v2");
  expect(plain.host).toBeUndefined();
  const now = await world.client.get(customResourceDefinitions, "", name);
  await world.client.update(customResourceDefinitions, {
    ...now,
    spec: { ...now.spec, conversion: { strategy: "Webhook", webhook } },
  } as CustomResourceDefinition);
  expect(await world.client.get(v2, "default", "a")).toMatchObject({ host: "left" });
});
