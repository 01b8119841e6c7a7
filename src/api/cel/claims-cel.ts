/** Expressions of AuthenticationConfiguration: over the claims of a token, or over its user. */
import { CelEnvironment } from "../../schema/cel/environment.ts";
import { celOfJson, jsonOfCel } from "../../schema/cel/values.ts";
import type { User } from "../request.ts";

const environments = {
  claims: new CelEnvironment({ claims: "dyn" }),
  user: new CelEnvironment({ user: "dyn" }),
} as const;

/** What is wrong with an expression; undefined when it can be used. */
export function expressionProblem(
  about: "claims" | "user",
  expression: string,
): string | undefined {
  try {
    environments[about].compile(expression);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The value of an expression over claims, as JSON. */
export async function claimValue(
  expression: string,
  claims: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const program = environments.claims.compile(expression);
  const { value } = await program.evaluate({ claims: celOfJson(claims) });
  return jsonOfCel(value);
}

/** Whether a rule over the user holds. */
export async function userHolds(
  expression: string,
  { name, uid, groups, extra }: User,
): Promise<boolean> {
  const user = celOfJson({ username: name, uid, groups, extra });
  const { value } = await environments.user.compile(expression).evaluate({ user });
  return value === true;
}
