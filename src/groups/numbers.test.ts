/** Whole numbers are kept to the last digit, or refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { customResourceDefinitions } from "../client/resources.ts";
import type { CustomResourceDefinition } from "../gen/apiextensions-v1.ts";
import type { KubeObject } from "../schema/object.ts";
import { decodeProtobuf, protobufType } from "../schema/protobuf-decode.ts";
import { encodeProtobuf } from "../schema/protobuf-encode.ts";
import { serveCustomResources } from "./custom/serve.ts";
import { askOf, type Send, sendTo } from "./test-http.ts";
import { openWorld, type World } from "./test-world.ts";

const json = "application/json";
let world: World;
let send: Send;
let ask: ReturnType<typeof askOf>;
beforeAll(async () => {
  world = await openWorld();
  send = sendTo(world);
  ask = askOf(send);
});
afterAll(() => world[Symbol.asyncDispose]());

const pods = "/api/v1/namespaces/default/pods";
const containers = '"containers":[{"name":"c","image":"i"}]';
const pod = (spec: string) =>
  `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"n"},"spec":{${containers},${spec}}}`;

const refused: readonly (readonly [string, string])[] = [
  ["an int32 too large", '"priority":2147483648'],
  ["an int32 too small", '"priority":-2147483649'],
  ["an int64 too large", '"terminationGracePeriodSeconds":9223372036854775808'],
  ["an int64 too small", '"activeDeadlineSeconds":-9223372036854775809'],
  ["an int32 far too large", '"priority":9007199254740993'],
  ["a fraction", '"terminationGracePeriodSeconds":1.5'],
  ["a number in quotes", '"terminationGracePeriodSeconds":"30"'],
];
test.each(refused)("%s is refused", async (_name, spec) => {
  const answer = await ask("POST", pods, { body: pod(spec) });
  expect(answer).toMatchObject({ code: 400, reason: "BadRequest" });
});

/** The text of an answer: what JSON.parse reads has lost its digits. */
async function textOf(method: string, path: string, body?: string | Uint8Array, type = json) {
  const init = { method, headers: { "content-type": type } };
  const sent = body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> };
  const answer = await send(path, { ...init, ...sent });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return text;
}

const large = "9007199254740993";
const largest = "9223372036854775807";
const exact = `"terminationGracePeriodSeconds":${large}`;

describe("a number beyond 2^53 in a built-in type", () => {
  const path = `${pods}/n`;
  beforeAll(async () => {
    expect(await textOf("POST", pods, pod(exact))).toContain(exact);
  });

  test("is stored, read, listed and watched to the last digit", async () => {
    expect(await textOf("GET", path)).toContain(exact);
    expect(await textOf("GET", pods)).toContain(exact);
    expect(await textOf("GET", `${pods}?resourceVersion=0`)).toContain(exact);
    expect(await textOf("GET", `${path}?pretty=true`)).toContain(`Seconds": ${large}`);
    const watched = await send(`${pods}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dn`);
    const reader = (watched.body as ReadableStream<Uint8Array>).getReader();
    const { value } = await reader.read();
    await reader.cancel();
    expect(new TextDecoder().decode(value)).toContain(exact);
  });

  test("is the same in YAML and in protobuf", async () => {
    const inYaml = await send(path, { headers: { accept: "application/yaml" } });
    expect(await inYaml.text()).toContain(`terminationGracePeriodSeconds: ${large}\n`);
    const yaml =
      `{apiVersion: v1, kind: Pod, metadata: {name: of-yaml}, spec: {priority: 0x0, ` +
      `terminationGracePeriodSeconds: ${large}, containers: [{name: c, image: i}]}}`;
    expect(await textOf("POST", pods, yaml, "application/yaml")).toContain(exact);
    const inProtobuf = await send(path, { headers: { accept: protobufType } });
    const object = decodeProtobuf(new Uint8Array(await inProtobuf.arrayBuffer()));
    expect(object.spec).toMatchObject({ terminationGracePeriodSeconds: BigInt(large) });
    const named = { ...object, metadata: { name: "p" } } as unknown as KubeObject;
    const bytes = encodeProtobuf(named);
    expect(await textOf("POST", pods, bytes, protobufType)).toContain(exact);
  });

  test("outlives patches of something else, updates and appliers", async () => {
    const labels = '{"metadata":{"labels":{"a":"b"}}}';
    for (const kind of ["merge", "strategic-merge"])
      expect(await textOf("PATCH", path, labels, `application/${kind}-patch+json`)).toContain(
        exact,
      );
    const text = await textOf("GET", path);
    expect(await textOf("PUT", path, text.replace('"a":"b"', '"a":"c"'))).toContain(exact);
    const config = '{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"own":"x"}}}';
    const applied = `${path}?fieldManager=me`;
    const made = await textOf("PATCH", applied, config, "application/apply-patch+yaml");
    expect(made).toContain(exact);
    const changed = text.replace(large, "9007199254740992").replace(/"resourceVersion":"\d+",/, "");
    await expect(textOf("PUT", path, changed)).rejects.toThrow("pod updates may not change fields");
  });

  test("can be deleted with its grace", async () => {
    const wish = JSON.stringify({ kind: "DeleteOptions", gracePeriodSeconds: 1 });
    const spec = `${exact},"nodeName":"some"`;
    for (const name of ["own", "asked"]) {
      await textOf("POST", pods, pod(spec).replace('"name":"n"', `"name":"${name}"`));
      const body = name === "own" ? undefined : wish.replace("1", large);
      const deleted = await textOf("DELETE", `${pods}/${name}`, body);
      expect(deleted).toContain(`"deletionGracePeriodSeconds":${large}`);
      const sooner = await textOf("DELETE", `${pods}/${name}`, wish);
      expect(sooner).toContain('"deletionGracePeriodSeconds":1');
    }
  });
});

