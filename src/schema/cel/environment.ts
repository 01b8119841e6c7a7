/**
 * Common Expression Language as Kubernetes speaks it: the language by a library, Kubernetes' own
 * functions and wording by us (https://kubernetes.io/docs/reference/using-api/cel/).
 */
import { type Environment, Environment as Library } from "@marcbachmann/cel-js";
import { registerFormats } from "./formats.ts";
import { registerLists } from "./lists.ts";
import { rewriteMessages } from "./message-literals.ts";
import { registerNet } from "./net.ts";
import { registerQuantities } from "./quantities.ts";
import { registerStrings } from "./strings.ts";
import { registerVersions } from "./versions.ts";

/** Where types and functions are declared. */
export type CelDeclarations = Environment;

/** What an expression may yield; "any" is not checked. */
export type CelResult = "bool" | "string" | "int" | "list" | "map" | "any";

export interface CelProgram {
  /** What the checker found the expression to yield: `bool`, `list<string>`, `dyn`. */
  readonly type: string;
  /**
   * @throws CelError for what fails while it runs: `no such key: foo`.
   */
  evaluate(bindings: Readonly<Record<string, unknown>>): unknown;
}

/** An expression that cannot be compiled or whose evaluation failed; the message is upstream's. */
export class CelError extends Error {
  override readonly name = "CelError";
}

/** Upstream's own limits: the parser stops there. */
const limits = {
  expressionCharactersMax: 100_000,
  maxDepth: 250,
  maxAstNodes: 100_000,
} as const;

let base: Environment | undefined;

/** The functions that every expression has; made once, cloned by each environment. */
function functions(): Environment {
  if (base !== undefined) return base;
  const environment = new Library({
    enableOptionalTypes: true,
    homogeneousAggregateLiterals: false,
    limits: { maxDepth: limits.maxDepth, maxAstNodes: limits.maxAstNodes },
  });
  registerStrings(environment);
  registerLists(environment);
  registerQuantities(environment);
  registerNet(environment);
  registerFormats(environment);
  registerVersions(environment);
  base = environment;
  return environment;
}

export class CelEnvironment {
  readonly #environment: Environment;
  readonly #programs = new Map<string, CelProgram | CelError>();

  /** `variables` by name with their types in CEL's notation: `dyn`, `map<string, dyn>`. */
  constructor(
    variables: Readonly<Record<string, string>>,
    extend: (environment: Environment) => void = () => {},
  ) {
    this.#environment = functions().clone();
    extend(this.#environment);
    for (const [name, type] of Object.entries(variables)) {
      this.#environment.registerVariable(name, type);
    }
  }

  /** Compiles once; @throws CelError with upstream's `compilation failed` text. */
  compile(expression: string, wanted: CelResult = "any"): CelProgram {
    const key = `${wanted} ${expression}`;
    let program = this.#programs.get(key);
    if (program === undefined) {
      program = this.#compiled(expression, wanted);
      this.#programs.set(key, program);
    }
    if (program instanceof CelError) throw program;
    return program;
  }

  #compiled(expression: string, wanted: CelResult): CelProgram | CelError {
    if (expression.trim() === "") return new CelError("compilation failed: expression is empty");
    if (expression.length > limits.expressionCharactersMax) {
      return new CelError("compilation failed: expression code point size exceeds limit");
    }
    try {
      const parsed = this.#environment.parse(rewriteMessages(expression));
      const { valid, error, type = "dyn" } = parsed.check();
      if (!valid) return compileError(expression, error);
      if (wanted !== "any" && !yields(type, wanted)) {
        return new CelError(`must evaluate to ${wanted}`);
      }
      return { type, evaluate: (bindings) => run(parsed, bindings) };
    } catch (error) {
      return compileError(expression, error);
    }
  }
}

function yields(type: string, wanted: CelResult): boolean {
  const kind = type.replace(/<.*/, "");
  return kind === wanted || kind === "dyn";
}

function run(
  parsed: (bindings: Record<string, unknown>) => unknown,
  bindings: Readonly<Record<string, unknown>>,
): unknown {
  try {
    const result = parsed({ ...bindings });
    if (!(result instanceof Promise)) return result;
    return result.catch((error: unknown) => {
      throw runtimeError(error);
    });
  } catch (error) {
    throw runtimeError(error);
  }
}

interface LibraryError {
  readonly code?: string;
  readonly summary?: string;
  readonly message: string;
  readonly range?: { readonly start: number };
}

/** `ERROR: <input>:1:7: …` with the line and a caret below it. */
function compileError(expression: string, error: unknown): CelError {
  const { summary, message, range } = error as LibraryError;
  const start = Math.min(range?.start ?? 0, expression.length);
  const before = expression.slice(0, start);
  const line = before.split("\n").length;
  const column = start - (before.lastIndexOf("\n") + 1);
  const text = expression.split("\n")[line - 1] ?? "";
  const what = compileText(error as LibraryError, summary ?? message);
  const caret = `${".".repeat(column)}^`;
  const where = `<input>:${line}:${column + 1}`;
  return new CelError(`compilation failed: ERROR: ${where}: ${what}\n | ${text}\n | ${caret}`);
}

function compileText(error: LibraryError, summary: string): string {
  const unknown = /^Unknown variable: (.*)$/.exec(summary);
  if (unknown) return `undeclared reference to '${unknown[1]}' (in container '')`;
  const operator = /^no such overload: (.*?) (\S+) (.*)$/.exec(summary);
  if (operator) {
    const [, left, sign, right] = operator;
    return `found no matching overload for '_${sign}_' applied to '(${left}, ${right})'`;
  }
  const isSyntax = (error as Partial<Error>).name === "ParseError";
  return isSyntax ? `Syntax error: ${summary}` : summary;
}

function runtimeError(error: unknown): CelError {
  const { code, summary, message } = error as LibraryError;
  const text = (summary ?? message).replace(/^No such key/, "no such key");
  const told = code === "numeric_overflow" ? "integer overflow" : text;
  return new CelError(told, { cause: error });
}
