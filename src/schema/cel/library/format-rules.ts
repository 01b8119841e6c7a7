/** What each clause of a format takes, in upstream's words. */

const hex = "only integers, byte buffers, and strings can be formatted as hex";

export const verbRules: Readonly<Record<string, string>> = {
  s:
    "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, " +
    "durations, and timestamps",
  d: "decimal clause can only be used on integers",
  f: "fixed-point clause can only be used on doubles",
  e: "scientific clause can only be used on doubles",
  b: "only integers and bools can be formatted as binary",
  o: "octal clause can only be used on integers",
  x: hex,
  X: hex,
};
