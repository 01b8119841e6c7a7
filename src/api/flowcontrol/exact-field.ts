import { parseFieldSelector, SelectorError } from "../../lib/selector.ts";

/** The value that a field selector wants a field to have exactly; undefined if it has no say. */
export function exactFieldOf(query: URLSearchParams, field: string): string | undefined {
  const selector = query.get("fieldSelector") ?? "";
  if (selector === "") return undefined;
  try {
    const terms = parseFieldSelector(selector);
    return terms.find((term) => term.field === field && term.operator === "=")?.value;
  } catch (error) {
    // Whoever reads the selector for what it is will refuse it.
    if (!(error instanceof SelectorError)) throw error;
    return undefined;
  }
}
