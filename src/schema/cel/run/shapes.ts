/** What can be told of an expression before it runs: constants, chains of fields, patterns. */
import { celRegexp } from "../library/standard.ts";
import { type Call, children, type Expr, type Select } from "../syntax/ast.ts";

/** These are done once where all is known beforehand. */
const conversions: ReadonlySet<string> = new Set(
  "bool bytes double duration dyn int string timestamp type uint".split(" "),
);

/** True for literals, and for lists and maps of nothing else. */
export function isConstant(expr: Expr): boolean {
  if (expr.kind === "literal") return true;
  if (expr.kind === "call") return conversions.has(expr.name) && expr.args.every(isConstant);
  if (expr.kind === "list") return expr.optional.size === 0 && expr.items.every(isConstant);
  if (expr.kind !== "map") return false;
  return expr.entries.every((entry) => !entry.isOptional) && children(expr).every(isConstant);
}

/** A variable, a field or an element of one: upstream counts a chain of these as one. */
export function isAttribute({ kind, ...expr }: Expr): boolean {
  if (kind === "ident") return true;
  if (kind === "select") return !(expr as Select).isTest;
  return kind === "call" && ["_[_]", "_[?_]", "_?._"].includes((expr as Call).name);
}

/** A regular expression that is a literal is compiled beforehand. */
export function checkPattern({ name, target, args }: Call): void {
  if (target === undefined || !["find", "findAll", "matches"].includes(name)) return;
  const [pattern] = args;
  if (pattern?.kind === "literal" && typeof pattern.value === "string") celRegexp(pattern.value);
}
