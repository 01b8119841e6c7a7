/** Label selectors and field selectors: parse, match, format, with Kubernetes' own errors. */
import type { DeepReadonly } from "./deep-readonly.ts";
import { labelKeyErrors, labelValueErrors } from "./names.ts";

export type Operator = "=" | "==" | "!=" | "in" | "notin" | "exists" | "!" | "gt" | "lt";

export interface Requirement {
  readonly key: string;
  readonly operator: Operator;
  readonly values: readonly string[];
}
/** All requirements must hold; without any, everything matches. */
export interface LabelSelector {
  readonly requirements: readonly Requirement[];
  /** True for the selector of an absent meta/v1 LabelSelector. */
  readonly nothing?: boolean;
}
export type Labels = Readonly<Record<string, string>>;

/** The meta/v1 LabelSelector, as far as it is read here. */
export interface MetaLabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

export const everything: LabelSelector = { requirements: [] };
export const nothing: LabelSelector = { requirements: [], nothing: true };

/** A selector that cannot be parsed; the message is the one Kubernetes gives. */
export class SelectorError extends Error {
  override readonly name = "SelectorError";
}

const specials = new Set(["=", "!", "(", ")", ",", ">", "<"]);
const symbols = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

interface Token {
  /** "word", "end", or the symbol itself. */
  readonly type: string;
  readonly text: string;
}

function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text.charAt(at);
    if (/[ \t\r\n]/.test(char)) {
      at += 1;
      continue;
    }
    const symbol = symbols.find((candidate) => text.startsWith(candidate, at));
    if (symbol !== undefined) {
      tokens.push({ type: symbol, text: symbol });
      at += symbol.length;
      continue;
    }
    let end = at;
    while (end < text.length && !specials.has(text.charAt(end)) && !/\s/.test(text.charAt(end)))
      end += 1;
    tokens.push({ type: "word", text: text.slice(at, end) });
    at = end;
  }
  tokens.push({ type: "end", text: "" });
  return tokens;
}

class Parser {
  private at = 0;
  constructor(private readonly tokens: readonly Token[]) {}

  private peek(): Token {
    return this.tokens[this.at] ?? { type: "end", text: "" };
  }
  private next(): Token {
    const token = this.peek();
    this.at += 1;
    return token;
  }
  private isOperator(token: Token): boolean {
    return token.type === "word" && (token.text === "in" || token.text === "notin");
  }

  parse(): readonly Requirement[] {
    const requirements: Requirement[] = [];
    if (this.peek().type === "end") return requirements;
    for (;;) {
      const token = this.peek();
      if (token.type !== "word" && token.type !== "!")
        throw new SelectorError(
          `found '${token.text}', expected: !, identifier, or 'end of string'`,
        );
      requirements.push(this.wrapped());
      const after = this.next();
      if (after.type === "end") return requirements;
      if (after.type !== ",")
        throw new SelectorError(`found '${after.text}', expected: ',' or 'end of string'`);
      const ahead = this.peek();
      if (ahead.type !== "word" && ahead.type !== "!")
        throw new SelectorError(`found '${ahead.text}', expected: identifier after ','`);
    }
  }

  private wrapped(): Requirement {
    try {
      return this.requirement();
    } catch (error) {
      if (!(error instanceof SelectorError)) throw error;
      throw new SelectorError(`unable to parse requirement: ${error.message}`);
    }
  }

  private requirement(): Requirement {
    const negated = this.peek().type === "!";
    if (negated) this.next();
    const key = this.next();
    if (key.type !== "word") throw new SelectorError(`found '${key.text}', expected: identifier`);
    const ahead = this.peek().type;
    if (negated) return checked({ key: key.text, operator: "!", values: [] });
    if (ahead === "end" || ahead === ",")
      return checked({ key: key.text, operator: "exists", values: [] });
    const operator = this.next();
    if (this.isOperator(operator)) {
      const values = [...new Set(this.set())].sort();
      return checked({ key: key.text, operator: operator.text as Operator, values });
    }
    const known: Record<string, Operator> = {
      "=": "=",
      "==": "==",
      "!=": "!=",
      ">": "gt",
      "<": "lt",
    };
    const found = known[operator.type];
    if (found === undefined)
      throw new SelectorError(`found '${operator.text}', expected: in, notin, =, ==, !=, gt, lt`);
    return checked({ key: key.text, operator: found, values: [this.exactValue()] });
  }

