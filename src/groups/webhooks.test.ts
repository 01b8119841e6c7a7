/** Admission webhooks against the built-in kinds, with a scripted network in place of servers. */
import { afterAll, beforeAll, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { requestFor } from "../api/test-world.ts";
import {
  configMaps,
  endpointSlices,
  horizontalPodAutoscalers,
  mutatingWebhookConfigurations,
  namespaces,
  pods,
  services,
  validatingWebhookConfigurations,
} from "../client/resources.ts";
import type { MutatingWebhook } from "../gen/admissionregistration-v1.ts";
import type { ConfigMap, Pod } from "../gen/core-v1.ts";
import { ApiError } from "../lib/api-error.ts";
import type { FetchOptions } from "../runtime/runtime.ts";
import { openWorld, type World } from "./test-world.ts";

interface Review {
  readonly apiVersion: string;
  readonly request: Record<string, unknown> & { readonly uid: string };
}
interface Called {
  readonly url: string;
  readonly host: string;
  readonly options: FetchOptions | undefined;
  readonly redirect: RequestRedirect;
  readonly review: Review;
}
type Answer = Record<string, unknown> | Error;

let world: World;
let called: Called[];
let answer: (review: Review, path: string) => Answer;

beforeAll(async () => {
  world = await openWorld();
  spyOn(world.runtime.net, "fetch").mockImplementation(async (request, options) => {
    const url = new URL(request.url);
    const review = (await request.json()) as Review;
    const { url: asked, redirect } = request;
    called.push({ url: asked, host: request.headers.get("host") ?? "", options, redirect, review });
    const response = answer(review, url.pathname);
    if (response instanceof Error) throw response;
    const { apiVersion } = review;
    const full = { uid: review.request.uid, ...response };
    return Response.json({ kind: "AdmissionReview", apiVersion, response: full });
  });
  await world.client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "hook", namespace: "default" },
    spec: { ports: [{ name: "web", port: 8443, targetPort: 9443 as never }] },
  });
  await world.client.create(endpointSlices, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "hook-1",
      namespace: "default",
      labels: { "kubernetes.io/service-name": "hook" },
    },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.42.0.9"], conditions: { ready: true } }],
    ports: [{ name: "web", port: 9443, protocol: "TCP" }],
  });
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(async () => {
  called = [];
  answer = () => ({ allowed: true });
  for (const kind of [mutatingWebhookConfigurations, validatingWebhookConfigurations]) {
    for (const { metadata } of (await world.client.list(kind as never, "")).items) {
      await world.client.delete(kind as never, "", metadata.name ?? "");
    }
  }
});

function hook(more: Partial<MutatingWebhook> = {}): MutatingWebhook {
  return {
    name: "hook.example.com",
    clientConfig: { service: { namespace: "default", name: "hook", port: 8443, path: "/admit" } },
    rules: [{ operations: ["*"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"] }],
    sideEffects: "None",
    admissionReviewVersions: ["v2", "v1"],
    ...more,
  };
}
async function mutating(name: string, ...webhooks: readonly MutatingWebhook[]): Promise<void> {
  await world.client.create(mutatingWebhookConfigurations, {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: { name },
    webhooks: [...webhooks],
  });
}
async function validating(...webhooks: readonly MutatingWebhook[]): Promise<void> {
  await world.client.create(validatingWebhookConfigurations, {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingWebhookConfiguration",
    metadata: { name: "v" },
    webhooks: webhooks.map(({ reinvocationPolicy: _, ...one }) => one),
  });
}
let number = 0;
const configMap = (more: Partial<ConfigMap> = {}): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  data: { a: "1" },
  ...more,
  metadata: { name: `c${++number}`, namespace: "default", ...more.metadata },
});
const patched = (...operations: readonly object[]) => ({
  allowed: true,
  patchType: "JSONPatch",
  patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
});
async function failure(work: Promise<unknown>): Promise<ApiError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("it was let through");
}

