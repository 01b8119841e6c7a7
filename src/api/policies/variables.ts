/** `variables` in policies: expressions by name, evaluated when first used and never twice. */
import type { Variable } from "../../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { policyEnvironment } from "../cel/admission-cel.ts";

type Bindings = Readonly<Record<string, unknown>>;

/** `bindings` with `variables`; each sees those before it. */
export async function withVariables(
  declared: readonly DeepReadonly<Variable>[],
  bindings: Bindings,
): Promise<Bindings> {
  const variables: Record<string, unknown> = {};
  const all = { ...bindings, variables };
  for (const { name, expression } of declared) {
    const program = policyEnvironment.compile(expression);
    let made: { readonly value: unknown } | undefined;
    const read = (): unknown => {
      made ??= { value: program.evaluate(all) };
      return made.value;
    };
    // What asks the authorizer has to be waited for; all else waits until it is used.
    if (expression.includes("authorizer")) {
      const value = await read();
      made = { value };
    }
    Object.defineProperty(variables, name, { enumerable: true, get: read });
  }
  return all;
}
