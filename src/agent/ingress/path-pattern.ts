/** Paths as regular expressions, of which a tenant can write none that holds everyone up. */
import { linearRegexp, TooManySteps } from "../../lib/regexp/regexp.ts";

const limits = { patternCharactersMax: 1024, pathCharactersMax: 4096 } as const;

/** What the groups caught; undefined where the path does not match. */
export type PathPattern = (path: string) => readonly string[] | undefined;

/**
 * Anchored at the begin, and letters of both cases are the same, as nginx has it. A search in
 * linear time decides; groups are then read by backtracking, which needs a pattern that cannot
 * explode. Undefined for others.
 */
export function pathPattern(source: string): PathPattern | undefined {
  if (source.length > limits.patternCharactersMax || repeatsRepetition(source)) return undefined;
  try {
    const linear = linearRegexp(`(?i)^(?:${source})`);
    const groups = new RegExp(`^(?:${source})`, "i");
    return (path) => {
      if (path.length > limits.pathCharactersMax || !decides(linear, path)) return undefined;
      return Array.from(groups.exec(path) ?? [], (caught) => caught ?? "").slice(1);
    };
  } catch {
    return undefined; // no regular expression, or none that both can read
  }
}

/** Whether all of a text matches; an expression that cannot be read matches nothing. */
export function wholePattern(source: string): (text: string) => boolean {
  if (source.length > limits.patternCharactersMax) return () => false;
  try {
    const linear = linearRegexp(`^(?:${source})$`);
    return (text) => text.length <= limits.pathCharactersMax && decides(linear, text);
  } catch {
    return () => false;
  }
}

function decides(linear: ReturnType<typeof linearRegexp>, path: string): boolean {
  try {
    return linear.test(path);
  } catch (error) {
    if (error instanceof TooManySteps) return false;
    throw error;
  }
}

/** Whether a group that holds a repetition or a choice is itself repeated. */
function repeatsRepetition(source: string): boolean {
  const varies: boolean[] = [false];
  let inClass = false;
  for (let at = 0; at < source.length; at++) {
    const character = source[at];
    if (character === "\\") at += 1;
    else if (inClass) inClass = character !== "]";
    else if (character === "[") inClass = true;
    else if (character === "(") varies.push(false);
    else if (character === ")") {
      const inner = varies.pop() ?? false;
      if (inner && /[*+{]/.test(source[at + 1] ?? "")) return true;
      if (inner && varies.length > 0) varies[varies.length - 1] = true;
    } else if (/[*+{|]/.test(character ?? "") && varies.length > 0) {
      varies[varies.length - 1] = true;
    }
  }
  return false;
}
