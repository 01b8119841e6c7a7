/** A regular expression as a program: what to look for, and where to go on. */
import type { CharSet } from "./char-set.ts";
import type { Assertion } from "./syntax.ts";

export type Instruction =
  | { readonly op: "set"; readonly set: CharSet; readonly next: number }
  | { readonly op: "fork"; readonly first: number; readonly second: number }
  | { readonly op: "assert"; readonly what: Assertion; readonly next: number }
  | { readonly op: "match" };
