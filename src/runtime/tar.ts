/** Reading and writing tar archives (POSIX ustar, and GNU long names when reading). */
import { assert } from "../lib/assert.ts";
import { joinBytes } from "../lib/bytes.ts";

const BLOCK = 512;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export type TarType = "file" | "dir" | "symlink" | "other";

export interface TarHeader {
  readonly path: string;
  readonly type: TarType;
  readonly mode: number;
  readonly size: number;
  /** What a symbolic link points to. */
  readonly target: string;
}

/** Receives one entry after another; `write` and `end` are called for files only. */
export interface TarSink {
  begin(header: TarHeader): Promise<void>;
  write(chunk: Uint8Array): Promise<void>;
  end(): Promise<void>;
}

function text(block: Uint8Array, start: number, length: number): string {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return decoder.decode(end < 0 ? field : field.subarray(0, end));
}

function octal(block: Uint8Array, start: number, length: number): number {
  const digits = text(block, start, length).trim();
  const value = digits === "" ? 0 : Number.parseInt(digits, 8);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error("tar: malformed number");
  return value;
}

function checksum(block: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : (block[i] ?? 0);
  return sum;
}

const TYPES: Readonly<Record<string, TarType>> = {
  "0": "file",
  "": "file",
  "7": "file",
  "5": "dir",
  "2": "symlink",
};

function parseHeader(block: Uint8Array, longName: string | undefined): TarHeader {
  if (octal(block, 148, 8) !== checksum(block)) throw new Error("tar: wrong header checksum");
  const prefix = text(block, 257, 6) === "ustar" ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  return {
    path: longName ?? (prefix === "" ? name : `${prefix}/${name}`),
    type: TYPES[text(block, 156, 1)] ?? "other",
    mode: octal(block, 100, 8) & 0o7777,
    size: octal(block, 124, 12),
    target: text(block, 157, 100),
  };
}

/** Feeds the entries of a tar stream to `sink`, holding no more than one chunk in memory. */
export async function readTar(chunks: AsyncIterable<Uint8Array>, sink: TarSink): Promise<void> {
  let rest = new Uint8Array(0);
  const input = chunks[Symbol.asyncIterator]();
  const pull = async (): Promise<boolean> => {
    const next = await input.next();
    if (next.done === true) return false;
    rest = rest.length === 0 ? new Uint8Array(next.value) : joinBytes([rest, next.value]);
    return true;
  };
  const take = async (count: number): Promise<Uint8Array | undefined> => {
    while (rest.length < count) {
      if (!(await pull())) return undefined;
    }
    const taken = rest.subarray(0, count);
    rest = rest.subarray(count);
    return taken;
  };
  const body = async (size: number, use: (part: Uint8Array) => Promise<void>): Promise<void> => {
    for (let left = size; left > 0; ) {
      if (rest.length === 0 && !(await pull())) throw new Error("tar: ends inside a file");
      const part = rest.subarray(0, Math.min(left, rest.length));
      rest = rest.subarray(part.length);
      left -= part.length;
      await use(part);
    }
    await take((BLOCK - (size % BLOCK)) % BLOCK);
  };
  let longName: string | undefined;
  for (;;) {
    const block = await take(BLOCK);
    if (block === undefined) throw new Error("tar: ends without an end marker");
    if (block.every((byte) => byte === 0)) break;
    if (text(block, 156, 1) === "L") {
      const name: Uint8Array[] = [];
      await body(octal(block, 124, 12), async (part) => void name.push(part.slice()));
      longName = text(joinBytes(name), 0, Number.MAX_SAFE_INTEGER);
      continue;
    }
    const header = parseHeader(block, longName);
    longName = undefined;
    await sink.begin(header);
    await body(header.size, header.type === "file" ? (part) => sink.write(part) : async () => {});
    if (header.type === "file") await sink.end();
  }
  await input.return?.();
}

export interface TarEntry {
  readonly path: string;
  readonly type: "file" | "dir" | "symlink";
  readonly mode: number;
  readonly data?: Uint8Array;
  readonly target?: string;
}

function header(entry: TarEntry, size: number): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const put = (value: string, start: number, length: number): void => {
    const bytes = encoder.encode(value);
    assert(bytes.length <= length, `tar: ${value} is longer than ${length} bytes`);
    block.set(bytes, start);
  };
  const number = (value: number, start: number, length: number): void =>
    put(`${value.toString(8).padStart(length - 1, "0")}\0`, start, length);
  const path = entry.type === "dir" ? `${entry.path.replace(/\/$/, "")}/` : entry.path;
  const cut = path.length > 100 ? path.indexOf("/", path.length - 101) : -1;
  put(path.slice(cut + 1), 0, 100);
  if (cut > 0) put(path.slice(0, cut), 345, 155);
  number(entry.mode, 100, 8);
  number(0, 108, 8);
  number(0, 116, 8);
  number(size, 124, 12);
  number(0, 136, 12);
  put({ file: "0", dir: "5", symlink: "2" }[entry.type], 156, 1);
  put(entry.target ?? "", 157, 100);
  put("ustar\0", 257, 6);
  put("00", 263, 2);
  put("root", 265, 32);
  put("root", 297, 32);
  put(`${checksum(block).toString(8).padStart(6, "0")}\0 `, 148, 8);
  return block;
}

/**
 * A tar archive of `entries` in their order; owner root and time zero, so that equal input is
 * equal output.
 */
export function writeTar(entries: Iterable<TarEntry>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    const data = entry.data ?? new Uint8Array(0);
    parts.push(header(entry, data.length), data);
    const padding = (BLOCK - (data.length % BLOCK)) % BLOCK;
    if (padding > 0) parts.push(new Uint8Array(padding));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return joinBytes(parts);
}
