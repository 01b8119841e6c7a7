/** The lines of an HTTP/1.1 head after its first, read as strictly as the protocol allows. */

export interface Field {
  /** As sent. */
  readonly name: string;
  readonly lower: string;
  readonly value: string;
}

export const headLimits = {
  /** First line and fields together. */
  bytesMax: 32 * 1024,
  fieldsMax: 100,
  targetBytesMax: 8 * 1024,
} as const;

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const illegal = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r[^\n]|[^\r]\n|\r$/;

/** Names come again and again: each is checked once. */
const known = new Map<string, string>();
const knownMax = 2000;

/** The lower case of a valid name; undefined for what is none. */
function lowerOf(name: string): string | undefined {
  const found = known.get(name);
  if (found !== undefined) return found;
  if (!token.test(name)) return undefined;
  const lower = name.toLowerCase();
  if (known.size < knownMax && name.length <= 64) known.set(name, lower);
  return lower;
}

export function isToken(text: string): boolean {
  return token.test(text);
}

/** Bare line ends and control characters: each reader would cut such a head elsewhere. */
export function hasIllegalCharacters(head: string): boolean {
  return illegal.test(head);
}

/** Undefined: it is malformed; "too-many" for more fields than are taken. */
export function parseFields(head: string, from: number): Field[] | "too-many" | undefined {
  const fields: Field[] = [];
  let at = from;
  while (at < head.length) {
    const found = head.indexOf("\r\n", at);
    const end = found === -1 ? head.length : found;
    const colon = head.indexOf(":", at);
    // A line that begins with a blank would have gone on the one before it, once.
    if (colon === -1 || colon >= end) return undefined;
    const name = head.slice(at, colon);
    const lower = lowerOf(name);
    if (lower === undefined) return undefined;
    if (fields.length === headLimits.fieldsMax) return "too-many";
    fields.push({ name, lower, value: head.slice(colon + 1, end).trim() });
    at = end + 2;
  }
  return fields;
}

export function fieldOf(fields: readonly Field[], lower: string): string | undefined {
  return fields.find((field) => field.lower === lower)?.value;
}

/** The members of a list that may be spread over lines, in lower case. */
export function listOf(value: string): readonly string[] {
  return value
    .split(",")
    .map((part) => part.trim().toLowerCase())
    .filter((part) => part !== "");
}
