import { expect, test } from "bun:test";
import { decodeAuthorizationConfig } from "./authorization-config.ts";

const head = { apiVersion: "apiserver.config.k8s.io/v1", kind: "AuthorizationConfiguration" };
const webhook = {
  timeout: "3s",
  subjectAccessReviewVersion: "v1",
  matchConditionSubjectAccessReviewVersion: "v1",
  failurePolicy: "Deny",
  connectionInfo: { type: "KubeConfigFile", kubeConfigFile: "/etc/hook.kubeconfig" },
  matchConditions: [{ expression: "has(request.resourceAttributes)" }],
};
const of = (...authorizers: object[]) => ({ ...head, authorizers });
const hook = (more: object) => of({ type: "Webhook", name: "a", webhook: { ...webhook, ...more } });

test("decodeAuthorizationConfig() keeps the order and fills in times", () => {
  const value = of(
    { type: "Webhook", name: "first", webhook },
    { type: "Node", name: "node" },
    { type: "RBAC", name: "rbac" },
    { type: "Webhook", name: "last", webhook: { ...webhook, cacheUnauthorizedRequests: false } },
  );
  const [first, node, rbac, last] = decodeAuthorizationConfig(value);
  expect([node, rbac]).toEqual([
    { type: "Node", name: "node" },
    { type: "RBAC", name: "rbac" },
  ]);
  const settings = {
    authorizedTtlMs: 300_000,
    unauthorizedTtlMs: 30_000,
    timeoutMs: 3000,
    reviewVersion: "v1" as const,
    failurePolicy: "Deny" as const,
    kubeconfigFile: "/etc/hook.kubeconfig",
    matchConditions: ["has(request.resourceAttributes)"],
  };
  expect(first).toEqual({ type: "Webhook", name: "first", webhook: settings });
  expect(last).toMatchObject({ webhook: { ...settings, unauthorizedTtlMs: 0 } });
});

const wrong: readonly (readonly [value: object, message: string])[] = [
  [{ ...head, kind: "Other" }, 'no kind "Other" is registered for version'],
  [of(), "authorizers: Required value: at least one authorization mode must be defined"],
  [{ ...of({ type: "RBAC", name: "a" }), more: 1 }, 'strict decoding error: unknown field "more"'],
  [of({ name: "a" }), "authorizers[0].type: Required value"],
  [
    of({ type: "ABAC", name: "a" }),
    'authorizers[0].type: Unsupported value: "ABAC": supported values: "AlwaysAllow"',
  ],
  [of({ type: "RBAC" }), "authorizers[0].name: Required value"],
  [
    of({ type: "RBAC", name: "A" }),
    'authorizers[0].name: Invalid value: "A": authorizer name is invalid: a lowercase RFC 1123',
  ],
  [
    of({ type: "RBAC", name: "a" }, { type: "RBAC", name: "a" }),
    '[authorizers[1].name: Duplicate value: "a", authorizers[1].type: Duplicate value: "RBAC"]',
  ],
  [
    of({ type: "RBAC", name: "a", webhook }),
    'authorizers[0].webhook: Invalid value: "non-null": may only be specified when type=Webhook',
  ],
  [
    of({ type: "Webhook", name: "a" }),
    "authorizers[0].webhook: Required value: required when type=Webhook",
  ],
  [hook({ timeout: "31s" }), 'timeout: Invalid value: "31s": must be > 0s and <= 30s'],
  [hook({ timeout: "soon" }), 'timeout: time: invalid duration "soon"'],
  [hook({ authorizedTTL: "-1s" }), 'authorizedTTL: Invalid value: "-1s": must be > 0s'],
  [hook({ failurePolicy: "Allow" }), 'failurePolicy: Unsupported value: "Allow"'],
  [hook({ subjectAccessReviewVersion: "" }), "subjectAccessReviewVersion: Required value"],
  [
    hook({ matchConditionSubjectAccessReviewVersion: "" }),
    "matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are",
  ],
  [
    hook({ connectionInfo: { type: "KubeConfigFile", kubeConfigFile: "a" } }),
    'connectionInfo.kubeConfigFile: Invalid value: "a": must be an absolute path',
  ],
  [
    hook({ matchConditions: [{ expression: "true" }, { expression: "true" }] }),
    'matchConditions[1].expression: Duplicate value: "true"',
  ],
  [
    hook({ matchConditions: Array(65).fill({ expression: "true" }) }),
    "matchConditions: Too many: 65: must have at most 64 items",
  ],
];
for (const [value, message] of wrong) {
  test(`decodeAuthorizationConfig() refuses: ${message}`, () => {
    expect(() => decodeAuthorizationConfig(value)).toThrow(message);
  });
}