  private exactValue(): string {
    const ahead = this.peek();
    if (ahead.type === "end" || ahead.type === ",") return "";
    const value = this.next();
    if (value.type !== "word")
      throw new SelectorError(`found '${value.text}', expected: identifier`);
    return value.text;
  }

  private set(): string[] {
    const open = this.next();
    if (open.type !== "(") throw new SelectorError(`found '${open.text}' expected: '('`);
    const values: string[] = [];
    let wantsValue = true;
    for (;;) {
      const token = this.next();
      if (token.type === "word" && wantsValue) {
        values.push(token.text);
        wantsValue = false;
      } else if (token.type === "," || token.type === ")") {
        if (wantsValue) values.push("");
        if (token.type === ")") return values;
        wantsValue = true;
      } else {
        const expected = wantsValue ? "expected: ',', ')' or identifier" : "expected: ',' or ')'";
        throw new SelectorError(`found '${token.text}', ${expected}`);
      }
    }
  }
}

function checked(requirement: Requirement): Requirement {
  const errors: string[] = labelKeyErrors(requirement.key).map(
    (detail) => `<nil>: Invalid value: ${JSON.stringify(requirement.key)}: ${detail}`,
  );
  requirement.values.forEach((value, index) => {
    if (requirement.operator === "gt" || requirement.operator === "lt") {
      if (!/^[+-]?\d+$/.test(value))
        errors.push(
          `values[${index}]: Invalid value: ${JSON.stringify(value)}: ` +
            "for 'Gt', 'Lt' operators, the value must be an integer",
        );
      return;
    }
    for (const detail of labelValueErrors(value))
      errors.push(
        `values[${index}][${requirement.key}]: Invalid value: ${JSON.stringify(value)}: ${detail}`,
      );
  });
  if (errors.length === 1) throw new SelectorError(errors[0]);
  if (errors.length > 1) throw new SelectorError(`[${errors.join(", ")}]`);
  return requirement;
}

/** Parses `a=b,c!=d,e in (f,g),!h,i`; throws SelectorError. */
export function parseLabelSelector(text: string): LabelSelector {
  return { requirements: new Parser(tokenize(text)).parse() };
}

function holds({ key, operator, values }: Requirement, labels: Labels): boolean {
  const has = Object.hasOwn(labels, key);
  const value = labels[key] ?? "";
  switch (operator) {
    case "=":
    case "==":
    case "in":
      return has && values.includes(value);
    case "!=":
    case "notin":
      return !has || !values.includes(value);
    case "exists":
      return has;
    case "!":
      return !has;
    case "gt":
      return has && /^[+-]?\d+$/.test(value) && BigInt(value) > BigInt(values[0] ?? "0");
    case "lt":
      return has && /^[+-]?\d+$/.test(value) && BigInt(value) < BigInt(values[0] ?? "0");
  }
}

const noLabels: Labels = {};

/**
 * `matchesLabels` for many objects: what most selectors ask (one label with one value) is looked at
 * without further ado.
 */
export function labelMatcher(selector: LabelSelector): (labels: Labels | undefined) => boolean {
  const [first, second] = selector.requirements;
  const isPlain = first?.operator === "=" || first?.operator === "==";
  const value = first?.values[0];
  if (selector.nothing || first === undefined || second !== undefined || !isPlain || !value) {
    return (labels) => matchesLabels(selector, labels);
  }
  // No inherited property is a string, and no empty value is asked for.
  const { key } = first;
  return (labels) => labels !== undefined && labels[key] === value;
}

