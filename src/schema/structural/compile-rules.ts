/** Compiles the rules of one schema against its types. */
import { optionalOf } from "../cel/check/types.ts";
import { CelEnvironment, CelError, type CelProgram } from "../cel/environment.ts";
import { normalizedFieldPath } from "./field-path.ts";
import { type RuleType, sizeAt } from "./rule-types.ts";
import type { Structural, ValidationRule } from "./schema.ts";

export interface CompiledRule {
  readonly rule: ValidationRule;
  readonly program: CelProgram | CelError;
  /** The most that one evaluation costs. */
  readonly cost: number;
  readonly message: CelProgram | CelError | undefined;
  readonly messageCost: number;
  readonly usesOld: boolean;
  /** Where the rule wants its failure told, below its own place. */
  readonly fieldPath: string;
}

/** Without a type nothing can be compiled: rules cannot see such a schema. */
export function compileRules(
  schema: Structural,
  type: RuleType | undefined,
): readonly CompiledRule[] {
  const rules = schema["x-kubernetes-validations"] ?? [];
  if (rules.length === 0) return [];
  if (type === undefined) {
    const text = "failed to convert to declType for CEL validation rules";
    const error = new CelError(`rule compiler initialization error: ${text}`);
    return rules.map((rule) => failed(rule, error));
  }
  const plain = new CelEnvironment({ self: type.type, oldSelf: type.type });
  const optional = rules.some(({ optionalOldSelf }) => optionalOldSelf === true)
    ? new CelEnvironment({ self: type.type, oldSelf: optionalOf(type.type) })
    : plain;
  return rules.map((rule) => {
    const environment = rule.optionalOldSelf === true ? optional : plain;
    return compileRule(rule, schema, type, environment);
  });
}

function failed(rule: ValidationRule, program: CelError): CompiledRule {
  const nothing = { cost: 0, message: undefined, messageCost: 0 };
  return { rule, program, ...nothing, usesOld: false, fieldPath: "" };
}

function compileRule(
  rule: ValidationRule,
  schema: Structural,
  type: RuleType,
  environment: CelEnvironment,
): CompiledRule {
  const program = compiled(environment, rule.rule, "bool");
  if (program instanceof CelError) return failed(rule, program);
  const { messageExpression = "", fieldPath = "" } = rule;
  const message =
    messageExpression === "" ? undefined : compiled(environment, messageExpression, "string");
  const cost = (of: CelProgram): number => of.estimate((path) => sizeAt(type, path));
  return {
    rule,
    program,
    cost: cost(program),
    message,
    messageCost: message === undefined || message instanceof CelError ? 0 : cost(message),
    usesOld: program.checked.variables.has("oldSelf"),
    fieldPath: fieldPath === "" ? "" : (normalizedFieldPath(fieldPath, schema) ?? ""),
  };
}

function compiled(
  environment: CelEnvironment,
  expression: string,
  wanted: "bool" | "string",
): CelProgram | CelError {
  const isRule = wanted === "bool";
  try {
    const program = environment.compile(expression);
    if (program.type === wanted) return program;
    const what = isRule ? "cel expression" : "messageExpression";
    return new CelError(`${what} must evaluate to a ${wanted}`);
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    const what = isRule ? "program" : "messageExpression";
    if (error.stage === "instantiation") {
      return new CelError(`${what} instantiation failed: ${error.message}`);
    }
    return new CelError(
      `${isRule ? "" : "messageExpression "}compilation failed: ${error.message}`,
    );
  }
}
