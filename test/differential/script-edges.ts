/** Subresources, options and selectors, each with what fits and what does not. */
import type { Exchange, JsonObject } from "./client.ts";
import { objectOf, type Pair } from "./pair.ts";
import { patch } from "./script-lifecycle.ts";
import { at, namespace } from "./subjects.ts";

const core = `/api/v1/namespaces/${namespace}`;
const apps = `/apis/apps/v1/namespaces/${namespace}`;
const pod = `${core}/pods/edge`;
const deployment = `${apps}/deployments/edge`;
const account = `${core}/serviceaccounts/default`;

const get = (path: string, accept?: string): Exchange => ({
  method: "GET",
  path,
  ...(accept === undefined ? {} : { headers: { accept } }),
});
const post = (path: string, body: Exchange["body"], type?: string): Exchange => ({
  method: "POST",
  path,
  ...(type === undefined ? {} : { headers: { "content-type": type } }),
  ...(body === undefined ? {} : { body }),
});
const put = (path: string, body: JsonObject): Exchange => ({ method: "PUT", path, body });
const remove = (path: string, body?: JsonObject): Exchange => ({
  method: "DELETE",
  path,
  ...(body === undefined ? {} : { body }),
});
const applied = (path: string, kind: string, version: string, more: JsonObject): Exchange =>
  patch("apply", path, { apiVersion: version, kind, ...more });

const containers = [{ name: "a", image: "a" }];
const template = { metadata: { labels: { app: "edge" } }, spec: { containers } };
const made: readonly Exchange[] = [
  post(`${core}/pods`, {
    metadata: { name: "edge", labels: { app: "edge" } },
    spec: { containers },
  }),
  post(`${apps}/deployments`, {
    metadata: { name: "edge" },
    spec: { replicas: 2, selector: { matchLabels: { app: "edge" } }, template },
  }),
  post(`/apis/policy/v1/namespaces/${namespace}/poddisruptionbudgets`, {
    metadata: { name: "edge" },
    spec: { minAvailable: 1, selector: { matchLabels: { app: "edge" } } },
  }),
];

const scales: readonly Exchange[] = [
  get(`${deployment}/scale`),
  put(`${deployment}/scale`, { metadata: { name: "edge" }, spec: { replicas: 3 } }),
  put(`${deployment}/scale`, { metadata: { name: "other" }, spec: { replicas: 3 } }),
  put(`${deployment}/scale`, { spec: { replicas: -1 } }),
  put(`${deployment}/scale?dryRun=All`, { metadata: { name: "edge" }, spec: {} }),
  put(`${deployment}/scale`, { kind: "Deployment", apiVersion: "apps/v1" }),
  patch("merge", `${deployment}/scale`, { spec: { replicas: 4 } }),
  patch("merge", `${deployment}/scale?fieldValidation=Strict`, { spec: { replica: 4 } }),
  patch("json", `${deployment}/scale`, [{ op: "replace", path: "/spec/replicas", value: 5 }]),
  patch("strategic", `${deployment}/scale`, { spec: { replicas: 6 } }),
  applied(`${deployment}/scale?fieldManager=s`, "Scale", "autoscaling/v1", {
    spec: { replicas: 7 },
  }),
  applied(`${deployment}/scale?fieldManager=s&force=true`, "Scale", "autoscaling/v1", {
    spec: { replicas: 8 },
  }),
  applied(`${deployment}?fieldManager=t`, "Deployment", "apps/v1", { spec: { replicas: 1 } }),
  get(deployment),
  post(`${deployment}/scale`, {}),
  remove(`${deployment}/scale`),
];

const statuses: readonly Exchange[] = [
  applied(`${deployment}/status?fieldManager=s`, "Deployment", "apps/v1", {
    status: { replicas: 1 },
  }),
  applied(`${deployment}/status?fieldManager=u`, "Deployment", "apps/v1", {
    status: { replicas: 2 },
  }),
  applied(`${deployment}/status?fieldManager=u&force=true`, "Deployment", "apps/v1", {
    status: { replicas: 2, conditions: [{ type: "A", status: "True" }] },
    spec: { replicas: 9 },
  }),
  patch("merge", `${deployment}/status`, { status: { replicas: -1 } }),
  patch("merge", `${deployment}/status?fieldValidation=Strict`, { status: { unknown: 1 } }),
  patch("merge", `${pod}/status`, { status: { phase: "Running", podIP: "10.1.1.1" } }),
  patch("strategic", `${pod}/status`, {
    status: { conditions: [{ type: "Ready", status: "True" }] },
  }),
  patch("strategic", `${pod}/status`, { status: { conditions: [{ $patch: "replace" }] } }),
  applied(`${pod}/status?fieldManager=k`, "Pod", "v1", {
    status: { conditions: [{ type: "Ready", status: "False" }] },
  }),
  get(pod),
];

