/** Broken manifests and what Kubernetes answers to each: driven by bad-input.test.ts. */
import { type BadRequest, configMap, core, json } from "./bad-requests.ts";

const apps = "/apis/apps/v1/namespaces/default";
const strict = "?fieldValidation=Strict";
const template = {
  metadata: { labels: { app: "bad" } },
  spec: { containers: [{ name: "c", image: "i" }] },
};

const pod = (metadata: object, spec: object = template.spec): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata,
  spec,
});
const deployment = (replicas: string): string =>
  JSON.stringify({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "bad" },
    spec: { replicas: "REPLICAS", selector: { matchLabels: { app: "bad" } }, template },
  }).replace('"REPLICAS"', replicas);
const withContainer = (container: object): (() => string) =>
  json(pod({ name: "bad" }, { containers: [{ name: "c", image: "i", ...container }] }));

/** A JSON text with a byte that no UTF-8 text holds. */
function invalidUtf8(): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(configMap({ name: "bad#name" })));
  return text.map((byte) => (byte === 0x23 ? 0xff : byte));
}

const yaml = { "Content-Type": "application/yaml" } as const;

/** Nine lists of nine aliases each of the list before: 9^9 scalars when written out. */
function aliasBomb(): string {
  const lists = Array.from("bcdefghi", (name, index) => {
    const alias = `*${"abcdefgh"[index]}`;
    return `${name}: &${name} [${Array(9).fill(alias).join(", ")}]`;
  });
  return ["apiVersion: v1", "kind: ConfigMap", "a: &a [x]", ...lists].join("\n");
}

