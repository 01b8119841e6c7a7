/** Answers that were unlike upstream's own server's until both were asked side by side. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Answer, type Ask, askOf, sendTo } from "./test-http.ts";
import { openWorld, type World } from "./test-world.ts";

let world: World;
let ask: (method: string, path: string, more?: Ask) => Promise<Answer>;
let send: ReturnType<typeof sendTo>;
beforeAll(async () => {
  world = await openWorld();
  send = sendTo(world);
  ask = askOf(send);
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const core = "/api/v1/namespaces/default";
const maps = `${core}/configmaps`;
const merge = "application/merge-patch+json";
const operations = "application/json-patch+json";
const apply = "application/apply-patch+yaml";
const template = {
  metadata: { labels: { app: "a" } },
  spec: { containers: [{ name: "a", image: "a" }] },
};
const create = (path: string, body: unknown): Promise<Answer> => ask("POST", path, { body });
const named = (name: string, more: object = {}): object => ({ metadata: { name }, ...more });

describe("objects", () => {
  test("what Go does not leave out is there, empty", async () => {
    const role = await create(
      "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
      named("r"),
    );
    expect(role).toMatchObject({ rules: null });
    expect(JSON.stringify(role.metadata.managedFields ?? [])).not.toContain("f:rules");
    const involvedObject = { namespace: "default" };
    expect(await create(`${core}/events`, named("e", { involvedObject }))).toMatchObject({
      eventTime: null,
      firstTimestamp: null,
      reportingComponent: "",
    });
    expect("creationTimestamp" in (role.metadata as object)).toBe(true);
  });

  test("generations begin and grow as the kind has it", async () => {
    const path = "/apis/apps/v1/namespaces/default/deployments";
    const selector = { matchLabels: { app: "a" } };
    await create(path, named("d", { spec: { selector, template } }));
    const body = { metadata: { annotations: { a: "b" } } };
    const changed = await ask("PATCH", `${path}/d`, { body, type: merge });
    expect(changed.metadata.generation).toBe(2);
    const drivers = "/apis/storage.k8s.io/v1/csidrivers";
    const driver = await create(drivers, named("x", { spec: { podInfoOnMount: false } }));
    expect(driver.metadata.generation).toBeUndefined();
    const scaler = { maxReplicas: 2, scaleTargetRef: { apiVersion: "a/v1", kind: "A", name: "a" } };
    const hpas = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    const hpa = await create(hpas, named("h", { spec: scaler }));
    expect(hpa.metadata.generation).toBeUndefined();
    expect(hpa.status).toMatchObject({ currentMetrics: null });
  });

  test("defaults are upstream's", async () => {
    const spec = { ...template.spec, hostNetwork: true };
    const ports = [{ containerPort: 80 }];
    const host = { ...template, spec: { ...spec, containers: [{ name: "a", image: "a", ports }] } };
    const made = await create("/apis/apps/v1/namespaces/default/daemonsets?dryRun=All", {
      ...named("ds"),
      spec: { selector: { matchLabels: { app: "a" } }, template: host },
    });
    expect(JSON.stringify(made.spec)).not.toContain("hostPort");
    expect(JSON.stringify(made.metadata.managedFields)).toContain(
      "f:deprecated.daemonset.template.generation",
    );
    const devices = { requests: [{ name: "r", exactly: { deviceClassName: "c" } }] };
    const claims = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";
    expect((await create(claims, named("c", { spec: { devices } }))).spec).toMatchObject({
      devices: { requests: [{ exactly: { allocationMode: "ExactCount", count: 1 } }] },
    });
    const rc = { replicas: 1, selector: { app: "a" }, template };
    const controllers = await create(`${core}/replicationcontrollers`, named("rc", { spec: rc }));
    expect(controllers.spec).not.toHaveProperty("minReadySeconds");
    const strange = { ...template.spec, containers: [{ name: "a", image: "25%" }] };
    const odd = await create(`${core}/podtemplates`, named("p", { template: { spec: strange } }));
    expect(odd).toMatchObject({
      template: { spec: { containers: [{ imagePullPolicy: "IfNotPresent" }] } },
    });
  });

  test("generated names are known to what is made of them", async () => {
    const space = await create("/api/v1/namespaces", { metadata: { generateName: "n-" } });
    const { name = "", labels } = space.metadata;
    expect(labels).toEqual({ "kubernetes.io/metadata.name": name });
    expect((await create(`${core}/limitranges`, {})).metadata.name).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("an apply that changes nothing leaves no time", async () => {
    await create(maps, named("timed", { data: { a: "b" } }));
    const body = { apiVersion: "v1", kind: "ConfigMap", data: { a: "b" } };
    const path = `${maps}/timed?fieldManager=m`;
    const { metadata } = await ask("PATCH", path, { body, type: apply });
    const entry = metadata.managedFields?.find(({ operation }) => operation === "Apply");
    expect(entry?.time).toBeUndefined();
  });

  test("a status write leaves metadata alone where upstream does", async () => {
    const path = "/apis/networking.k8s.io/v1/servicecidrs";
    await create(path, named("more", { spec: { cidrs: ["10.99.0.0/16"] } }));
    const body = { metadata: { annotations: { a: "b" }, labels: { c: "d" } } };
    const { metadata } = await ask("PATCH", `${path}/more/status`, { body, type: merge });
    expect([metadata.annotations, metadata.labels]).toEqual([undefined, undefined]);
  });

  test("a definition is held by its finalizer from the first delete on", async () => {
    const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    const schema = { openAPIV3Schema: { type: "object" } };
    const spec = {
      group: "held.example",
      scope: "Cluster",
      names: { plural: "things", kind: "Thing" },
      versions: [{ name: "v1", served: true, storage: true, schema }],
    };
    const made = await create(path, named("things.held.example", { spec }));
    expect(made.metadata.finalizers).toBeUndefined();
    const one = `${path}/things.held.example`;
    const gone = await ask("DELETE", one);
    expect(gone.metadata).toMatchObject({
      generation: 1,
      finalizers: ["customresourcecleanup.apiextensions.k8s.io"],
    });
    expect(gone.metadata.deletionGracePeriodSeconds).toBeUndefined();
    expect(gone.status).toMatchObject({ conditions: [{ reason: "InstanceDeletionPending" }] });
    const body = { metadata: { finalizers: null } };
    expect((await ask("PATCH", one, { body, type: merge })).code).toBe(200);
    expect((await ask("GET", one)).code).toBe(404);
  });
});

describe("refusals", () => {
  test("preconditions name the kind, and the key of what is stored", async () => {
    await create(maps, named("held"));
    const body = { preconditions: { uid: "other" } };
    const refused = await ask("DELETE", `${maps}/held`, { body });
    expect(refused.message).toStartWith(
      'Operation cannot be fulfilled on ConfigMap "held": the UID in the precondition (other)',
    );
    const put = await ask("PUT", `${maps}/held`, {
      body: { metadata: { name: "held", uid: "x" } },
    });
    expect(put.message).toContain(
      "StorageError: invalid object, Code: 4, Key: /registry/configmaps/default/held",
    );
    const patched = { body: { metadata: { uid: "x" } }, type: merge };
    expect((await ask("PATCH", `${maps}/held`, patched)).message).toContain(
      'metadata.uid: Invalid value: "x": field is immutable',
    );
  });

  test("a delete whose body is something else deletes nothing", async () => {
    await create(maps, named("kept"));
    const refused = await ask("DELETE", `${maps}/kept`, {
      body: { apiVersion: "v1", kind: "Pod" },
    });
    expect([refused.code, refused.message]).toEqual([
      400,
      'no kind "Pod" is registered for version "v1" in scheme "pkg/runtime/scheme.go:111"',
    ]);
    expect((await ask("GET", `${maps}/kept`)).code).toBe(200);
  });

  test.each([
    ["{", "json parse error: unexpected end of JSON input ({)"],
    ["[]", "cannot unmarshal array into Go value of type struct"],
    ["", "unexpected end of JSON input (<empty>)"],
    ['{"apiVersion":"v1","kind":"Pod"}', "converting (v1.Pod) to (core.ConfigMap)"],
    ['{"kind":"X","apiVersion":"v9"}', 'no kind "X" is registered for version "v9"'],
    ['{"metadata":{"name":"a"},"binaryData":{"a":"/abs/path"}}', "at input byte 8"],
    ['{"metadata":{"name":"a","deletionTimestamp":"web"}}', 'cannot parse "web" as "2006"'],
    ['{"metadata":{"name":"a","finalizers":["x"]}}', "neither a standard finalizer name nor"],
  ])("the body %p is refused in Go's words", async (body, said) => {
    expect((await ask("POST", maps, { body })).message).toContain(said);
  });

  test.each([
    [merge, "{", "error decoding patch: unexpected end of JSON input"],
    [merge, "null", "Invalid JSON Patch"],
    [operations, "{}", "cannot unmarshal object into Go value of type []handlers.jsonPatchOp"],
    [operations, '[{"op":"add","path":"a","value":1}]', "the server rejected our request"],
    ["application/strategic-merge-patch+json", "[]", "json: cannot unmarshal array"],
    [merge, '{"kind":"Secret"}', "patch: Invalid value"],
    ["text/plain", "{}", "415: Unsupported Media Type"],
  ])("as a patch %s, %p is refused in upstream's words", async (type, body, said) => {
    await create(maps, named("patched"));
    expect((await ask("PATCH", `${maps}/patched`, { body, type })).message).toContain(said);
  });

  test("to replace a member that is not there adds it", async () => {
    await create(maps, named("replaced"));
    const body = [{ op: "replace", path: "/data", value: { a: "b" } }];
    const made = await ask("PATCH", `${maps}/replaced`, { body, type: operations });
    expect(made).toMatchObject({ data: { a: "b" } });
  });

  test.each([
    ["limit=x", 'strconv.ParseInt: parsing "x": invalid syntax'],
    ["resourceVersion=x", "invalid resource version: resourceVersion: Invalid value"],
    ["continue=bad", "continue key is not valid: invalid character 'm' looking for"],
    ["labelSelector=-bad-%3Dx", "unable to parse requirement: <nil>: Invalid value"],
    ["resourceVersion=1&resourceVersionMatch=x", '"Exact", "NotOlderThan", ""'],
  ])("a list with %s is refused in upstream's words", async (query, said) => {
    expect((await ask("GET", maps, { query })).message).toContain(said);
  });

  test("from the newest state at hand a limit means nothing", async () => {
    for (const name of ["l1", "l2"]) await create(maps, named(name));
    const list = (query: string) => ask("GET", maps, { query });
    expect((await list("limit=1")) as object).toMatchObject({ items: { length: 1 } });
    const all = (await list("resourceVersion=0&limit=1")) as unknown as { items: object[] };
    expect(all.items.length).toBeGreaterThan(1);
  });

  test("warnings go with refusals", async () => {
    const endpoints = `${core}/endpoints`;
    await create(endpoints, named("twice"));
    const again = await create(endpoints, named("twice"));
    expect([again.code, again.warnings]).toEqual([
      409,
      '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"',
    ]);
  });

  test.each([
    ["PartialObjectMetadata", "", "the requested object is a list (*core.ConfigMapList)"],
    ["PartialObjectMetadataList", "/formed", "is not a list (*core.ConfigMap)"],
  ])("%s does not fit everywhere", async (as, name, said) => {
    await create(maps, named("formed"));
    const accept = `application/json;as=${as};v=v1;g=meta.k8s.io`;
    const answer = await send(`${maps}${name}`, { headers: { accept } });
    expect(answer.status).toBe(406);
    expect(((await answer.json()) as Answer).message).toContain(said);
  });

  test("reviews are judged whole, and their kind is not told", async () => {
    const path = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";
    const spec = { user: "u", resourceAttributes: { namespace: "other", verb: "get" } };
    expect((await create(path, { spec })).message).toBe(
      '.authorization.k8s.io "" is invalid: spec.resourceAttributes.namespace: ' +
        'Invalid value: "other": must match metadata.namespace',
    );
  });
});

describe("validation", () => {
  const apps = "/apis/apps/v1/namespaces/default";
  test.each([
    [`${apps}/deployments`, {}, "spec.template.metadata.labels: Invalid value: null"],
    [`${apps}/daemonsets`, {}, "[spec.template.metadata.labels: Invalid value: null"],
    ["/api/v1/persistentvolumes", {}, 'Unsupported value: null: supported values: "storage"'],
    ["/apis/networking.k8s.io/v1/namespaces/default/ingresses", {}, "spec: Invalid value: null"],
    [
      "/apis/resource.k8s.io/v1/resourceslices",
      { spec: { driver: "a", nodeName: "n", allNodes: true } },
      "{`nodeName`, `allNodes`}",
    ],
    [
      "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
      { spec: { maxReplicas: 1, scaleTargetRef: { kind: "A", name: "a" } } },
      "spec.scaleTargetRef.apiVersion: Invalid value",
    ],
    [
      "/apis/scheduling.k8s.io/v1/priorityclasses",
      { preemptionPolicy: "x" },
      'supported values: "PreemptLowerPriority", "Never"',
    ],
    [
      "/apis/apiregistration.k8s.io/v1/apiservices",
      { spec: { version: "v1", service: { name: "a", namespace: "b", port: -1 } } },
      "spec.service.port: Invalid value: -1: port is not valid",
    ],
    [
      "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
      { webhooks: [{ name: "a.b.c", clientConfig: { url: "http://x/?q" }, rules: [{}] }] },
      "webhooks[0].rules[0].apiGroups: Required value",
    ],
    [
      "/apis/events.k8s.io/v1/namespaces/default/events",
      { regarding: { namespace: "default" } },
      "eventTime: Required value",
    ],
    [
      "/apis/rbac.authorization.k8s.io/v1/clusterroles",
      { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { "-": "a" } }] } },
      "Invalid value: null: invalid label selector.",
    ],
    [
      "/apis/networking.k8s.io/v1/ingressclasses",
      { spec: { controller: "a.b/c", parameters: { apiGroup: "-", kind: "A", name: "a" } } },
      "spec.parameters.apiGroup: Invalid value",
    ],
  ])("%s with %j", async (path, more, said) => {
    const refused = await create(path, named("judged", more));
    expect([refused.code, refused.message]).toEqual([422, expect.stringContaining(said)]);
  });

  test("an event of events.k8s.io keeps what it tells", async () => {
    const path = "/apis/events.k8s.io/v1/namespaces/default/events";
    const told = {
      regarding: { namespace: "default" },
      eventTime: "2026-01-02T03:04:05.000000Z",
      reportingController: "a/b",
      reportingInstance: "c",
      action: "Act",
      reason: "Why",
      type: "Normal",
    };
    expect((await create(path, named("told", told))).code).toBe(201);
    const body = { reason: "Other" };
    const refused = await ask("PATCH", `${path}/told`, { body, type: merge });
    expect(refused.message).toBe(
      'Event "told" is invalid: reason: Invalid value: "Other": field is immutable',
    );
  });

  test("the ranges of services are frozen one by one", async () => {
    const path = "/apis/networking.k8s.io/v1/servicecidrs";
    await create(path, named("frozen", { spec: { cidrs: ["10.98.0.0/16"] } }));
    const body = { spec: { cidrs: ["10.97.0.0/16"] } };
    expect((await ask("PATCH", `${path}/frozen`, { body, type: merge })).message).toContain(
      'spec.cidrs[0]: Invalid value: "10.97.0.0/16": field is immutable',
    );
  });
});

test("an endpoint without an address is told so twice", async () => {
  const answer = await create(
    `${core}/endpoints`,
    named("none", { subsets: [{ addresses: [{}] }] }),
  );
  const detail = 'subsets[0].addresses[0].ip: Invalid value: "": must be a valid IP address';
  expect(answer.message).toContain(`${detail}, (e.g. 10.9.8.7 or 2001:db8::ffff), ${detail}]`);
});
