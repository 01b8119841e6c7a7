/** The tree of an expression: macros are expanded, every node knows where it stands. */
import type { CelUint } from "../scalars.ts";

interface Node {
  /** Where errors about the node point to: an offset into the source. */
  readonly at: number;
}

export type LiteralValue = string | number | bigint | boolean | null | Uint8Array | CelUint;

export interface Literal extends Node {
  readonly kind: "literal";
  readonly value: LiteralValue;
}
export interface Ident extends Node {
  readonly kind: "ident";
  readonly name: string;
}
export interface Select extends Node {
  readonly kind: "select";
  readonly operand: Expr;
  readonly field: string;
  /** `has(a.b)`: whether the field is there. */
  readonly isTest: boolean;
}
/** Functions and operators; these have names such as `_+_`. */
export interface Call extends Node {
  readonly kind: "call";
  readonly name: string;
  readonly target: Expr | undefined;
  readonly args: readonly Expr[];
}
export interface ListLiteral extends Node {
  readonly kind: "list";
  readonly items: readonly Expr[];
  /** Indices of the items that are written `?x`. */
  readonly optional: ReadonlySet<number>;
}
export interface Entry extends Node {
  readonly key: Expr;
  readonly value: Expr;
  readonly isOptional: boolean;
}
export interface MapLiteral extends Node {
  readonly kind: "map";
  readonly entries: readonly Entry[];
}
export interface StructField extends Node {
  readonly name: string;
  readonly value: Expr;
  readonly isOptional: boolean;
}
export interface StructLiteral extends Node {
  readonly kind: "struct";
  readonly type: string;
  readonly fields: readonly StructField[];
}
/** A loop over `range` that folds into the variable `accu`: what macros become. */
export interface Comprehension extends Node {
  readonly kind: "comprehension";
  readonly range: Expr;
  readonly iter: string;
  readonly iter2: string | undefined;
  readonly accu: string;
  readonly init: Expr;
  readonly condition: Expr;
  readonly step: Expr;
  readonly result: Expr;
}

export type Expr =
  | Literal
  | Ident
  | Select
  | Call
  | ListLiteral
  | MapLiteral
  | StructLiteral
  | Comprehension;

/** The variable that macros fold into; no source can name it. */
export const accumulator = "@result";

/** `a.b.c` as a name, where the expression is one. */
export function qualifiedName(expr: Expr): string | undefined {
  if (expr.kind === "ident") return expr.name;
  if (expr.kind !== "select" || expr.isTest) return undefined;
  const operand = qualifiedName(expr.operand);
  return operand === undefined ? undefined : `${operand}.${expr.field}`;
}

/** True for `cel.bind` and what is like it: a comprehension that never loops. */
export function isBinding({ range, condition, accu }: Comprehension): boolean {
  const isEmpty = range.kind === "list" && range.items.length === 0;
  return (
    isEmpty && condition.kind === "literal" && condition.value === false && accu !== accumulator
  );
}

/** The parts of an expression, from left to right. */
export function children(expr: Expr): readonly Expr[] {
  switch (expr.kind) {
    case "literal":
    case "ident":
      return [];
    case "select":
      return [expr.operand];
    case "call":
      return expr.target === undefined ? expr.args : [expr.target, ...expr.args];
    case "list":
      return expr.items;
    case "map":
      return expr.entries.flatMap(({ key, value }) => [key, value]);
    case "struct":
      return expr.fields.map(({ value }) => value);
    case "comprehension":
      return [expr.range, expr.init, expr.condition, expr.step, expr.result];
  }
}
