/** What travels over HTTP in which form: JSON, YAML, protobuf, Tables and metadata only. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { decodeProtobuf } from "../schema/protobuf-decode.ts";
import { encodeProtobuf } from "../schema/protobuf-encode.ts";
import { type Send, sendTo } from "./test-http.ts";
import { openWorld, type World } from "./test-world.ts";

const protobuf = "application/vnd.kubernetes.protobuf";
const path = "/api/v1/namespaces/default/configmaps";
let world: World;
let send: Send;

beforeAll(async () => {
  world = await openWorld();
  send = sendTo(world);
});
afterAll(() => world[Symbol.asyncDispose]());

function configMap(name: string, data: Record<string, string> = { key: "value" }) {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data };
}

function accepting(accept: string): RequestInit {
  return { headers: { accept } };
}

async function bytesOf(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer());
}

async function post(object: Parameters<typeof encodeProtobuf>[0]): Promise<Response> {
  return send(path, {
    method: "POST",
    body: encodeProtobuf(object) as Uint8Array<ArrayBuffer>,
    headers: { "content-type": protobuf, accept: `${protobuf},application/json` },
  });
}

test("protobuf in, protobuf out: one object and the list", async () => {
  const made = await post(configMap("a"));
  expect(made.status).toBe(201);
  expect(made.headers.get("content-type")).toBe(protobuf);
  const object = decodeProtobuf(await bytesOf(made));
  expect(object).toMatchObject(configMap("a"));
  const json = await (await send(`${path}/a`)).json();
  expect(json.metadata.uid).toBe((object.metadata as { uid: string }).uid);
  const list = decodeProtobuf(await bytesOf(await send(path, accepting(protobuf))));
  expect(list).toMatchObject({ kind: "ConfigMapList", items: [{ data: { key: "value" } }] });
});

test("errors and delete options travel as protobuf too", async () => {
  await post(configMap("b"));
  const twice = await post(configMap("b"));
  expect(twice.status).toBe(409);
  expect(decodeProtobuf(await bytesOf(twice))).toMatchObject({
    kind: "Status",
    reason: "AlreadyExists",
    code: 409,
  });
  const options = { kind: "DeleteOptions", apiVersion: "v1", preconditions: { uid: "other" } };
  const body = encodeProtobuf(options) as Uint8Array<ArrayBuffer>;
  const headers = { "content-type": protobuf };
  const refused = await send(`${path}/b`, { method: "DELETE", body, headers });
  expect(await refused.json()).toMatchObject({ kind: "Status", reason: "Conflict" });
});

test("a watch in protobuf is framed by length", async () => {
  await post(configMap("watched"));
  const stop = new AbortController();
  const fieldSelector = "metadata.name%3Dwatched";
  const answer = await send(`${path}?watch=1&fieldSelector=${fieldSelector}`, {
    ...accepting(`${protobuf};stream=watch`),
    signal: stop.signal,
  });
  expect(answer.headers.get("content-type")).toBe(`${protobuf};stream=watch`);
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
  const { value } = await reader.read();
  stop.abort();
  const frame = Buffer.from(value ?? []);
  expect(frame.readUInt32BE(0)).toBe(frame.length - 4);
  expect(frame.subarray(4, 11).toString("latin1")).toBe("\n\x05ADDED");
  const start = frame.indexOf("k8s\0");
  expect(decodeProtobuf(frame.subarray(start))).toMatchObject(configMap("watched"));
});

test("metadata only is served in every form, Tables in all but protobuf", async () => {
  await post(configMap("c"));
  const partial = `${protobuf};as=PartialObjectMetadata;g=meta.k8s.io;v=v1`;
  const one = await send(`${path}/c`, accepting(partial));
  expect(decodeProtobuf(await bytesOf(one))).toMatchObject({
    kind: "PartialObjectMetadata",
    apiVersion: "meta.k8s.io/v1",
    metadata: { name: "c" },
  });
  const table = "as=Table;g=meta.k8s.io;v=v1beta1";
  const accept = `${protobuf};${table},application/json;${table}`;
  const rows = await send(path, accepting(accept));
  expect(await rows.json()).toMatchObject({ kind: "Table", apiVersion: "meta.k8s.io/v1beta1" });
});

test("the best clause that can be served wins; none is 406, an unknown body 415", async () => {
  await post(configMap("d"));
  const typeFor = async (accept: string) =>
    (await send(`${path}/d`, accepting(accept))).headers.get("content-type");
  expect(await typeFor("application/json;q=0.5,application/yaml")).toBe("application/yaml");
  expect(await typeFor(`*/*,${protobuf}`)).toBe(protobuf);
  expect(await typeFor("image/png,*/*;q=0.1")).toBe("application/json");
  const none = await send(`${path}/d`, accepting("text/html"));
  expect(await none.json()).toMatchObject({
    code: 406,
    reason: "NotAcceptable",
    message:
      "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, " +
      protobuf,
  });
  const headers = { "content-type": "text/plain" };
  const unknown = await send(path, { method: "POST", body: "{}", headers });
  expect(await unknown.json()).toMatchObject({
    code: 415,
    reason: "UnsupportedMediaType",
    message:
      "the body of the request was in an unknown format - accepted media types include: " +
      `application/json, application/yaml, ${protobuf}`,
  });
});

test("kinds that are never stored have no Table", async () => {
  const review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const body = JSON.stringify({ spec: { nonResourceAttributes: { path: "/", verb: "get" } } });
  const ask = (accept: string) =>
    send(review, { method: "POST", body, headers: { accept, "content-type": "application/json" } });
  const table = "application/json;as=Table;v=v1;g=meta.k8s.io";
  expect((await ask(table)).status).toBe(406);
  expect((await ask(`${table},application/json`)).status).toBe(201);
});

test("discovery is served in protobuf", async () => {
  const answer = await send("/api/v1", accepting(protobuf));
  const list = decodeProtobuf(await bytesOf(answer)) as { resources: { name: string }[] };
  expect(list.resources.map(({ name }) => name)).toContain("pods/exec");
});

test("pretty answers are indented, by query or by media type", async () => {
  await post(configMap("e"));
  const byQuery = await (await send(`${path}/e?pretty=true`)).text();
  const byType = await (await send(`${path}/e`, accepting("application/json;pretty=1"))).text();
  expect(byQuery).toStartWith("{\n  ");
  expect(byType).toBe(byQuery);
});
