/** Expressions of AuthorizationConfiguration: `request` is the spec of a SubjectAccessReview. */
import { CelEnvironment, CelError, type CelProgram } from "../../schema/cel/environment.ts";
import { celOfJson } from "../../schema/cel/values.ts";
import { accessReviewSpec } from "../auth/access-review.ts";
import type { Attributes } from "../authorizer.ts";
import { type MatchOutcome, matchConditions } from "./admission-cel.ts";

const environment = new CelEnvironment({ request: "dyn" });

/** What is known of the request is what is asked of it: it may turn out to be no truth value. */
const conditions = {
  compile(expression: string): CelProgram {
    let program: CelProgram;
    try {
      program = environment.compile(expression);
    } catch (error) {
      if (!(error instanceof CelError)) throw error;
      throw new CelError(`compilation failed: ${error.message}`);
    }
    if (program.type === "bool" || program.type === "dyn") return program;
    throw new CelError(`must evaluate to bool but got ${program.type}`);
  },
};

/** What is wrong with an expression; undefined when it can be used. */
export function conditionProblem(expression: string): string | undefined {
  try {
    conditions.compile(expression);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

export function matchesReview(
  expressions: readonly string[],
  attributes: Attributes,
): Promise<MatchOutcome> {
  const all = expressions.map((expression) => ({ name: expression, expression }));
  return matchConditions(conditions, all, { request: celOfJson(shownSpec(attributes)) });
}

/** Texts that are empty are there all the same, so that expressions need not ask for each. */
function shownSpec(attributes: Attributes): object {
  const { user, isResourceRequest, path, verb } = attributes;
  const { namespace, group, version, resource, subresource, name } = attributes;
  const spec = {
    user: user.name,
    uid: user.uid,
    groups: user.groups,
    extra: user.extra,
  };
  if (!isResourceRequest) return { ...spec, nonResourceAttributes: { path, verb } };
  const asked = { namespace, verb, group, version, resource, subresource, name };
  const { resourceAttributes = {} } = accessReviewSpec(attributes, "v1") as {
    readonly resourceAttributes?: object;
  };
  return { ...spec, resourceAttributes: { ...asked, ...resourceAttributes } };
}
