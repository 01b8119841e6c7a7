/** Where and why an expression cannot be compiled. */

export interface Problem {
  /** An offset into the source. */
  readonly at: number;
  readonly message: string;
}

/** Ends parsing; the problem is the only one that is told. */
export class SyntaxFault extends Error {
  override readonly name = "SyntaxFault";
  constructor(
    readonly at: number,
    message: string,
  ) {
    super(message);
  }
}

/** `ERROR: <input>:1:7: …`, the line, and a caret below: one after the other in source order. */
export function shownProblems(source: string, problems: readonly Problem[]): string {
  const sorted = [...problems].sort((a, b) => a.at - b.at || (a.message < b.message ? -1 : 1));
  return sorted.map((problem) => shown(source, problem)).join("\n");
}

function shown(source: string, { at, message }: Problem): string {
  // There is no line to show of nothing.
  if (source === "") return `ERROR: <input>:1:0: ${message}`;
  const before = source.slice(0, at);
  const line = before.split("\n").length;
  const inLine = [...before.slice(before.lastIndexOf("\n") + 1)];
  const text = (source.split("\n")[line - 1] ?? "").replaceAll("\t", " ");
  // Characters of more than one byte are taken to be twice as wide.
  const dots = inLine.map((one) => (one > "\u007f" ? "．" : ".")).join("");
  const under = source.slice(at, at + 1) > "\u007f" ? "＾" : "^";
  return `ERROR: <input>:${line}:${inLine.length + 1}: ${message}\n | ${text}\n | ${dots}${under}`;
}
