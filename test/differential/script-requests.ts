/** Requests that any object would do for: lists, watches, deletes, headers, paths, bodies. */
import type { Exchange, JsonObject } from "./client.ts";
import { type Answers, objectOf, type Pair, type Side } from "./pair.ts";
import { patch } from "./script-lifecycle.ts";
import { at, namespace } from "./subjects.ts";

const maps = `/api/v1/namespaces/${namespace}/configmaps`;
const pods = `/api/v1/namespaces/${namespace}/pods`;
const metaMedia = "v=v1;g=meta.k8s.io";

const get = (path: string, accept?: string): Exchange => ({
  method: "GET",
  path,
  ...(accept === undefined ? {} : { headers: { accept } }),
});
const post = (path: string, body: Exchange["body"], headers = {}): Exchange => ({
  method: "POST",
  path,
  headers,
  ...(body === undefined ? {} : { body }),
});

function revisionOf(answers: Answers, side: Side): string {
  return String(at(answers[side].body, "metadata", "resourceVersion"));
}

/** Ten config maps and three pods that lists can tell apart. */
async function fill(pair: Pair): Promise<void> {
  for (let index = 0; index < 10; index++) {
    const labels = { list: "yes", even: String(index % 2 === 0), index: String(index) };
    const body = { metadata: { name: `listed-${index}`, labels }, data: { index: String(index) } };
    await pair.send("fill", post(maps, body));
  }
  for (const name of ["p1", "p2", "p3"]) {
    const spec = { containers: [{ name: "a", image: "a" }], terminationGracePeriodSeconds: 1 };
    const nodeName = name === "p1" ? {} : { nodeName: "n1" };
    const metadata = { name, labels: { list: "pods" } };
    await pair.send("fill", post(pods, { metadata, spec: { ...spec, ...nodeName } }));
  }
}

const selectors = [
  "list=yes",
  "list==yes,even=true",
  "list!=no,index",
  "list,!absent",
  "index in (1,2,3)",
  "index notin (1,2),list",
  "index>4",
  "index<2,list",
  "index in ()",
  "=bad",
  "a b",
  "in,notin",
  "x in (a",
  "a=%3D",
  "-bad-=x",
  "list=-bad-",
  ",",
  "a,,b",
  "%21",
];
const fieldSelectors = [
  "metadata.name=listed-3",
  "metadata.name!=listed-3",
  "metadata.name==listed-3,metadata.namespace=diff",
  "metadata.namespace=other",
  "data.index=1",
  "metadata.labels.index=1",
  "metadata.name",
  "=x",
  "metadata.name=a=b",
  "metadata.name=a\\,b",
  "metadata.name=a\\b",
];
const podSelectors = [
  "spec.nodeName=n1",
  "spec.nodeName=",
  "status.phase=Pending",
  "status.phase!=Running",
  "spec.restartPolicy=Always",
  "spec.schedulerName=default-scheduler",
  "spec.serviceAccountName=default",
  "status.podIP=",
  "spec.hostNetwork=false",
  "status.nominatedNodeName=",
  "spec.unknown=x",
];
const pages = [
  "limit=3",
  "limit=0",
  "limit=-1",
  "limit=x",
  "limit=500&continue=bad",
  "resourceVersion=0",
  "resourceVersion=x",
  "resourceVersion=-1",
  "resourceVersion=1&resourceVersionMatch=Exact",
  "resourceVersion=0&resourceVersionMatch=Exact",
  "resourceVersionMatch=Exact",
  "resourceVersionMatch=NotOlderThan",
  "resourceVersion=0&resourceVersionMatch=NotOlderThan",
  "resourceVersion=1&resourceVersionMatch=Other",
  "resourceVersion=1&resourceVersionMatch=NotOlderThan&continue=x",
  "resourceVersion=1&continue=x",
  "resourceVersion=0&limit=2",
  "sendInitialEvents=true",
  "timeoutSeconds=5",
  "timeoutSeconds=x",
  "allowWatchBookmarks=true",
  "pretty=true",
  "pretty=1",
  "unknownParameter=1",
  "watch=false",
  "fieldSelector=metadata.name%3Dlisted-1&labelSelector=list%3Dyes",
];

