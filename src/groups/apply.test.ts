/** Server-side apply on the real rows, and the record of managers that every write leaves. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { ManagedFieldsEntry } from "../gen/meta-v1.ts";
import type { KubeObject } from "../schema/object.ts";
import { type Answer, askOf, sendTo } from "./test-http.ts";
import { openWorld, type World } from "./test-world.ts";

let world: World;
let ask: ReturnType<typeof askOf>;
const apps = "/apis/apps/v1/namespaces/default/deployments";
const core = "/api/v1/namespaces/default";

beforeAll(async () => {
  world = await openWorld();
  ask = askOf(sendTo(world));
});
afterAll(() => world[Symbol.asyncDispose]());

const applyType = "application/apply-patch+yaml";
const mergeType = "application/merge-patch+json";

function apply(path: string, fieldManager: string, body: unknown, more = ""): Promise<Answer> {
  const query = `fieldManager=${fieldManager}${more}`;
  return ask("PATCH", path, { body, type: applyType, query });
}

function managers(object: KubeObject): readonly string[] {
  return (object.metadata.managedFields ?? []).map(
    ({ manager, operation, subresource }: ManagedFieldsEntry) =>
      `${manager} ${operation}${subresource === undefined ? "" : ` ${subresource}`}`,
  );
}

function fieldsOf(object: KubeObject, manager: string): unknown {
  const entries = object.metadata.managedFields ?? [];
  return entries.find((entry) => entry.manager === manager)?.fieldsV1;
}

function configMap(name: string, data?: Record<string, string>) {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, ...(data && { data }) };
}

function deployment(name: string, more: Record<string, unknown> = {}, image = "nginx:1.29") {
  const labels = { app: name };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "web", image }] } },
      ...more,
    },
  };
}

test("a create is recorded under the program's name, without what nobody owns", async () => {
  const made = await ask("POST", apps, {
    body: deployment("made"),
    agent: "kubectl/v1.36 (linux)",
  });
  expect(made.metadata.managedFields).toEqual([
    {
      manager: "kubectl",
      operation: "Update",
      apiVersion: "apps/v1",
      time: expect.stringMatching(/Z$/) as unknown as string,
      fieldsType: "FieldsV1",
      fieldsV1: {
        "f:spec": {
          "f:progressDeadlineSeconds": {},
          "f:replicas": {},
          "f:revisionHistoryLimit": {},
          "f:selector": {},
          "f:strategy": {
            "f:rollingUpdate": { ".": {}, "f:maxSurge": {}, "f:maxUnavailable": {} },
            "f:type": {},
          },
          "f:template": {
            "f:metadata": { "f:labels": { ".": {}, "f:app": {} } },
            "f:spec": {
              "f:containers": {
                'k:{"name":"web"}': {
                  ".": {},
                  "f:image": {},
                  "f:imagePullPolicy": {},
                  "f:name": {},
                  "f:resources": {},
                  "f:terminationMessagePath": {},
                  "f:terminationMessagePolicy": {},
                },
              },
              "f:dnsPolicy": {},
              "f:restartPolicy": {},
              "f:schedulerName": {},
              "f:securityContext": {},
              "f:terminationGracePeriodSeconds": {},
            },
          },
        },
      },
    },
  ]);
  expect(JSON.stringify(made.metadata.managedFields)).toStartWith(
    '[{"manager":"kubectl","operation"',
  );
});

test("apply creates, changes nothing twice, and drops what it no longer names", async () => {
  const path = `${core}/configmaps/one`;
  const made = await apply(path, "a", configMap("one", { x: "1", y: "2" }));
  expect(made).toMatchObject({ code: 201, data: { x: "1", y: "2" } });
  expect(fieldsOf(made, "a")).toEqual({ "f:data": { "f:x": {}, "f:y": {} } });
  const again = await apply(path, "a", configMap("one", { x: "1", y: "2" }));
  expect(again).toMatchObject({ code: 200 });
  expect(again.metadata).toEqual(made.metadata);
  const less = await apply(path, "a", configMap("one", { x: "1" }));
  expect(less).toMatchObject({ data: { x: "1" } });
  expect(Object.keys((less as unknown as { data: object }).data)).toEqual(["x"]);
});

test("two appliers share an object, and neither overwrites the other without force", async () => {
  const path = `${apps}/shared`;
  await apply(path, "a", deployment("shared", { replicas: 1 }));
  const refused = await apply(path, "b", { ...deployment("shared"), spec: { replicas: 5 } });
  expect(refused).toMatchObject({
    kind: "Status",
    code: 409,
    reason: "Conflict",
    message: 'Apply failed with 1 conflict: conflict with "a": .spec.replicas',
    details: {
      causes: [
        {
          reason: "FieldManagerConflict",
          message: 'conflict with "a"',
          field: ".spec.replicas",
        },
      ],
    },
  });
  const forced = await apply(
    path,
    "b",
    { ...deployment("shared"), spec: { replicas: 5 } },
    "&force=true",
  );
  expect(forced.spec.replicas).toBe(5);
  expect(fieldsOf(forced, "b")).toEqual({ "f:spec": { "f:replicas": {} } });
  const mine = fieldsOf(forced, "a") as { "f:spec": object };
  expect(Object.keys(mine["f:spec"])).toEqual(["f:selector", "f:template"]);
  const image = deployment("shared", { replicas: 4 }, "nginx:2");
  const many = await apply(path, "c", image);
  expect(many.message).toBe(
    'Apply failed with 2 conflicts: conflicts with "a":\n' +
      '- .spec.template.spec.containers[name="web"].image\nconflicts with "b":\n- .spec.replicas',
  );
});

test("what kubectl applied by itself before is no conflict for its server-side apply", async () => {
  const path = `${core}/configmaps/moved`;
  const config = configMap("moved", { x: "1" });
  const last = `${JSON.stringify(config)}\n`;
  const annotations = { "kubectl.kubernetes.io/last-applied-configuration": last };
  const body = { ...config, metadata: { name: "moved", annotations } };
  const query = "fieldManager=kubectl-client-side-apply";
  await ask("POST", `${core}/configmaps`, { body, query });
  const stranger = await apply(path, "other", configMap("moved", { x: "2" }));
  expect(stranger.message).toContain('conflict with "kubectl-client-side-apply" using v1: .data.x');
  const moved = await apply(path, "kubectl", configMap("moved", { x: "2" }));
  expect(moved).toMatchObject({ code: 200, data: { x: "2" } });
  expect(moved.metadata.annotations).toEqual({
    "kubectl.kubernetes.io/last-applied-configuration":
      '{"apiVersion":"v1","data":{"x":"2"},"kind":"ConfigMap","metadata":{"name":"moved"}}\n',
  });
});

test("status writes have entries of their own and take nothing of the spec", async () => {
  const path = `${apps}/parts`;
  await apply(path, "a", deployment("parts", { replicas: 1 }));
  const status = { ...deployment("parts"), spec: { replicas: 9 }, status: { replicas: 3 } };
  const done = await apply(`${path}/status`, "b", status);
  expect(done).toMatchObject({ spec: { replicas: 1 } });
  expect(managers(done)).toEqual(["a Apply", "b Apply status"]);
  expect(fieldsOf(done, "b")).toEqual({ "f:status": { "f:replicas": {} } });
  const body = { status: { replicas: 4 } };
  const patched = await ask("PATCH", `${path}/status`, { body, type: mergeType, agent: "c" });
  expect(managers(patched)).toEqual(["a Apply", "c Update status"]);
});

test("a scale has the managers of the replicas", async () => {
  const path = `${apps}/scaled`;
  await apply(path, "a", deployment("scaled", { replicas: 1 }));
  const scale = { apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name: "scaled" } };
  const refused = await apply(`${path}/scale`, "b", { ...scale, spec: { replicas: 2 } });
  expect(refused.message).toBe('Apply failed with 1 conflict: conflict with "a": .spec.replicas');
  const body = { spec: { replicas: 3 } };
  await ask("PATCH", `${path}/scale`, { body, type: mergeType, agent: "scaler" });
  const scaled = await ask("GET", path);
  expect(managers(scaled)).toEqual(["a Apply", "scaler Update scale"]);
  expect(fieldsOf(scaled, "scaler")).toEqual({ "f:spec": { "f:replicas": {} } });
  const wrong = await apply(`${path}/scale`, "b", deployment("scaled"));
  expect(wrong).toMatchObject({
    code: 400,
    message: "invalid object type: apps/v1, Kind=Deployment",
  });
});

test("a scale takes the replicas from who set them by an update, and tells no times", async () => {
  const path = `${apps}/counted`;
  await ask("POST", apps, { body: deployment("counted", { replicas: 2 }), agent: "maker" });
  const scale = { apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name: "counted" } };
  const put = (replicas: number, agent: string) =>
    ask("PUT", `${path}/scale`, { body: { ...scale, spec: { replicas } }, agent });
  await put(4, "scaler");
  const scaled = await ask("GET", path);
  expect(managers(scaled)).toEqual(["scaler Update scale", "maker Update"]);
  expect(scaled.metadata.managedFields?.[0]).not.toHaveProperty("time");
  await put(4, "other");
  expect(managers(await ask("GET", path))).toEqual(["scaler Update scale", "maker Update"]);
});

test("what cannot be applied is refused in upstream's words", async () => {
  const path = `${apps}/wrong`;
  const told = async (body: unknown, more = "") => {
    const { code, reason, message } = await apply(path, "a", body, more);
    return [code, reason ?? "", message];
  };
  const config = deployment("wrong", { replicas: "3", colour: "red" });
  expect(await told(config)).toEqual([
    500,
    "",
    "failed to create typed patch object (/wrong; apps/v1, Kind=Deployment): errors:\n" +
      "  .spec.replicas: expected numeric (int or float), got string\n" +
      "  .spec.colour: field not declared in schema",
  ]);
  expect(await told(configMap("wrong"))).toEqual([
    400,
    "BadRequest",
    "invalid object type: /v1, Kind=ConfigMap",
  ]);
  const named = { ...deployment("wrong"), metadata: { name: "wrong", managedFields: [{}] } };
  expect((await told(named))[2]).toBe("metadata.managedFields must be nil");
  expect((await told("- a\n- b\n"))[2]).toContain("error decoding YAML");
  const twice = JSON.stringify(deployment("wrong")).replace('"kind"', '"kind":"X","kind"');
  expect((await told(twice, "&fieldValidation=Strict"))[2]).toContain(
    "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors",
  );
});

test("an apply must say who applies, and only an apply may use force", async () => {
  const path = `${core}/configmaps/who`;
  const nobody = await ask("PATCH", path, { body: configMap("who"), type: applyType });
  expect(nobody).toMatchObject({
    code: 422,
    message:
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for ' +
      "apply patch",
  });
  const merge = await ask("PATCH", path, { body: {}, type: mergeType, query: "force=true" });
  expect(merge.message).toContain("force: Forbidden: may not be specified for non-apply patch");
});

test("the record can be forgotten, and starts anew with the next apply", async () => {
  const path = `${core}/configmaps/forgot`;
  await apply(path, "a", configMap("forgot", { x: "1" }));
  for (const managedFields of [[], [{}]]) {
    const body = { metadata: { managedFields } };
    const forgotten = await ask("PATCH", path, { body, type: mergeType });
    expect(forgotten.metadata.managedFields).toBeUndefined();
    const untold = { data: { z: String(managedFields.length) } };
    const silent = await ask("PATCH", path, { body: untold, type: mergeType });
    expect(silent.metadata.managedFields).toBeUndefined();
    const anew = await apply(path, "b", configMap("forgot", { y: "1" }));
    expect(managers(anew)).toEqual(["b Apply", "before-first-apply Update"]);
  }
});

test("a dry run applies without storing", async () => {
  const path = `${core}/configmaps/dry`;
  const tried = await apply(path, "a", configMap("dry", { x: "1" }), "&dryRun=All");
  expect(managers(tried)).toEqual(["a Apply"]);
  expect(await ask("GET", path)).toMatchObject({ code: 404 });
});

test("items of a service's ports are told apart by port and protocol", async () => {
  const path = `${core}/services/ports`;
  const service = (ports: readonly object[]) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "ports" },
    spec: { ports },
  });
  await apply(path, "a", service([{ name: "dns", port: 53, protocol: "UDP" }]));
  const both = await apply(path, "b", service([{ name: "dns-tcp", port: 53 }]));
  expect((both.spec.ports as object[]).length).toBe(2);
  expect(fieldsOf(both, "b")).toEqual({
    "f:spec": {
      "f:ports": {
        'k:{"port":53,"protocol":"TCP"}': { ".": {}, "f:name": {}, "f:port": {} },
      },
    },
  });
  const one = await apply(path, "a", service([]));
  expect(one.spec.ports).toMatchObject([{ name: "dns-tcp" }]);
});
