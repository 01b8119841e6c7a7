import { expect, test } from "bun:test";
import type { AuditedAttributes } from "./policy.ts";
import { auditEvaluator, decodePolicy, policyWarnings } from "./policy.ts";

const head = { apiVersion: "audit.k8s.io/v1", kind: "Policy" };
const jane = { name: "jane", uid: "", groups: ["dev", "system:authenticated"], extra: {} };

function asked(more: Partial<AuditedAttributes> = {}): AuditedAttributes {
  return {
    user: jane,
    verb: "get",
    group: "",
    version: "v1",
    resource: "pods",
    subresource: "",
    namespace: "shop",
    name: "web",
    path: "",
    isResourceRequest: true,
    ...more,
  };
}
const path = (text: string) => asked({ isResourceRequest: false, resource: "", path: text });
const pods = (...resources: string[]) => ({ resources: [{ group: "", resources }] });

const matches: readonly (readonly [rule: object, attributes: AuditedAttributes, is: boolean])[] = [
  [{}, asked(), true],
  [{ users: ["jane"] }, asked(), true],
  [{ users: ["jane"] }, asked({ user: undefined }), false],
  [{ userGroups: ["ops", "dev"] }, asked(), true],
  [{ userGroups: ["ops"] }, asked(), false],
  [{ verbs: ["list"] }, asked(), false],
  [{ namespaces: ["shop"] }, asked(), true],
  [{ namespaces: [""] }, asked({ namespace: "" }), true],
  [{ namespaces: ["shop"] }, path("/healthz"), false],
  [pods("pods"), asked(), true],
  [pods("pods"), asked({ subresource: "log" }), false],
  [pods("pods/log"), asked({ subresource: "log" }), true],
  [pods("pods/*"), asked({ subresource: "log" }), true],
  [pods("*/log"), asked({ subresource: "log" }), true],
  [pods("*"), asked({ subresource: "log" }), true],
  [{ resources: [{ group: "apps" }] }, asked(), false],
  [{ resources: [{ group: "*" }] }, asked({ group: "apps" }), true],
  [{ resources: [{ resources: ["pods"], resourceNames: ["web"] }] }, asked(), true],
  [{ resources: [{ resources: ["pods"], resourceNames: ["db"] }] }, asked(), false],
  [{ nonResourceURLs: ["/healthz*"] }, path("/healthz/ping"), true],
  [{ nonResourceURLs: ["/healthz"] }, path("/healthz/ping"), false],
  [{ nonResourceURLs: ["*"] }, path("/metrics"), true],
  [{ nonResourceURLs: ["*"] }, asked(), false],
];
for (const [rule, attributes, is] of matches) {
  const of = attributes.path || `${attributes.resource}/${attributes.subresource}`;
  test(`a rule ${JSON.stringify(rule)} is ${is ? "" : "not "}about ${of}`, () => {
    const policy = decodePolicy({ ...head, rules: [{ level: "Metadata", ...rule }] });
    expect(auditEvaluator(policy)(attributes).level).toBe(is ? "Metadata" : "None");
  });
}

test("auditEvaluator() takes the first rule that matches, and joins what is omitted", () => {
  const evaluate = auditEvaluator(
    decodePolicy({
      ...head,
      omitStages: ["RequestReceived"],
      omitManagedFields: true,
      rules: [
        { level: "None", users: ["root"] },
        { level: "Request", omitStages: ["Panic"], omitManagedFields: false },
        { level: "Metadata" },
      ],
    }),
  );
  expect(evaluate(asked())).toEqual({
    level: "Request",
    omitStages: new Set(["RequestReceived", "Panic"]),
    omitManagedFields: false,
  });
});

test("policyWarnings() names what nobody knows, anywhere in the policy", () => {
  const resources = [{ group: "", resource: "pods" }];
  const policy = { ...head, rule: 1, rules: [{ level: "None", user: "a", resources }] };
  expect(policyWarnings(policy)).toEqual([
    'unknown field "rule"',
    'unknown field "rules[0].user"',
    'unknown field "rules[0].resources[0].resource"',
  ]);
  expect(decodePolicy(policy).rules).toHaveLength(1);
});

const wrong: readonly (readonly [policy: object, message: string])[] = [
  [{ kind: "Policy" }, "unknown group version field , Kind=Policy in policy"],
  [
    { ...head, apiVersion: "audit.k8s.io/v1beta1", rules: [{}] },
    "unknown group version field audit.k8s.io/v1beta1, Kind=Policy in policy",
  ],
  [head, "loaded illegal policy with 0 rules"],
  [{ ...head, rules: "all" }, "failed decoding: rules is not of type list"],
  [{ ...head, rules: [{}] }, "rules[0].level: Required value"],
  [
    { ...head, rules: [{ level: "Everything" }] },
    'rules[0].level: Unsupported value: "Everything": supported values: "None", "Metadata", ' +
      '"Request", "RequestResponse"',
  ],
  [
    { ...head, rules: [{ level: "None", nonResourceURLs: ["healthz", "/a*b"] }] },
    `[rules[0].nonResourceURLs[0]: Invalid value: "healthz": non-resource URL rules must begin ` +
      `with a '/' character, rules[0].nonResourceURLs[1]: Invalid value: "/a*b": non-resource ` +
      "URL wildcards '*' must be the final character of the rule]",
  ],
  [
    { ...head, rules: [{ level: "None", nonResourceURLs: ["/a"], namespaces: ["b"] }] },
    'rules[0].nonResourceURLs: Invalid value: ["/a"]: rules cannot apply to both regular ' +
      "resources and non-resource URLs",
  ],
  [
    { ...head, rules: [{ level: "None", resources: [{ group: "apps/v1" }] }] },
    'rules[0].resources.group: Invalid value: "apps/v1": a lowercase RFC 1123 subdomain must',
  ],
  [
    { ...head, rules: [{ level: "None", resources: [{ resourceNames: ["a"] }] }] },
    'rules[0].resources.resourceNames: Invalid value: ["a"]: using resourceNames requires at ' +
      "least one resource",
  ],
  [
    { ...head, omitStages: ["Never"], rules: [{ level: "None" }] },
    'omitStages[0]: Invalid value: "Never": allowed stages are RequestReceived,ResponseStarted,' +
      "ResponseComplete,Panic",
  ],
];
for (const [policy, message] of wrong) {
  test(`decodePolicy() refuses ${JSON.stringify(policy)}`, () => {
    expect(() => decodePolicy(policy)).toThrow(message);
  });
}