async function lists(pair: Pair): Promise<void> {
  for (const one of selectors)
    await pair.send("labels", get(`${maps}?labelSelector=${encodeURIComponent(one)}`));
  for (const one of fieldSelectors)
    await pair.send("fields", get(`${maps}?fieldSelector=${encodeURIComponent(one)}`));
  for (const one of podSelectors)
    await pair.send("pod fields", get(`${pods}?fieldSelector=${encodeURIComponent(one)}`));
  for (const one of pages) await pair.send("pages", get(`${maps}?${one}`));
  let read = await pair.send("pages", get(`${maps}?limit=4`));
  for (let page = 0; page < 4; page++) {
    const path = (side: Side): string => {
      const next = at(read[side].body, "metadata", "continue");
      return `${maps}?limit=4&continue=${encodeURIComponent(String(next ?? ""))}`;
    };
    const following = await pair.send("pages", (side) => get(path(side)));
    read = following;
  }
  for (const include of ["None", "Metadata", "Object", "Other"]) {
    const media = `application/json;as=Table;${metaMedia}`;
    await pair.send("tables", get(`${maps}?includeObject=${include}&limit=2`, media));
  }
}

const watches = [
  "labelSelector=list%3Dyes",
  "labelSelector=even%3Dtrue",
  "fieldSelector=metadata.name%3Dlisted-1",
  "allowWatchBookmarks=true",
  "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
  "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
  "sendInitialEvents=true",
  "sendInitialEvents=false&resourceVersionMatch=NotOlderThan",
  "resourceVersionMatch=NotOlderThan",
  "resourceVersionMatch=Exact",
  "labelSelector=a%20b",
  "limit=1",
  "continue=x",
  "timeoutSeconds=x",
];
const watchAccepts = [
  undefined,
  `application/json;as=Table;${metaMedia}`,
  `application/json;as=PartialObjectMetadata;${metaMedia}`,
  "application/yaml",
  "application/vnd.kubernetes.protobuf;stream=watch",
  "text/plain",
];

async function watching(pair: Pair): Promise<void> {
  const before = await pair.ask(get(`${maps}?limit=1`));
  const one = `${maps}/listed-1`;
  await pair.send("watched", patch("merge", one, { metadata: { labels: { even: "true" } } }));
  await pair.send("watched", patch("merge", one, { metadata: { labels: { even: "false" } } }));
  await pair.send("watched", patch("merge", one, { metadata: { labels: { list: null } } }));
  await pair.send("watched", { method: "DELETE", path: `${maps}/listed-9` });
  const base = "watch=1&timeoutSeconds=1";
  for (const query of watches) {
    const isInitial = query.includes("sendInitialEvents=true");
    const path = (side: Side): string =>
      `${maps}?${base}&${query}${isInitial ? "" : `&resourceVersion=${revisionOf(before, side)}`}`;
    await pair.send("watch", (side) => get(path(side)));
  }
  for (const accept of watchAccepts)
    await pair.send("watch", (side) =>
      get(`${maps}?${base}&resourceVersion=${revisionOf(before, side)}`, accept),
    );
  for (const revision of ["0", "1", "x"])
    await pair.send("watch", get(`${maps}?${base}&resourceVersion=${revision}`));
  await pair.send(
    "watch one",
    get(`/api/v1/watch/namespaces/${namespace}/configmaps/listed-2?timeoutSeconds=1`),
  );
}