describe("what a webhook is asked", () => {
  test("a create by its Service: address, name, trust and review", async () => {
    const caBundle = Buffer.from("PEM").toString("base64");
    const service = { namespace: "default", name: "hook", port: 8443, path: "/admit" };
    await validating(hook({ clientConfig: { caBundle, service }, timeoutSeconds: 7 }));
    const sent = configMap();
    await world.client.create(configMaps, sent);
    expect(called).toHaveLength(1);
    expect(called[0]?.url).toBe("https://10.42.0.9:9443/admit?timeout=7s");
    expect(called[0]?.host).toBe("hook.default.svc:8443");
    expect(called[0]?.options?.tls).toEqual({ ca: "PEM", serverName: "hook.default.svc" });
    expect(called[0]?.review).toMatchObject({
      apiVersion: "admission.k8s.io/v1",
      request: {
        kind: { group: "", version: "v1", kind: "ConfigMap" },
        resource: { group: "", version: "v1", resource: "configmaps" },
        name: sent.metadata.name,
        namespace: "default",
        operation: "CREATE",
        userInfo: { groups: ["system:masters", "system:authenticated"] },
        object: { kind: "ConfigMap", apiVersion: "v1", data: { a: "1" } },
        oldObject: null,
        dryRun: false,
        options: { kind: "CreateOptions", apiVersion: "meta.k8s.io/v1" },
      },
    });
  });

  test("updates show both objects, deletes only the old one", async () => {
    const made = await world.client.create(configMaps, configMap());
    await validating(hook());
    await world.client.update(configMaps, { ...made, data: { a: "2" } });
    await world.client.delete(configMaps, "default", made.metadata.name ?? "");
    const asked = called.map(({ review }) => review.request);
    expect(asked.map(({ operation }) => operation)).toEqual(["UPDATE", "DELETE"]);
    expect(asked[0]).toMatchObject({
      object: { data: { a: "2" } },
      oldObject: { data: { a: "1" } },
    });
    expect(asked[1]).toMatchObject({ object: null, oldObject: { data: { a: "2" } } });
  });

  test("rules, selectors and scope decide", async () => {
    const rule = { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"] };
    const calls = async (more: Partial<MutatingWebhook>, sent = configMap()): Promise<number> => {
      called = [];
      await validating(hook(more));
      await world.client.create(configMaps, sent);
      await world.client.delete(validatingWebhookConfigurations, "", "v");
      return called.filter(({ review }) => review.request.operation === "CREATE").length;
    };
    expect(await calls({ rules: [{ ...rule, resources: ["*"] }] })).toBe(1);
    expect(await calls({ rules: [{ ...rule, resources: ["pods"] }] })).toBe(0);
    expect(await calls({ rules: [{ ...rule, resources: ["configmaps/status"] }] })).toBe(0);
    expect(await calls({ rules: [{ ...rule, resources: ["*/*"], scope: "Cluster" }] })).toBe(0);
    expect(await calls({ rules: [{ ...rule, resources: ["*/*"], scope: "Namespaced" }] })).toBe(1);
    expect(await calls({ rules: [{ ...rule, operations: ["UPDATE"], resources: ["*"] }] })).toBe(0);
    const inDefault = { matchLabels: { "kubernetes.io/metadata.name": "default" } };
    expect(await calls({ namespaceSelector: inDefault })).toBe(1);
    const elsewhere = { matchLabels: { "kubernetes.io/metadata.name": "other" } };
    expect(await calls({ namespaceSelector: elsewhere })).toBe(0);
    const objectSelector = { matchLabels: { watched: "yes" } };
    expect(await calls({ objectSelector })).toBe(0);
    const labelled = configMap({ metadata: { name: "labelled", labels: { watched: "yes" } } });
    labelled.metadata.namespace = "default";
    expect(await calls({ objectSelector }, labelled)).toBe(1);
  });

  test("other versions of an object are shown converted, unless Exact is wanted", async () => {
    const rules = [
      {
        operations: ["CREATE"],
        apiGroups: ["autoscaling"],
        apiVersions: ["v1"],
        resources: ["horizontalpodautoscalers"],
      },
    ];
    const scaler = (name: string) => ({
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: { name, namespace: "default" },
      spec: {
        maxReplicas: 3,
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
      },
    });
    await validating(
      hook({ rules }),
      hook({ name: "exact.example.com", rules, matchPolicy: "Exact" }),
    );
    await world.client.create(horizontalPodAutoscalers, scaler("one"));
    expect(called).toHaveLength(1);
    expect(called[0]?.review.request).toMatchObject({
      kind: { group: "autoscaling", version: "v1" },
      requestKind: { group: "autoscaling", version: "v2" },
      object: { apiVersion: "autoscaling/v1", spec: { maxReplicas: 3 } },
    });
  });

  test("webhook configurations are never reviewed", async () => {
    answer = () => ({ allowed: false });
    const all = { operations: ["*"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"] };
    await validating(hook({ rules: [all] }));
    await mutating("m", hook({ rules: [] }));
    await world.client.delete(mutatingWebhookConfigurations, "", "m");
    expect(called).toEqual([]);
  });
});

describe("what a webhook answers", () => {
  test("a refusal carries its words, code and reason", async () => {
    await validating(hook());
    answer = () => ({
      allowed: false,
      status: { message: "not on Fridays", code: 403, reason: "Forbidden" },
    });
    const refused = await failure(world.client.create(configMaps, configMap()));
    expect(refused.code).toBe(403);
    expect(refused.reason).toBe("Forbidden");
    expect(refused.message).toBe(
      'admission webhook "hook.example.com" denied the request: not on Fridays',
    );
    answer = () => ({ allowed: false });
    const silent = await failure(world.client.create(configMaps, configMap()));
    expect(silent.code).toBe(400);
    expect(silent.message).toBe(
      'admission webhook "hook.example.com" denied the request without explanation',
    );
  });

  test("a patch changes the object, which is pruned and defaulted again", async () => {
    const rules = [
      { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] },
    ];
    await mutating("m", hook({ rules }));
    answer = () =>
      patched(
        { op: "add", path: "/spec/initContainers", value: [{ name: "i", image: "busybox" }] },
        { op: "add", path: "/spec/unknownField", value: 1 },
      );
    const pod: Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "default" },
      spec: { containers: [{ name: "c", image: "busybox" }] },
    };
    const made = await world.client.create(pods, pod);
    expect(made.spec.initContainers?.[0]).toMatchObject({
      imagePullPolicy: "Always",
      terminationMessagePath: "/dev/termination-log",
    });
    expect(made.spec).not.toHaveProperty("unknownField");
  });

  test("webhooks see what those before them did; one that wants to is asked again", async () => {
    const on = (name: string, path: string, reinvocationPolicy: string) => {
      const service = { namespace: "default", name: "hook", port: 8443, path };
      return hook({ name: `${name}.example.com`, clientConfig: { service }, reinvocationPolicy });
    };
    await mutating("a", on("first", "/first", "IfNeeded"));
    await mutating("b", on("second", "/second", "Never"));
    answer = ({ request }, path) => {
      const { data } = request.object as ConfigMap;
      if (path === "/second") return patched({ op: "add", path: "/data/b", value: "2" });
      return data?.b === undefined
        ? patched({ op: "add", path: "/data/first", value: "before" })
        : patched({ op: "replace", path: "/data/first", value: "after" });
    };
    const made = await world.client.create(configMaps, configMap());
    expect(called.map(({ url }) => new URL(url).pathname)).toEqual(["/first", "/second", "/first"]);
    expect(made.data).toEqual({ a: "1", b: "2", first: "after" });
  });

  test("warnings come with the answer", async () => {
    await validating(hook());
    answer = () => ({ allowed: true, warnings: ["mind the gap"] });
    const made = configMap();
    const request = requestFor(configMaps as never, "create", { body: made });
    const response = await world.pipeline.handle(request);
    expect(response.warnings).toEqual(["mind the gap"]);
  });
});

