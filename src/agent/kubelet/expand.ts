/** Kubernetes' `$(NAME)` references in commands, arguments and environment values. Pure. */

/**
 * Replaces `$(NAME)` by its value; unknown names stay as written, `$$` is a single `$`.
 * `onMissing` hears of every name that has no value.
 */
export function expand(
  text: string,
  values: ReadonlyMap<string, string>,
  onMissing?: (name: string) => void,
): string {
  let result = "";
  let at = 0;
  while (at < text.length) {
    const dollar = text.indexOf("$", at);
    if (dollar < 0 || dollar + 1 >= text.length) break;
    result += text.slice(at, dollar);
    const next = text[dollar + 1];
    if (next === "(") {
      const close = text.indexOf(")", dollar + 2);
      if (close < 0) {
        result += "$(";
        at = dollar + 2;
        continue;
      }
      const name = text.slice(dollar + 2, close);
      const value = values.get(name);
      if (value === undefined) onMissing?.(name);
      result += value ?? `$(${name})`;
      at = close + 1;
      continue;
    }
    result += next === "$" ? "$" : `$${next}`;
    at = dollar + 2;
  }
  return result + text.slice(at);
}
