/** What all expressions of a policy may cost together. */
import type { Turn } from "../../../lib/turns.ts";
import { CelError, CelFailure, type CelProgram, celLimits } from "../environment.ts";

/** Nothing more is evaluated. */
export class OutOfBudget extends Error {
  override readonly name = "OutOfBudget";
  constructor() {
    const end = "no further validation rules will be run";
    super(`validation failed due to running out of cost budget, ${end}`);
  }
}

export class Budget {
  #remaining: number;
  #owed = 0;

  /** `turn` is that of the request: expressions let others have theirs. */
  constructor(
    readonly turn: Turn | undefined,
    max: number = celLimits.budget,
  ) {
    this.#remaining = max;
  }

  /** A cost that arose while another expression was evaluated. */
  owe(cost: number): void {
    this.#owed += cost;
  }

  /** @throws OutOfBudget */
  spend(cost: number): void {
    const whole = cost + this.#owed;
    this.#owed = 0;
    if (whole > this.#remaining) throw new OutOfBudget();
    this.#remaining -= whole;
  }
}

/** An expression that could not be evaluated, in upstream's words. */
export class EvaluationError extends Error {
  override readonly name = "EvaluationError";
}

/**
 * Evaluates what `compile` makes of an expression.
 *
 * @throws EvaluationError
 * @throws OutOfBudget
 */
export async function evaluate(
  expression: string,
  compile: () => CelProgram,
  bindings: Readonly<Record<string, unknown>>,
  budget: Budget,
): Promise<unknown> {
  try {
    const { value, cost } = await compile().evaluate(bindings, budget.turn);
    budget.spend(cost);
    return value;
  } catch (error) {
    if (error instanceof CelError) throw new EvaluationError(`compilation error: ${error.message}`);
    if (!(error instanceof CelFailure)) throw error;
    budget.spend(error.cost);
    throw new EvaluationError(`expression '${expression}' resulted in error: ${error.message}`);
  }
}
