import { describe, expect, test } from "bun:test";
import { decodeBody } from "./decode.ts";
import { applySchemaDefaults } from "./defaults.ts";
import { parseBody } from "./parse.ts";

const pod = "io.k8s.api.core.v1.Pod";
const encoder = new TextEncoder();

function decode(text: string, contentType = "application/json", type: string = pod) {
  return decodeBody(encoder.encode(text), contentType, { type, fieldValidation: "Warn" });
}

function failure(text: string, contentType?: string, type?: string): string {
  try {
    decode(text, contentType, type);
  } catch (error) {
    expect(error).toMatchObject({ reason: "BadRequest", code: 400 });
    return (error as Error).message;
  }
  throw new Error("nothing was refused");
}

const cannot = 'Pod in version "v1" cannot be handled as a Pod: ';

describe("strict decoding", () => {
  test("tells unknown and duplicate members by their path, and drops them", () => {
    const { object, warnings } = decode(
      '{"metadata":{"name":"a","name":"b"},"spec":{"containers":[{"name":"c","foo":1}],"x":2}}',
    );
    expect(warnings).toEqual([
      'duplicate field "metadata.name"',
      'unknown field "spec.containers[0].foo"',
      'unknown field "spec.x"',
    ]);
    expect(object as unknown).toEqual({
      metadata: { name: "b" },
      spec: { containers: [{ name: "c", resources: {} }] },
      status: {},
    });
  });

  test("names are case-sensitive", () => {
    expect(decode('{"metadata":{"Name":"a"}}').warnings).toEqual(['unknown field "metadata.Name"']);
  });

  test("Strict refuses what Warn tells", () => {
    const options = { type: pod, fieldValidation: "Strict" } as const;
    const bytes = encoder.encode('{"metadata":{},"spec":{"foo":1}}');
    expect(() => decodeBody(bytes, "application/json", options)).toThrow(
      `${cannot}strict decoding error: unknown field "spec.foo"`,
    );
  });

  test("of many duplicates, however deep, the first hundred are told", () => {
    const depth = 9000;
    const text = `${'{"abcdefgh":1,"abcdefgh":'.repeat(depth)}1${"}".repeat(depth)}`;
    const { problems } = parseBody(encoder.encode(text), "application/json");
    expect(problems).toHaveLength(100);
    expect(problems.slice(0, 2)).toEqual([
      'duplicate field "abcdefgh"',
      'duplicate field "abcdefgh.abcdefgh"',
    ]);
  });

  test("duplicates are found past strings that look like members", () => {
    const text =
      '{"metadata":{"annotations":{"a":"\\"b\\":1,{","c":"]"}},"kind":"Pod","kind":"Pod"}';
    expect(decode(text).warnings).toEqual(['duplicate field "kind"']);
    const both =
      '{"spec":{"alien":1,"hostNetwork":true,"hostNetwork":false,"other":2},"kind":"Pod"}';
    expect(decode(both).warnings).toEqual([
      'unknown field "spec.alien"',
      'duplicate field "spec.hostNetwork"',
      'unknown field "spec.other"',
    ]);
  });
});

