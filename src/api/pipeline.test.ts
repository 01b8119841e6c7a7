import { expect, test } from "bun:test";
import { ApiError } from "../lib/api-error.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Attributes } from "./authorizer.ts";
import { Pieces } from "./pieces.ts";
import type { ApiResponse } from "./request.ts";
import {
  createTestWorld,
  nodes,
  pods,
  requestFor,
  type Thing,
  thing,
  things,
} from "./test-world.ts";

function textOf(answer: ApiResponse): string {
  if (answer.type === "stream") throw new Error("a stream has no text");
  const bytes = answer.type === "bytes" ? answer.bytes : (answer.json?.() ?? new Uint8Array());
  return new TextDecoder().decode(bytes instanceof Pieces ? bytes.bytes() : bytes);
}

async function failure(promise: Promise<unknown>): Promise<ApiError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("it was expected to fail");
}

test("create fills system metadata and get answers the same object", async () => {
  const { client } = createTestWorld();
  const created = await client.create(things, thing("a", { spec: { replicas: 2 } }));
  expect(created.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
  expect(created.metadata.creationTimestamp).toBe("2026-01-01T00:00:00Z");
  expect(created.metadata.generation).toBe(1);
  expect(created.metadata.resourceVersion).toBe("1");
  expect(await client.get(things, "default", "a")).toEqual(created);
});

test("create answers AlreadyExists with details for a taken name", async () => {
  const { client } = createTestWorld();
  await client.create(things, thing("a"));
  const error = await failure(client.create(things, thing("a")));
  expect(error.code).toBe(409);
  expect(error.message).toBe('things.example.com "a" already exists');
  expect(error.details).toEqual({ name: "a", group: "example.com", kind: "things" });
});

test("create generates names", async () => {
  const { client } = createTestWorld();
  const object: Thing = { ...thing(""), metadata: { generateName: "web-", namespace: "default" } };
  const created = await client.create(things, object);
  expect(created.metadata.name).toMatch(/^web-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
});

test("create refuses a namespace that is not the URL's, and a set resourceVersion", async () => {
  const { pipeline } = createTestWorld();
  const other = thing("a", { metadata: { name: "a", namespace: "other" } });
  const first = await failure(pipeline.handle(requestFor(things, "create", { body: other })));
  expect(first.code).toBe(400);
  expect(first.message).toBe(
    "the namespace of the provided object does not match the namespace sent on the request",
  );
  const body = thing("a", { metadata: { name: "a", resourceVersion: "5" } });
  const second = await failure(pipeline.handle(requestFor(things, "create", { body })));
  expect(second).toMatchObject({
    code: 500,
    message: "resourceVersion should not be set on objects to be created",
  });
  // What a dry run shows is written nowhere, so the version harms nothing.
  const query = { dryRun: "All" };
  const third = await pipeline.handle(requestFor(things, "create", { body, query }));
  expect(third.status).toBe(201);
});

test("create answers Invalid with causes", async () => {
  const { client } = createTestWorld();
  const error = await failure(client.create(things, thing("a", { spec: { replicas: -1 } })));
  expect(error.toStatus()).toMatchObject({
    code: 422,
    reason: "Invalid",
    message:
      'Thing.example.com "a" is invalid: spec.replicas: Invalid value: -1: must be greater than ' +
      "or equal to 0",
    details: {
      name: "a",
      group: "example.com",
      kind: "Thing",
      causes: [{ reason: "FieldValueInvalid", field: "spec.replicas" }],
    },
  });
});

test("create with dryRun stores nothing", async () => {
  const { pipeline, store } = createTestWorld();
  const query = { dryRun: "All" };
  const answer = await pipeline.handle(requestFor(things, "create", { body: thing("a"), query }));
  expect(answer.status).toBe(201);
  expect(await store.revision()).toBe(0);
  const bad = requestFor(things, "create", { body: thing("a"), query: { dryRun: "No" } });
  expect((await failure(pipeline.handle(bad))).code).toBe(422);
});

test("the wire bytes of an object hold its resourceVersion, kind and apiVersion", async () => {
  const { client, pipeline } = createTestWorld();
  const created = await client.create(things, thing("a"));
  const answer = await pipeline.handle(requestFor(things, "get", { name: "a" }));
  expect(textOf(answer)).toStartWith('{"metadata":{"resourceVersion":"1",');
  expect(JSON.parse(textOf(answer))).toEqual(created);
});

test("update with a stale resourceVersion is a Conflict in Kubernetes' words", async () => {
  const { client } = createTestWorld();
  const first = await client.create(things, thing("a"));
  await client.update(things, { ...first, spec: { replicas: 1 } });
  const error = await failure(client.update(things, { ...first, spec: { replicas: 2 } }));
  expect(error.reason).toBe("Conflict");
  expect(error.message).toBe(
    'Operation cannot be fulfilled on things.example.com "a": the object has been modified; ' +
      "please apply your changes to the latest version and try again",
  );
});

test("update bumps generation for spec, not for status; writes nothing for nothing", async () => {
  const { client, store } = createTestWorld();
  const created = await client.create(things, thing("a", { spec: { replicas: 1 } }));
  const same = await client.update(things, created);
  expect(same.metadata.resourceVersion).toBe(created.metadata.resourceVersion ?? "");
  expect(await store.revision()).toBe(1);
  const status = { subresource: "status" };
  const ran = await client.update(
    things,
    { ...same, spec: { replicas: 9 }, status: { phase: "Running" } },
    status,
  );
  expect(ran.spec).toEqual({ replicas: 1 });
  expect(ran.status).toEqual({ phase: "Running" });
  expect(ran.metadata.generation).toBe(1);
  const scaled = await client.update(things, { ...ran, spec: { replicas: 3 } });
  expect(scaled.metadata.generation).toBe(2);
  expect(scaled.status).toEqual({ phase: "Running" });
});

test("update keeps uid and refuses another one", async () => {
  const { client } = createTestWorld();
  const created = await client.create(things, thing("a"));
  const other = { ...created, metadata: { ...created.metadata, uid: "x" } };
  expect((await failure(client.update(things, other))).reason).toBe("Conflict");
});

test("update creates where the kind allows it, and demands a version where it must", async () => {
  const { pipeline, client } = createTestWorld();
  const body = { apiVersion: "v1", kind: "Node", metadata: { name: "n" } };
  const answer = await pipeline.handle(requestFor(nodes, "update", { name: "n", body }));
  expect(answer.status).toBe(201);
  const error = await failure(
    pipeline.handle(requestFor(nodes, "update", { name: "n", body: { ...body, spec: {} } })),
  );
  expect(error.code).toBe(422);
  expect(error.message).toContain("metadata.resourceVersion: Invalid value: 0: must be specified");
  expect((await failure(client.update(things, thing("gone")))).code).toBe(404);
});

test("patch: JSON, merge and strategic forms", async () => {
  const { client } = createTestWorld();
  await client.create(things, thing("a", { spec: { replicas: 1, node: "x" } }));
  const merged = await client.patch(things, "default", "a", "merge", {
    spec: { node: null, replicas: 2 },
  });
  expect(merged.spec).toEqual({ replicas: 2 });
  const added = await client.patch(things, "default", "a", "json", [
    { op: "test", path: "/spec/replicas", value: 2 },
    { op: "add", path: "/metadata/labels", value: { app: "web" } },
  ]);
  expect(added.metadata.labels).toEqual({ app: "web" });
  const failing = [{ op: "test", path: "/spec/replicas", value: 7 }];
  expect((await failure(client.patch(things, "default", "a", "json", failing))).code).toBe(422);
  const strategic = { metadata: { labels: { tier: "db" } } };
  const labelled = await client.patch(things, "default", "a", "strategic", strategic);
  expect(labelled.metadata.labels).toEqual({ app: "web", tier: "db" });
  expect((await failure(client.patch(things, "default", "b", "merge", {}))).code).toBe(404);
});

test("patch that names a stale version is a Conflict", async () => {
  const { client } = createTestWorld();
  await client.create(things, thing("a"));
  await client.patch(things, "default", "a", "merge", { spec: { replicas: 1 } });
  const stale = { metadata: { resourceVersion: "1" }, spec: { replicas: 2 } };
  expect((await failure(client.patch(things, "default", "a", "merge", stale))).code).toBe(409);
});

test("patches of many writers at once all take effect", async () => {
  const { client } = createTestWorld();
  await client.create(things, thing("a"));
  const names = ["a", "b", "c", "d"];
  const patches = names.map((name) =>
    client.patch(things, "default", "a", "merge", { metadata: { labels: { [name]: "1" } } }),
  );
  await Promise.all(patches);
  const labels = (await client.get(things, "default", "a")).metadata.labels;
  expect(Object.keys(labels ?? {}).sort()).toEqual(names);
});

test("delete answers a Status, checks preconditions, then NotFound", async () => {
  const { client, pipeline } = createTestWorld();
  const created = await client.create(things, thing("a"));
  const wrong = await failure(
    client.delete(things, "default", "a", { preconditions: { uid: "other" } }),
  );
  expect(wrong.code).toBe(409);
  const answer = await pipeline.handle(requestFor(things, "delete", { name: "a" }));
  expect(answer).toMatchObject({
    status: 200,
    object: {
      kind: "Status",
      status: "Success",
      details: { name: "a", group: "example.com", kind: "things", uid: created.metadata.uid },
    },
  });
  const gone = await failure(client.delete(things, "default", "a"));
  expect(gone.message).toBe('things.example.com "a" not found');
});

test("delete waits for finalizers, which then remove the object", async () => {
  const { client } = createTestWorld();
  const metadata = { name: "a", finalizers: ["example.com/hold"] };
  await client.create(things, thing("a", { metadata }));
  await client.delete(things, "default", "a");
  const marked = await client.get(things, "default", "a");
  expect(marked.metadata.deletionTimestamp).toBe("2026-01-01T00:00:00Z");
  expect(marked.metadata.generation).toBe(2);
  const more = { metadata: { finalizers: ["example.com/hold", "example.com/new"] } };
  const refused = await failure(client.patch(things, "default", "a", "merge", more));
  expect(refused.message).toContain("no new finalizers can be added");
  await client.patch(things, "default", "a", "merge", { metadata: { finalizers: null } });
  expect((await failure(client.get(things, "default", "a"))).code).toBe(404);
});

test("delete with a policy leaves the collector's finalizer", async () => {
  const { client } = createTestWorld();
  await client.create(things, thing("a"));
  await client.delete(things, "default", "a", { propagationPolicy: "Foreground" });
  const marked = await client.get(things, "default", "a");
  expect(marked.metadata.finalizers).toEqual(["foregroundDeletion"]);
});

test("graceful deletion may become shorter, never longer", async () => {
  const { client } = createTestWorld();
  const pod: Thing = { ...thing("p", { spec: { node: "n" } }), apiVersion: "v1", kind: "Pod" };
  await client.create(pods, pod);
  await client.delete(pods, "default", "p");
  const marked = await client.get(pods, "default", "p");
  expect(marked.metadata.deletionGracePeriodSeconds).toBe(30);
  expect(marked.metadata.deletionTimestamp).toBe("2026-01-01T00:00:30Z");
  await client.delete(pods, "default", "p", { gracePeriodSeconds: 60 });
  expect((await client.get(pods, "default", "p")).metadata).toEqual(marked.metadata);
  await client.delete(pods, "default", "p", { gracePeriodSeconds: 10 });
  const sooner = await client.get(pods, "default", "p");
  expect(sooner.metadata.deletionTimestamp).toBe("2026-01-01T00:00:10Z");
  await client.delete(pods, "default", "p", { gracePeriodSeconds: 0 });
  expect((await failure(client.get(pods, "default", "p"))).code).toBe(404);
});

test("list selects by labels and fields and refuses unknown fields", async () => {
  const { client } = createTestWorld();
  await client.create(things, thing("a", { metadata: { name: "a", labels: { app: "x" } } }));
  await client.create(things, thing("b", { spec: { node: "n1" } }));
  const names = async (options: object) =>
    (await client.list(things, "", options)).items.map((item) => item.metadata.name);
  expect(await names({})).toEqual(["a", "b"]);
  expect(await names({ labelSelector: "app=x" })).toEqual(["a"]);
  expect(await names({ fieldSelector: "spec.node=n1" })).toEqual(["b"]);
  expect(await names({ fieldSelector: "metadata.name!=a" })).toEqual(["b"]);
  const error = await failure(names({ fieldSelector: "spec.x=1" }));
  expect(error.code).toBe(400);
  expect(error.message).toEndWith("field label not supported: spec.x");
  expect((await failure(names({ labelSelector: "a=b=c" }))).code).toBe(400);
});

test("list pages are of one snapshot, and expire with 410 and a token to go on", async () => {
  const { client, store } = createTestWorld();
  for (const name of ["a", "b", "c", "d"]) await client.create(things, thing(name));
  const first = await client.list(things, "default", { limit: 2 });
  expect(first.items.map((item) => item.metadata.name)).toEqual(["a", "b"]);
  await client.create(things, thing("bb"));
  await client.delete(things, "default", "d");
  const second = await client.list(things, "default", { limit: 2, continue: first.continue });
  expect(second.items.map((item) => item.metadata.name)).toEqual(["c", "d"]);
  expect(second.resourceVersion).toBe(first.resourceVersion);
  expect(second.continue).toBe("");
  await store.compact(6);
  const error = await failure(
    client.list(things, "default", { limit: 2, continue: first.continue }),
  );
  expect(error.code).toBe(410);
  const token = String(error.toStatus().metadata.continue);
  const rest = await client.list(things, "default", { limit: 9, continue: token });
  expect(rest.items.map((item) => item.metadata.name)).toEqual(["bb", "c"]);
});

test("list bytes are the list object", async () => {
  const { client, pipeline } = createTestWorld();
  const empty = await pipeline.handle(requestFor(things, "list"));
  expect(JSON.parse(textOf(empty))).toEqual({
    kind: "ThingList",
    apiVersion: "example.com/v1",
    metadata: { resourceVersion: "0" },
    items: [],
  });
  await client.create(things, thing("a"));
  await client.create(things, thing("b"));
  const answer = await pipeline.handle(requestFor(things, "list", { query: { limit: "1" } }));
  if (answer.type !== "object") throw new Error("a list is an object");
  expect(JSON.parse(textOf(answer))).toEqual(JSON.parse(JSON.stringify(answer.object)));
  expect(JSON.parse(textOf(answer)).metadata.remainingItemCount).toBe(1);
});

test("list options are checked as upstream checks them", async () => {
  const { pipeline } = createTestWorld();
  const code = async (query: Record<string, string>) =>
    (await failure(pipeline.handle(requestFor(things, "list", { query })))).code;
  expect(await code({ resourceVersionMatch: "Exact" })).toBe(422);
  expect(await code({ resourceVersionMatch: "Exact", resourceVersion: "0" })).toBe(422);
  expect(await code({ resourceVersion: "abc" })).toBe(400);
  expect(await code({ continue: "nonsense" })).toBe(400);
});

test("list of a revision that is not there yet times out with its cause", async () => {
  const { pipeline, runtime } = createTestWorld();
  const late = failure(
    pipeline.handle(requestFor(things, "list", { query: { resourceVersion: "99" } })),
  );
  await runtime.clock.advance(4000);
  const error = await late;
  expect(error.code).toBe(504);
  expect(error.details?.causes?.[0]?.reason).toBe("ResourceVersionTooLarge");
});

test("scale reads and writes replicas", async () => {
  const { client, pipeline } = createTestWorld();
  const spec = { replicas: 1, selector: { matchLabels: { app: "x" } } };
  await client.create(things, thing("a", { spec }));
  const ask = { name: "a", subresource: "scale" };
  const answer = await pipeline.handle(requestFor(things, "get", ask));
  expect(answer).toMatchObject({
    object: { kind: "Scale", spec: { replicas: 1 }, status: { replicas: 0, selector: "app=x" } },
  });
  const body = { kind: "Scale", metadata: { name: "a" }, spec: { replicas: 4 } };
  await pipeline.handle(requestFor(things, "update", { ...ask, body }));
  expect((await client.get(things, "default", "a")).spec?.replicas).toBe(4);
  const patched = await pipeline.handle(
    requestFor(things, "patch", {
      ...ask,
      body: { spec: { replicas: 5 } },
      contentType: "application/merge-patch+json",
    }),
  );
  expect(patched).toMatchObject({ object: { spec: { replicas: 5 } } });
});

test("deletecollection deletes what is selected", async () => {
  const { client, pipeline } = createTestWorld();
  await client.create(things, thing("a", { metadata: { name: "a", labels: { app: "x" } } }));
  await client.create(things, thing("b"));
  const query = { labelSelector: "app=x" };
  const answer = await pipeline.handle(requestFor(things, "deletecollection", { query }));
  expect(answer).toMatchObject({ object: { kind: "ThingList", items: [{}] } });
  const left = await client.list(things, "default");
  expect(left.items.map((item) => item.metadata.name)).toEqual(["b"]);
});

test("Table, PartialObjectMetadata and YAML are served, others are not acceptable", async () => {
  const { client, pipeline } = createTestWorld();
  await client.create(things, thing("a"));
  const accepting = (accept: string, name = "") =>
    pipeline.handle(requestFor(things, name === "" ? "list" : "get", { accept, name }));
  const table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  expect(await accepting(table)).toMatchObject({
    object: {
      kind: "Table",
      columnDefinitions: [{ name: "Name" }, { name: "Phase" }],
      rows: [{ cells: ["a", ""], object: { kind: "PartialObjectMetadata" } }],
    },
  });
  const partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
  expect(await accepting(partial, "a")).toMatchObject({
    object: { kind: "PartialObjectMetadata", metadata: { name: "a" } },
  });
  const yaml = await accepting("application/yaml", "a");
  expect(textOf(yaml)).toStartWith("apiVersion: example.com/v1\nkind: Thing\n");
  expect((await failure(accepting("image/png"))).code).toBe(406);
});

test("a field selector names the object that a list or watch is authorized for", async () => {
  const asked: string[] = [];
  const authorizer = {
    authorize: async ({ verb, name }: Attributes) => {
      asked.push(`${verb} ${name}`);
      return { allowed: true, reason: "" };
    },
  };
  const { client } = createTestWorld({ authorizer });
  const selectors = [
    "metadata.name=a",
    "metadata.name==b,spec.node=n",
    "metadata.name!=c",
    "metadata.name=a/b",
    "spec.node=n",
  ];
  for (const fieldSelector of selectors) await client.list(things, "", { fieldSelector });
  expect(asked).toEqual(["list a", "list b", "list ", "list ", "list "]);
});

test("a refused request tells who cannot do what where", async () => {
  const authorizer = { authorize: async () => ({ allowed: false, reason: "" }) };
  const { client } = createTestWorld({ authorizer });
  const error = await failure(client.get(things, "default", "a"));
  expect(error.message).toBe(
    'things.example.com "a" is forbidden: User "system:apiserver" cannot get resource "things" ' +
      'in API group "example.com" in the namespace "default"',
  );
  expect((await failure(client.list(nodes, ""))).message).toEndWith("at the cluster scope");
});

test("admission changes objects before they are checked and stored", async () => {
  const seen: string[] = [];
  const plugin = {
    name: "test",
    mutate: async (object: KubeObject) => {
      object.metadata.labels = { by: "admission" };
    },
    validate: async (_object: unknown, context: { readonly verb: string }) => {
      seen.push(context.verb);
    },
  };
  const { client } = createTestWorld({ admission: [plugin] });
  const created = await client.create(things, thing("a"));
  expect(created.metadata.labels).toEqual({ by: "admission" });
  await client.delete(things, "default", "a");
  expect(seen).toEqual(["CREATE", "DELETE"]);
});
