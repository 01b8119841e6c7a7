/** Regular expressions over names, as Corefiles hold them. */

import { linearRegexp } from "../../lib/regexp/regexp.ts";
import { RegexpError } from "../../lib/regexp/syntax.ts";
import { CorefileError, type Directive } from "./corefile.ts";

export interface NamePattern {
  /** The parts of a name that match; what was found in the groups, by number and by name. */
  match(name: string): RegExpExecArray | undefined;
}

/** Go's syntax. What does not match is told in linear time, whatever the expression. */
export function namePattern(source: string, { line }: Directive): NamePattern {
  try {
    const isMatch = linearRegexp(source);
    const [, ignoresCase, rest = ""] = /^(\(\?i\))?(.*)$/s.exec(source) ?? [];
    const groups = new RegExp(rest.replaceAll("(?P<", "(?<"), ignoresCase ? "i" : "");
    return { match: (name) => (isMatch.test(name) ? (groups.exec(name) ?? undefined) : undefined) };
  } catch (error) {
    if (!(error instanceof RegexpError || error instanceof SyntaxError)) throw error;
    throw new CorefileError(`line ${line}: invalid expression "${source}": ${error.message}`);
  }
}
