import { expect, test } from "bun:test";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { decodeValue } from "./decode.ts";
import { decodeProtobuf } from "./protobuf-decode.ts";
import { encodeProtobuf } from "./protobuf-encode.ts";

/** `kubectl create namespace foo`, as it is on the wire. */
const namespaceFoo =
  "6b3873000a0f0a02763112094e616d657370616365121b0a130a03666f6f12001a0022002a00320038004200" +
  "12001a020a001a002200";

test("decodeProtobuf() reads what kubectl create namespace sends", () => {
  expect(decodeProtobuf(Uint8Array.fromHex(namespaceFoo))).toMatchObject({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "foo" },
  });
});

/** A text or the bytes of a message as field `number`. */
function field(number: number, ...parts: readonly (string | Uint8Array)[]): Uint8Array {
  const writer = new BinaryWriter().tag(number, WireType.LengthDelimited);
  const [text] = parts;
  if (typeof text === "string") return writer.string(text).finish();
  return writer.bytes(Buffer.concat(parts as Uint8Array[])).finish();
}

test("decodeProtobuf() knows a message with mere items from a list", () => {
  const items = field(1, field(1, field(1, "labels")));
  const projected = field(26, field(1, field(2, items.subarray(2))));
  const volume = field(1, field(1, "info"), field(2, projected));
  const meta = field(1, field(1, "v1"), field(2, "Pod"));
  const body = Buffer.concat([Buffer.from("k8s\0"), meta, field(2, field(2, volume))]);
  expect(decodeProtobuf(body)).toMatchObject({
    spec: {
      volumes: [
        {
          name: "info",
          projected: { sources: [{ downwardAPI: { items: [{ path: "labels" }] } }] },
        },
      ],
    },
  });
});

test("decodeProtobuf() refuses other bytes as a bad request", () => {
  for (const hex of ["", "7b7d", "6b387300ff", "6b3873000a070a0276311201780a"]) {
    expect(() => decodeProtobuf(Uint8Array.fromHex(hex))).toThrow(
      expect.objectContaining({ code: 400 }),
    );
  }
});

test("decodeProtobuf() reads schemas, whose JSON has other shapes, as they were", () => {
  const schema = {
    type: "object",
    properties: {
      list: { type: "array", items: { type: "string" } },
      map: { type: "object", additionalProperties: { type: "integer", default: 3 } },
      open: { type: "object", additionalProperties: true },
      choice: { enum: ["a", 1, null, { b: [] }] },
    },
    dependencies: { list: ["map"], map: { required: ["list"] } },
  };
  const crd = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "foos.example.com" },
    spec: {
      group: "example.com",
      names: { plural: "foos", kind: "Foo" },
      scope: "Namespaced",
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
    status: { acceptedNames: { plural: "", kind: "" } },
  };
  const type = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition";
  const { object, problems } = decodeValue(type, decodeProtobuf(encodeProtobuf(crd)));
  expect(problems).toEqual([]);
  expect(object as unknown).toEqual(crd);
});