describe("a number beyond 2^53 in a custom resource", () => {
  const integer = { type: "integer", format: "int64" };
  const openAPIV3Schema = {
    type: "object",
    properties: {
      spec: {
        type: "object",
        "x-kubernetes-preserve-unknown-fields": true,
        properties: {
          id: { ...integer, minimum: 0, default: 1 },
          twin: { ...integer, multipleOf: 3 },
          small: { type: "integer", format: "int32" },
          ratio: { type: "number" },
          kept: integer,
        },
        "x-kubernetes-validations": [
          { rule: "!has(self.kept) || self.kept == self.id", message: "not the same" },
          { rule: "!has(self.ratio) || self.ratio > 0.5" },
        ],
      },
    },
  };
  const names = { plural: "foos", singular: "foo", kind: "Foo", listKind: "FooList" };
  const foos = "/apis/example.com/v1/namespaces/default/foos";
  const foo = (spec: string, name = "f") =>
    `{"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"${name}"},"spec":{${spec}}}`;
  let serving: Disposable;
  beforeAll(async () => {
    serving = serveCustomResources(world);
    const version = { name: "v1", served: true, storage: true, schema: { openAPIV3Schema } };
    const columns = [{ name: "Id", type: "integer", jsonPath: ".spec.id" }];
    const crd = await world.client.create(customResourceDefinitions, {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "foos.example.com" },
      spec: {
        group: "example.com",
        names,
        scope: "Namespaced",
        versions: [{ ...version, additionalPrinterColumns: columns }],
      },
    } as CustomResourceDefinition);
    const conditions = [{ type: "Established", status: "True" }];
    const established = { ...crd, status: { ...crd.status, acceptedNames: names, conditions } };
    await world.client.update(customResourceDefinitions, established as CustomResourceDefinition, {
      subresource: "status",
    });
  });
  afterAll(() => serving[Symbol.dispose]());

  test("is kept where the schema knows it and where it does not", async () => {
    const spec = `"id":${largest},"kept":${largest},"other":{"a":[-${large}]},"ratio":1e300`;
    const made = await textOf("POST", foos, foo(spec));
    for (const part of [`"id":${largest}`, `[-${large}]`]) expect(made).toContain(part);
    for (const path of [foos, `${foos}/f`]) expect(await textOf("GET", path)).toContain(largest);
    const accept = "application/json;as=Table;g=meta.k8s.io;v=v1";
    const table = await (await send(foos, { headers: { accept } })).text();
    expect(table).toContain(`"cells":["f",${largest}]`);
  });

  test("is compared to the last digit by rules, tests and patches", async () => {
    const other = `"id":${largest},"kept":9223372036854775806`;
    await expect(textOf("POST", foos, foo(other, "g"))).rejects.toThrow("not the same");
    const patch = "application/json-patch+json";
    const test = (value: string) =>
      `[{"op":"test","path":"/spec/id","value":${value}},` +
      `{"op":"add","path":"/spec/more","value":${large}}]`;
    await expect(textOf("PATCH", `${foos}/f`, test(`${2n ** 63n - 2n}`), patch)).rejects.toThrow();
    const tested = await textOf("PATCH", `${foos}/f`, test(largest), patch);
    expect(tested).toContain(`"more":${large}`);
    const merged = await textOf(
      "PATCH",
      `${foos}/f`,
      `{"spec":{"id":${large},"kept":${large}}}`,
      "application/merge-patch+json",
    );
    expect(merged).toContain(`"kept":${large}`);
  });

  test("is owned by who applied it", async () => {
    const apply = (id: string, manager: string) =>
      textOf(
        "PATCH",
        `${foos}/a?fieldManager=${manager}`,
        foo(`"id":${id}`, "a"),
        "application/apply-patch+yaml",
      );
    await apply(large, "one");
    expect(await apply(large, "two")).toContain(`"id":${large}`);
    await expect(apply("9007199254740992", "two")).rejects.toThrow("conflict");
  });

  test.each([
    [`"small":${large}`, `should be of type int32: ${large}`],
    [`"twin":9007199254740995`, "should be a multiple of 3"],
    [`"id":-${large}`, "should be greater than or equal to 0"],
    [`"id":9223372036854775808`, 'must be of type integer: \\"number\\"'],
  ])("%s is refused", async (spec, why) => {
    await expect(textOf("POST", foos, foo(spec, "wrong"))).rejects.toThrow(why);
  });
});

const versions = ["-1", "1e3", "0x10", "1.0", "99999999999999999999999"];
test.each(versions)("%s is no version", async (version) => {
  const answer = await ask("GET", pods, { query: `resourceVersion=${version}` });
  expect(answer).toMatchObject({ kind: "Status", code: 400 });
});