const bodies: readonly (readonly [string, string])[] = [
  ["application/json", ""],
  ["application/json", "{"],
  ["application/json", "[]"],
  ["application/json", "null"],
  ["application/json", '"text"'],
  ["application/json", "{}"],
  ["application/json", '{"kind":"Pod","apiVersion":"v1"}'],
  ["application/json", '{"kind":"ConfigMap"}'],
  ["application/json", '{"apiVersion":"v2","kind":"ConfigMap"}'],
  ["application/json", '{"apiVersion":"apps/v1","kind":"ConfigMap"}'],
  ["application/json", '{"metadata":{"name":"b1","name":"b2"}}'],
  ["application/json", '{"metadata":{"name":"b1"},"data":{"a":1}}'],
  ["application/json", '{"metadata":{"name":"b1"},"Data":{"a":"b"}}'],
  ["application/json", '{"metadata":{"name":"b1"},"data":null}'],
  ["application/json", '{"metadata":{"name":"B1"}}'],
  ["application/json", '{"metadata":{"name":"b1","namespace":"other"}}'],
  ["application/json", '{"metadata":{"name":"b1","resourceVersion":"1"}}'],
  ["application/json", '{"metadata":{"name":"b1","uid":"x","generation":7}}'],
  ["application/json", '{"metadata":{"name":"b1","labels":{"a":1}}}'],
  ["application/json", '{"metadata":{"name":"b1","labels":["a"]}}'],
  ["application/json", '{"metadata":{"name":"b1","ownerReferences":[{}]}}'],
  ["application/json", '{"metadata":{"name":"b1","finalizers":["x"]}}'],
  ["application/json", '{"metadata":{"name":"b1","deletionTimestamp":"2026-01-02T03:04:05Z"}}'],
  ["application/json", '{"metadata":{"generateName":"Bad_"}}'],
  ["application/json", '{"metadata":{"name":"b1"},"immutable":"yes"}'],
  ["application/json", '{"metadata":{"name":"b1"},"binaryData":{"a":"?"}}'],
  ["application/json; charset=utf-8", '{"metadata":{"name":"b1"}}'],
  ["application/yaml", "metadata: {name: b1}\n"],
  ["application/yaml", "metadata: {name: b1}\nunknown: x\n"],
  ["application/yaml", "metadata: {name: b1, name: b2}\n"],
  ["application/yaml", "metadata:\n\tname: b1\n"],
  ["application/yaml", "- a\n"],
  ["application/yaml", "data: {a: 1}\nmetadata: {name: b1}\n"],
  ["application/x-www-form-urlencoded", "a=b"],
  ["text/plain", "text"],
  ["application/cbor", "x"],
  ["application/vnd.kubernetes.protobuf", "not protobuf"],
  ["application/vnd.kubernetes.protobuf", "k8s\u0000"],
  ["bad", "{}"],
  ["", '{"metadata":{"name":"b1"}}'],
];

async function sending(pair: Pair): Promise<void> {
  for (const validation of ["", "Ignore", "Warn", "Strict", "Other"])
    for (const [type, body] of bodies) {
      if (validation !== "" && !/unknown|Data|name.*name/.test(body)) continue;
      const query = `?dryRun=All${validation === "" ? "" : `&fieldValidation=${validation}`}`;
      await pair.send("body", post(maps + query, body, { "content-type": type }));
    }
  const named = { metadata: { name: "b1" } };
  const queries = [
    "dryRun=x",
    "dryRun=",
    "dryRun=All&dryRun=All",
    `fieldManager=${"m".repeat(129)}`,
    "fieldManager=%00",
    "fieldManager=a%20b&dryRun=All",
    "fieldValidation=strict",
    "pretty=true&dryRun=All",
    "force=true&dryRun=All",
  ];
  for (const query of queries) await pair.send("query", post(`${maps}?${query}`, named));
}