const eviction = (more: JsonObject = {}): JsonObject => ({
  apiVersion: "policy/v1",
  kind: "Eviction",
  metadata: { name: "edge" },
  ...more,
});
const binding = (target: JsonObject): JsonObject => ({ metadata: { name: "edge" }, target });
const doors: readonly Exchange[] = [
  post(`${pod}/eviction`, {}),
  post(`${pod}/eviction`, eviction({ apiVersion: "policy/v2" })),
  post(`${pod}/eviction`, eviction({ metadata: { name: "other" } })),
  post(`${pod}/eviction?dryRun=All`, eviction()),
  post(`${pod}/eviction`, eviction({ deleteOptions: { preconditions: { uid: "x" } } })),
  post(`${pod}/eviction`, eviction({ deleteOptions: { dryRun: ["x"] } })),
  post(`${pod}/eviction`, "{", "application/json"),
  post(`${pod}/eviction`, "text", "text/plain"),
  post(`${core}/pods/absent/eviction`, eviction({ metadata: { name: "absent" } })),
  get(`${pod}/eviction`),
  post(`${pod}/binding`, binding({})),
  post(`${pod}/binding`, binding({ kind: "Pod", name: "n" })),
  post(`${pod}/binding?dryRun=All`, binding({ kind: "Node", name: "n" })),
  post(`${pod}/binding`, binding({ kind: "Node", name: "n", apiVersion: "v1" })),
  post(`${pod}/binding`, binding({ kind: "Node", name: "n" })),
  post(`${core}/bindings`, binding({ kind: "Node", name: "n" })),
  post(`${core}/pods/absent/binding`, binding({ kind: "Node", name: "n" })),
  patch("strategic", `${pod}/ephemeralcontainers`, {
    spec: { ephemeralContainers: [{ name: "e", image: "e" }] },
  }),
  patch("strategic", `${pod}/ephemeralcontainers`, {
    spec: { ephemeralContainers: [{ name: "a", image: "e", targetContainerName: "no" }] },
  }),
  patch("strategic", `${pod}/resize`, {
    spec: { containers: [{ name: "a", resources: { requests: { cpu: "1" } } }] },
  }),
  patch("merge", `${pod}/resize`, { spec: { containers: [] } }),
  post(`${account}/token`, {}),
  post(`${account}/token`, { spec: { audiences: ["x"], expirationSeconds: 10 } }),
  post(`${account}/token`, { spec: { audiences: ["x"], expirationSeconds: 4294967297 } }),
  post(`${account}/token`, { spec: { boundObjectRef: { kind: "Pod", apiVersion: "v1" } } }),
  post(`${account}/token`, { spec: { boundObjectRef: { kind: "Job", name: "x" } } }),
  post(`${core}/serviceaccounts/absent/token`, { spec: {} }),
];

const prefixes = ["edge-", "e".repeat(60), "Edge", "-", "e.", "e".repeat(250)];
const fields: readonly (readonly [string, readonly string[]])[] = [
  [`${core}/secrets`, ["type=Opaque", "type!=Opaque", "data.a=b"]],
  [`${core}/events`, ["involvedObject.kind=Pod", "reason=x", "source=x", "count=1", "type="]],
  ["/api/v1/namespaces", ["status.phase=Active", "metadata.name=diff", "name=diff"]],
  ["/api/v1/nodes", ["spec.unschedulable=true", "spec.unschedulable=false", "spec.podCIDR=x"]],
  [`${apps}/replicasets`, ["status.replicas=0", "status.replicas!=0", "spec.replicas=0"]],
  [`/apis/batch/v1/namespaces/${namespace}/jobs`, ["status.successful=0", "status.failed=0"]],
  [`${core}/replicationcontrollers`, ["status.replicas=0", "metadata.uid=x"]],
  ["/apis/certificates.k8s.io/v1/certificatesigningrequests", ["spec.signerName=x", "spec.x=y"]],
  [`${core}/services`, ["spec.clusterIP=None", "spec.type=ClusterIP", "spec.ports=x"]],
];

const meta = "g=meta.k8s.io";
const forms = [
  `application/json;as=Table;v=v1;${meta}`,
  `application/json;as=Table;v=v1beta1;${meta}`,
  `application/json;as=PartialObjectMetadataList;v=v1;${meta}`,
  `application/yaml;as=PartialObjectMetadataList;v=v1;${meta}`,
  `application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;${meta}`,
];

