/** What JSON.parse does not tell of a text: nesting depth and duplicate members. */
import { ApiError } from "../lib/api-error.ts";
import { mayBeRounded } from "../lib/exact-json.ts";

/** Kubernetes' own limits; the paths of all duplicates of a deep text would not fit in memory. */
const limits = { depthMax: 10_000, duplicatesMax: 100 } as const;

const [quote, backslash, colon, openObject, openList, closeObject, closeList] = [
  0x22, 0x5c, 0x3a, 0x7b, 0x5b, 0x7d, 0x5d,
];

/** Index of the quote that ends the string whose first character is at `from`. */
function stringEnd(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== quote) at += bytes[at] === backslash ? 2 : 1;
  return at;
}

/** Counts the members of all objects; refuses a text nested deeper than Kubernetes reads. */
export function countMembers(bytes: Uint8Array): number {
  let members = 0;
  let depth = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === quote) at = stringEnd(bytes, at + 1);
    else if (byte === colon) members++;
    else if (byte === openObject || byte === openList) {
      if (++depth > limits.depthMax) {
        throw new ApiError("BadRequest", "json: exceeded max depth");
      }
    } else if (byte === closeObject || byte === closeList) depth--;
  }
  return members;
}

export interface Counted {
  /** Fewer than in the text when that had duplicates. */
  readonly members: number;
  /** True when some number may have lost digits. */
  readonly isRounded: boolean;
}

/** Looks at all members of a parsed value. */
export function countParsed(value: unknown): Counted {
  let members = 0;
  let isRounded = false;
  const rest: object[] = [{ value }];
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    const inner = Object.values(next);
    if (!Array.isArray(next)) members += inner.length;
    for (const part of inner) {
      if (typeof part === "object") {
        if (part !== null) rest.push(part);
      } else if (typeof part === "number" && mayBeRounded(part)) isRounded = true;
    }
  }
  return { members: members - 1, isRounded };
}

interface Level {
  readonly path: string;
  /** Names seen; undefined in a list. */
  readonly names: Set<string> | undefined;
  index: number;
  name: string;
}

function pathOf(level: Level | undefined): string {
  if (level === undefined) return "";
  if (level.names === undefined) return `${level.path}[${level.index}]`;
  return level.path === "" ? level.name : `${level.path}.${level.name}`;
}

/** Paths of members that stand twice in one object of a valid JSON text: the first 100. */
export function duplicateMembers(bytes: Uint8Array): readonly string[] {
  const decoder = new TextDecoder();
  const found: string[] = [];
  const levels: Level[] = [];
  let text = "";
  for (let at = 0; at < bytes.length && found.length < limits.duplicatesMax; at++) {
    const level = levels.at(-1);
    switch (bytes[at]) {
      case quote: {
        const end = stringEnd(bytes, at + 1);
        text = JSON.parse(decoder.decode(bytes.subarray(at, end + 1))) as string;
        at = end;
        break;
      }
      case colon:
        if (level?.names === undefined) break;
        level.name = text;
        if (level.names.has(text)) found.push(pathOf(level));
        level.names.add(text);
        break;
      case openObject:
        levels.push({ path: pathOf(level), names: new Set(), index: 0, name: "" });
        break;
      case openList:
        levels.push({ path: pathOf(level), names: undefined, index: 0, name: "" });
        break;
      case closeObject:
      case closeList:
        levels.pop();
        break;
      case 0x2c:
        if (level?.names === undefined && level !== undefined) level.index++;
        break;
    }
  }
  return found;
}
