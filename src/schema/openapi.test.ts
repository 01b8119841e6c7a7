import { expect, test } from "bun:test";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { OpenApiDocuments } from "./openapi.ts";
import type { OpenApiResource } from "./openapi-operations.ts";
import type { Json } from "./openapi-schemas.ts";
import { typeOf } from "./types.ts";

const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const apps = { group: "apps", version: "v1", kind: "Deployment" };

const scale = { group: "autoscaling", version: "v1", kind: "Scale" };

const deployments: OpenApiResource = {
  ...apps,
  plural: "deployments",
  namespaced: true,
  verbs,
  typeName: typeOf("apps", "v1", "Deployment"),
  returnsDeleted: false,
  subresources: [
    { name: "status", verbs: ["get", "patch", "update"], connects: false, ...apps },
    { name: "scale", verbs: ["get"], connects: false, ...scale },
  ],
};

const foos: OpenApiResource = {
  group: "example.com",
  version: "v1",
  kind: "Foo",
  plural: "foos",
  namespaced: true,
  verbs,
  typeName: undefined,
  schema: {
    type: "object",
    properties: {
      spec: {
        type: "object",
        properties: { any: { "x-kubernetes-int-or-string": true }, maybe: { nullable: true } },
      },
    },
  },
  returnsDeleted: false,
  subresources: [],
};

function server(rows: readonly OpenApiResource[]) {
  let generation = 1;
  let served = rows;
  const documents = new OpenApiDocuments({
    resources: () => served,
    generation: () => generation,
    version: "v1.36.4",
  });
  return {
    get: (path: string, headers: Record<string, string> = {}) =>
      documents.respond(new Request(`https://localhost${path}`, { headers })),
    serve(next: readonly OpenApiResource[]) {
      served = next;
      generation++;
    },
  };
}

async function json(response: Response | undefined): Promise<Json> {
  expect(response?.status).toBe(200);
  return (await response?.json()) as Json;
}

/** Walks members by name, past the noise of casts. */
function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce((inner, name) => (inner as Json | undefined)?.[name], value);
}

function dangling(document: Json): readonly string[] {
  const text = JSON.stringify(document);
  return [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)]
    .map((match) => match[1] as string)
    .filter((path) => {
      const place = path.startsWith("components/") ? 2 : 1;
      const parts = path.split("/");
      const name = parts.slice(place).join("/");
      return at(document, ...parts.slice(0, place), name) === undefined;
    });
}

test("the index names every group version with a hash of its resources", async () => {
  const { get, serve } = server([deployments, foos]);
  const first = at(await json(get("/openapi/v3")), "paths") as Record<string, Json>;
  const always = [".well-known/openid-configuration", "openid/v1/jwks", "version", "apis"];
  const groups = ["apis/apps", "apis/apps/v1", "apis/example.com/v1"];
  expect(Object.keys(first)).toEqual([...always, ...groups]);
  serve([deployments, { ...foos, schema: { type: "object" } }]);
  const second = at(await json(get("/openapi/v3")), "paths") as Record<string, Json>;
  expect(second["apis/apps/v1"]).toEqual(first["apis/apps/v1"] as Json);
  expect(second["apis/example.com/v1"]).not.toEqual(first["apis/example.com/v1"] as Json);
  serve([deployments]);
  expect(get("/openapi/v3/apis/example.com/v1")).toBeUndefined();
});

test("strategic patches are offered for the types that have a strategy only", async () => {
  const { get } = server([deployments, foos]);
  const typesAt = async (group: string, plural: string) => {
    const document = await json(get(`/openapi/v3/apis/${group}`));
    const path = `/apis/${group}/namespaces/{namespace}/${plural}/{name}`;
    return Object.keys(at(document, "paths", path, "patch", "requestBody", "content") as Json);
  };
  const plain = ["application/json-patch+json", "application/merge-patch+json"];
  const apply = "application/apply-patch+yaml";
  const strategic = "application/strategic-merge-patch+json";
  expect(await typesAt("example.com/v1", "foos")).toEqual([...plain, apply]);
  expect(await typesAt("apps/v1", "deployments")).toEqual([...plain, strategic, apply]);
});