async function reading(pair: Pair): Promise<void> {
  for (const [path, selectors] of fields)
    for (const one of selectors)
      await pair.send("field selector", get(`${path}?fieldSelector=${encodeURIComponent(one)}`));
  for (const form of forms)
    for (const path of [`${core}/pods`, "/api/v1/pods", `${apps}/deployments`, deployment])
      for (const query of ["?limit=1", "?includeObject=Object&limit=1", "?includeObject=x"])
        await pair.send("form", get(path + query, form));
  const page = await pair.send("page", get(`${core}/secrets?limit=1`));
  const token = (side: "upstream" | "k3"): string =>
    encodeURIComponent(String(at(page[side].body, "metadata", "continue") ?? ""));
  for (const path of [`${core}/configmaps?limit=1`, `${core}/secrets?limit=1&resourceVersion=1`])
    await pair.send("token of another list", (side) => get(`${path}&continue=${token(side)}`));
  for (const wrong of ["e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ", "eyJ2IjoieCJ9", "%00"])
    await pair.send("wrong token", get(`${core}/secrets?limit=1&continue=${wrong}`));
}

async function writing(pair: Pair): Promise<void> {
  for (const generateName of prefixes)
    for (const path of [`${core}/configmaps`, `${core}/services`, "/api/v1/namespaces"])
      await pair.send("generateName", post(`${path}?dryRun=All`, { metadata: { generateName } }));
  const odd = { metadata: { name: "odd" }, data: { a: "b" }, unknown: 1 };
  await pair.send("odd", post(`${core}/configmaps`, { metadata: { name: "odd" } }));
  for (const validation of ["Ignore", "Warn", "Strict", ""]) {
    const path = `${core}/configmaps/odd?dryRun=All&fieldValidation=${validation}`;
    await pair.send("put", put(path, odd));
    await pair.send("merge", patch("merge", path, odd));
    await pair.send("strategic", patch("strategic", path, odd));
    const operations = [{ op: "add", path: "/unknown", value: 1, more: 2 }];
    await pair.send("json", patch("json", path, operations));
    const body = { apiVersion: "v1", kind: "ConfigMap", ...odd };
    await pair.send("apply", patch("apply", `${path}&fieldManager=o`, body));
  }
}

const options = (more: JsonObject): JsonObject => ({
  kind: "DeleteOptions",
  apiVersion: "v1",
  ...more,
});

async function removing(pair: Pair): Promise<void> {
  const path = `${core}/configmaps/odd`;
  const read = await pair.ask(get(path));
  const own = (side: "upstream" | "k3", key: string): string =>
    String(at(objectOf(read, side), "metadata", key));
  for (const wrong of [
    { apiVersion: "apps/v1" },
    { apiVersion: "meta.k8s.io/v1" },
    { gracePeriodSeconds: "1" },
    { preconditions: { uid: 1 } },
    { preconditions: { resourceVersion: "x" } },
    { unknown: 1 },
    { dryRun: ["All", "All"] },
    { ignoreStoreReadErrorWithClusterBreakingPotential: true, dryRun: ["All"] },
  ] as readonly JsonObject[])
    await pair.send("delete", remove(`${path}?dryRun=All`, options(wrong)));
  await pair.send("delete of this uid", (side) =>
    remove(`${path}?dryRun=All`, options({ preconditions: { uid: own(side, "uid") } })),
  );
  const collection = `${core}/configmaps?labelSelector=none`;
  for (const more of ["propagationPolicy=x", "gracePeriodSeconds=-1", "dryRun=x", "limit=x"])
    await pair.send("collection", remove(`${collection}&${more}`));
  for (const body of [
    { preconditions: { resourceVersion: "1" } },
    { propagationPolicy: "Orphan" },
    { propagationPolicy: "x" },
    { orphanDependents: true },
  ] as readonly JsonObject[])
    await pair.send("collection", remove(collection, options(body)));
  await pair.send("delete of this revision", (side) => {
    const resourceVersion = own(side, "resourceVersion");
    return remove(path, options({ preconditions: { resourceVersion } }));
  });
}

/** Everything in an order that leaves the ends to the end. */
export async function edges(pair: Pair): Promise<void> {
  for (const [title, all] of Object.entries({ made, scales, statuses, doors }))
    for (const one of all) await pair.send(title, one);
  await reading(pair);
  await writing(pair);
  await removing(pair);
}
