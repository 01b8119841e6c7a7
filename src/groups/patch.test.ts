/** Patches on the real rows: what they change, and in which words they are refused. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { askOf, sendTo } from "./test-http.ts";
import { openWorld, type World } from "./test-world.ts";

let world: World;
let ask: ReturnType<typeof askOf>;
const path = "/api/v1/namespaces/default/services/web";
const json = "application/json-patch+json";
const merge = "application/merge-patch+json";
const strategic = "application/strategic-merge-patch+json";

beforeAll(async () => {
  world = await openWorld();
  ask = askOf(sendTo(world));
  const body = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web" },
    spec: { ports: [{ port: 80 }], selector: { app: "web" } },
  };
  await ask("POST", "/api/v1/namespaces/default/services", { body });
});
afterAll(() => world[Symbol.asyncDispose]());

const patch = (type: string, body: unknown, query?: string) =>
  ask("PATCH", path, { type, body, ...(query === undefined ? {} : { query }) });

test("a JSON patch adds below a status that nobody wrote yet", async () => {
  const conditions = [
    { type: "Up", status: "True", reason: "R", message: "", lastTransitionTime: null },
  ];
  const body = [{ op: "add", path: "/status/conditions", value: conditions }];
  const done = await ask("PATCH", `${path}/status`, { type: json, body });
  expect(done).toMatchObject({ status: { loadBalancer: {}, conditions: [{ type: "Up" }] } });
});

test("strict patches tell what is wrong in the patch, then in what it makes", async () => {
  const twice = '{"metadata":{"labels":{"a":"1","a":"2"}},"spec":{"colour":"red"}}';
  const told = await patch(merge, twice, "fieldValidation=Strict");
  expect(told).toMatchObject({ code: 422, reason: "Invalid" });
  expect(told.message).toStartWith(' "" is invalid: patch: Invalid value: "{');
  expect(told.message).toEndWith(
    'strict decoding error: duplicate field "metadata.labels.a", unknown field "spec.colour"',
  );
  const operations = [{ op: "test", path: "/kind", value: "Service", note: "?" }];
  const noted = await patch(json, operations, "fieldValidation=Strict");
  expect(noted.message).toEndWith('strict decoding error: json patch unknown field "[0].note"');
  const warned = await patch(merge, twice);
  expect(warned).toMatchObject({ code: 200, metadata: { labels: { a: "2" } } });
  expect(warned.warnings).toContain('duplicate field \\"metadata.labels.a\\"');
});

test("a patch that makes no object of the kind is invalid", async () => {
  const wrong = await patch(strategic, { spec: { sessionAffinity: 1 } });
  expect(wrong).toMatchObject({ code: 422, reason: "Invalid" });
  expect(wrong.message).toBe(
    ' "" is invalid: patch: Invalid value: "map[spec:map[sessionAffinity:1]]": cannot convert ' +
      "int64 to v1.ServiceAffinity",
  );
  const told: readonly (readonly [patch: object, why: string])[] = [
    [{ metadata: { labels: "x" } }, "cannot restore map from string"],
    [{ spec: { ipFamilies: true } }, "cannot restore slice from bool"],
    [{ spec: "x" }, "cannot restore struct from: string"],
    [{ spec: { sessionAffinity: [] } }, "unrecognized type: string"],
  ];
  for (const [body, why] of told) expect((await patch(strategic, body)).message).toEndWith(why);
  const merged = await patch(merge, { metadata: { labels: "x" } });
  expect(merged.message).toContain("json: cannot unmarshal string into Go struct field");
});

test("a new clusterIP replaces that of clusterIPs too, and is refused as such", async () => {
  const changed = await patch(merge, { spec: { clusterIP: "None" } });
  expect(changed.message).toBe(
    'Service "web" is invalid: spec.clusterIPs[0]: Invalid value: ["None"]: may not change once ' +
      "set",
  );
});

test("a body that is no JSON is told with its beginning", async () => {
  const body = "apiVersion: v1\nkind: Pod\nmetadata: {}\n";
  const told = await ask("POST", "/api/v1/namespaces", { body });
  expect(told).toMatchObject({ code: 400, reason: "BadRequest" });
  expect(told.message).toStartWith(
    "the object provided is unrecognized (must be of type Namespace): couldn't get version/kind; ",
  );
  expect(told.message).toEndWith(
    " (61706956657273696f6e3a2076310a6b696e643a20506f640a6d65746164 ...)",
  );
});

test("a JSON patch that cannot be applied is refused whole", async () => {
  const body = [
    { op: "add", path: "/metadata/labels/b", value: "1" },
    { op: "remove", path: "/spec/nothing" },
  ];
  expect(await patch(json, body)).toMatchObject({
    code: 422,
    message: "the server rejected our request due to an error in our request",
  });
  expect((await ask("GET", path)).metadata.labels).not.toHaveProperty("b");
});

test("who patches what is not there hears that first", async () => {
  for (const type of [json, merge, strategic]) {
    const absent = path.replace("web", "absent");
    expect(await ask("PATCH", absent, { type, body: "{" })).toMatchObject({ code: 404 });
    expect(await ask("PATCH", path, { type, body: "{" })).toMatchObject({ code: 400 });
  }
});

test("a JSON patch copies null from a member that is not there", async () => {
  const body = [{ op: "copy", from: "/spec/nothing", path: "/metadata/annotations" }];
  expect(await patch(json, body)).toMatchObject({ kind: "Service" });
  const nowhere = [{ op: "copy", from: "/nothing/below", path: "/metadata/annotations" }];
  expect(await patch(json, nowhere)).toMatchObject({ code: 422 });
});

test("directives about what is not there are fields that nobody knows", async () => {
  const body = {
    metadata: { annotations: null },
    spec: { sessionAffinityConfig: { $retainKeys: [] } },
  };
  const told = await patch(strategic, body, "fieldValidation=Strict");
  expect(told.message).toContain('unknown field "spec.sessionAffinityConfig.$retainKeys"');
});
