/** `x-kubernetes-validations`: rules of a schema in the CEL language. */
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { CelEnvironment, CelError, type CelProgram } from "../cel/environment.ts";
import { correlated, type Old } from "./ratchet.ts";
import { ruleValue } from "./rule-values.ts";
import { isJson, memberSchema, type Structural, type ValidationRule } from "./schema.ts";
import type { SchemaProblem } from "./validate.ts";

const environment = new CelEnvironment({ self: "dyn", oldSelf: "dyn" });
const optionals = new CelEnvironment({ value: "dyn" });

interface CompiledRule {
  readonly rule: ValidationRule;
  readonly program: CelProgram | CelError;
  readonly message: CelProgram | undefined;
  readonly usesOld: boolean;
}

const compiledRules = new WeakMap<Structural, readonly CompiledRule[]>();

function rulesOf(schema: Structural): readonly CompiledRule[] {
  let rules = compiledRules.get(schema);
  if (rules === undefined) {
    rules = (schema["x-kubernetes-validations"] ?? []).map(compileRule);
    compiledRules.set(schema, rules);
  }
  return rules;
}

function compileRule(rule: ValidationRule): CompiledRule {
  const { messageExpression = "" } = rule;
  const message = messageExpression === "" ? undefined : compiled(messageExpression, "string");
  return {
    rule,
    program: compiled(rule.rule, "bool"),
    message: message instanceof CelError ? undefined : message,
    usesOld: usesOldSelf(rule.rule),
  };
}

function compiled(expression: string, wanted: "bool" | "string"): CelProgram | CelError {
  try {
    return environment.compile(expression, wanted);
  } catch (error) {
    if (error instanceof CelError) return error;
    throw error;
  }
}

/** String literals may hold the word without meaning it. */
export function usesOldSelf(expression: string): boolean {
  const code = expression.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, "");
  return /(?<![\w.])oldSelf\b/.test(code);
}

/** What is wrong with the rule as an expression; undefined when it compiles. */
export function ruleProblem(expression: string, wanted: "bool" | "string"): string | undefined {
  const program = compiled(expression, wanted);
  return program instanceof CelError ? program.message : undefined;
}

/** True when some rule stands at `schema` or below. */
export function hasRules(schema: Structural | undefined): boolean {
  if (schema === undefined) return false;
  if ((schema["x-kubernetes-validations"] ?? []).length > 0) return true;
  const { properties = {}, additionalProperties, items } = schema;
  const others = typeof additionalProperties === "object" ? [additionalProperties] : [];
  return [...Object.values(properties), ...others, ...(items === undefined ? [] : [items])].some(
    hasRules,
  );
}

/** All rules that `value` breaks; `old` is what is stored, for rules about changes. */
export function brokenRules(value: unknown, schema: Structural, old: Old): SchemaProblem[] {
  return [...check(value, schema, "", old)];
}

function* check(
  value: unknown,
  schema: Structural | undefined,
  path: string,
  old: Old,
): Generator<SchemaProblem> {
  if (schema === undefined || value === null || value === undefined) return;
  yield* checkHere(value, schema, path, old);
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      const before = correlated(old, schema, item);
      yield* check(item, schema.items, `${path}[${index}]`, before);
    }
  } else if (isJson(value)) {
    for (const [name, member] of Object.entries(value)) {
      const before =
        old !== undefined && isJson(old.value) && Object.hasOwn(old.value, name)
          ? { value: old.value[name] }
          : undefined;
      const at = path === "" ? name : `${path}.${name}`;
      yield* check(member, memberSchema(schema, name), at, before);
    }
  }
}

function* checkHere(
  value: unknown,
  schema: Structural,
  path: string,
  old: Old,
): Generator<SchemaProblem> {
  const rules = rulesOf(schema);
  if (rules.length === 0) return;
  const isRoot = path === "";
  const self = ruleValue(value, schema, isRoot);
  const oldSelf = old === undefined || old.value === null ? undefined : old.value;
  const before = oldSelf === undefined ? undefined : ruleValue(oldSelf, schema, isRoot);
  for (const one of rules) {
    const isOptional = one.rule.optionalOldSelf === true;
    if (one.usesOld && before === undefined && !isOptional) continue;
    const problem = broken(one, { self, oldSelf: isOptional ? optional(before) : before });
    if (problem === undefined) continue;
    // What was wrong before and did not change is not held against the writer.
    const isUnchanged = !one.usesOld && old !== undefined && semanticEqual(old.value, value);
    if (!isUnchanged) yield problemAt(path, value, schema, one.rule, problem);
  }
}

function optional(value: unknown): unknown {
  const expression = value === undefined ? "optional.none()" : "optional.of(value)";
  return optionals.compile(expression).evaluate({ value: value ?? null });
}

interface Broken {
  readonly detail: string;
  /** The rule could not be evaluated: no reason or field path of its own. */
  readonly isError: boolean;
}

function broken(
  { rule, program, message }: CompiledRule,
  bindings: Readonly<Record<string, unknown>>,
): Broken | undefined {
  if (program instanceof CelError) {
    return { detail: `rule compile error: ${program.message}`, isError: true };
  }
  try {
    if (program.evaluate(bindings) === true) return undefined;
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    return { detail: `${error.message} evaluating rule: ${ruleText(rule)}`, isError: true };
  }
  return { detail: messageOf(rule, message, bindings), isError: false };
}

function messageOf(
  rule: ValidationRule,
  message: CelProgram | undefined,
  bindings: Readonly<Record<string, unknown>>,
): string {
  if (message !== undefined) {
    try {
      const text = String(message.evaluate(bindings)).trim();
      if (text !== "" && !/[\r\n]/.test(text)) return text;
    } catch (error) {
      if (!(error instanceof CelError)) throw error;
    }
  }
  return rule.message?.trim() || `failed rule: ${rule.rule.trim()}`;
}

/** The message stands for the rule where the rule itself is long. */
function ruleText(rule: ValidationRule): string {
  return rule.message?.trim() || rule.rule.trim();
}

function problemAt(
  path: string,
  value: unknown,
  schema: Structural,
  rule: ValidationRule,
  { detail, isError }: Broken,
): SchemaProblem {
  if (isError) return { type: "FieldValueInvalid", field: path, value: schema.type ?? "", detail };
  const inner = rule.fieldPath?.trim() ?? "";
  const field = path === "" ? inner.replace(/^\./, "") : `${path}${inner}`;
  switch (rule.reason) {
    case "FieldValueRequired":
    case "FieldValueForbidden":
      return { type: rule.reason, field, detail };
    case "FieldValueDuplicate":
      return { type: rule.reason, field, value, detail };
    default: {
      const isWhole = schema.type === "object" || schema.type === "array";
      const told = isWhole ? {} : { value };
      return { type: "FieldValueInvalid", field: field || "<nil>", ...told, detail };
    }
  }
}
