import { expect, test } from "bun:test";
import type { PolicyRule } from "../../gen/rbac-v1.ts";
import type { Attributes } from "../authorizer.ts";
import { bootstrapBindings, bootstrapRoles } from "./bootstrap-policy.ts";
import { ruleAllows } from "./rbac.ts";

const base: Attributes = {
  user: { name: "jane", uid: "", groups: [], extra: {} },
  verb: "get",
  group: "",
  version: "v1",
  resource: "pods",
  subresource: "",
  namespace: "default",
  name: "a",
  path: "",
  isResourceRequest: true,
};
const rows: readonly (readonly [string, PolicyRule, Partial<Attributes>, boolean])[] = [
  ["its verb", { verbs: ["get"], apiGroups: [""], resources: ["pods"] }, {}, true],
  ["another verb", { verbs: ["list"], apiGroups: [""], resources: ["pods"] }, {}, false],
  ["another group", { verbs: ["*"], apiGroups: ["apps"], resources: ["*"] }, {}, false],
  [
    "a subresource by name",
    { verbs: ["get"], apiGroups: [""], resources: ["pods/log"] },
    { subresource: "log" },
    true,
  ],
  [
    "a subresource by the resource alone",
    { verbs: ["get"], apiGroups: [""], resources: ["pods"] },
    { subresource: "log" },
    false,
  ],
  [
    "any subresource of that name",
    { verbs: ["get"], apiGroups: ["*"], resources: ["*/scale"] },
    { subresource: "scale" },
    true,
  ],
  [
    "a name that is listed",
    { verbs: ["get"], apiGroups: [""], resources: ["pods"], resourceNames: ["a"] },
    {},
    true,
  ],
  [
    "a name that is not listed",
    { verbs: ["get"], apiGroups: [""], resources: ["pods"], resourceNames: ["b"] },
    {},
    false,
  ],
  [
    "a path below a star",
    { verbs: ["get"], nonResourceURLs: ["/healthz/*"] },
    { isResourceRequest: false, path: "/healthz/ping" },
    true,
  ],
];
for (const [what, rule, more, expected] of rows)
  test(`ruleAllows() ${expected ? "covers" : "does not cover"} ${what}`, () => {
    expect(ruleAllows(rule, { ...base, ...more })).toBe(expected);
  });

test("every bound role of the bootstrap policy exists, and every rule has a verb", () => {
  const names = new Set(bootstrapRoles().map((role) => role.metadata.name));
  for (const { roleRef } of bootstrapBindings()) expect(names.has(roleRef.name)).toBe(true);
  for (const { rules = [] } of bootstrapRoles())
    for (const rule of rules) expect(rule.verbs.length).toBeGreaterThan(0);
});