test("a document has what kubectl explain and apply look for", async () => {
  const { get } = server([deployments]);
  const document = await json(get("/openapi/v3/apis/apps/v1"));
  expect(dangling(document)).toEqual([]);
  const path = at(document, "paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
  expect(at(path, "patch", "x-kubernetes-group-version-kind")).toEqual(apps);
  expect(at(path, "patch", "x-kubernetes-action")).toBe("patch");
  const parameters = at(path, "patch", "parameters") as Json[];
  expect(parameters.map((one) => one.name)).toContain("fieldValidation");
  expect(parameters[0]).toMatchObject({
    in: "query",
    schema: { type: "string", uniqueItems: true },
  });
  expect(parameters[0]).not.toHaveProperty("uniqueItems");
  // Go's clients tell an empty list from none.
  expect(at(path, "get")).not.toHaveProperty("parameters");
  const schemas = at(document, "components", "schemas");
  const deployment = at(schemas, "io.k8s.api.apps.v1.Deployment");
  expect(at(deployment, "x-kubernetes-group-version-kind")).toEqual([apps]);
  const containers = at(schemas, "io.k8s.api.core.v1.PodSpec", "properties", "containers");
  expect(containers).toMatchObject({
    type: "array",
    items: { allOf: [{ $ref: "#/components/schemas/io.k8s.api.core.v1.Container" }], default: {} },
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "x-kubernetes-patch-strategy": "merge",
    "x-kubernetes-patch-merge-key": "name",
  });
  expect(at(schemas, "io.k8s.api.core.v1.Volume", "properties", "emptyDir")).toBeDefined();
  expect(at(schemas, "io.k8s.api.core.v1.PodSpec", "required")).toEqual(["containers"]);
});

test("paths, names, texts and shared parameters of version 2 are upstream's", async () => {
  const { get } = server([deployments, foos]);
  const document = await json(get("/openapi/v2"));
  const paths = document.paths as Record<string, Json>;
  const base = "/apis/apps/v1/namespaces/{namespace}/deployments";
  expect(Object.keys(paths).filter((path) => path.startsWith("/apis/apps"))).toEqual([
    "/apis/apps/",
    "/apis/apps/v1/",
    base,
    `${base}/{name}`,
    "/apis/apps/v1/deployments",
    `${base}/{name}/status`,
    `${base}/{name}/scale`,
    "/apis/apps/v1/watch/namespaces/{namespace}/deployments",
    "/apis/apps/v1/watch/namespaces/{namespace}/deployments/{name}",
    "/apis/apps/v1/watch/deployments",
  ]);
  const told = (path: string, method: string) => {
    const operation = at(paths, path, method) as Json;
    return [operation.operationId, operation.description, operation["x-kubernetes-action"]];
  };
  expect(told(base, "delete")).toEqual([
    "deleteAppsV1CollectionNamespacedDeployment",
    "delete collection of Deployment",
    "deletecollection",
  ]);
  expect(told("/apis/apps/v1/deployments", "get")).toEqual([
    "listAppsV1DeploymentForAllNamespaces",
    "list or watch objects of kind Deployment",
    "list",
  ]);
  expect(told(`${base}/{name}/scale`, "get")).toEqual([
    "readAppsV1NamespacedDeploymentScale",
    "read scale of the specified Deployment",
    "get",
  ]);
  expect(told("/apis/apps/v1/watch/deployments", "get")[0]).toBe(
    "watchAppsV1DeploymentListForAllNamespaces",
  );
  expect(told("/apis/example.com/v1/namespaces/{namespace}/foos", "post")).toEqual([
    "createExampleComV1NamespacedFoo",
    "create a Foo",
    "post",
  ]);
  // Every operation has these, so that they stand at the path.
  expect(at(paths, base, "parameters")).toEqual([
    { $ref: "#/parameters/namespace-vgWSWtn3" },
    { $ref: "#/parameters/pretty-tJGM1-ng" },
  ]);
  expect(at(document, "parameters", "watch-XNNPZGbK")).toMatchObject({
    in: "query",
    name: "watch",
  });
  expect(Object.keys(at(paths, base, "post", "responses") as Json)).toEqual([
    "200",
    "201",
    "202",
    "401",
  ]);
});

test("connections to pods have the options of their kind, and proxies every method", async () => {
  const core = { group: "", version: "v1" };
  const connected = (name: string, kind: string, verbs: string[]) =>
    ({ name, ...core, kind, verbs, connects: true }) as const;
  const pods: OpenApiResource = {
    ...core,
    kind: "Pod",
    plural: "pods",
    namespaced: true,
    verbs: ["get"],
    returnsDeleted: true,
    typeName: typeOf("", "v1", "Pod"),
    subresources: [
      connected("exec", "PodExecOptions", ["create", "get"]),
      connected("proxy", "PodProxyOptions", ["create", "delete", "get"]),
      { name: "log", ...core, kind: "Pod", verbs: ["get"], connects: false },
    ],
  };
  const { paths } = await json(server([pods]).get("/openapi/v3/api/v1"));
  const base = "/api/v1/namespaces/{namespace}/pods/{name}";
  const names = (path: string) => (at(paths, path, "parameters") as Json[]).map(({ name }) => name);
  const inPath = ["name", "namespace"];
  expect(Object.keys(at(paths, `${base}/exec`) as Json)).toEqual(["get", "post", "parameters"]);
  expect(names(`${base}/exec`)).toEqual([
    "command",
    "container",
    ...inPath,
    "stderr",
    "stdin",
    "stdout",
    "tty",
  ]);
  expect(names(`${base}/proxy/{path}`)).toEqual([...inPath, "path", "path"]);
  expect(at(paths, `${base}/proxy/{path}`, "head", "operationId")).toBe(
    "connectCoreV1HeadNamespacedPodProxyWithPath",
  );
  expect(names(`${base}/log`)).toContain("tailLines");
  expect(names(`${base}/log`)).not.toContain("sinceTime");
});

test("version 2 is swagger without what it does not know", async () => {
  const { get } = server([deployments, foos]);
  const document = await json(get("/openapi/v2", { accept: "application/json" }));
  expect(document.swagger).toBe("2.0");
  expect(dangling(document)).toEqual([]);
  const spec = at(
    document,
    "definitions",
    "com.example.v1.Foo",
    "properties",
    "spec",
    "properties",
  );
  expect(spec).toEqual({
    any: { "x-kubernetes-int-or-string": true, type: "string", format: "int-or-string" },
    maybe: {},
  });
  expect(get("/openapi/v2", { accept: "text/plain" })?.status).toBe(406);
});

/** The fields of a protobuf message by number; every field here is a text or a message. */
function fieldsOf(bytes: Uint8Array | undefined): Map<number, Uint8Array[]> {
  const reader = new BinaryReader(bytes ?? new Uint8Array());
  const found = new Map<number, Uint8Array[]>();
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (wire !== WireType.LengthDelimited) reader.skip(wire);
    else found.set(number, [...(found.get(number) ?? []), reader.bytes()]);
  }
  return found;
}
/** The value of the pair called `name` among the repeated field `number`. */
function pair(bytes: Uint8Array | undefined, number: number, name: string): Uint8Array | undefined {
  return (fieldsOf(bytes).get(number) ?? [])
    .map(fieldsOf)
    .find((one) => textOf(one.get(1)?.[0]) === name)
    ?.get(2)?.[0];
}
const textOf = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

