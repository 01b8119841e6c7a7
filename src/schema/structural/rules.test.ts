import { describe, expect, test } from "bun:test";
import { Turn } from "../../lib/turns.ts";
import { brokenRules, hasRules } from "./rules.ts";
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

/** Every turn is over at once. */
const turn = () => {
  let ms = 0;
  return new Turn({ monotonicMs: () => (ms += 10) });
};

async function broken(rule: ValidationRule, value: object, old?: object) {
  const before = old === undefined ? undefined : { value: { spec: old } };
  const outcome = await brokenRules({ spec: value }, withRule(rule), before, turn());
  return outcome.problems;
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
  ])("%s over %j is %p", async (rule, value, holds) => {
    expect((await broken({ rule }, value)).length === 0).toBe(holds);
  });

  test("what fails is told at its place, in the rule's words", async () => {
    expect(await broken({ rule: "self.replicas > 1" }, { replicas: 1 })).toEqual([
      { type: "FieldValueInvalid", field: "spec", detail: "failed rule: self.replicas > 1" },
    ]);
    const rule: ValidationRule = {
      rule: "self.replicas > 1",
      message: "too few",
      messageExpression: "'only ' + string(self.replicas)",
      reason: "FieldValueForbidden",
      fieldPath: ".replicas",
    };
    expect(await broken(rule, { replicas: 1 })).toEqual([
      { type: "FieldValueForbidden", field: "spec.replicas", detail: "only 1" },
    ]);
  });

  test("a rule that cannot be evaluated is a failure", async () => {
    const [problem] = await broken({ rule: "self.replicas > 1" }, {});
    expect(problem?.detail).toBe("no such key: replicas evaluating rule: self.replicas > 1");
  });

  test("rules about changes wait for something to compare with", async () => {
    const rule = { rule: "self.replicas >= oldSelf.replicas", message: "never fewer" };
    expect(await broken(rule, { replicas: 1 })).toEqual([]);
    expect(await broken(rule, { replicas: 1 }, { replicas: 2 })).toHaveLength(1);
    const either = { rule: "oldSelf.hasValue() || self.replicas == 1", optionalOldSelf: true };
    expect(await broken(either, { replicas: 2 })).toHaveLength(1);
    expect(await broken(either, { replicas: 2 }, { replicas: 1 })).toEqual([]);
  });

  test("what did not change stays allowed", async () => {
    const rule = { rule: "self.replicas > 1" };
    expect(await broken(rule, { replicas: 1 }, { replicas: 1 })).toEqual([]);
    expect(await broken(rule, { replicas: 0 }, { replicas: 1 })).toHaveLength(1);
  });

  test("what is tolerated is told", async () => {
    const before = { value: { spec: { replicas: 1 } } };
    const schema = withRule({ rule: "self.replicas > 1" });
    expect(await brokenRules({ spec: { replicas: 1 } }, schema, before, turn())).toMatchObject({
      problems: [],
      tolerated: [{ field: "spec", detail: "failed rule: self.replicas > 1" }],
    });
  });

  test("elements are compared by their keys; those of maps have their own path", async () => {
    const schema: Structural = {
      type: "object",
      properties: {
        ports: {
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["name"],
          items: {
            type: "object",
            properties: { name: { type: "string" }, port: { type: "integer" } },
            "x-kubernetes-validations": [{ rule: "self.port >= oldSelf.port" }],
          },
        },
        sizes: {
          type: "object",
          additionalProperties: {
            type: "integer",
            "x-kubernetes-validations": [{ rule: "self > 0", message: "be more" }],
          },
        },
      },
    };
    const value = {
      ports: [
        { name: "b", port: 1 },
        { name: "new", port: 0 },
      ],
      sizes: { "a.b": 0 },
    };
    const old = { value: { ports: [{ name: "b", port: 2 }], sizes: {} } };
    expect((await brokenRules(value, schema, old, turn())).problems).toEqual([
      {
        type: "FieldValueInvalid",
        field: "ports[0]",
        detail: "failed rule: self.port >= oldSelf.port",
      },
      { type: "FieldValueInvalid", field: "sizes[a.b]", value: 0, detail: "be more" },
    ]);
  });

  test("the budget of one object is used up once for all rules", async () => {
    const schema: Structural = {
      type: "object",
      properties: {
        list: {
          type: "array",
          items: {
            type: "integer",
            "x-kubernetes-validations": [{ rule: "lists.range(40000).all(x, x >= self)" }],
          },
        },
      },
    };
    const list = Array(200).fill(0);
    const real = new Turn({ monotonicMs: () => performance.now() });
    const { problems } = await brokenRules({ list }, schema, undefined, real);
    expect(problems).toEqual([
      {
        type: "FieldValueInvalid",
        field: expect.stringMatching(/^list\[\d+\]$/),
        value: "integer",
        detail:
          "validation failed due to running out of cost budget, no further validation rules " +
          "will be run",
      },
    ]);
    const costly = { rule: "lists.range(100000).all(x, lists.range(100).all(y, y >= 0))" };
    expect((await broken(costly, { replicas: 1 }))[0]?.detail).toBe(
      "'operation cancelled: actual cost limit exceeded': no further validation rules will be " +
        `run due to call cost exceeds limit for rule: ${costly.rule}`,
    );
  });

  test("rules are found at any depth", async () => {
    expect(hasRules(withRule({ rule: "true" }))).toBe(true);
    expect(hasRules({ type: "object", properties: { spec } })).toBe(false);
  });
});
