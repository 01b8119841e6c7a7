import { describe, expect, test } from "bun:test";
import { brokenRules, hasRules, usesOldSelf } from "./rules.ts";
import type { Structural, ValidationRule } from "./schema.ts";

const spec: Structural = {
  type: "object",
  properties: {
    replicas: { type: "integer" },
    maxReplicas: { type: "integer" },
    "full-name": { type: "string" },
    namespace: { type: "string" },
    deadline: { type: "string", format: "date-time" },
    wait: { type: "string", format: "duration" },
    port: { "x-kubernetes-int-or-string": true },
    labels: { type: "object", additionalProperties: { type: "string" } },
    tags: { type: "array", items: { type: "string" } },
  },
};

function withRule(rule: ValidationRule): Structural {
  const inner = { ...spec, "x-kubernetes-validations": [rule] };
  return { type: "object", properties: { spec: inner } };
}

function broken(rule: ValidationRule, value: object, old?: object) {
  const before = old === undefined ? undefined : { value: { spec: old } };
  return brokenRules({ spec: value }, withRule(rule), before);
}

describe("rules", () => {
  test.each([
    ["self.replicas <= self.maxReplicas", { replicas: 1, maxReplicas: 2 }, true],
    ["self.replicas <= self.maxReplicas", { replicas: 3, maxReplicas: 2 }, false],
    ["!has(self.replicas) || self.replicas > 0", {}, true],
    ["self.full__dash__name.startsWith('a')", { "full-name": "abc" }, true],
    ["self.__namespace__ == 'x'", { namespace: "x" }, true],
    ["self.deadline.getFullYear() == 2026", { deadline: "2026-05-01T00:00:00Z" }, true],
    ["self.wait < duration('1h')", { wait: "30m" }, true],
    ["type(self.port) == int ? self.port > 0 : self.port != ''", { port: 80 }, true],
    ["self.labels.all(k, self.labels[k] != '')", { labels: { a: "" } }, false],
    ["self.tags.exists(t, t == 'b')", { tags: ["a", "b"] }, true],
  ])("%s over %j is %p", (rule, value, holds) => {
    expect(broken({ rule }, value).length === 0).toBe(holds);
  });

  test("what fails is told at its place, in the rule's words", () => {
    expect(broken({ rule: "self.replicas > 1" }, { replicas: 1 })).toEqual([
      { type: "FieldValueInvalid", field: "spec", detail: "failed rule: self.replicas > 1" },
    ]);
    const rule: ValidationRule = {
      rule: "self.replicas > 1",
      message: "too few",
      messageExpression: "'only ' + string(self.replicas)",
      reason: "FieldValueForbidden",
      fieldPath: ".replicas",
    };
    expect(broken(rule, { replicas: 1 })).toEqual([
      { type: "FieldValueForbidden", field: "spec.replicas", detail: "only 1" },
    ]);
  });

  test("a rule that cannot be evaluated is a failure", () => {
    const [problem] = broken({ rule: "self.replicas > 1" }, {});
    expect(problem?.detail).toBe("no such key: replicas evaluating rule: self.replicas > 1");
  });

  test("rules about changes wait for something to compare with", () => {
    const rule = { rule: "self.replicas >= oldSelf.replicas", message: "never fewer" };
    expect(broken(rule, { replicas: 1 })).toEqual([]);
    expect(broken(rule, { replicas: 1 }, { replicas: 2 })).toHaveLength(1);
    const either = { rule: "oldSelf.hasValue() || self.replicas == 1", optionalOldSelf: true };
    expect(broken(either, { replicas: 2 })).toHaveLength(1);
    expect(broken(either, { replicas: 2 }, { replicas: 1 })).toEqual([]);
  });

  test("what did not change stays allowed", () => {
    const rule = { rule: "self.replicas > 1" };
    expect(broken(rule, { replicas: 1 }, { replicas: 1 })).toEqual([]);
    expect(broken(rule, { replicas: 0 }, { replicas: 1 })).toHaveLength(1);
  });

  test("rules are found at any depth, oldSelf outside of texts only", () => {
    expect(hasRules(withRule({ rule: "true" }))).toBe(true);
    expect(hasRules({ type: "object", properties: { spec } })).toBe(false);
    expect(usesOldSelf("self == 'oldSelf'")).toBe(false);
    expect(usesOldSelf("self.oldSelf == oldSelf.a")).toBe(true);
  });
});
