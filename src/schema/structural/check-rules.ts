/** Whether the rules of a schema compile, and whether they may become too costly. */

import { unlimited } from "../cel/cost/range.ts";
import { CelError } from "../cel/environment.ts";
import { type CompiledRule, compileRules } from "./compile-rules.ts";
import { forbidden, invalid } from "./problems.ts";
import { cardinality, ruleType } from "./rule-types.ts";
import { hasRules } from "./rules.ts";
import type { Structural } from "./schema.ts";
import type { SchemaProblem } from "./validate.ts";

/** Upstream's limits: of one rule as often as it runs, and of all rules of a schema. */
const limits = { ruleCostMax: 10_000_000, totalCostMax: 100_000_000, toldMax: 4 } as const;

interface Context {
  /** What is wrong with the schema otherwise: rules above such places are not looked at. */
  readonly others: readonly SchemaProblem[];
  /** The rules are known and stored: what one of them costs is not held against them. */
  readonly isUnchanged: boolean;
  readonly costs: { readonly field: string; readonly cost: number }[];
}

interface Place {
  readonly path: string;
  /** How often a value may stand here in one object; undefined when nothing bounds it. */
  readonly count: number | undefined;
  readonly isResource: boolean;
  /** The list around it whose elements cannot be told from one another. */
  readonly uncorrelated: string | undefined;
}

/** The problems of all rules of `schema`, which stands at `path`. */
export function checkRules(
  schema: Structural,
  path: string,
  isUnchanged: boolean,
  others: readonly SchemaProblem[],
): readonly SchemaProblem[] {
  if (!hasRules(schema)) return [];
  const context: Context = { others, isUnchanged, costs: [] };
  const place: Place = { path, count: 1, isResource: true, uncorrelated: undefined };
  const found = [...checkNode(schema, place, context)];
  return [...found, ...totalProblems(context, path)];
}

function* checkNode(schema: Structural, place: Place, context: Context): Generator<SchemaProblem> {
  const { path } = place;
  const { items, additionalProperties: additional, properties = {} } = schema;
  const elements = maxElements(schema);
  const count =
    place.count === undefined || elements === undefined
      ? undefined
      : Math.min(place.count * elements, unlimited);
  const below = (at: string, inner: Structural): Place => {
    const isResource = inner["x-kubernetes-embedded-resource"] === true;
    return { ...place, path: at, count, isResource };
  };
  if (typeof additional === "object" && hasRules(additional)) {
    yield* checkNode(additional, below(`${path}.additionalProperties`, additional), context);
  }
  for (const [name, property] of Object.entries(properties)) {
    if (!hasRules(property)) continue;
    yield* checkNode(property, below(`${path}.properties[${name}]`, property), context);
  }
  if (items !== undefined && hasRules(items)) {
    const isMap = schema["x-kubernetes-list-type"] === "map";
    const uncorrelated = place.uncorrelated ?? (isMap ? undefined : path);
    yield* checkNode(items, { ...below(`${path}.items`, items), uncorrelated }, context);
  }
  if (context.others.some(({ field }) => field.startsWith(path))) return;
  const type = ruleType(schema, place.isResource);
  const times = place.count ?? (type === undefined ? 1 : cardinality(type));
  for (const [index, rule] of compileRules(schema, type).entries()) {
    const at = `${path}.x-kubernetes-validations[${index}]`;
    yield* checkRule(rule, at, times, { ...context, uncorrelated: place.uncorrelated });
  }
}

function maxElements(schema: Structural): number | undefined {
  if (schema.type === "array") return nonNegative(schema.maxItems);
  const isMap = schema.type === "object" && schema.additionalProperties !== undefined;
  return isMap ? nonNegative(schema.maxProperties) : 1;
}

function nonNegative(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.max(0, value);
}

function* checkRule(
  compiled: CompiledRule,
  at: string,
  times: number,
  context: Context & Pick<Place, "uncorrelated">,
): Generator<SchemaProblem> {
  const { rule, program, cost, message, messageCost, usesOld } = compiled;
  const whole = Math.min(cost * times, unlimited);
  yield* costProblems("estimated rule cost", whole, `${at}.rule`, context);
  if (program instanceof CelError) yield invalid(`${at}.rule`, rule, program.message);
  if (message instanceof CelError) {
    yield invalid(`${at}.messageExpression`, rule, message.message);
  } else if (message !== undefined) {
    const field = `${at}.messageExpression`;
    yield* costProblems("estimated messageExpression cost", messageCost, field, context);
  }
  if (usesOld && context.uncorrelated !== undefined) {
    const where = "the uncorrelatable portion of the schema within";
    const detail = `oldSelf cannot be used on ${where} ${context.uncorrelated}`;
    yield invalid(`${at}.rule`, rule.rule, detail);
  } else if (!usesOld && rule.optionalOldSelf !== undefined) {
    const detail = "may not be set if oldSelf is not used in rule";
    yield invalid(`${at}.optionalOldSelf`, rule.optionalOldSelf, detail);
  }
}

function* costProblems(
  name: string,
  cost: number,
  field: string,
  { costs, isUnchanged }: Context,
): Generator<SchemaProblem> {
  if (!isUnchanged && cost > limits.ruleCostMax) {
    yield forbidden(field, costText(name, cost, limits.ruleCostMax));
  }
  costs.push({ field, cost });
}

function totalProblems({ costs }: Context, path: string): readonly SchemaProblem[] {
  const total = costs.reduce((sum, { cost }) => Math.min(sum + cost, unlimited), 0);
  if (total <= limits.totalCostMax) return [];
  const notable = costs.filter(({ cost }) => cost >= limits.totalCostMax / 100);
  const most = notable.toSorted((a, b) => b.cost - a.cost).slice(0, limits.toldMax);
  const name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
  return [
    ...most.map(({ field }) =>
      forbidden(
        field,
        "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
      ),
    ),
    forbidden(path, costText(name, total, limits.totalCostMax)),
  ];
}

function costText(name: string, cost: number, max: number): string {
  const factor = cost / max;
  // A factor that would be shown as 1.0 says nothing.
  const shown = factor < 1.5 ? `${factor.toFixed(6)}x` : `${factor.toFixed(1)}x`;
  const told = factor > 100 ? "more than 100x" : shown;
  const cure =
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, " +
    "maps, and strings are declared)";
  return `${name} exceeds budget by factor of ${told} ${cure}`;
}
