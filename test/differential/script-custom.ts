/** Custom resources: pruning, defaults, rules, versions, subresources, apply, tables. */
import type { Exchange, JsonObject } from "./client.ts";
import type { Pair } from "./pair.ts";
import { patch, patchTypes } from "./script-lifecycle.ts";
import { namespace } from "./subjects.ts";

const group = "custom.example.com";
const gadgets = `/apis/${group}/v1/namespaces/${namespace}/gadgets`;
const older = gadgets.replace("/v1/", "/v1beta1/");
const settleMs = 2500;

const spec: JsonObject = {
  type: "object",
  required: ["size"],
  properties: {
    size: { type: "integer", minimum: 1, maximum: 9 },
    color: { type: "string", enum: ["red", "blue"], default: "red" },
    ratio: { type: "number" },
    count: { "x-kubernetes-int-or-string": true },
    when: { type: "string", format: "date-time" },
    note: { type: "string", nullable: true, maxLength: 5, pattern: "^[a-z]*$" },
    names: { type: "array", items: { type: "string" }, "x-kubernetes-list-type": "set" },
    parts: {
      type: "array",
      maxItems: 3,
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["name"],
      items: {
        type: "object",
        required: ["name"],
        properties: { name: { type: "string" }, value: { type: "integer", default: 1 } },
      },
    },
    labels: { type: "object", additionalProperties: { type: "string" } },
    any: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
    pod: {
      type: "object",
      "x-kubernetes-embedded-resource": true,
      "x-kubernetes-preserve-unknown-fields": true,
    },
    replicas: { type: "integer" },
  },
  "x-kubernetes-validations": [
    { rule: "self.size < 8 || self.color == 'red'", message: "too big for blue" },
    { rule: "!has(oldSelf.color) || self.color == oldSelf.color", reason: "FieldValueForbidden" },
  ],
};
const status: JsonObject = {
  type: "object",
  properties: { replicas: { type: "integer" }, phase: { type: "string" } },
};
const version = (name: string, storage: boolean): JsonObject => ({
  name,
  served: true,
  storage,
  deprecated: !storage,
  schema: { openAPIV3Schema: { type: "object", properties: { spec, status } } },
  subresources: {
    status: {},
    scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
  },
  selectableFields: [{ jsonPath: ".spec.color" }],
  additionalPrinterColumns: [
    { name: "Size", type: "integer", jsonPath: ".spec.size" },
    { name: "Color", type: "string", jsonPath: ".spec.color", priority: 1 },
    { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
  ],
});
const definition: JsonObject = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: `gadgets.${group}` },
  spec: {
    group,
    scope: "Namespaced",
    names: { plural: "gadgets", kind: "Gadget", shortNames: ["gd"], categories: ["all"] },
    versions: [version("v1", true), version("v1beta1", false)],
  },
};

const gadget = (name: string, own: JsonObject, more: JsonObject = {}): JsonObject => ({
  apiVersion: `${group}/v1`,
  kind: "Gadget",
  metadata: { name },
  spec: own,
  ...more,
});
const parts = (...names: readonly string[]): JsonObject => ({
  size: 1,
  parts: names.map((name) => ({ name })),
});
const pod = (metadata: JsonObject): JsonObject => ({
  size: 1,
  pod: { apiVersion: "v1", kind: "Pod", metadata, spec: { x: 1 } },
});

const bodies: readonly JsonObject[] = [
  gadget("a", {}),
  gadget("a", { size: 0 }),
  gadget("a", { size: 10 }),
  gadget("a", { size: "1" }),
  gadget("a", { size: 1.5 }),
  gadget("a", { size: 9, color: "blue" }),
  gadget("a", { size: 1, color: "green" }),
  gadget("a", { size: 1, unknown: { a: 1 } }),
  gadget("a", { size: 1, note: null }),
  gadget("a", { size: 1, note: "TooLong" }),
  gadget("a", { size: 1, color: null }),
  gadget("a", { size: 1, count: "50%" }),
  gadget("a", { size: 1, count: true }),
  gadget("a", { size: 1, when: "yesterday" }),
  gadget("a", { size: 1, names: ["a", "a"] }),
  gadget("a", { size: 1, names: "a" }),
  gadget("a", parts("a", "b")),
  gadget("a", parts("a", "a")),
  gadget("a", parts("a", "b", "c", "d")),
  gadget("a", { size: 1, parts: [{}] }),
  gadget("a", { size: 1, labels: { a: 1 } }),
  gadget("a", { size: 1, any: { deep: { er: [1, "2", null] } } }),
  gadget("a", pod({ name: "p" })),
  gadget("a", pod({ name: "p", unknown: 1, labels: { a: "b" } })),
  gadget("a", { size: 1, pod: { kind: "Pod" } }),
  gadget("a", { size: 1 }, { status: { phase: "x", replicas: 1 } }),
  gadget("a", { size: 1 }, { extra: 1 }),
  gadget("A_b", { size: 1 }),
  gadget("a", { size: 1 }, { spec: [] as never }),
  gadget("a", { size: 1 }, { apiVersion: `${group}/v2` }),
  gadget("a", { size: 1 }, { kind: "Other" }),
];

