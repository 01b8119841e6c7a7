/** The expressions of one policy, or of the conditions of a webhook: compiled once, with types. */

import type { Functions } from "../check/functions.ts";
import { type CelType, dyn, formatType, struct } from "../check/types.ts";
import { CelEnvironment, CelError, CelFailure, type CelProgram } from "../environment.ts";
import { CelFault } from "../fault.ts";
import { authorizerType } from "../library/authorization.ts";
import { LoopLog, type Progress } from "../run/progress.ts";
import type { Budget } from "./budget.ts";
import { mutationMessage, namespaceType, requestType } from "./types.ts";

export interface ExpressionOptions {
  readonly hasParams: boolean;
  /** What is known of the objects; unknown where the policy is about several kinds. */
  readonly object?: CelType | undefined;
  readonly params?: CelType | undefined;
}

/** What an expression has besides the common variables. */
export interface ExpressionScope {
  readonly hasAuthorizer: boolean;
  /** Mutations may write messages. */
  readonly hasPatches?: boolean;
}

type Bindings = Readonly<Record<string, unknown>>;

interface Variable {
  readonly name: string;
  readonly expression: string;
}

export class PolicyExpressions {
  readonly #environments = new Map<string, CelEnvironment>();
  readonly #fields = new Map<string, { readonly type: CelType }>();

  /** `variables` see those before them. */
  constructor(
    private readonly options: ExpressionOptions,
    private readonly variables: readonly Variable[] = [],
  ) {
    for (const { name, expression } of variables) {
      this.#fields.set(name, { type: this.#typeOf(expression) });
    }
  }

  #typeOf(expression: string): CelType {
    try {
      return this.program(expression, { hasAuthorizer: true }).checked.type;
    } catch (error) {
      if (error instanceof CelError) return dyn;
      throw error;
    }
  }

  /** @throws CelError without a prefix. */
  program(expression: string, scope: ExpressionScope): CelProgram {
    return this.#environment(scope).compile(expression);
  }

  /**
   * Compiles what must yield one of the types `wanted`.
   *
   * @throws CelError with upstream's words.
   */
  compile(expression: string, wanted: readonly string[], scope: ExpressionScope): CelProgram {
    let program: CelProgram;
    try {
      program = this.program(expression, scope);
    } catch (error) {
      if (!(error instanceof CelError)) throw error;
      const isCompiled = error.stage === "instantiation";
      const what = isCompiled ? "program instantiation failed" : "compilation failed";
      throw new CelError(`${what}: ${error.message}`, error.stage);
    }
    if (wanted.length === 0 || wanted.includes(program.type)) return program;
    const one = wanted.length === 1;
    const types = one ? wanted[0] : `one of [${wanted.map(runtimeName).join(" ")}]`;
    throw new CelError(`must evaluate to ${types} but got ${formatType(program.checked.type)}`);
  }

  #environment({ hasAuthorizer, hasPatches = false }: ExpressionScope): CelEnvironment {
    const key = `${hasAuthorizer} ${hasPatches}`;
    const known = this.#environments.get(key);
    if (known !== undefined) return known;
    const { hasParams, object = dyn, params = dyn } = this.options;
    const types = {
      object,
      oldObject: object,
      request: requestType,
      namespaceObject: namespaceType,
      ...(hasParams && { params }),
      ...(hasAuthorizer && { authorizer: authorizerType }),
      ...(this.variables.length > 0 && {
        variables: struct("kubernetes.variables", this.#fields),
      }),
    };
    const made = new CelEnvironment(types, hasPatches ? patches : {});
    this.#environments.set(key, made);
    return made;
  }

  /** `bindings` with `variables`: each is evaluated when it is first used, and never twice. */
  bind(bindings: Bindings, budget: Budget): Bindings {
    const variables: Record<string, unknown> = {};
    const all = { ...bindings, variables };
    for (const { name, expression } of this.variables) {
      const { turn } = budget;
      const progress = turn === undefined ? undefined : { log: new LoopLog(), turn };
      let made: Made | undefined;
      const get = (): unknown => {
        made ??= this.#variable({ name, expression }, all, budget, progress);
        if ("fault" in made) throw made.fault;
        return made.value;
      };
      Object.defineProperty(variables, name, { enumerable: true, get });
    }
    return all;
  }

  #variable(
    { name, expression }: { readonly name: string; readonly expression: string },
    bindings: Bindings,
    budget: Budget,
    progress: Progress | undefined,
  ): Made {
    const failed = (verb: string, why: string): Made => ({
      fault: new CelFault(`composited variable ${JSON.stringify(name)} fails to ${verb}: ${why}`),
    });
    try {
      const program = this.program(expression, { hasAuthorizer: true });
      const { value, cost } = program.run(bindings, progress);
      budget.owe(cost);
      return { value };
    } catch (error) {
      if (error instanceof CelError) return failed("compile", error.message);
      if (!(error instanceof CelFailure)) throw error;
      budget.owe(error.cost);
      return failed("evaluate", error.message);
    }
  }
}

/** What a variable came to. */
type Made = { readonly value: unknown } | { readonly fault: CelFault };

function runtimeName(type: string): string {
  return type === "null" ? "null_type" : type;
}

const patches = {
  messages: mutationMessage,
  extend: (functions: Functions) => {
    // A member's name as a part of a JSON pointer (RFC 6901).
    functions.add("jsonpatch.escapeKey(string): string", (key: string) =>
      key.replaceAll("~", "~0").replaceAll("/", "~1"),
    );
  },
};
