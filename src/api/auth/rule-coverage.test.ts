import { expect, test } from "bun:test";
import { compactRules, ruleText, uncovered } from "./rule-coverage.ts";

const pods = { verbs: ["get", "list"], apiGroups: [""], resources: ["pods"] };

test("uncovered() is empty when every part is held by some rule", () => {
  const held = [
    { verbs: ["get"], apiGroups: ["*"], resources: ["*"] },
    { verbs: ["list"], apiGroups: [""], resources: ["pods", "nodes"] },
  ];
  expect(uncovered(held, [pods])).toEqual([]);
});

test("uncovered() names the verbs, names and URLs that are missing", () => {
  const held = [
    { ...pods, resourceNames: ["a"] },
    { verbs: ["get"], nonResourceURLs: ["/api/*"] },
    { verbs: ["get"], apiGroups: [""], resources: ["*/log"] },
  ];
  expect(uncovered(held, [{ ...pods, resourceNames: ["a"] }])).toEqual([]);
  expect(uncovered(held, [{ ...pods, resources: ["pods/log"], verbs: ["get"] }])).toEqual([]);
  expect(uncovered(held, [{ verbs: ["get"], nonResourceURLs: ["/api/v1", "/apis"] }])).toEqual([
    { verbs: ["get"], nonResourceURLs: ["/apis"] },
  ]);
  const missing = compactRules(uncovered(held, [pods]));
  expect(missing).toEqual([pods]);
  expect(missing.map(ruleText)).toEqual([
    '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
  ]);
});