const path = `${maps}/listed-5`;
const patches: readonly Exchange[] = [
  patch("merge", path, "{"),
  patch("merge", path, "[]"),
  patch("merge", path, "null"),
  patch("merge", path, '"x"'),
  patch("merge", path, {}),
  patch("merge", path, { data: { index: 5 } }),
  patch("merge", path, { data: null }),
  patch("merge", path, { metadata: { name: "other" } }),
  patch("merge", path, { metadata: { namespace: "other" } }),
  patch("merge", path, { metadata: { uid: "other" } }),
  patch("merge", path, { metadata: { resourceVersion: "1" } }),
  patch("merge", path, { metadata: { creationTimestamp: null } }),
  patch("merge", path, { metadata: { managedFields: [] } }),
  patch("merge", path, { metadata: { managedFields: [{}] } }),
  patch("merge", path, { metadata: { managedFields: [{ manager: "x" }] } }),
  patch("merge", path, { metadata: { finalizers: ["a/b"] } }),
  patch("merge", path, { metadata: { finalizers: null } }),
  patch("merge", path, { kind: "Secret" }),
  patch("merge", path, { apiVersion: "v2" }),
  patch("merge", path, { unknown: "x" }),
  patch("merge", `${path}?fieldValidation=Strict`, { unknown: "x" }),
  patch("merge", `${path}?force=true`, {}),
  patch("json", path, "{}"),
  patch("json", path, "["),
  patch("json", path, []),
  patch("json", path, [{}]),
  patch("json", path, [{ op: "x", path: "/a" }]),
  patch("json", path, [{ op: "add" }]),
  patch("json", path, [{ op: "add", path: "a", value: 1 }]),
  patch("json", path, [{ op: "add", path: "/data/new", value: "x" }]),
  patch("json", path, [{ op: "add", path: "/none/new", value: "x" }]),
  patch("json", path, [{ op: "remove", path: "/data/none" }]),
  patch("json", path, [{ op: "replace", path: "/data/none", value: "x" }]),
  patch("json", path, [{ op: "replace", path: "/data/new", value: 1 }]),
  patch("json", path, [{ op: "test", path: "/data/new", value: "y" }]),
  patch("json", path, [{ op: "test", path: "/data/none", value: null }]),
  patch("json", path, [{ op: "move", from: "/data/new", path: "/data/moved" }]),
  patch("json", path, [{ op: "move", from: "/data/no", path: "/data/moved" }]),
  patch("json", path, [{ op: "copy", from: "/data", path: "/metadata/annotations" }]),
  patch("json", path, [{ op: "remove", path: "/metadata/annotations" }]),
  patch("json", path, [{ op: "add", path: "/metadata/finalizers/-", value: "a/b" }]),
  patch("json", path, [{ op: "remove", path: "/kind" }]),
  patch("json", path, [{ op: "remove", path: "" }]),
  patch("strategic", path, "{"),
  patch("strategic", path, "[]"),
  patch("strategic", path, { $patch: "replace", data: { a: "b" } }),
  patch("strategic", path, { $patch: "delete" }),
  patch("strategic", path, { $patch: "x" }),
  patch("strategic", path, { data: { $retainKeys: ["a"], a: "c" } }),
  patch("strategic", path, { data: { $patch: "replace", z: "z" } }),
  patch("strategic", path, { metadata: { "$deleteFromPrimitiveList/finalizers": ["a/b"] } }),
  patch("strategic", path, { "$setElementOrder/x": ["a"] }),
  patch("apply", `${path}?fieldManager=m`, "{"),
  patch("apply", `${path}?fieldManager=m`, "x: {"),
  patch("apply", `${path}?fieldManager=m`, "[]"),
  patch("apply", `${path}?fieldManager=m`, {}),
  patch("apply", `${path}?fieldManager=m`, { kind: "ConfigMap" }),
  patch("apply", `${path}?fieldManager=m`, { apiVersion: "v1", kind: "Secret" }),
  patch("apply", `${path}?fieldManager=m`, { apiVersion: "v2", kind: "ConfigMap" }),
  patch("apply", `${path}?fieldManager=m`, { apiVersion: "v1", kind: "ConfigMap", x: 1 }),
  patch("apply", `${path}?fieldManager=m`, { apiVersion: "v1", kind: "ConfigMap", data: [] }),
  patch("apply", `${path}?fieldManager=m`, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "other" },
  }),
  patch("apply", `${path}?fieldManager=m`, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { managedFields: [{ manager: "x" }] },
  }),
  patch("apply", `${path}?fieldManager=m&force=x`, { apiVersion: "v1", kind: "ConfigMap" }),
  patch("apply", `${path}?fieldManager=m`, {
    apiVersion: "v1",
    kind: "ConfigMap",
    data: { index: "other" },
  }),
  patch("apply", `${path}?fieldManager=m&force=true`, {
    apiVersion: "v1",
    kind: "ConfigMap",
    data: { index: "other" },
  }),
  patch("apply", `${path}?fieldManager=m`, { apiVersion: "v1", kind: "ConfigMap" }),
  patch("apply", `${maps}/made-by-apply?fieldManager=m`, { apiVersion: "v1", kind: "ConfigMap" }),
  patch("merge", `${maps}/absent`, {}),
  patch("json", `${maps}/absent`, []),
  { method: "PATCH", path, headers: { "content-type": "application/json" }, body: "{}" },
  { method: "PATCH", path, headers: { "content-type": "text/plain" }, body: "{}" },
  { method: "PATCH", path, headers: { "content-type": "" }, body: "{}" },
];

