/**
 * Common Expression Language as Kubernetes speaks it: types are checked, costs are estimated and
 * counted (https://kubernetes.io/docs/reference/using-api/cel/).
 */
import { TooManySteps } from "../../lib/regexp/regexp.ts";
import type { Turn } from "../../lib/turns.ts";
import { type Checked, check, type Declarations } from "./check/checker.ts";
import { Functions } from "./check/functions.ts";
import { literalProblems } from "./check/literals.ts";
import { type CelType, formatType, parseType } from "./check/types.ts";
import { estimatedCost, type SizeAt } from "./cost/estimate.ts";
import { CelFault, CostExceeded, Paused, Pending } from "./fault.ts";
import { registerAuthorization } from "./library/authorization.ts";
import { registerConversions } from "./library/conversions.ts";
import { registerFormats } from "./library/formats.ts";
import { registerLists } from "./library/lists.ts";
import { registerNet } from "./library/net.ts";
import { registerOptionals } from "./library/optionals.ts";
import { registerQuantities } from "./library/quantities.ts";
import { registerStandard } from "./library/standard.ts";
import { registerStrings } from "./library/strings.ts";
import { registerTime } from "./library/time.ts";
import { registerUrls } from "./library/urls.ts";
import { registerVersions } from "./library/versions.ts";
import { interpreter } from "./run/interpreter.ts";
import { LoopLog, type Progress } from "./run/progress.ts";
import type { Bindings } from "./run/steps.ts";
import { Tracker } from "./run/tracker.ts";
import { parse, type Syntax } from "./syntax/parser.ts";
import { SyntaxFault, shownProblems } from "./syntax/problem.ts";

/** Upstream's budgets: of one evaluation, and of all that one object or policy asks for. */
export const celLimits = {
  callCostMax: 1_000_000,
  budget: 10_000_000,
  conditionsBudget: 2_500_000,
} as const;

/** An expression that cannot be compiled; the message is upstream's. */
export class CelError extends Error {
  override readonly name = "CelError";
  constructor(
    message: string,
    /** It compiles, but a part that is made beforehand cannot be made. */
    readonly stage: "compilation" | "instantiation" = "compilation",
  ) {
    super(message);
  }
}

/** What an evaluation came to. */
export interface Evaluated {
  readonly value: unknown;
  readonly cost: number;
}

/** An evaluation that failed: it has cost something, too. */
export class CelFailure extends Error {
  override readonly name = "CelFailure";
  constructor(
    message: string,
    readonly cost: number,
    /** It was ended since it cost too much. */
    readonly isTooCostly: boolean,
  ) {
    super(message);
  }
}

export interface CelProgram {
  /** What the expression yields, as errors name it: `bool`, `list(string)`, `dyn`. */
  readonly type: string;
  readonly checked: Checked;
  /**
   * @throws CelFailure for what fails while it runs: `no such key: foo`.
   * @throws Paused where there is `progress` and the turn is over.
   */
  run(bindings: Bindings, progress?: Progress): Evaluated;
  /**
   * Waits for answers that the expression asks for; what they were asked for is asked again. Lets
   * others have their turn where it is told what a turn is.
   *
   * @throws CelFailure
   */
  evaluate(bindings: Bindings, turn?: Turn): Promise<Evaluated>;
  /** The most that it may cost, where `sizeAt` tells the sizes of the variables' parts. */
  estimate(sizeAt: SizeAt): number;
}

let base: Functions | undefined;

/** The functions that every expression has; made once. */
function functions(): Functions {
  if (base !== undefined) return base;
  const made = new Functions();
  registerStandard(made);
  registerConversions(made);
  registerTime(made);
  registerOptionals(made);
  registerStrings(made);
  registerLists(made);
  registerUrls(made);
  registerNet(made);
  registerQuantities(made);
  registerFormats(made);
  registerVersions(made);
  registerAuthorization(made);
  base = made;
  return made;
}

export interface EnvironmentOptions {
  /** More functions than those that every expression has. */
  readonly extend?: (functions: Functions) => void;
  /** The types of message literals. */
  readonly messages?: Declarations["messages"];
  /** Expressions may bind names to values: `cel.bind(x, value, x + x)`. */
  readonly hasBindings?: boolean;
}

export class CelEnvironment {
  readonly #declared: Declarations;
  readonly #syntax: Syntax;
  readonly #programs = new Map<string, CelProgram | CelError>();

  /** `variables` by name, with their types or with these in words: `map<string, dyn>`. */
  constructor(
    variables: Readonly<Record<string, string | CelType>>,
    { extend, messages, hasBindings = false }: EnvironmentOptions = {},
  ) {
    const own = new Functions(functions());
    extend?.(own);
    const types = Object.entries(variables).map(([name, type]) => {
      return [name, typeof type === "string" ? parseType(type) : type] as const;
    });
    this.#syntax = { hasBindings };
    this.#declared = {
      variables: new Map(types),
      functions: own,
      ...(messages === undefined ? {} : { messages }),
    };
  }

  /** Compiles once. @throws CelError with upstream's text: `ERROR: <input>:1:7: …`. */
  compile(expression: string): CelProgram {
    let program = this.#programs.get(expression);
    if (program === undefined) {
      program = this.#compiled(expression);
      this.#programs.set(expression, program);
    }
    if (program instanceof CelError) throw program;
    return program;
  }

  #compiled(expression: string): CelProgram | CelError {
    try {
      const { checked, problems } = check(parse(expression, this.#syntax), this.#declared);
      const wrong = problems.length > 0 ? problems : literalProblems(checked);
      if (wrong.length > 0) return new CelError(shownProblems(expression, wrong));
      return programOf(checked);
    } catch (fault) {
      if (fault instanceof CelFault) return new CelError(fault.message, "instantiation");
      if (!(fault instanceof SyntaxFault)) throw fault;
      return new CelError(shownProblems(expression, [fault]));
    }
  }
}

function programOf(checked: Checked): CelProgram {
  const step = interpreter(checked);
  const attempt = (bindings: Bindings, progress?: Progress): Evaluated => {
    const tracker = new Tracker(celLimits.callCostMax);
    if (progress !== undefined) progress.log.entered = 0;
    try {
      return { value: step(bindings, tracker, progress), cost: tracker.cost };
    } catch (fault) {
      const told = fault instanceof TooManySteps ? new CostExceeded() : fault;
      if (told instanceof CelFault || told instanceof CostExceeded) {
        throw new CelFailure(told.message, tracker.cost, told instanceof CostExceeded);
      }
      throw fault;
    }
  };
  return {
    type: formatType(checked.type),
    checked,
    run: attempt,
    async evaluate(bindings, turn) {
      const progress = turn === undefined ? undefined : { log: new LoopLog(), turn };
      for (;;) {
        try {
          return attempt(bindings, progress);
        } catch (fault) {
          if (fault instanceof Paused) await turn?.next();
          else if (fault instanceof Pending) await fault.answer;
          else throw fault;
        }
      }
    },
    estimate: (sizeAt) => estimatedCost(checked, sizeAt),
  };
}
