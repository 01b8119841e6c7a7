/**
 * Kubernetes' JSONPath (`.status.conditions[?(@.type=="Ready")].status`), as columns and scale
 * paths of custom resources use it. One path, without the template text kubectl allows around it.
 */

type Step =
  | { readonly type: "member"; readonly name: string }
  | { readonly type: "all" }
  | { readonly type: "descend" }
  | { readonly type: "slice"; readonly from?: number; readonly to?: number; readonly step: number }
  | { readonly type: "names"; readonly names: readonly (string | number)[] }
  | {
      readonly type: "filter";
      readonly left: Operand;
      readonly operator: string;
      readonly right: Operand | undefined;
    };

type Operand = { readonly value: unknown } | { readonly path: JsonPath };

export interface JsonPath {
  readonly steps: readonly Step[];
}

const limits = { pathLengthMax: 4096 } as const;

function bad(text: string, why: string): SyntaxError {
  return new SyntaxError(`invalid JSONPath ${JSON.stringify(text)}: ${why}`);
}

/** Index of the bracket that closes the one at `open`, past quoted text and inner brackets. */
function closing(text: string, open: number): number {
  let depth = 0;
  let quote = "";
  for (let at = open; at < text.length; at++) {
    const letter = text[at] as string;
    if (quote !== "") {
      if (letter === "\\") at++;
      else if (letter === quote) quote = "";
    } else if (letter === '"' || letter === "'") quote = letter;
    else if (letter === "[") depth++;
    else if (letter === "]" && --depth === 0) return at;
  }
  throw bad(text, "unterminated array");
}

function unquote(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/g, "$1");
}

function isQuoted(text: string): boolean {
  return /^(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")$/.test(text);
}

function parseOperand(text: string): Operand {
  if (isQuoted(text)) return { value: unquote(text) };
  if (/^-?\d+(?:\.\d+)?$/.test(text)) return { value: Number(text) };
  if (text === "true" || text === "false") return { value: text === "true" };
  if (text.startsWith("@")) return { path: parseJsonPath(text.slice(1)) };
  throw bad(text, "unrecognized operand");
}

function parseFilter(text: string): Step {
  const match =
    /^(@(?:[^=<>!"']|\[[^\]]*\])*|'[^']*'|"[^"]*"|[\w.-]+)\s*(==|!=|<=|>=|<|>)\s*(.+)$/.exec(text);
  if (!match)
    return { type: "filter", left: parseOperand(text), operator: "exists", right: undefined };
  const left = parseOperand((match[1] as string).trim());
  const right = parseOperand((match[3] as string).trim());
  return { type: "filter", left, operator: match[2] as string, right };
}

function parseBracket(text: string): Step {
  if (text === "*") return { type: "all" };
  const filter = /^\?\((.*)\)$/.exec(text);
  if (filter) return parseFilter((filter[1] as string).trim());
  const slice = /^(-?\d+)?:(-?\d+)?(?::(-?\d+))?$/.exec(text);
  if (slice) {
    const [, from, to, step] = slice;
    if (step !== undefined && Number(step) <= 0) throw bad(text, "step must be greater than 0");
    return {
      type: "slice",
      ...(from === undefined ? {} : { from: Number(from) }),
      ...(to === undefined ? {} : { to: Number(to) }),
      step: Number(step ?? 1),
    };
  }
  const parts = text.match(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,]+/g) ?? [];
  const names = parts.map((part) => {
    const trimmed = part.trim();
    if (isQuoted(trimmed)) return unquote(trimmed);
    if (/^-?\d+$/.test(trimmed)) return Number(trimmed);
    throw bad(text, "invalid array index");
  });
  if (names.length === 0) throw bad(text, "invalid array index");
  return { type: "names", names };
}

/** Parses a path, with or without `{}`, `$` and a leading dot. Throws SyntaxError. */
export function parseJsonPath(text: string): JsonPath {
  if (text.length > limits.pathLengthMax) throw bad(text.slice(0, 40), "too long");
  const inner = /^\{(.*)\}$/s.exec(text.trim())?.[1] ?? text.trim();
  const steps: Step[] = [];
  let at = inner.startsWith("$") ? 1 : 0;
  while (at < inner.length) {
    if (inner[at] === "[") {
      const end = closing(inner, at);
      steps.push(parseBracket(inner.slice(at + 1, end).trim()));
      at = end + 1;
      continue;
    }
    if (inner.startsWith("..", at)) steps.push({ type: "descend" });
    const start = /^\.{0,2}/.exec(inner.slice(at))?.[0].length ?? 0;
    const name = /^(?:\\.|[^.[\]\\])+/.exec(inner.slice(at + start))?.[0];
    at += start + (name?.length ?? 0);
    if (name === "*") steps.push({ type: "all" });
    else if (name !== undefined) steps.push({ type: "member", name: name.replace(/\\(.)/g, "$1") });
    else if (inner[at] !== "[" && at < inner.length) throw bad(text, `unexpected ${inner[at]}`);
    else if (start === 0) throw bad(text, "unexpected end");
  }
  return { steps };
}

function children(value: unknown): readonly unknown[] {
  return typeof value === "object" && value !== null ? Object.values(value) : [];
}

function descendants(value: unknown): unknown[] {
  const found: unknown[] = [];
  const rest = [value];
  for (let next = rest.shift(); next !== undefined; next = rest.shift()) {
    found.push(next);
    rest.push(...children(next).filter((child) => child !== undefined));
  }
  return found;
}

function named(value: unknown, name: string | number): readonly unknown[] {
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) {
    if (typeof name !== "number") return [];
    const item = value.at(name);
    return item === undefined ? [] : [item];
  }
  if (!Object.hasOwn(value, name)) return [];
  return [(value as Record<string | number, unknown>)[name]];
}

function sliced(value: unknown, step: Extract<Step, { type: "slice" }>): readonly unknown[] {
  if (!Array.isArray(value)) return [];
  return value.slice(step.from, step.to).filter((_, index) => index % step.step === 0);
}

function operandValues(operand: Operand, value: unknown): readonly unknown[] {
  return "path" in operand ? evaluateJsonPath(operand.path, value) : [operand.value];
}

function isNumeric(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

function compare(left: unknown, operator: string, right: unknown): boolean {
  if (operator === "==") return left === right;
  if (operator === "!=") return left !== right;
  const comparable =
    (isNumeric(left) && isNumeric(right)) ||
    (typeof left === "string" && typeof right === "string");
  if (!comparable) return false;
  if (operator === "<") return left < right;
  if (operator === "<=") return left <= right;
  return operator === ">" ? left > right : left >= right;
}

function passes(item: unknown, filter: Extract<Step, { type: "filter" }>): boolean {
  const [left] = operandValues(filter.left, item);
  if (filter.right === undefined) return left !== undefined;
  const [right] = operandValues(filter.right, item);
  return left !== undefined && right !== undefined && compare(left, filter.operator, right);
}

function follow(step: Step, value: unknown): readonly unknown[] {
  switch (step.type) {
    case "member":
      return named(value, step.name);
    case "all":
      return children(value);
    case "descend":
      return descendants(value);
    case "slice":
      return sliced(value, step);
    case "names":
      return step.names.flatMap((name) => named(value, name));
    case "filter":
      return children(value).filter((item) => passes(item, step));
  }
}

/** All values that the path leads to; none where something on the way is missing. */
export function evaluateJsonPath(path: JsonPath, value: unknown): readonly unknown[] {
  let values: readonly unknown[] = [value];
  for (const step of path.steps) values = values.flatMap((inner) => follow(step, inner));
  return values;
}