const deletes: readonly Exchange[] = [
  { method: "DELETE", path: `${path}?dryRun=x` },
  { method: "DELETE", path: `${path}?propagationPolicy=x` },
  { method: "DELETE", path: `${path}?gracePeriodSeconds=x` },
  { method: "DELETE", path: `${path}?gracePeriodSeconds=-1&dryRun=All` },
  { method: "DELETE", path: `${path}?orphanDependents=true&propagationPolicy=Orphan` },
  { method: "DELETE", path, body: "{" },
  { method: "DELETE", path, body: { kind: "Pod", apiVersion: "v1" } },
  { method: "DELETE", path, body: { propagationPolicy: "x" } },
  { method: "DELETE", path, body: { dryRun: ["x"] } },
  { method: "DELETE", path, body: { orphanDependents: true, propagationPolicy: "Orphan" } },
  { method: "DELETE", path, body: { propagationPolicy: "Foreground", dryRun: ["All"] } },
  { method: "DELETE", path, body: { propagationPolicy: "Foreground" } },
  { method: "DELETE", path, body: {} },
  { method: "DELETE", path: `${pods}/p1?gracePeriodSeconds=5` },
  { method: "DELETE", path: `${pods}/p2?gracePeriodSeconds=5` },
  { method: "DELETE", path: `${pods}/p2?gracePeriodSeconds=9` },
  { method: "DELETE", path: `${pods}/p2?gracePeriodSeconds=2` },
  { method: "DELETE", path: `${pods}/p2?gracePeriodSeconds=0` },
  { method: "DELETE", path: `${maps}?labelSelector=index%3D6&dryRun=All` },
  { method: "DELETE", path: `${maps}?labelSelector=index%3D6` },
  { method: "DELETE", path: `${maps}?fieldSelector=metadata.name%3Dlisted-7` },
  { method: "DELETE", path: `${maps}?labelSelector=a%20b` },
  { method: "DELETE", path: `${maps}?limit=1&labelSelector=list%3Dyes` },
  { method: "DELETE", path: `${maps}?labelSelector=list`, body: { preconditions: { uid: "x" } } },
];