describe("wrong types", () => {
  test("are told as Go tells them", () => {
    const cases: Readonly<Record<string, string>> = {
      '{"spec":{"containers":[{"ports":[{"containerPort":"80"}]}]}}':
        "json: cannot unmarshal string into Go struct field " +
        "ContainerPort.spec.containers.ports.containerPort of type int32",
      '{"spec":{"containers":{}}}':
        "json: cannot unmarshal object into Go struct field " +
        "PodSpec.spec.containers of type []v1.Container",
      '{"metadata":{"labels":{"a":1}}}':
        "json: cannot unmarshal number into Go struct field " +
        "ObjectMeta.metadata.labels of type string",
      '{"spec":"x"}':
        "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec",
      '{"spec":{"activeDeadlineSeconds":1.5}}':
        "json: cannot unmarshal number 1.5 into Go struct field " +
        "PodSpec.spec.activeDeadlineSeconds of type int64",
      "[]": "json: cannot unmarshal array into Go value of type v1.Pod",
      '{"spec":{"tolerations":[{"operator":{}}]}}':
        "json: cannot unmarshal object into Go struct field " +
        "Toleration.spec.tolerations.operator of type v1.TolerationOperator",
      '{"spec":{"volumes":[{"emptyDir":[]}]}}':
        "json: cannot unmarshal array into Go struct field " +
        "Volume.spec.volumes.VolumeSource.emptyDir of type v1.EmptyDirVolumeSource",
      '{"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}}':
        "quantities must match the regular expression " +
        "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    };
    for (const [text, message] of Object.entries(cases)) {
      expect(failure(text)).toBe(cannot + message);
    }
  });

  test("numbers that no int64 holds are refused, not rounded", () => {
    for (const number of ["9223372036854775808", "-9223372036854775809", "1e300"])
      expect(failure(`{"spec":{"activeDeadlineSeconds":${number}}}`)).toContain("of type int64");
  });

  test("times that do not exist are refused", () => {
    for (const time of ["2024-02-30T00:00:00Z", "2024-01-01", "2024-01-01T24:00:00Z", ""]) {
      expect(failure(`{"metadata":{"creationTimestamp":"${time}"}}`)).toContain("parsing time");
    }
  });
});

describe("the normal form", () => {
  test("is what Go writes back", () => {
    const { object } = decode(`{"metadata":{"creationTimestamp":"2024-01-01T01:00:00.5+01:00",
      "labels":{},"name":null},"spec":{"nodeName":"","containers":[{"name":"a",
      "resources":{"limits":{"cpu":0.5,"memory":"1024Mi"}},"env":[]}],"volumes":null,
      "restartPolicy":"Always"}}`);
    expect(object as unknown).toEqual({
      metadata: { creationTimestamp: "2024-01-01T00:00:00Z" },
      spec: {
        containers: [{ name: "a", resources: { limits: { cpu: "500m", memory: "1Gi" } } }],
        restartPolicy: "Always",
      },
      status: {},
    });
  });

  test("pointers keep what is empty, required members are there", () => {
    const claim = "io.k8s.api.core.v1.PersistentVolumeClaim";
    const kept = decode('{"spec":{"storageClassName":""}}', undefined, claim).object;
    expect(kept as unknown).toEqual({
      metadata: {},
      spec: { resources: {}, storageClassName: "" },
      status: {},
    });
    expect(decode("{}").object as unknown).toEqual({
      metadata: {},
      spec: { containers: [] },
      status: {},
    });
  });

  test("defaults of the schema are filled at every depth", () => {
    const object = { spec: { containers: [{ ports: [{ containerPort: 1 }] }] } };
    applySchemaDefaults(pod, object);
    expect(object as unknown).toEqual({
      spec: { containers: [{ ports: [{ containerPort: 1, protocol: "TCP" }] }] },
    });
  });
});

describe("texts", () => {
  test("broken JSON is refused", () => {
    expect(failure("")).toContain("unexpected end of JSON input");
    expect(failure('{"a":')).toContain("unexpected end of JSON input");
    expect(failure("<xml/>")).toContain("invalid character '<' looking for beginning of value");
  });

  test("nesting has a limit that no text passes", () => {
    const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    expect(failure(`{"a":${nested(10_001)}}`)).toContain("exceeded max depth");
    expect(decode(`{"a":${nested(5000)}}`).warnings).toEqual(['unknown field "a"']);
    const schema = `${'{"not":'.repeat(3000)}{}${"}".repeat(3000)}`;
    const props = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    expect(failure(schema, undefined, props)).toContain("exceeded max depth");
  });

  test("YAML reads as Go's YAML 1.1", () => {
    const yaml =
      "metadata: {name: a, labels: {x: 'on', z: \"1\"}}\n" +
      "spec:\n  hostNetwork: yes\n  priority: 010\n  nodeName: 1:30\n";
    expect(decode(yaml, "application/yaml").object as unknown).toEqual({
      metadata: { name: "a", labels: { x: "on", z: "1" } },
      spec: { hostNetwork: true, priority: 8, nodeName: "1:30", containers: [] },
      status: {},
    });
    const time = "metadata: {creationTimestamp: 2024-01-01T00:00:00Z}";
    expect(decode(time, "application/yaml").object.metadata.creationTimestamp).toBe(
      "2024-01-01T00:00:00Z",
    );
    expect(failure("a: [", "application/yaml")).toContain(
      "error converting YAML to JSON: yaml: line 1",
    );
    expect(decode("kind: Pod\nkind: Pod\n", "application/yaml").warnings[0]).toContain(
      'line 2: key "kind" already set in map',
    );
  });

  test("aliases cannot blow a small text up", () => {
    const levels = Array.from({ length: 12 }, (_, i) => {
      const refs = Array.from({ length: 10 }, () => (i === 0 ? "x" : `*a${i - 1}`)).join(",");
      return `a${i}: &a${i} [${refs}]`;
    });
    expect(failure(levels.join("\n"), "application/yaml")).toContain("excessive aliasing");
  });

  test("other media types are not served", () => {
    expect(() => decode("{}", "text/html")).toThrow("unknown format");
  });

  test("__proto__ is a member like any other", () => {
    const { object, warnings } = decode(
      '{"__proto__":{"a":1},"metadata":{"labels":{"__proto__":"x"}}}',
    );
    expect(warnings).toEqual(['unknown field "__proto__"']);
    expect(Object.getPrototypeOf(object.metadata.labels)).toBe(Object.prototype);
    expect(Object.keys(object.metadata.labels ?? {})).toEqual(["__proto__"]);
  });
});
