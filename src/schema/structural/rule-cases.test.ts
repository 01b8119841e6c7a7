import { describe, expect, test } from "bun:test";
import { CelEnvironment, CelError, CelFailure } from "../cel/environment.ts";
import { caseSchema, caseValue, failures, refusals, results } from "./rule-cases.ts";
import { ruleType, sizeAt } from "./rule-types.ts";
import { ruleValue } from "./rule-values.ts";

const type = ruleType(caseSchema, false);
if (type === undefined) throw new Error("the schema has no type");
const environment = new CelEnvironment({ self: type.type, oldSelf: type.type });
const self = ruleValue(caseValue, caseSchema, false);
const bindings = { self, oldSelf: self };

function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("it was fine");
}

describe("an expression yields and costs what it does upstream", () => {
  test.each(results)("%s", (expression, value, estimate, cost) => {
    const program = environment.compile(expression);
    const most = program.estimate((path) => sizeAt(type, path));
    expect(program.run(bindings)).toEqual({ value, cost });
    expect(most > 1e15 ? "unlimited" : most).toBe(estimate);
  });
});

describe("an expression is refused in upstream's words", () => {
  test.each(refusals)("%s", (expression, wanted) => {
    const error = thrown(() => environment.compile(expression));
    if (!(error instanceof CelError)) throw error;
    const lines = error.message.split("\n").filter((line) => line.startsWith("ERROR: "));
    const told = lines.map((line) => line.replace("ERROR: <input>:1:", "")).join("; ");
    expect(told).toBe(wanted);
  });
});

describe("an evaluation fails in upstream's words", () => {
  test.each(failures)("%s", (expression, wanted) => {
    const error = thrown(() => environment.compile(expression).run(bindings));
    if (!(error instanceof CelFailure)) throw error;
    expect(error.message).toBe(wanted);
  });
});
