/** Broken requests and what Kubernetes answers to each: a table, driven by bad-input.test.ts. */

export interface BadRequest {
  readonly title: string;
  /** `POST /api/v1/pods`: the path goes on the wire as it stands here. */
  readonly line: string;
  readonly body?: () => string | Uint8Array;
  /** Over `Content-Type: application/json`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** "admin" shows the kubeconfig's client certificate. */
  readonly as?: "admin" | "nobody";
  readonly code: number;
  /** Of the Status that answers; absent where Kubernetes answers plain text. */
  readonly reason?: string;
  /** Parts of the answer's message, or of its text when it is not a Status. */
  readonly says: readonly string[];
}

const json = (value: unknown) => (): string => JSON.stringify(value);
const core = "/api/v1/namespaces/default";
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
const configMap = (metadata: object, rest: object = {}): object => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata,
  ...rest,
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

const patchAs = (type: string): Readonly<Record<string, string>> => ({
  "Content-Type": `application/${type}`,
});

export const badRequests: readonly BadRequest[] = [
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
    title: "an escaped slash in a name",
    line: `GET ${core}/pods/a%2fb`,
    code: 404,
    says: ["404 page not found"],
  },
  {
    title: "double slashes",
    line: "GET //api//v1//pods",
    code: 404,
    says: ["not found"],
  },
  {
    title: "a broken escape",
    line: `GET ${core}/pods/%zz`,
    code: 400,
    says: [""],
  },
  {
    title: "a label selector that does not end",
    line: `GET ${core}/pods?labelSelector=a+in+(b`,
    code: 400,
    reason: "BadRequest",
    says: ["unable to parse requirement"],
  },
  {
    title: "a field selector on a field that is none",
    line: `GET ${core}/pods?fieldSelector=spec.colour%3Dred`,
    code: 400,
    reason: "BadRequest",
    says: ["field label not supported: spec.colour"],
  },
  {
    title: "a selector of 1,000 requirements with a broken last one",
    line: `GET ${core}/pods?labelSelector=${"k!=v,".repeat(1000)}=`,
    code: 400,
    reason: "BadRequest",
    says: ["found '=', expected: identifier after ','"],
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
    title: "an Accept that cannot be served",
    line: `GET ${core}/configmaps`,
    headers: { Accept: "image/png" },
    code: 406,
    reason: "NotAcceptable",
    says: ["only the following media types are accepted"],
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
    title: "a resourceVersion that is no number",
    line: `GET ${core}/pods?resourceVersion=new`,
    code: 400,
    reason: "BadRequest",
    says: ["resourceVersion", "new"],
  },
  {
    title: "resourceVersionMatch without a resourceVersion",
    line: `GET ${core}/pods?resourceVersionMatch=Exact`,
    code: 422,
    reason: "Invalid",
    says: ["resourceVersionMatch: Forbidden", "unless resourceVersion is provided"],
  },
  {
    title: "a continue token that was never given",
    line: `GET ${core}/pods?continue=!!!`,
    code: 400,
    reason: "BadRequest",
    says: ["continue key is not valid"],
  },
  {
    title: "a limit that is no number",
    line: `GET ${core}/pods?limit=many`,
    code: 400,
    reason: "BadRequest",
    says: ["many"],
  },
  {
    title: "a stale update",
    line: `PUT ${core}/configmaps/good`,
    body: json(configMap({ name: "good", resourceVersion: "1" })),
    code: 409,
    reason: "Conflict",
    says: ['Operation cannot be fulfilled on configmaps "good": the object has been modified'],
  },
  {
    title: "an update of another name than the path's",
    line: `PUT ${core}/configmaps/good`,
    body: json(configMap({ name: "other" })),
    code: 400,
    reason: "BadRequest",
    says: ["the name of the object (other) does not match the name on the URL (good)"],
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
    title: "a namespace that does not exist",
    line: "POST /api/v1/namespaces/nowhere/configmaps",
    body: json(configMap({ name: "bad" })),
    code: 404,
    reason: "NotFound",
    says: ['namespaces "nowhere" not found'],
  },
  {
    title: "a namespace that is being deleted",
    line: "POST /api/v1/namespaces/ending/configmaps",
    body: json(configMap({ name: "bad" })),
    code: 403,
    reason: "Forbidden",
    says: ["unable to create new content in namespace ending because it is being terminated"],
  },
  {
    title: "a token that is not valid",
    line: `GET ${core}/pods`,
    headers: { Authorization: "Bearer not-a-token" },
    as: "nobody",
    code: 401,
    reason: "Unauthorized",
    says: ["Unauthorized"],
  },
  {
    title: "no credentials",
    line: `GET ${core}/secrets`,
    as: "nobody",
    code: 403,
    reason: "Forbidden",
    says: [
      'secrets is forbidden: User "system:anonymous" cannot list resource "secrets" in API group "" in the namespace "default"',
    ],
  },
  {
    title: "a resource that does not exist",
    line: "GET /api/v1/things",
    code: 404,
    says: ["404 page not found"],
  },
  {
    title: "a group that does not exist",
    line: "GET /apis/nothing.example/v1/things",
    code: 404,
    says: ["404 page not found"],
  },
  {
    title: "a JSON patch that is no list",
    line: `PATCH ${core}/configmaps/good`,
    headers: patchAs("json-patch+json"),
    body: () => '{"op":"add"}',
    code: 400,
    reason: "BadRequest",
    says: ["json"],
  },
  {
    title: "a JSON patch of a path that is missing",
    line: `PATCH ${core}/configmaps/good`,
    headers: patchAs("json-patch+json"),
    body: json([{ op: "remove", path: "/data/nothing" }]),
    code: 422,
    reason: "Invalid",
    says: ["the server rejected our request due to an error in our request"],
  },
  {
    title: "a JSON patch of 10,001 operations",
    line: `PATCH ${core}/configmaps/good`,
    headers: patchAs("json-patch+json"),
    body: () =>
      JSON.stringify(Array.from({ length: 10_001 }, () => ({ op: "test", path: "/kind" }))),
    code: 413,
    reason: "RequestEntityTooLarge",
    says: ["The allowed maximum operations in a JSON patch is 10000, got 10001"],
  },
  {
    title: "a merge patch that is not JSON",
    line: `PATCH ${core}/configmaps/good`,
    headers: patchAs("merge-patch+json"),
    body: () => "{data",
    code: 400,
    reason: "BadRequest",
    says: [""],
  },
  {
    title: "a patch without a patch's content type",
    line: `PATCH ${core}/configmaps/good`,
    body: () => "{}",
    code: 415,
    reason: "UnsupportedMediaType",
    says: ["accepted media types include: application/json-patch+json"],
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
    title: "a propagationPolicy of another word",
    line: `DELETE ${core}/configmaps/good`,
    body: json({ kind: "DeleteOptions", apiVersion: "v1", propagationPolicy: "Sideways" }),
    code: 422,
    reason: "Invalid",
    says: ['propagationPolicy: Unsupported value: "Sideways"', '"Foreground"'],
  },
  {
    title: "a deletion with another uid than the object's",
    line: `DELETE ${core}/configmaps/good`,
    body: json({ preconditions: { uid: "11111111-2222-3333-4444-555555555555" } }),
    code: 409,
    reason: "Conflict",
    says: ["the UID in the precondition", "does not match the UID in record"],
  },
  {
    title: "sendInitialEvents without its match",
    line: `GET ${core}/pods?watch=1&sendInitialEvents=true&timeoutSeconds=1`,
    code: 422,
    reason: "Invalid",
    says: ["resourceVersionMatch: Forbidden"],
  },
];