async function created(pair: Pair): Promise<void> {
  for (const validation of ["", "&fieldValidation=Strict", "&fieldValidation=Ignore"])
    for (const body of bodies) {
      const path = `${gadgets}?dryRun=All${validation}`;
      await pair.send("custom create", { method: "POST", path, body });
    }
}

async function changed(pair: Pair): Promise<void> {
  const path = `${gadgets}/one`;
  const body = gadget("one", { size: 2, parts: [{ name: "x" }], replicas: 1 });
  await pair.send("custom create", { method: "POST", path: gadgets, body });
  const reads = [path, gadgets, `${older}/one`, `${path}/status`, `${path}/scale`];
  const accepts = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
  const table = ";as=Table;v=v1;g=meta.k8s.io";
  const partial = ";as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
  for (const one of reads)
    for (const accept of [...accepts, accepts[0] + table, accepts[0] + partial])
      await pair.send("custom get", { method: "GET", path: one, headers: { accept } });
  for (const field of ["spec.color=red", "spec.color=blue", "spec.size=2", "metadata.name=one"]) {
    const query = `?fieldSelector=${encodeURIComponent(field)}`;
    await pair.send("custom list", { method: "GET", path: gadgets + query });
  }
  const patches: readonly Exchange[] = [
    patch("merge", path, { spec: { size: 3 } }),
    patch("merge", path, { spec: { color: "blue" } }),
    patch("merge", path, { spec: { size: null } }),
    patch("merge", path, { spec: { unknown: 1 } }),
    patch("merge", path, { metadata: { labels: { a: "b" } } }),
    patch("merge", path, { status: { phase: "x" } }),
    patch("merge", `${path}/status`, { status: { phase: "x", replicas: 4 }, spec: { size: 5 } }),
    patch("merge", `${path}/status`, { status: { replicas: "4" } }),
    patch("merge", `${path}/scale`, { spec: { replicas: 7 } }),
    patch("merge", `${path}/scale`, { spec: { replicas: -1 } }),
    patch("json", path, [{ op: "add", path: "/spec/parts/-", value: { name: "y" } }]),
    patch("json", path, [{ op: "test", path: "/spec/size", value: 0 }]),
    patch("strategic", path, { spec: { size: 4 } }),
  ];
  for (const one of patches) await pair.send("custom patch", one);
  const applied = (manager: string, own: JsonObject, force = false): Exchange =>
    patch(
      "apply",
      `${path}?fieldManager=${manager}${force ? "&force=true" : ""}`,
      gadget("one", own),
    );
  await pair.send("custom apply", applied("m1", { size: 3, parts: [{ name: "x", value: 5 }] }));
  await pair.send("custom apply", applied("m1", { parts: [{ name: "z" }] }));
  await pair.send("custom apply", applied("m2", { parts: [{ name: "z", value: 9 }] }));
  await pair.send("custom apply", applied("m2", { parts: [{ name: "z", value: 9 }] }, true));
  await pair.send("custom apply", applied("m2", { names: ["a"] }));
  await pair.send("custom apply", applied("m3", { unknown: 1 }));
  const acrossVersions: readonly (readonly [string, JsonObject])[] = [
    [`${older}/one?fieldManager=m4`, { spec: { size: 4 } }],
    [`${older}/one?fieldManager=m4&force=true`, { spec: { size: 4, names: ["b"] } }],
    [`${older}/one/status?fieldManager=m5`, { status: { phase: "a" }, spec: { size: 1 } }],
    [`${path}/status?fieldManager=m6`, { status: { phase: "b" } }],
    [`${path}/status?fieldManager=m6&force=true`, { status: { phase: "b" } }],
  ];
  for (const [where, own] of acrossVersions) {
    const apiVersion = `${group}/${where.includes("/v1beta1/") ? "v1beta1" : "v1"}`;
    const body = { apiVersion, kind: "Gadget", ...own };
    await pair.send("custom apply", patch("apply", where, body));
  }
  for (const [force, replicas] of [
    ["", 2],
    ["&force=true", 3],
  ] as const) {
    const body = { apiVersion: "autoscaling/v1", kind: "Scale", spec: { replicas } };
    const where = `${path}/scale?fieldManager=m7${force}`;
    await pair.send("custom apply", patch("apply", where, body));
  }
  await pair.send("custom get", { method: "GET", path: `${older}/one` });
  for (const type of Object.keys(patchTypes) as (keyof typeof patchTypes)[])
    await pair.send("custom patch", patch(type, `${gadgets}/absent?fieldManager=m`, "{}"));
  await pair.send("custom delete", { method: "DELETE", path });
  await pair.send("custom get", { method: "GET", path });
}

/** Defines a kind, waits until both servers have it, and exercises it. */
export async function customResources(pair: Pair): Promise<void> {
  const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  await pair.send("custom definition", { method: "POST", path, body: definition });
  await Bun.sleep(settleMs);
  for (const one of [`/apis/${group}`, `/apis/${group}/v1`, `/apis/${group}/v1beta1`])
    await pair.send("custom discovery", { method: "GET", path: one });
  await created(pair);
  await changed(pair);
  await pair.send("custom definition", { method: "DELETE", path: `${path}/gadgets.${group}` });
  await Bun.sleep(settleMs);
  await pair.send("custom get", { method: "GET", path: gadgets });
}
