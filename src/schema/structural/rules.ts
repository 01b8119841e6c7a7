/** `x-kubernetes-validations`: rules of a schema in the CEL language. */
import type { Turn } from "../../lib/turns.ts";
import {
  CelError,
  CelFailure,
  type CelProgram,
  celLimits,
  type Evaluated,
} from "../cel/environment.ts";
import { CelOptional } from "../cel/scalars.ts";
import { type CompiledRule, compileRules } from "./compile-rules.ts";
import { Correlation } from "./correlation.ts";
import { correlated, type Old } from "./ratchet.ts";
import { ruleType } from "./rule-types.ts";
import { ruleValue } from "./rule-values.ts";
import { isJson, type Structural, type ValidationRule } from "./schema.ts";
import type { SchemaProblem } from "./validate.ts";

const limits = { messageBytesMax: 5 * 1024 } as const;

/** The rules of a schema and of what is below it. */
interface RuleNode {
  readonly schema: Structural;
  readonly isResource: boolean;
  /** Compiled when a value first reaches them: most values leave most of a schema alone. */
  readonly rules: readonly CompiledRule[];
  readonly items: RuleNode | undefined;
  readonly additional: RuleNode | undefined;
  readonly properties: ReadonlyMap<string, RuleNode>;
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

const nodes = new WeakMap<Structural, RuleNode>();

/** Of the schema of whole objects. */
function rootNode(schema: Structural): RuleNode {
  let node = nodes.get(schema);
  if (node === undefined) {
    node = nodeOf(schema, true);
    nodes.set(schema, node);
  }
  return node;
}

/** The rules that the default of a part of a schema breaks. */
export function rulesBrokenByDefault(value: unknown, schema: Structural): readonly SchemaProblem[] {
  if (!hasRules(schema)) return [];
  const isResource = schema["x-kubernetes-embedded-resource"] === true;
  const unknown = Correlation.root(value, undefined, schema);
  // Rules about changes see no change.
  const run = new RuleRun(value, nodeOf(schema, isResource), value, unknown);
  return atOnce(run.outcome()).problems;
}

function nodeOf(schema: Structural, isResource: boolean): RuleNode {
  const { items, additionalProperties: additional, properties = {} } = schema;
  const child = (one: Structural): RuleNode | undefined =>
    hasRules(one) ? nodeOf(one, one["x-kubernetes-embedded-resource"] === true) : undefined;
  const entries = Object.entries(properties).flatMap(([name, property]) => {
    const node = child(property);
    return node === undefined ? [] : [[name, node] as const];
  });
  let rules: readonly CompiledRule[] | undefined;
  return {
    schema,
    isResource,
    get rules() {
      rules ??= compileRules(schema, ruleType(schema, isResource));
      return rules;
    },
    items: items === undefined ? undefined : child(items),
    additional: typeof additional === "object" ? child(additional) : undefined,
    properties: new Map(entries),
  };
}

/** What rules say of an object. */
export interface RuleOutcome {
  readonly problems: readonly SchemaProblem[];
  /** Of parts that did not change: they are told, not held against the writer. */
  readonly tolerated: readonly SchemaProblem[];
}

/**
 * All rules that `value` breaks; `old` is what is stored, for rules about changes. Others have
 * their turns in between.
 */
export function brokenRules(
  value: unknown,
  schema: Structural,
  old: Old,
  turn: Turn,
): Promise<RuleOutcome> {
  const correlation = Correlation.root(value, old, schema);
  return inTurns(new RuleRun(value, rootNode(schema), old?.value, correlation).outcome(), turn);
}

/** An expression of which a run has to know what it comes to. */
interface Question {
  readonly program: CelProgram;
  readonly bindings: Bindings;
}

type Run<T> = Generator<Question, T, Evaluated>;

function atOnce<T>(run: Run<T>): T {
  let step = run.next();
  while (step.done !== true) {
    const { program, bindings } = step.value;
    try {
      step = run.next(program.run(bindings));
    } catch (failure) {
      step = run.throw(failure);
    }
  }
  return step.value;
}

async function inTurns<T>(run: Run<T>, turn: Turn): Promise<T> {
  let step = run.next();
  while (step.done !== true) {
    const { program, bindings } = step.value;
    if (turn.isOver()) await turn.next();
    const answer = await program.evaluate(bindings, turn).catch(failureOf);
    step = answer instanceof CelFailure ? run.throw(answer) : run.next(answer);
  }
  return step.value;
}

function failureOf(failure: unknown): CelFailure {
  if (failure instanceof CelFailure) return failure;
  throw failure;
}

/** Thrown to end a run: nothing more is checked. */
class OutOfBudget extends Error {}

/** A value that rules stand at. */
interface Visited {
  readonly value: unknown;
  readonly node: RuleNode;
  readonly path: string;
  readonly old: unknown;
  readonly correlation: Correlation;
}

class RuleRun implements RuleOutcome {
  readonly problems: SchemaProblem[] = [];
  readonly tolerated: SchemaProblem[] = [];
  readonly #visited: Visited[] = [];
  #budget: number = celLimits.budget;

  constructor(value: unknown, node: RuleNode, old: unknown, correlation: Correlation) {
    this.#visit(value, node, "", old, correlation);
  }