test("Go's discovery client gets version 2 as protobuf", async () => {
  const { get } = server([deployments, foos]);
  const accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
  const answer = get("/openapi/v2", { accept });
  expect(answer?.headers.get("content-type")).toBe(
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
  );
  const document = fieldsOf(await answer?.bytes());
  expect(textOf(document.get(1)?.[0])).toBe("2.0");
  const deployment = pair(document.get(9)?.[0], 1, "io.k8s.api.apps.v1.Deployment");
  const properties = fieldsOf(deployment).get(25)?.[0];
  expect(textOf(fieldsOf(pair(properties, 1, "spec")).get(1)?.[0])).toBe(
    "#/definitions/io.k8s.api.apps.v1.DeploymentSpec",
  );
  const kinds = pair(deployment, 31, "x-kubernetes-group-version-kind");
  expect(textOf(fieldsOf(kinds).get(2)?.[0])).toBe(
    '[{"group":"apps","kind":"Deployment","version":"v1"}]',
  );
  const path = pair(document.get(8)?.[0], 2, "/apis/apps/v1/namespaces/{namespace}/deployments");
  const create = fieldsOf(fieldsOf(path).get(4)?.[0]);
  expect(textOf(create.get(5)?.[0])).toBe("createAppsV1NamespacedDeployment");
  const places = (create.get(8) ?? []).map((item) => {
    const choice = fieldsOf(fieldsOf(item).get(1)?.[0]);
    if (choice.has(1)) return textOf(fieldsOf(choice.get(1)?.[0]).get(2)?.[0]);
    const query = fieldsOf(choice.get(2)?.[0]).get(3)?.[0];
    return (
      textOf(fieldsOf(query).get(4)?.[0]) ||
      textOf(fieldsOf(fieldsOf(item).get(2)?.[0]).get(1)?.[0])
    );
  });
  const manager = "#/parameters/fieldManager-Qy4HdaTW";
  expect(places).toEqual(["body", "dryRun", manager, "fieldValidation"]);
  const shared = pair(document.get(10)?.[0], 1, "fieldManager-Qy4HdaTW");
  const query = fieldsOf(fieldsOf(shared).get(2)?.[0]).get(3)?.[0];
  expect(textOf(fieldsOf(query).get(4)?.[0])).toBe("fieldManager");
});

test("unchanged documents are not sent again", () => {
  const { get } = server([deployments]);
  const etag = get("/openapi/v3/apis/apps/v1")?.headers.get("etag") ?? "";
  const again = get("/openapi/v3/apis/apps/v1", { "if-none-match": etag });
  expect(again?.status).toBe(304);
  expect(get("/openapi/v3/apis/apps/v1?hash=old")?.status).toBe(301);
});
