import { expect, test } from "bun:test";
import { decodeProtobuf } from "./protobuf-decode.ts";

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

test("decodeProtobuf() refuses other bytes as a bad request", () => {
  for (const hex of ["", "7b7d", "6b387300ff", "6b3873000a070a0276311201780a"]) {
    expect(() => decodeProtobuf(Uint8Array.fromHex(hex))).toThrow(
      expect.objectContaining({ code: 400 }),
    );
  }
});
