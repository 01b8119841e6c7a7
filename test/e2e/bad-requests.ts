/** Broken requests and what Kubernetes answers to each: driven by bad-input.test.ts. */

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

export const json = (value: unknown) => (): string => JSON.stringify(value);
export const core = "/api/v1/namespaces/default";
export const configMap = (metadata: object, rest: object = {}): object => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata,
  ...rest,
});

const patchAs = (type: string): Readonly<Record<string, string>> => ({
  "Content-Type": `application/${type}`,
});

export const badRequests: readonly BadRequest[] = [
  {
    title: "a path that climbs",
    line: `GET ${core}/pods/..`,
    code: 400,
    reason: "BadRequest",
    says: ["may not be '..'"],
  },
  {
    title: "a path that climbs under escapes",
    line: `GET ${core}/pods/%2e%2e`,
    code: 400,
    reason: "BadRequest",
    says: ["may not be '..'"],
  },
  {
    title: "an escaped slash in a name",
    line: `GET ${core}/pods/a%2fb`,
    code: 404,
    says: ["the server could not find the requested resource"],
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
    title: "an Accept that cannot be served",
    line: `GET ${core}/configmaps`,
    headers: { Accept: "image/png" },
    code: 406,
    reason: "NotAcceptable",
    says: ["406: Not Acceptable"],
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
    title: "the deletion of a namespace that must stay",
    line: "DELETE /api/v1/namespaces/kube-system",
    code: 403,
    reason: "Forbidden",
    says: ["this namespace may not be deleted"],
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
    code: 401,
    reason: "Unauthorized",
    says: ["Unauthorized"],
  },
  {
    title: "a resource that does not exist",
    line: "GET /api/v1/things",
    code: 404,
    says: ["the server could not find the requested resource"],
  },
  {
    title: "a group that does not exist",
    line: "GET /apis/nothing.example/v1/things",
    code: 404,
    says: ["404 page not found"],
  },
  {
    title: "a verb that a collection does not have",
    line: `PUT ${core}/pods`,
    body: json({ apiVersion: "v1", kind: "Pod", metadata: { name: "bad" } }),
    code: 405,
    reason: "MethodNotAllowed",
    says: ["the server does not allow this method on the requested resource"],
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
    says: ["415: Unsupported Media Type"],
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
  {
    title: "a selector of 2 MB",
    line: `GET ${core}/pods?labelSelector=${"k!=v,".repeat(400_000)}k`,
    code: 431,
    says: [""],
  },
  {
    title: "a resourceVersion that is still to come",
    line: `GET ${core}/pods?resourceVersion=999999999`,
    code: 504,
    reason: "Timeout",
    says: ["Too large resource version: 999999999, current"],
  },
  {
    title: "a watch whose time is no number",
    line: `GET ${core}/pods?watch=1&timeoutSeconds=long`,
    code: 400,
    reason: "BadRequest",
    says: ["long"],
  },
  {
    title: "a name with a zero byte",
    line: `GET ${core}/pods/%00`,
    code: 404,
    reason: "NotFound",
    says: ["not found"],
  },
  {
    title: "someone without a role",
    line: `GET ${core}/pods`,
    headers: { "Impersonate-User": "somebody" },
    code: 403,
    reason: "Forbidden",
    says: ['pods is forbidden: User "somebody" cannot list resource "pods"'],
  },
  {
    title: "an update of another uid than the object's",
    line: `PUT ${core}/configmaps/good`,
    body: json(configMap({ name: "good", uid: "11111111-2222-3333-4444-555555555555" })),
    code: 409,
    reason: "Conflict",
    says: ["Precondition failed: UID in precondition"],
  },
];
