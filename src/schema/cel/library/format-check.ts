/** What is wrong with a call of `format` whose text and list are literals. */
import type { CelType, TypeKind } from "../check/types.ts";
import type { Problem } from "../syntax/problem.ts";
import { verbRules } from "./format-rules.ts";

export type FormatArgs = readonly { readonly at: number; readonly type: CelType }[];

const kinds: Readonly<Record<string, readonly TypeKind[]>> = {
  s: [
    "list",
    "map",
    "int",
    "uint",
    "double",
    "bool",
    "string",
    "timestamp",
    "bytes",
    "duration",
    "type",
    "null",
  ],
  d: ["int", "uint"],
  f: ["double", "string"],
  e: ["double", "string"],
  b: ["int", "uint", "bool"],
  x: ["int", "uint", "string", "bytes"],
  X: ["int", "uint", "string", "bytes"],
  o: ["int", "uint"],
};

/** The first problem; `at` is the place of the call. */
export function formatProblem(text: string, args: FormatArgs, at: number): Problem | undefined {
  const clauses = [...text.matchAll(/%(?:%|(?:\.\d+)?(.)?)/gsu)];
  const verbs = clauses.filter(([whole]) => whole !== "%%").map(([, verb]) => verb);
  for (const [index, verb] of verbs.entries()) {
    const arg = args[index];
    if (verb === undefined) return { at, message: "unexpected end of string" };
    if (arg === undefined) return { at, message: `index ${index} out of range` };
    const fitting = kinds[verb];
    const rule = verbRules[verb];
    if (fitting === undefined || rule === undefined) {
      const why = `unrecognized formatting clause "${verb}"`;
      return { at, message: `could not parse formatting clause: ${why}` };
    }
    if (arg.type.kind === "dyn" || fitting.includes(arg.type.kind)) continue;
    const message = `error during formatting: ${rule}, was given ${arg.type.name}`;
    return { at: arg.at, message };
  }
  if (args.length <= verbs.length) return undefined;
  const counts = `(expected ${verbs.length}, got ${args.length})`;
  return { at, message: `too many arguments supplied to string.format ${counts}` };
}
