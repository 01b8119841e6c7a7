/** CoreDNS's `rewrite`: asks for another name or type, and answers under the name asked for. */
import type { Answer, Question } from "dns-packet";
import { CorefileError, type Directive } from "./corefile.ts";
import { namePattern } from "./name-pattern.ts";

export interface Rewrite {
  /** What to ask in place of `question`; undefined when the rule is not about it. */
  rewritten(question: Question): Question | undefined;
  /** Whether later rules see the rewritten question, too. */
  readonly continues: boolean;
  /** What the rule does to names in an answer, beyond undoing itself. */
  renamed(answer: Answer): Answer;
}

/** Maps a name in lower case with its final dot. */
type NameRule = (name: string) => string | undefined;

const kinds = ["exact", "prefix", "suffix", "substring", "regex"] as const;

/** @throws CorefileError */
export function parseRewrite(directive: Directive): Rewrite {
  const rules = [directive.args, ...directive.block.map(({ name, args }) => [name, ...args])];
  const words = rules.flat();
  const continues = words[0] === "continue";
  if (continues || words[0] === "stop") words.shift();
  const field = words.shift();
  if (field === "type") return typeRewrite(directive, words, continues);
  if (field === "name") return nameRewrite(directive, words, continues);
  throw wrong(directive, `rewrite of "${field ?? ""}" is not known: it takes name or type`);
}

function typeRewrite(directive: Directive, words: readonly string[], continues: boolean): Rewrite {
  const [from, to] = words.map((word) => word.toUpperCase());
  if (from === undefined || to === undefined) throw wrong(directive, "rewrite type takes FROM TO");
  return {
    continues,
    renamed: (answer) => answer,
    rewritten: (question) => (question.type === from ? { ...question, type: to } : undefined),
  };
}

function nameRewrite(directive: Directive, words: string[], continues: boolean): Rewrite {
  const given = kinds.find((kind) => kind === words[0]);
  if (given !== undefined) words.shift();
  const [from, to, ...options] = words;
  if (from === undefined || to === undefined) throw wrong(directive, "rewrite name takes FROM TO");
  const rule = nameRule(directive, given ?? "exact", from.toLowerCase(), to.toLowerCase());
  return {
    continues,
    rewritten: (question) => {
      const name = rule(withDot(question.name.toLowerCase()));
      return name === undefined ? undefined : { ...question, name: name.replace(/\.$/, "") };
    },
    renamed: answerRules(directive, options),
  };
}

function nameRule(
  directive: Directive,
  kind: (typeof kinds)[number],
  from: string,
  to: string,
): NameRule {
  switch (kind) {
    case "exact":
      return (name) => (name === withDot(from) ? withDot(to) : undefined);
    case "prefix":
      return (name) => (name.startsWith(from) ? to + name.slice(from.length) : undefined);
    case "suffix": {
      const [end, next] = [withDot(from), withDot(to)];
      return (name) => (name.endsWith(end) ? name.slice(0, -end.length) + next : undefined);
    }
    case "substring":
      return (name) => (name.includes(from) ? name.replaceAll(from, to) : undefined);
    case "regex": {
      const pattern = namePattern(from, directive);
      return (name) => {
        const found = pattern.match(name);
        return found === undefined ? undefined : withDot(filled(to, found));
      };
    }
  }
}

/** `answer name FROM TO` and `answer value FROM TO`; `answer auto` is what happens anyway. */
function answerRules(directive: Directive, options: readonly string[]): (answer: Answer) => Answer {
  const renames: Partial<Record<"name" | "value", NameRule>> = {};
  const left = [...options];
  while (left.length > 0) {
    const [answer, what, from = "", to = ""] = left;
    if (answer === "answer" && what === "auto") {
      left.splice(0, 2);
      continue;
    }
    if (answer !== "answer" || (what !== "name" && what !== "value") || to === "") {
      throw wrong(directive, `rewrite name does not know the option "${left.join(" ")}"`);
    }
    renames[what] = nameRule(directive, "regex", from, to);
    left.splice(0, 4);
  }
  const changed = (name: string, rule?: NameRule): string =>
    rule?.(withDot(name.toLowerCase()))?.replace(/\.$/, "") ?? name;
  return (answer) => {
    if (answer.type === "OPT") return answer;
    const named = { ...answer, name: changed(answer.name, renames.name) };
    if (named.type === "SRV") {
      const data = { ...named.data, target: changed(named.data.target, renames.value) };
      return { ...named, data };
    }
    if (named.type !== "CNAME" && named.type !== "PTR" && named.type !== "NS") return named;
    return { ...named, data: changed(named.data, renames.value) };
  };
}

/** Puts groups in for `{1}`. */
function filled(text: string, found: RegExpExecArray): string {
  return text.replace(/\{(\d+)\}/g, (_whole, number: string) => found[Number(number)] ?? "");
}

function withDot(name: string): string {
  return name.endsWith(".") ? name : `${name}.`;
}

function wrong({ line }: Directive, problem: string): CorefileError {
  return new CorefileError(`line ${line}: ${problem}`);
}
