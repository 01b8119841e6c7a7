/** Upstream's own fixtures: every kind with every field filled, as JSON, YAML and protobuf. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeBody, decodeValue } from "./decode.ts";
import { decodeProtobuf } from "./protobuf-decode.ts";
import { encodeProtobuf, typeOfObject } from "./protobuf-encode.ts";

const root = join(
  import.meta.dir,
  "../../build/schema-src/usr/share/gocode/src/k8s.io/api/testdata",
);

interface Fixture {
  readonly name: string;
  readonly sent: Uint8Array;
  /** What upstream makes of it. */
  readonly json: { apiVersion: string; kind: string };
  readonly bytes: Uint8Array;
}

/** Fixtures of kinds that are built in, and what upstream makes of them after a round trip. */
function fixturesOf(version: string) {
  const folder = join(root, version);
  const files = new Set(readdirSync(folder));
  const read = (name: string): Fixture => {
    const after = (suffix: string) => {
      const file = `${name}.after_roundtrip.${suffix}`;
      return readFileSync(join(folder, files.has(file) ? file : `${name}.${suffix}`));
    };
    return {
      name,
      sent: readFileSync(join(folder, `${name}.pb`)),
      bytes: after("pb"),
      json: JSON.parse(after("json").toString()) as Fixture["json"],
    };
  };
  return [...files]
    .filter((file) => file.endsWith(".pb") && !file.includes("after_roundtrip"))
    .map((file) => read(file.slice(0, -".pb".length)))
    .filter(({ json }) => json.kind !== undefined && typeOfObject(json) !== undefined);
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

const present = existsSync(root);
if (!present) console.warn(`skipped: no published objects at ${root}`);

describe.each(present ? readdirSync(root) : [])("%s", (version) => {
  const fixtures = fixturesOf(version);

  test("has the kinds", () => {
    expect(fixtures.length).toBeGreaterThan(80);
  });

  test.each(fixtures.map((fixture) => [fixture.name, fixture] as const))(
    "%s",
    (_, { sent, json, bytes }) => {
      const value = decodeProtobuf(sent);
      expect(value).toEqual(json as unknown as Record<string, unknown>);
      expect(hexOf(encodeProtobuf(json))).toBe(hexOf(bytes));
      const decoded = decodeValue(typeOfObject(json) ?? "", value);
      expect(decoded.problems).toEqual([]);
      expect(hexOf(encodeProtobuf(decoded.object))).toBe(hexOf(bytes));
    },
  );
});

const newest = join(root, "HEAD");

describe.skipIf(!present)("texts", () => {
  const files = present ? fixturesOf("HEAD") : [];

  test.each(files.map((fixture) => [fixture.name, fixture] as const))(
    "%s is decoded strictly and comes back unchanged",
    (name, { json }) => {
      const options = { type: typeOfObject(json), fieldValidation: "Strict" } as const;
      for (const form of ["json", "yaml"]) {
        const text = readFileSync(join(newest, `${name}.${form}`));
        const { object } = decodeBody(text, `application/${form}`, options);
        expect(object as unknown).toEqual(json);
      }
    },
  );
});