describe("a webhook that fails", () => {
  const refused = Object.assign(new Error("Unable to connect"), { code: "ECONNREFUSED" });

  test("refuses by default, and is passed over when that is its policy", async () => {
    answer = () => refused;
    await validating(hook());
    const failed = await failure(world.client.create(configMaps, configMap()));
    expect(failed.code).toBe(500);
    expect(failed.message).toBe(
      'Internal error occurred: failed calling webhook "hook.example.com": ' +
        "failed to call webhook: " +
        'Post "https://hook.default.svc:8443/admit?timeout=10s": ' +
        "dial tcp 10.42.0.9:9443: connect: connection refused",
    );
    await world.client.delete(validatingWebhookConfigurations, "", "v");
    await validating(hook({ failurePolicy: "Ignore" }));
    await world.client.create(configMaps, configMap());
  });

  test("no endpoints, no Service, a wrong answer: each is named", async () => {
    const told = async (more: Partial<MutatingWebhook>): Promise<string> => {
      await validating(hook(more));
      const { message } = await failure(world.client.create(configMaps, configMap()));
      await world.client.delete(validatingWebhookConfigurations, "", "v");
      return message;
    };
    const service = { namespace: "default", name: "absent", port: 443 };
    expect(await told({ clientConfig: { service } })).toContain('service "absent" not found');
    const port = { namespace: "default", name: "hook", port: 1 };
    expect(await told({ clientConfig: { service: port } })).toContain("no service port 1 found");
    answer = () => ({ uid: "another", allowed: true });
    expect(await told({})).toContain("expected response.uid=");
    answer = () => ({ allowed: true, patch: "W10=" });
    expect(await told({})).toContain("response.patch but not response.patchType");
  });

  test("a webhook leads nowhere else: CVE-2020-8561", async () => {
    await mutating("m", hook());
    // What fetch throws for a redirect that it must not follow.
    answer = () => Object.assign(new Error("redirected"), { code: "UnexpectedRedirect" });
    const error = await failure(world.client.create(configMaps, configMap()));
    expect(called.map(({ redirect }) => redirect)).toEqual(["error"]);
    expect(error.message).toEndWith("redirected");
  });

  test("what an ignored webhook answers stays out of the log", async () => {
    await mutating("m", hook({ failurePolicy: "Ignore" }));
    answer = () => ({ uid: "the secret of another server", allowed: true });
    await world.client.create(configMaps, configMap());
    expect(world.runtime.logged.join()).toContain("its answer is of no use");
    expect(world.runtime.logged.join()).not.toContain("the secret of another server");
  });

  test("a dry run is told as such, and stores nothing", async () => {
    await validating(hook());
    const body = configMap();
    const query = { dryRun: "All" };
    await world.pipeline.handle(requestFor(configMaps as never, "create", { body, query }));
    expect(called[0]?.review.request).toMatchObject({
      dryRun: true,
      options: { dryRun: ["All"] },
    });
    const { name = "" } = body.metadata;
    const gone = await failure(world.client.get(configMaps, "default", name));
    expect(gone.reason).toBe("NotFound");
  });

  test("a namespace that is not there is told as such", async () => {
    await validating(hook());
    const sent = configMap({ metadata: { namespace: "absent" } });
    const { message } = await failure(world.client.create(configMaps, sent));
    expect(message).toContain('namespaces "absent" not found');
    expect(await world.client.list(namespaces, "")).toBeDefined();
  });
});
