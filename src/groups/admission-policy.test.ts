/** Admission policies and match conditions: CEL against the built-in kinds. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { requestFor } from "../api/test-world.ts";
import {
  configMaps,
  deployments,
  namespaces,
  pods,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  validatingWebhookConfigurations,
} from "../client/resources.ts";
import type {
  ValidatingAdmissionPolicyBindingSpec,
  ValidatingAdmissionPolicySpec,
} from "../gen/admissionregistration-v1.ts";
import type { ConfigMap } from "../gen/core-v1.ts";
import { ApiError } from "../lib/api-error.ts";
import { createMetrics } from "../runtime/metrics.ts";
import { openWorld, type World } from "./test-world.ts";

const apiVersion = "admissionregistration.k8s.io/v1";
const rule = (plural: string, group = "") => ({
  operations: ["CREATE", "UPDATE"],
  apiGroups: [group],
  apiVersions: ["v1"],
  resources: [plural],
});
let world: World;
let number = 0;
const metrics = createMetrics();

beforeAll(async () => {
  world = await openWorld({ metrics });
});
afterAll(() => world[Symbol.asyncDispose]());
afterEach(async () => {
  for (const kind of [validatingAdmissionPolicies, validatingAdmissionPolicyBindings]) {
    for (const { metadata } of (await world.client.list(kind as never, "")).items) {
      await world.client.delete(kind as never, "", metadata.name ?? "");
    }
  }
});

async function policy(
  spec: Partial<ValidatingAdmissionPolicySpec>,
  binding: Partial<ValidatingAdmissionPolicyBindingSpec> = {},
): Promise<void> {
  await world.client.create(validatingAdmissionPolicies, {
    apiVersion,
    kind: "ValidatingAdmissionPolicy",
    metadata: { name: "p" },
    spec: { matchConstraints: { resourceRules: [rule("configmaps")] }, ...spec },
  });
  await world.client.create(validatingAdmissionPolicyBindings, {
    apiVersion,
    kind: "ValidatingAdmissionPolicyBinding",
    metadata: { name: "b" },
    spec: { policyName: "p", validationActions: ["Deny"], ...binding },
  });
}
function configMap(data: Record<string, string>, labels = {}): ConfigMap {
  const metadata = { name: `c${++number}`, namespace: "default", labels };
  return { apiVersion: "v1", kind: "ConfigMap", metadata, data };
}
const create = (data: Record<string, string>, labels = {}) =>
  world.client.create(configMaps, configMap(data, labels));
async function failure(work: Promise<unknown>): Promise<ApiError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("it was let through");
}

describe("a validating policy", () => {
  test("denies with upstream's Status", async () => {
    await policy({
      matchConstraints: { resourceRules: [rule("deployments", "apps")] },
      validations: [{ expression: "object.spec.replicas <= 2" }],
    });
    const template = {
      metadata: { labels: { a: "b" } },
      spec: { containers: [{ name: "c", image: "i" }] },
    };
    const deployment = (replicas: number) => ({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: `d${replicas}`, namespace: "default" },
      spec: { replicas, selector: { matchLabels: { a: "b" } }, template },
    });
    await world.client.create(deployments, deployment(2));
    const refused = await failure(world.client.create(deployments, deployment(3)));
    const why =
      "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: " +
      "failed expression: object.spec.replicas <= 2";
    expect(refused.message).toBe(`deployments.apps "d3" is forbidden: ${why}`);
    expect([refused.code, refused.reason]).toEqual([422, "Invalid"]);
    expect(refused.details?.causes?.[0]?.message).toBe(why);
  });

  test("tells its message, the one an expression makes, and its reason", async () => {
    await policy({
      variables: [
        { name: "size", expression: "size(object.data)" },
        { name: "twice", expression: "variables.size * 2" },
      ],
      validations: [
        { expression: "!('plain' in object.data)", message: "no plain", reason: "Forbidden" },
        {
          expression: "variables.twice <= 2",
          message: "unused",
          messageExpression: "'%d entries'.format([variables.size])",
        },
      ],
    });
    const plain = await failure(create({ plain: "1" }));
    expect(plain.message).toEndWith("denied request: no plain");
    expect([plain.code, plain.reason]).toEqual([403, "Forbidden"]);
    expect((await failure(create({ a: "", b: "" }))).message).toEndWith("request: 2 entries");
    await create({ a: "1" });
  });

  test("is counted by what comes of it", async () => {
    const count = (action: string, error: string): number => {
      const labels = `enforcement_action="${action}",error_type="${error}",policy="p",`;
      const name = "apiserver_validating_admission_policy_check_total";
      const sample = `${name}{${labels}policy_binding="b"} `;
      const line = metrics
        .text()
        .split("\n")
        .find((one) => one.startsWith(sample));
      return Number(line?.slice(sample.length) ?? 0);
    };
    const before = [count("deny", "no_error"), count("audit", "no_error")] as const;
    const validations = [
      { expression: "object.data.a == 'x'" },
      { expression: "object.data.missing == ''" },
    ];
    const validationActions = ["Deny", "Audit"];
    await policy({ validations, failurePolicy: "Ignore" }, { validationActions });
    await failure(create({ a: "y" }));
    expect(count("deny", "no_error")).toBe(before[0] + 1);
    expect(count("audit", "no_error")).toBe(before[1] + 1);
    expect(count("allow", "invalid_error")).toBe(1);
    const seconds = "apiserver_validating_admission_policy_check_duration_seconds_count{";
    expect(metrics.text()).toContain(`${seconds}enforcement_action="allow"`);
  });

  test("warns in place of denying when its binding says so", async () => {
    await policy(
      { validations: [{ expression: "false", message: "hm" }] },
      {
        validationActions: ["Warn", "Audit"],
      },
    );
    const body = configMap({});
    const answer = await world.pipeline.handle(requestFor(configMaps as never, "create", { body }));
    expect(answer.warnings).toEqual([
      "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': hm",
    ]);
  });

  test("sees old objects, the request, the namespace and what the user may do", async () => {
    await policy({
      validations: [
        { expression: "oldObject == null || object.data.a == oldObject.data.a", message: "kept" },
        {
          expression:
            "request.operation in ['CREATE', 'UPDATE'] && request.kind.kind == 'ConfigMap'",
        },
        { expression: "namespaceObject.metadata.name == request.namespace" },
        {
          expression: "authorizer.group('').resource('pods').namespace('x').check('get').allowed()",
        },
        { expression: "authorizer.requestResource.check('delete').allowed()" },
        {
          expression:
            "!authorizer.serviceAccount('default', 'x').path('/metrics').check('get').allowed()",
        },
      ],
    });
    const made = await create({ a: "1" });
    const changed = { ...made, data: { a: "2" } };
    expect((await failure(world.client.update(configMaps, changed))).message).toContain("kept");
  });

  test("is narrowed by conditions, exclusions, names and the binding's own match", async () => {
    const denies = async (
      spec: Partial<ValidatingAdmissionPolicySpec>,
      binding: Partial<ValidatingAdmissionPolicyBindingSpec> = {},
    ): Promise<boolean> => {
      await policy({ validations: [{ expression: "false" }], ...spec }, binding);
      const answer = await world.client
        .create(configMaps, configMap({ a: "1" }, { tier: "web" }))
        .then(() => false)
        .catch((error: unknown) => error instanceof ApiError);
      await world.client.delete(validatingAdmissionPolicies, "", "p");
      await world.client.delete(validatingAdmissionPolicyBindings, "", "b");
      return answer;
    };
    const rules = [rule("configmaps")];
    expect(await denies({})).toBe(true);
    const skip = [{ name: "skip", expression: "object.data.a != '1'" }];
    expect(await denies({ matchConditions: skip })).toBe(false);
    const out = { resourceRules: rules, excludeResourceRules: rules };
    expect(await denies({ matchConstraints: out })).toBe(false);
    const named = { resourceRules: [{ ...rule("configmaps"), resourceNames: ["other"] }] };
    expect(await denies({ matchConstraints: named })).toBe(false);
    const db = { objectSelector: { matchLabels: { tier: "db" } } };
    expect(await denies({}, { matchResources: db })).toBe(false);
    const web = { objectSelector: { matchLabels: { tier: "web" } } };
    expect(await denies({}, { matchResources: web })).toBe(true);
  });

  test("takes parameters by name and by selector", async () => {
    const limit = configMap({ most: "1" }, { role: "limit" });
    await world.client.create(configMaps, limit);
    const spec = {
      paramKind: { apiVersion: "v1", kind: "ConfigMap" },
      matchConstraints: { resourceRules: [rule("pods")] },
      validations: [
        {
          expression: "size(object.spec.containers) <= int(params.data.most)",
          message: "too many",
        },
      ],
    };
    const pod = (containers: number) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `p${++number}`, namespace: "default" },
      spec: {
        containers: Array.from({ length: containers }, (_, i) => ({ name: `c${i}`, image: "i" })),
      },
    });
    const parameterNotFoundAction = "Deny";
    await policy(spec, { paramRef: { name: limit.metadata.name ?? "", parameterNotFoundAction } });
    await world.client.create(pods, pod(1));
    expect((await failure(world.client.create(pods, pod(2)))).message).toContain("too many");
    const bound = await world.client.get(validatingAdmissionPolicyBindings, "", "b");
    const selector = { matchLabels: { role: "limit" } };
    const next = await world.client.update(validatingAdmissionPolicyBindings, {
      ...bound,
      spec: { ...bound.spec, paramRef: { selector, parameterNotFoundAction } },
    });
    expect((await failure(world.client.create(pods, pod(2)))).message).toContain("too many");
    await world.client.update(validatingAdmissionPolicyBindings, {
      ...next,
      spec: { ...next.spec, paramRef: { name: "absent", parameterNotFoundAction } },
    });
    expect((await failure(world.client.create(pods, pod(1)))).message).toContain(
      "no params found for policy binding with `Deny` parameterNotFoundAction",
    );
  });

  test("that cannot be evaluated denies, or lets through when it may fail", async () => {
    const validations = [{ expression: "object.data.absent == 'x'" }];
    await policy({ validations });
    expect((await failure(create({ a: "1" }))).message).toContain(
      "expression 'object.data.absent == 'x'' resulted in error: no such key: absent",
    );
    const made = await world.client.get(validatingAdmissionPolicies, "", "p");
    await world.client.update(validatingAdmissionPolicies, {
      ...made,
      spec: { ...made.spec, failurePolicy: "Ignore" },
    });
    await create({ a: "1" });
  });
});

describe("expressions are compiled when they are written", () => {
  test("of policies", async () => {
    const refused = await failure(
      policy({
        variables: [{ name: "1st", expression: "1" }],
        matchConditions: [{ name: "m", expression: "objekt.x == 1" }],
        validations: [{ expression: "object.x +" }, { expression: "1" }],
      }),
    );
    expect(refused.code).toBe(422);
    const fields = refused.details?.causes?.map(({ field }) => field);
    expect(fields).toEqual([
      "spec.matchConditions[0].expression",
      "spec.variables[0].name",
      "spec.validations[0].expression",
      "spec.validations[1].expression",
    ]);
    expect(refused.message).toContain("undeclared reference to 'objekt'");
    expect(refused.message).toContain("must evaluate to bool");
  });

  test("of webhooks", async () => {
    const webhook = {
      name: "a.example.com",
      clientConfig: { url: "https://127.0.0.1/" },
      sideEffects: "None",
      admissionReviewVersions: ["v1"],
      matchConditions: [{ name: "m", expression: "object.metadata.name ==" }],
    };
    const refused = await failure(
      world.client.create(validatingWebhookConfigurations, {
        apiVersion,
        kind: "ValidatingWebhookConfiguration",
        metadata: { name: "w" },
        webhooks: [webhook],
      }),
    );
    expect(refused.details?.causes?.[0]?.field).toBe("webhooks[0].matchConditions[0].expression");
    expect(refused.message).toContain("compilation failed");
  });
});

test("a webhook is passed over when its conditions do not hold", async () => {
  await world.client.create(validatingWebhookConfigurations, {
    apiVersion,
    kind: "ValidatingWebhookConfiguration",
    metadata: { name: "w" },
    webhooks: [
      {
        name: "a.example.com",
        // Nobody is there: a call would refuse the request.
        clientConfig: { service: { namespace: "default", name: "absent" } },
        rules: [rule("namespaces")],
        sideEffects: "None",
        admissionReviewVersions: ["v1"],
        matchConditions: [{ name: "m", expression: "object.metadata.name != 'free'" }],
      },
    ],
  });
  const namespace = (name: string) => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name },
    spec: {},
  });
  await world.client.create(namespaces, namespace("free"));
  expect((await failure(world.client.create(namespaces, namespace("other")))).code).toBe(500);
});