const nodes = "/api/v1/nodes";
const paths: readonly Exchange[] = [
  ...["/", "/nothing", "/api", "/api/", "/api/v1", "/api/v1/", "/api/v2", "/apis", "/apis/"],
  ...["/apis/apps", "/apis/apps/", "/apis/apps/v1", "/apis/apps/v2", "/apis/none", "/apis/none/v1"],
  ...["/apis/apps/v1/none", "/api/v1/namespaces/diff/none", "/api/v1/pods/x", "/api/v1/none"],
  ...["/api/v1/namespaces/diff", "/api/v1/namespaces/none/configmaps", "/api/v1/namespaces//pods"],
  ...["/api/v1/namespaces/diff/configmaps/none", "/api/v1/namespaces/diff/nodes", "//api/v1"],
  ...["/api/v1/namespaces/diff/configmaps/listed-2/status", "/api/v1/nodes/none/proxy/x"],
  ...["/api/v1/namespaces/diff/pods/none/log", "/api/v1/namespaces/diff/pods/none/exec"],
  ...["/api/v1/namespaces/diff/configmaps/a%2Fb", "/api/v1/namespaces/diff/configmaps/%20"],
  ...["/healthz", "/livez", "/readyz", "/healthz/ping", "/healthz/none", "/livez?verbose"],
  ...["/readyz/etcd", "/version", "/version/", "/openapi/v2?x=1", "/openapi", "/swagger.json"],
  ...["/metrics/none", "/logs", "/debug/pprof", "/.well-known/openid-configuration"],
  ...["/openid/v1/jwks", "/openapi/v3/none", "/openapi/v3/apis/none/v1", "/statusz", "/flagz"],
  ...["/api/v1/componentstatuses", "/api/v1/componentstatuses/none", "/ui", "/apis/apps/v1/scale"],
].map((one) => get(one));
const verbs: readonly Exchange[] = [
  { method: "POST", path: `${maps}/listed-2`, body: {} },
  { method: "PUT", path: maps, body: {} },
  { method: "PATCH", path: maps, headers: { "content-type": "application/json" }, body: "{}" },
  { method: "PUT", path: `${maps}/absent`, body: { metadata: { name: "absent" } } },
  { method: "PUT", path: `${maps}/absent`, body: { metadata: { name: "other" } } },
  { method: "PUT", path: `${maps}/listed-2`, body: {} },
  { method: "PUT", path: `${maps}/listed-2`, body: { metadata: { name: "other" } } },
  { method: "HEAD", path: `${maps}/listed-2` },
  { method: "OPTIONS", path: `${maps}/listed-2` },
  { method: "POST", path: "/version", body: {} },
  { method: "DELETE", path: "/api/v1" },
  { method: "POST", path: "/healthz", body: {} },
  { method: "DELETE", path: "/api/v1/namespaces" },
  { method: "DELETE", path: "/api/v1/services" },
  { method: "POST", path: "/api/v1/componentstatuses", body: {} },
  { method: "PUT", path: `${nodes}/none/status`, body: { metadata: { name: "none" } } },
  { method: "POST", path: `${maps}/listed-2/status`, body: {} },
  { method: "POST", path: "/api/v1/pods", body: { metadata: { name: "x" } } },
  { method: "POST", path: "/api/v1/namespaces/none/configmaps", body: { metadata: { name: "x" } } },
];

const accepts = [
  "*/*",
  "text/html",
  "application/*",
  "application/json;q=0.1,application/yaml",
  "application/xml,application/json",
  "application/json;as=Table;v=v2;g=meta.k8s.io",
  "application/json;as=Other;v=v1;g=meta.k8s.io",
  "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
  "application/json;as=Table",
  "application/yaml;as=Table;v=v1;g=meta.k8s.io",
  "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
  "application/json;stream=watch",
  "application/json;pretty=1",
  "application/cbor",
  "application/vnd.kubernetes.protobuf;type=x",
  ";",
];

async function asking(pair: Pair): Promise<void> {
  for (const accept of accepts) {
    await pair.send("accept", get(`${maps}/listed-2`, accept));
    await pair.send("accept list", get(`${maps}?labelSelector=index%3D2`, accept));
    await pair.send("accept error", get(`${maps}/none`, accept));
  }
  for (const one of [...paths, ...verbs]) await pair.send("path", one);
}