/** True when `labels` fulfil every requirement. */
export function matchesLabels(selector: LabelSelector, labels: Labels | undefined): boolean {
  if (selector.nothing) return false;
  const given = labels ?? noLabels;
  for (const requirement of selector.requirements) if (!holds(requirement, given)) return false;
  return true;
}

const metaOperators: Readonly<Record<string, Operator>> = {
  In: "in",
  NotIn: "notin",
  Exists: "exists",
  DoesNotExist: "!",
  Gt: "gt",
  Lt: "lt",
};

/** The selector of a meta/v1 LabelSelector: absent selects nothing, empty everything. */
export function labelSelectorOf(
  selector: DeepReadonly<MetaLabelSelector> | undefined,
): LabelSelector {
  if (selector === undefined) return nothing;
  const requirements: Requirement[] = Object.entries(selector.matchLabels ?? {}).map(
    ([key, value]) => ({ key, operator: "=", values: [value] }),
  );
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const known = metaOperators[operator];
    if (known === undefined)
      throw new SelectorError(`"${operator}" is not a valid label selector operator`);
    requirements.push({ key, operator: known, values: [...(values ?? [])].sort() });
  }
  requirements.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return { requirements };
}

/** The selector that a plain map means (Service, ReplicationController): empty is nothing. */
export function selectorOfMap(map: Labels | undefined): LabelSelector {
  if (map === undefined || Object.keys(map).length === 0) return nothing;
  return labelSelectorOf({ matchLabels: map });
}

/** The text form, as `status.selector` of Scale carries it and `kubectl get -o wide` shows it. */
export function formatSelector(selector: LabelSelector): string {
  return selector.requirements
    .map(({ key, operator, values }) => {
      switch (operator) {
        case "exists":
          return key;
        case "!":
          return `!${key}`;
        case "in":
        case "notin":
          return `${key} ${operator} (${values.join(",")})`;
        case "gt":
          return `${key}>${values[0]}`;
        case "lt":
          return `${key}<${values[0]}`;
        default:
          return `${key}${operator}${values[0]}`;
      }
    })
    .join(",");
}

/** One term of a field selector. */
export interface FieldTerm {
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
}

/** Splits at unescaped commas. */
function splitTerms(text: string): readonly string[] {
  const terms: string[] = [];
  let term = "";
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === "\\") {
      term += char + text.charAt(at + 1);
      at += 1;
    } else if (char === ",") {
      terms.push(term);
      term = "";
    } else term += char;
  }
  terms.push(term);
  return terms;
}

function unescapeValue(text: string): string {
  let value = "";
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === "\\") {
      const next = text.charAt(at + 1);
      if (next !== "\\" && next !== "," && next !== "=")
        throw new SelectorError(
          `invalid field selector: invalid escape sequence: ${text.slice(at, at + 2)}`,
        );
      value += next;
      at += 1;
    } else if (char === "," || char === "=") {
      throw new SelectorError(
        `invalid field selector: unescaped character in value: ${char.codePointAt(0)}`,
      );
    } else value += char;
  }
  return value;
}

/** Parses `status.phase!=Running,spec.nodeName=a`; `\` escapes `\`, `,` and `=` in values. */
export function parseFieldSelector(text: string): readonly FieldTerm[] {
  const terms: FieldTerm[] = [];
  for (const term of splitTerms(text)) {
    if (term === "") continue;
    const found = /^([^=!\\]*)(!=|==|=)(.*)$/s.exec(term);
    if (found === null)
      throw new SelectorError(`invalid selector: '${text}'; can't understand '${term}'`);
    const [, field = "", operator, value = ""] = found;
    terms.push({
      field,
      operator: operator === "!=" ? "!=" : "=",
      value: unescapeValue(value),
    });
  }
  return terms;
}

/** True when every term holds; `read` gives the value of a field. */
export function matchesFields(
  terms: readonly FieldTerm[],
  read: (field: string) => string,
): boolean {
  return terms.every(({ field, operator, value }) =>
    operator === "=" ? read(field) === value : read(field) !== value,
  );
}