export const badManifests: readonly BadRequest[] = [
  {
    title: "JSON 100,000 levels deep",
    line: `POST ${core}/configmaps`,
    body: () => `{"data":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    code: 400,
    reason: "BadRequest",
    says: ["exceeded max depth"],
  },
  {
    title: "a body of 10 MB",
    line: `POST ${core}/configmaps`,
    body: json(configMap({ name: "bad" }, { data: { a: "x".repeat(10_000_000) } })),
    code: 413,
    reason: "RequestEntityTooLarge",
    says: ["Request entity too large: limit is 3145728"],
  },
  {
    title: "a name that is not UTF-8",
    line: `POST ${core}/configmaps`,
    body: invalidUtf8,
    code: 422,
    reason: "Invalid",
    says: ["metadata.name: Invalid value", "a lowercase RFC 1123 subdomain must consist of"],
  },
  {
    title: "a body that is not JSON",
    line: `POST ${core}/configmaps`,
    body: () => '{"apiVersion": "v1", "kind": ',
    code: 400,
    reason: "BadRequest",
    says: ["json"],
  },
  {
    title: "an integer above 2^53 for an int32",
    line: `POST ${apps}/deployments`,
    body: () => deployment("9007199254740993"),
    code: 400,
    reason: "BadRequest",
    says: ["cannot unmarshal number 900719925474099", "spec.replicas of type int32"],
  },
  {
    title: "an integer above 2^63 for an int64",
    line: `POST ${core}/pods`,
    body: () =>
      JSON.stringify(pod({ name: "bad" }, { ...template.spec, activeDeadlineSeconds: 7 })).replace(
        ":7",
        ":9223372036854775808",
      ),
    code: 400,
    reason: "BadRequest",
    says: ["cannot unmarshal number 9223372036854", "activeDeadlineSeconds of type int64"],
  },
  {
    title: "a string for a number",
    line: `POST ${apps}/deployments`,
    body: () => deployment('"three"'),
    code: 400,
    reason: "BadRequest",
    says: ["cannot unmarshal string into Go struct field", "spec.replicas of type int32"],
  },
  {
    title: "another kind than the path's",
    line: `POST ${core}/pods`,
    body: json(configMap({ name: "bad" })),
    code: 400,
    reason: "BadRequest",
    says: ['ConfigMap in version "v1" cannot be handled as a Pod'],
  },
  {
    title: "no kind at all",
    line: `POST ${core}/pods`,
    body: json({ apiVersion: "v9", kind: "Nothing", metadata: { name: "bad" } }),
    code: 400,
    reason: "BadRequest",
    says: ['Nothing in version "v9" cannot be handled as a Pod', "no kind"],
  },
  {
    title: "an unknown field where that is refused",
    line: `POST ${core}/configmaps${strict}`,
    body: json(configMap({ name: "bad" }, { dta: {} })),
    code: 400,
    reason: "BadRequest",
    says: ['strict decoding error: unknown field "dta"'],
  },
  {
    title: "a doubled field where that is refused",
    line: `POST ${core}/configmaps${strict}`,
    body: () => '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","name":"b"}}',
    code: 400,
    reason: "BadRequest",
    says: ['strict decoding error: duplicate field "metadata.name"'],
  },
  {
    title: "a content type that is none of ours",
    line: `POST ${core}/configmaps`,
    headers: { "Content-Type": "text/plain" },
    body: json(configMap({ name: "bad" })),
    code: 415,
    reason: "UnsupportedMediaType",
    says: ["the body of the request was in an unknown format - accepted media types include"],
  },
  {
    title: "a bad name",
    line: `POST ${core}/pods`,
    body: json(pod({ name: "Bad_Name" })),
    code: 422,
    reason: "Invalid",
    says: ['Pod "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name"', "RFC 1123"],
  },
  {
    title: "no name",
    line: `POST ${core}/pods`,
    body: json(pod({})),
    code: 422,
    reason: "Invalid",
    says: ["Required value: name or generateName is required"],
  },
  {
    title: "bad labels",
    line: `POST ${core}/configmaps`,
    body: json(configMap({ name: "bad", labels: { "-a": "b", c: "no spaces" } })),
    code: 422,
    reason: "Invalid",
    says: ['metadata.labels: Invalid value: "-a"', 'metadata.labels: Invalid value: "no spaces"'],
  },
  {
    title: "a pod without containers",
    line: `POST ${core}/pods`,
    body: json(pod({ name: "bad" }, { containers: [] })),
    code: 422,
    reason: "Invalid",
    says: ["spec.containers: Required value"],
  },
  {
    title: "a container without an image",
    line: `POST ${core}/pods`,
    body: withContainer({ image: "" }),
    code: 422,
    reason: "Invalid",
    says: ["spec.containers[0].image: Required value"],
  },
  {
    title: "a bad quantity",
    line: `POST ${core}/pods`,
    body: withContainer({ resources: { limits: { cpu: "lots" } } }),
    code: 400,
    reason: "BadRequest",
    says: ["quantities must match the regular expression"],
  },
  {
    title: "a port out of range",
    line: `POST ${core}/pods`,
    body: withContainer({ ports: [{ containerPort: 70000 }] }),
    code: 422,
    reason: "Invalid",
    says: ["containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
  },
  {
    title: "a selector that does not match its template",
    line: `POST ${apps}/deployments`,
    body: () => deployment("1").replace('{"app":"bad"}', '{"app":"other"}'),
    code: 422,
    reason: "Invalid",
    says: ["`selector` does not match template `labels`"],
  },
  {
    title: "a second object of one name",
    line: `POST ${core}/configmaps`,
    body: json(configMap({ name: "good" })),
    code: 409,
    reason: "AlreadyExists",
    says: ['configmaps "good" already exists'],
  },
  {
    title: "another namespace than the path's",
    line: `POST ${core}/configmaps`,
    body: json(configMap({ name: "bad", namespace: "kube-system" })),
    code: 400,
    reason: "BadRequest",
    says: ["the namespace of the provided object does not match the namespace sent on the request"],
  },
  {
    title: "a dryRun of another word",
    line: `POST ${core}/configmaps?dryRun=Some`,
    body: json(configMap({ name: "bad" })),
    code: 422,
    reason: "Invalid",
    says: ["dryRun: Unsupported value", '"Some"', 'supported values: "All"'],
  },
  {
    title: "YAML that does not parse",
    line: `POST ${core}/configmaps`,
    headers: yaml,
    body: () => "kind: [ConfigMap\nmetadata: }",
    code: 400,
    reason: "BadRequest",
    says: ["yaml: line"],
  },
  {
    title: "YAML whose aliases multiply",
    line: `POST ${core}/configmaps`,
    headers: yaml,
    body: aliasBomb,
    code: 400,
    reason: "BadRequest",
    says: ["excessive aliasing"],
  },
  {
    title: "a Secret that is not base64",
    line: `POST ${core}/secrets`,
    body: json({ apiVersion: "v1", kind: "Secret", metadata: { name: "bad" }, data: { a: "%%%" } }),
    code: 400,
    reason: "BadRequest",
    says: ["illegal base64 data at input byte"],
  },
  {
    title: "a time that is none",
    line: `POST ${core}/configmaps`,
    body: json(configMap({ name: "bad", creationTimestamp: "yesterday" })),
    code: 400,
    reason: "BadRequest",
    says: ['parsing time "yesterday"'],
  },
  {
    title: "two containers of one name",
    line: `POST ${core}/pods`,
    body: json(
      pod(
        { name: "bad" },
        { containers: [...template.spec.containers, ...template.spec.containers] },
      ),
    ),
    code: 422,
    reason: "Invalid",
    says: ['spec.containers[1].name: Duplicate value: "c"'],
  },
];