const users: readonly Readonly<Record<string, string>>[] = [
  { "impersonate-user": "nobody" },
  { "impersonate-user": "system:serviceaccount:diff:default" },
  { "impersonate-user": "u", "impersonate-group": "g" },
  { "impersonate-user": "u", "impersonate-uid": "1", "impersonate-extra-some%2fkey": "v" },
  { "impersonate-group": "g" },
  { "impersonate-uid": "1" },
  { "impersonate-extra-a": "b" },
  { "impersonate-user": "system:anonymous" },
  { "impersonate-user": "system:node:n1", "impersonate-group": "system:nodes" },
  { "impersonate-user": "" },
];
const reviews: readonly (readonly [string, JsonObject])[] = [
  ["authorization.k8s.io/v1/selfsubjectaccessreviews", {}],
  [
    "authorization.k8s.io/v1/selfsubjectaccessreviews",
    { spec: { resourceAttributes: { verb: "get", resource: "pods", namespace } } },
  ],
  [
    "authorization.k8s.io/v1/selfsubjectaccessreviews",
    { spec: { nonResourceAttributes: { verb: "get", path: "/x" } } },
  ],
  [
    "authorization.k8s.io/v1/subjectaccessreviews",
    { spec: { user: "u", resourceAttributes: { verb: "get", resource: "pods" } } },
  ],
  [
    "authorization.k8s.io/v1/subjectaccessreviews",
    { spec: { groups: ["system:masters"], resourceAttributes: { verb: "*", resource: "*" } } },
  ],
  ["authorization.k8s.io/v1/subjectaccessreviews", { spec: { user: "u" } }],
  ["authorization.k8s.io/v1/subjectaccessreviews", { metadata: { name: "x" }, spec: {} }],
  [
    `authorization.k8s.io/v1/namespaces/${namespace}/localsubjectaccessreviews`,
    { spec: { user: "u", resourceAttributes: { namespace: "other", verb: "get" } } },
  ],
  [
    `authorization.k8s.io/v1/namespaces/${namespace}/localsubjectaccessreviews`,
    { spec: { user: "u", nonResourceAttributes: { path: "/", verb: "get" } } },
  ],
  ["authorization.k8s.io/v1/selfsubjectrulesreviews", { spec: { namespace } }],
  ["authorization.k8s.io/v1/selfsubjectrulesreviews", { spec: {} }],
  ["authentication.k8s.io/v1/selfsubjectreviews", {}],
  ["authentication.k8s.io/v1/tokenreviews", { spec: { token: "bad" } }],
  ["authentication.k8s.io/v1/tokenreviews", { spec: {} }],
];

async function identities(pair: Pair): Promise<void> {
  for (const headers of users) {
    await pair.send("as", { method: "GET", path: maps, headers });
    await pair.send("as", { method: "GET", path: "/version", headers });
    await pair.send("as", { method: "GET", path: "/metrics", headers });
    for (const [where, body] of reviews)
      await pair.send(`review ${where.split("/").at(-1)}`, {
        method: "POST",
        path: `/apis/${where}`,
        headers,
        body,
      });
  }
  for (const [where, body] of reviews) await pair.send("review", post(`/apis/${where}`, body));
  const headers = { authorization: "Bearer bad" };
  await pair.send("bearer", { method: "GET", path: maps, headers });
}

async function discovery(pair: Pair): Promise<void> {
  const groups = await pair.send("discovery", get("/apis"));
  const names = (at(objectOf(groups, "upstream"), "groups") ?? []) as unknown as readonly {
    readonly name: string;
    readonly versions: readonly { readonly groupVersion: string }[];
  }[];
  for (const { name, versions } of names) {
    await pair.send("discovery", get(`/apis/${name}`));
    for (const { groupVersion } of versions)
      await pair.send("discovery", get(`/apis/${groupVersion}`));
  }
  const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  for (const accept of [aggregated, aggregated.replace("v2", "v2beta1"), `${aggregated};profile=x`])
    for (const one of ["/api", "/apis"]) await pair.send("discovery", get(one, accept));
}

/** Everything in an order that leaves the ends to the end. */
export async function requests(pair: Pair): Promise<void> {
  await fill(pair);
  await lists(pair);
  await watching(pair);
  await sending(pair);
  await asking(pair);
  await identities(pair);
  await discovery(pair);
  await pair.send("delete", { method: "DELETE", path: `${maps}/b1` });
  for (const one of patches) await pair.send("patch", one);
  for (const one of deletes) await pair.send("delete", one);
}