  *outcome(): Run<RuleOutcome> {
    try {
      for (const visited of this.#visited) yield* this.#rules(visited);
    } catch (error) {
      if (!(error instanceof OutOfBudget)) throw error;
    }
    return this;
  }

  #visit(
    value: unknown,
    node: RuleNode,
    path: string,
    old: unknown,
    correlation: Correlation,
  ): void {
    if (value === null || value === undefined) return;
    if (node.rules.length > 0) this.#visited.push({ value, node, path, old, correlation });
    if (Array.isArray(value)) {
      const { items } = node;
      if (items === undefined) return;
      const before: Old = Array.isArray(old) ? { value: old } : undefined;
      for (const [index, item] of value.entries()) {
        const oldItem = correlated(before, node.schema, item)?.value;
        this.#visit(item, items, `${path}[${index}]`, oldItem, correlation.item(index));
      }
    } else if (isJson(value)) {
      const before = isJson(old) ? old : {};
      for (const [name, member] of Object.entries(value)) {
        const property = node.properties.get(name);
        const child = property ?? node.additional;
        if (child === undefined) continue;
        const oldMember = Object.hasOwn(before, name) ? before[name] : undefined;
        const at = property === undefined ? `${path}[${name}]` : joined(path, name);
        this.#visit(member, child, at, oldMember, correlation.member(name));
      }
    }
  }

  *#rules({ value, node, path, old, correlation }: Visited): Run<void> {
    const at = { path: path || "<nil>", type: node.schema.type ?? "" };
    if (this.#budget <= 0) this.#end(at, exhausted);
    const self = ruleValue(value, node.schema, node.isResource);
    const before =
      old === null || old === undefined ? undefined : ruleValue(old, node.schema, node.isResource);
    for (const one of node.rules) {
      const { rule, program, usesOld } = one;
      if (program instanceof CelError) {
        this.#tell(at, `rule compile error: ${program.message}`);
        continue;
      }
      const isOptional = rule.optionalOldSelf === true;
      if (usesOld && before === undefined && !isOptional) continue;
      const bindings = { self, oldSelf: isOptional ? optional(before) : before };
      if (yield* this.#holds(rule, program, bindings, at)) continue;
      const detail = (yield* this.#message(one, bindings, at)) ?? messageOf(rule);
      const problem = problemOf(one, path, value, node.schema, detail);
      const isTolerated = !usesOld && correlation.isUnchanged;
      (isTolerated ? this.tolerated : this.problems).push(problem);
    }
  }

  *#holds(rule: ValidationRule, program: CelProgram, bindings: Bindings, at: Place): Run<boolean> {
    try {
      const { value, cost } = yield { program, bindings };
      this.#spend(cost, at, exhausted);
      return value === true;
    } catch (failure) {
      if (!(failure instanceof CelFailure)) throw failure;
      this.#spend(failure.cost, at, exhausted);
      const text = ruleText(rule);
      const why = failure.message;
      if (failure.isTooCostly) {
        const ended = "no further validation rules will be run due to call cost exceeds limit";
        this.#end(at, `'${why}': ${ended} for rule: ${text}`);
      }
      if (why.startsWith("no such overload")) {
        const detail = "call arguments did not match a supported operator, function or macro";
        this.#tell(at, `'${why}': ${detail} signature for rule: ${text}`);
      } else this.#tell(at, `${why} evaluating rule: ${text}`);
      return true;
    }
  }

  /** The text that `messageExpression` makes; undefined where it makes none that can be told. */
  *#message(
    { message, rule }: CompiledRule,
    bindings: Bindings,
    at: Place,
  ): Run<string | undefined> {
    if (message === undefined || message instanceof CelError) return undefined;
    try {
      const { value, cost } = yield { program: message, bindings };
      this.#spend(cost, at, messageExhausted);
      const text = String(value).trim();
      const isFitting = Buffer.byteLength(text) <= limits.messageBytesMax;
      return text === "" || text.includes("\n") || !isFitting ? undefined : text;
    } catch (failure) {
      if (!(failure instanceof CelFailure)) throw failure;
      this.#spend(failure.cost, at, messageExhausted);
      if (!failure.isTooCostly) return undefined;
      const ended = "no further validation rules will be run due to call cost exceeds limit";
      const source = JSON.stringify(rule.messageExpression);
      return this.#end(at, `${ended} for messageExpression: ${source}`);
    }
  }

  #spend(cost: number, at: Place, text: string): void {
    if (cost > this.#budget) this.#end(at, text);
    this.#budget -= cost;
  }

  #tell({ path, type }: Place, detail: string): void {
    this.problems.push({ type: "FieldValueInvalid", field: path, value: type, detail });
  }

  #end(at: Place, detail: string): never {
    this.#tell(at, detail);
    throw new OutOfBudget();
  }
}

type Bindings = Readonly<Record<string, unknown>>;
interface Place {
  readonly path: string;
  readonly type: string;
}

const ended = "failed due to running out of cost budget, no further validation rules will be run";
const exhausted = `validation ${ended}`;
const messageExhausted = `messageExpression evaluation ${ended}`;

function optional(value: unknown): CelOptional {
  return value === undefined ? CelOptional.none : CelOptional.of(value);
}

function joined(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function messageOf(rule: ValidationRule): string {
  return rule.message ? rule.message.trim() : `failed rule: ${ruleText(rule)}`;
}

/** The message stands for the rule where there is one. */
function ruleText(rule: ValidationRule): string {
  return (rule.message || rule.rule).trim();
}

function problemOf(
  { rule, fieldPath }: CompiledRule,
  path: string,
  value: unknown,
  schema: Structural,
  detail: string,
): SchemaProblem {
  const field = fieldPath === "" ? path || "<nil>" : joined(path, fieldPath);
  const isWhole = schema.type === "object" || schema.type === "array";
  const told = isWhole ? {} : { value };
  switch (rule.reason) {
    case "FieldValueRequired":
    case "FieldValueForbidden":
      return { type: rule.reason, field, detail };
    case "FieldValueDuplicate":
      return { type: rule.reason, field, ...told, detail: "" };
    default:
      return { type: "FieldValueInvalid", field, ...told, detail };
  }
}
