/** String and bytes literals: raw, triple quoted, with escapes. */
import { SyntaxFault } from "./problem.ts";

const simple: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
  "`": "`",
  "?": "?",
};
const numeric =
  /^(?:x([0-9a-fA-F]{2})|X([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))/;

/** The literal at `at`, which begins with `opening`: prefixes and quotes. */
export function stringLiteral(
  source: string,
  at: number,
  opening: string,
): { readonly text: string; readonly value: string | Uint8Array } {
  const quote = opening.replace(/^[bBrR]*/, "");
  const prefix = opening.slice(0, opening.length - quote.length).toLowerCase();
  const isRaw = prefix.includes("r");
  let end = at + opening.length;
  for (;;) {
    const character = source[end];
    const isBroken = character === "\n" && quote.length === 1;
    if (character === undefined || isBroken) {
      const text = source.slice(at, end);
      throw new SyntaxFault(at, `Syntax error: token recognition error at: '${text}'`);
    }
    if (source.startsWith(quote, end)) break;
    end += character === "\\" && !isRaw ? 2 : 1;
  }
  const text = source.slice(at, end + quote.length);
  const body = source.slice(at + opening.length, end).replace(/\r\n?/g, "\n");
  const isBytes = prefix.includes("b");
  if (isRaw) return { text, value: isBytes ? new TextEncoder().encode(body) : body };
  return { text, value: isBytes ? bytes(body, at) : unescaped(body, at) };
}

function unescaped(body: string, at: number): string {
  return pieces(body, at)
    .map((piece) => (typeof piece === "string" ? piece : codePoint(piece.code, at)))
    .join("");
}

/** In bytes, `\x` and octal escapes are bytes, all else is UTF-8. */
function bytes(body: string, at: number): Uint8Array {
  const encoder = new TextEncoder();
  const parts = pieces(body, at).flatMap((piece) => {
    if (typeof piece === "string") return [...encoder.encode(piece)];
    return piece.isByte ? [piece.code] : [...encoder.encode(codePoint(piece.code, at))];
  });
  return Uint8Array.from(parts);
}

type Piece = string | { readonly code: number; readonly isByte: boolean };

function pieces(body: string, at: number): readonly Piece[] {
  const found: Piece[] = [];
  let rest = body;
  while (rest !== "") {
    const slash = rest.indexOf("\\");
    if (slash < 0) return [...found, rest];
    if (slash > 0) found.push(rest.slice(0, slash));
    const after = rest.slice(slash + 1);
    const known = simple[after[0] ?? ""];
    const digits = numeric.exec(after);
    if (known !== undefined) found.push(known);
    else if (digits !== null) {
      const [, x, bigX, u, bigU, octal] = digits;
      const code = octal === undefined ? Number.parseInt(x ?? bigX ?? u ?? bigU ?? "", 16) : 0;
      const isByte = u === undefined && bigU === undefined;
      found.push({ code: octal === undefined ? code : Number.parseInt(octal, 8), isByte });
    } else
      throw new SyntaxFault(at, "Syntax error: token recognition error: unable to unescape string");
    rest = after.slice(known === undefined ? (digits?.[0].length ?? 1) : 1);
  }
  return found;
}

function codePoint(code: number, at: number): string {
  if (code <= 0x10ffff && (code < 0xd800 || code > 0xdfff)) return String.fromCodePoint(code);
  throw new SyntaxFault(at, "unable to unescape string");
}
