/** Records of requests, as a receiver of audit events sees them. */
import { afterAll, beforeAll, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { Auditor } from "../api/audit/auditor.ts";
import type { AuditEvent } from "../api/audit/event.ts";
import { auditEvaluator, decodePolicy } from "../api/audit/policy.ts";
import { createAuthorizer } from "../api/auth/authorizers.ts";
import { createImpersonate } from "../api/auth/impersonate.ts";
import { type ApiApp, createApiApp } from "../api/http.ts";
import type { User } from "../api/request.ts";
import { webFetch } from "../api/test-http.ts";
import {
  configMaps,
  mutatingWebhookConfigurations,
  namespaces,
  serviceAccounts,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  validatingWebhookConfigurations,
} from "../client/resources.ts";
import { ApiError } from "../lib/api-error.ts";
import { openWorld, type World } from "./test-world.ts";

const policy = {
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  rules: [
    { level: "None", nonResourceURLs: ["/healthz*"] },
    { level: "None", users: ["system:apiserver"], namespaces: ["quiet"] },
    { level: "Metadata", resources: [{ group: "", resources: ["secrets"] }] },
    {
      level: "RequestResponse",
      omitManagedFields: true,
      resources: [{ group: "", resources: ["configmaps", "pods"] }],
    },
    { level: "Request" },
  ],
};

const users: Readonly<Record<string, User>> = {
  admin: { name: "admin", uid: "7", groups: ["system:masters"], extra: { method: ["x"] } },
  jane: { name: "jane", uid: "", groups: ["system:authenticated"], extra: {} },
};

let world: World;
let app: ApiApp;
let events: AuditEvent[] = [];
let isFull = false;

beforeAll(async () => {
  world = await openWorld({
    auditor: (runtime) =>
      new Auditor({
        evaluate: auditEvaluator(decodePolicy(policy)),
        runtime,
        sink: {
          process: (taken) => {
            events.push(...taken);
            return !isFull;
          },
          close: async () => {},
        },
      }),
  });
  app = createApiApp({
    pipeline: world.pipeline,
    authenticate: async (headers) => {
      const user = users[headers.get("authorization")?.replace("Bearer ", "") ?? ""];
      if (user === undefined) throw new ApiError("Unauthorized", "Unauthorized");
      return user;
    },
    impersonate: createImpersonate(createAuthorizer(world.live)),
    runtime: world.runtime,
    health: async () => [],
    version: {},
    serverAddress: "127.0.0.1:6443",
  });
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  events = [];
  isFull = false;
});

interface Asked {
  readonly user?: string;
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

function ask(path: string, { user = "admin", method = "GET", body, headers = {} }: Asked = {}) {
  const init = {
    method,
    headers: { authorization: `Bearer ${user}`, "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  };
  const peer = { address: "10.0.0.9", certificate: undefined };
  return webFetch(app, new Request(`https://localhost${path}`, init), peer);
}

/** The last event, of those that are not about the server's own calls. */
function last(): AuditEvent {
  const found = events.findLast(({ user }) => user.username !== "system:apiserver");
  if (found === undefined) throw new Error("nothing was recorded");
  return found;
}

const maps = "/api/v1/namespaces/default/configmaps";
const map = (name: string, data: Record<string, string> = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  data,
});

describe("audit", () => {
  test("a create has two events, with the objects of its level", async () => {
    const answer = await ask(maps, {
      method: "POST",
      body: map("a", { k: "v" }),
      headers: { "user-agent": "tool/1.0", "x-forwarded-for": "1.2.3.4, nonsense" },
    });
    expect(events.map(({ stage }) => stage)).toEqual(["RequestReceived", "ResponseComplete"]);
    const [received, complete] = events;
    expect(received).not.toHaveProperty("requestObject");
    expect(received).not.toHaveProperty("responseStatus");
    expect(complete).toMatchObject({
      kind: "Event",
      apiVersion: "audit.k8s.io/v1",
      level: "RequestResponse",
      auditID: answer.headers.get("audit-id"),
      requestURI: maps,
      verb: "create",
      user: { username: "admin", uid: "7", groups: ["system:masters"], extra: { method: ["x"] } },
      sourceIPs: ["1.2.3.4", "10.0.0.9"],
      userAgent: "tool/1.0",
      objectRef: { resource: "configmaps", namespace: "default", name: "a", apiVersion: "v1" },
      responseStatus: { metadata: {}, code: 201 },
      requestObject: { kind: "ConfigMap", data: { k: "v" } },
      responseObject: { metadata: { name: "a", namespace: "default" } },
      annotations: {
        "authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": "",
      },
    });
    expect(JSON.stringify(complete)).not.toContain("managedFields");
    expect(complete?.requestReceivedTimestamp).toMatch(/^\d{4}-\d\d-\d\dT[\d:]+\.\d{6}Z$/);
  });

  test("a client may name the record, and hears of it", async () => {
    const answer = await ask(maps, { headers: { "audit-id": "mine" } });
    expect(answer.headers.get("audit-id")).toBe("mine");
    expect(last().auditID).toBe("mine");
  });

  test("of Secrets only the metadata is told", async () => {
    const secret = { kind: "Secret", apiVersion: "v1", metadata: { name: "s" } };
    const body = { ...secret, stringData: { password: "canary" } };
    await ask("/api/v1/namespaces/default/secrets", { method: "POST", body });
    expect(last()).toMatchObject({ level: "Metadata", objectRef: { name: "s" } });
    expect(JSON.stringify(events)).not.toContain("canary");
  });

  test("a patch is told as it was sent, a delete with its options", async () => {
    await ask(maps, { method: "POST", body: map("p") });
    const patch = { data: { k: "2" } };
    const headers = { "content-type": "application/merge-patch+json" };
    await ask(`${maps}/p`, { method: "PATCH", body: patch, headers });
    expect(last()).toMatchObject({ verb: "patch", requestObject: patch });
    const options = { kind: "DeleteOptions", apiVersion: "v1", gracePeriodSeconds: 0 };
    await ask(`${maps}/p`, { method: "DELETE", body: options });
    expect(last()).toMatchObject({
      verb: "delete",
      requestObject: options,
      responseStatus: { status: "Success", code: 200, details: { name: "p" } },
    });
  });

  test("what is forbidden is told with its reason, and the Status with it", async () => {
    await ask(maps, { user: "jane" });
    expect(last()).toMatchObject({
      verb: "list",
      user: { username: "jane" },
      responseStatus: { status: "Failure", reason: "Forbidden", code: 403 },
      annotations: { "authorization.k8s.io/decision": "forbid" },
    });
  });

  test("a failed login has one event, which says what was tried", async () => {
    expect((await ask(maps, { user: "nobody" })).status).toBe(401);
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      stage: "ResponseStarted",
      user: {},
      responseStatus: { message: "Authentication failed, attempted: bearer", code: 401 },
    });
    await ask(maps, { headers: { authorization: "" } });
    expect(last().responseStatus?.message).toBe("Authentication failed, no credentials provided");
  });

  test("impersonation is told with both users, allowed or not", async () => {
    const as = { "impersonate-user": "bob", "impersonate-group": "ops" };
    await ask(maps, { headers: as });
    expect(last()).toMatchObject({
      user: { username: "admin" },
      impersonatedUser: { username: "bob", groups: ["ops", "system:authenticated"] },
      responseStatus: { code: 403 },
    });
    await ask(maps, { user: "jane", headers: as });
    expect(last()).toMatchObject({ user: { username: "jane" }, responseStatus: { code: 403 } });
    expect(last()).not.toHaveProperty("impersonatedUser");
  });

  test("a watch has an event when it begins and one when it ends", async () => {
    const answer = await ask(`${maps}?watch=1`);
    const stages = () => events.map(({ stage }) => stage);
    expect(stages()).toEqual(["RequestReceived", "ResponseStarted"]);
    await answer.body?.cancel();
    expect(stages()).toEqual(["RequestReceived", "ResponseStarted", "ResponseComplete"]);
    expect(last()).toMatchObject({ verb: "watch", responseStatus: { code: 200 } });
  });

  test("so has one of the server's own parts", async () => {
    const stop = new AbortController();
    const watch = world.client.watch(configMaps, "default", { resourceVersion: "0" }, stop.signal);
    const own = () => events.filter(({ verb }) => verb === "watch");
    const first = watch[Symbol.asyncIterator]().next();
    await world.client.create(configMaps, {
      ...map("seen-within"),
      metadata: { name: "seen-within", namespace: "default" },
    });
    expect(await first).toMatchObject({ value: { object: { kind: "ConfigMap" } } });
    expect(own().map(({ stage }) => stage)).toEqual(["RequestReceived", "ResponseStarted"]);
    stop.abort();
    await watch[Symbol.asyncIterator]().return?.();
    expect(own().at(-1)).toMatchObject({
      stage: "ResponseComplete",
      user: { username: "system:apiserver" },
      objectRef: { resource: "configmaps", namespace: "default" },
      requestURI: expect.stringContaining("watch=true"),
      responseStatus: { code: 200 },
    });
  });

  test("paths that are no resources, and resources that are none, are told too", async () => {
    await ask("/healthz");
    expect(events).toEqual([]);
    await ask("/version?x=1");
    expect(last()).toMatchObject({ requestURI: "/version?x=1", verb: "get", level: "Request" });
    expect(last()).not.toHaveProperty("objectRef");
    await ask("/api/v1/things/x");
    expect(last()).toMatchObject({ objectRef: { resource: "things", name: "x" } });
  });

  test("a mistake of the server is told as a panic", async () => {
    const broken = spyOn(world.pipeline, "handle").mockRejectedValueOnce(new Error("oh"));
    expect((await ask(maps)).status).toBe(500);
    broken.mockRestore();
    expect(events.map(({ stage }) => stage)).toEqual(["RequestReceived", "Panic"]);
    expect(last().responseStatus).toMatchObject({ message: "APIServer panic'd: Error: oh" });
  });

  test("what cannot be recorded is not done", async () => {
    isFull = true;
    const answer = await ask(maps, { method: "POST", body: map("unrecorded") });
    expect(answer.status).toBe(500);
    expect(await answer.text()).toContain("failed to store audit event");
    isFull = false;
    expect((await ask(`${maps}/unrecorded`)).status).toBe(404);
  });

  test("calls of the server's own parts are recorded like those of others", async () => {
    await world.client.create(configMaps, {
      ...map("own"),
      metadata: { name: "own", namespace: "default" },
    });
    expect(events.map(({ stage }) => stage)).toEqual(["RequestReceived", "ResponseComplete"]);
    expect(events[1]).toMatchObject({
      requestURI: `${maps}?fieldValidation=Ignore`,
      user: { username: "system:apiserver" },
      responseStatus: { code: 201 },
    });
    const wrong = world.client.get(configMaps, "default", "absent");
    await expect(wrong).rejects.toThrow("not found");
    expect(events.at(-1)).toMatchObject({ responseStatus: { reason: "NotFound", code: 404 } });
  });
});

describe("admission", () => {
  const admission = "admissionregistration.k8s.io/v1";
  const rule = { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"] };
  const rules = [{ ...rule, resources: ["configmaps"] }];
  const hook = (name: string, more: object = {}) => ({
    name,
    clientConfig: { url: `https://hook.test/${name}` },
    rules,
    sideEffects: "None",
    admissionReviewVersions: ["v1"],
    ...more,
  });

  test("webhooks tell what they did, and what they want to have told", async () => {
    const patch = [{ op: "add", path: "/data", value: { by: "hook" } }];
    const answers: Readonly<Record<string, object>> = {
      "/change.test.io": {
        patchType: "JSONPatch",
        patch: Buffer.from(JSON.stringify(patch)).toString("base64"),
      },
      "/look.test.io": { auditAnnotations: { seen: "yes", "not a key": "no" } },
    };
    const calls = spyOn(world.runtime.net, "fetch").mockImplementation(async (request) => {
      const { uid } = ((await request.json()) as { request: { uid: string } }).request;
      const answer = answers[new URL(request.url).pathname];
      if (answer === undefined) throw new Error("gone");
      const response = { uid, allowed: true, ...answer };
      return Response.json({
        kind: "AdmissionReview",
        apiVersion: "admission.k8s.io/v1",
        response,
      });
    });
    await world.client.create(mutatingWebhookConfigurations, {
      apiVersion: admission,
      kind: "MutatingWebhookConfiguration",
      metadata: { name: "m" },
      webhooks: [
        hook("change.test.io"),
        hook("gone.test.io", { failurePolicy: "Ignore" }),
      ] as never,
    });
    await world.client.create(validatingWebhookConfigurations, {
      apiVersion: admission,
      kind: "ValidatingWebhookConfiguration",
      metadata: { name: "v" },
      webhooks: [
        hook("other.test.io", { rules: [{ ...rule, resources: ["pods"] }] }),
        hook("look.test.io"),
        hook("absent.test.io", { failurePolicy: "Ignore" }),
      ] as never,
    });
    await ask(maps, { method: "POST", body: map("hooked") });
    const of = { configuration: "m", webhook: "change.test.io" };
    const prefix = "webhook.admission.k8s.io/round_0_index_";
    expect(last().annotations).toEqual({
      "authorization.k8s.io/decision": "allow",
      "authorization.k8s.io/reason": "",
      [`patch.${prefix}0`]: JSON.stringify({ ...of, patch, patchType: "JSONPatch" }),
      [`mutation.${prefix}0`]: JSON.stringify({ ...of, mutated: true }),
      [`mutation.${prefix}1`]: JSON.stringify({ ...of, webhook: "gone.test.io", mutated: false }),
      [`failed-open.mutation.${prefix}1`]: "gone.test.io",
      "look.test.io/seen": "yes",
      [`failed-open.validating.${prefix}1`]: "absent.test.io",
    });
    for (const resource of [mutatingWebhookConfigurations, validatingWebhookConfigurations]) {
      const name = resource === mutatingWebhookConfigurations ? "m" : "v";
      await world.client.delete(resource, "", name);
    }
    calls.mockRestore();
  });

  test("policies tell their annotations, and the failures they are told to audit", async () => {
    await world.client.create(validatingAdmissionPolicies, {
      apiVersion: admission,
      kind: "ValidatingAdmissionPolicy",
      metadata: { name: "keys.test.io" },
      spec: {
        matchConstraints: { resourceRules: rules as never },
        validations: [
          { expression: "true" },
          { expression: "object.data.k == 'good'", message: "k must be good" },
        ],
        auditAnnotations: [
          { key: "k", valueExpression: "'is ' + object.data.k" },
          { key: "nothing", valueExpression: "null" },
        ],
      },
    });
    const bind = (name: string, action: string) =>
      world.client.create(validatingAdmissionPolicyBindings, {
        apiVersion: admission,
        kind: "ValidatingAdmissionPolicyBinding",
        metadata: { name },
        spec: { policyName: "keys.test.io", validationActions: [action] },
      });
    await bind("note", "Audit");
    expect((await ask(maps, { method: "POST", body: map("v", { k: "bad" }) })).status).toBe(201);
    const { annotations = {} } = last();
    expect(annotations["keys.test.io/k"]).toBe("is bad");
    expect(annotations).not.toHaveProperty("keys.test.io/nothing");
    const key = "validation.policy.admission.k8s.io/validation_failure";
    expect(JSON.parse(annotations[key] ?? "")).toEqual([
      {
        message: "k must be good",
        policy: "keys.test.io",
        binding: "note",
        expressionIndex: 1,
        validationActions: ["Audit"],
      },
    ]);
    // An annotation that cannot be made refuses, whatever the actions of the binding are.
    const answer = await ask(maps, { method: "POST", body: map("w", { other: "x" }) });
    expect(answer.status).toBe(422);
  });

  test("PodSecurity tells by what a pod was judged, and what it would not let in", async () => {
    await world.client.create(namespaces, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: {
        name: "held",
        labels: {
          "pod-security.kubernetes.io/enforce": "baseline",
          "pod-security.kubernetes.io/audit": "restricted",
        },
      },
      spec: {},
    });
    await world.client.create(serviceAccounts, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "default", namespace: "held" },
    });
    const body = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p" },
      spec: { automountServiceAccountToken: false, containers: [{ name: "c", image: "i" }] },
    };
    await ask("/api/v1/namespaces/held/pods", { method: "POST", body });
    const { annotations = {} } = last();
    expect(annotations["pod-security.kubernetes.io/enforce-policy"]).toBe("baseline:latest");
    expect(annotations["pod-security.kubernetes.io/audit-violations"]).toStartWith(
      'would violate PodSecurity "restricted:latest": ',
    );
  });
});
