/** What the build must know of an ELF file: its interpreter and the libraries it needs. */

export interface ElfFacts {
  /** Machine number: 62 is x86-64, 183 is aarch64. */
  readonly machine: number;
  readonly needed: readonly string[];
  /** Where the interpreter path lies in the file; absent in libraries and static programs. */
  readonly interpreter: { readonly offset: number; readonly size: number } | undefined;
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
}

const LOAD = 1;
const DYNAMIC = 2;
const INTERPRETER = 3;
const TAG_NEEDED = 1;
const TAG_STRING_TABLE = 5;

/** Reads a 64-bit little-endian ELF file; undefined when `data` is something else. */
export function readElf(data: Uint8Array): ElfFacts | undefined {
  if (data.length < 64 || data[0] !== 0x7f || data[1] !== 0x45 || data[4] !== 2) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const word = (at: number): number => Number(view.getBigUint64(at, true));
  const start = word(32);
  const entrySize = view.getUint16(54, true);
  const segments = Array.from({ length: view.getUint16(56, true) }, (_, index): Segment => {
    const at = start + index * entrySize;
    return {
      type: view.getUint32(at, true),
      offset: word(at + 8),
      address: word(at + 16),
      fileSize: word(at + 32),
    };
  });
  const interpreter = segments.find((segment) => segment.type === INTERPRETER);
  return {
    machine: view.getUint16(18, true),
    needed: readNeeded(data, segments, word),
    interpreter: interpreter && { offset: interpreter.offset, size: interpreter.fileSize },
  };
}

function readNeeded(
  data: Uint8Array,
  segments: readonly Segment[],
  word: (at: number) => number,
): string[] {
  const dynamic = segments.find((segment) => segment.type === DYNAMIC);
  if (dynamic === undefined) return [];
  const names: number[] = [];
  let strings = 0;
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.fileSize; at += 16) {
    const tag = word(at);
    if (tag === 0) break;
    if (tag === TAG_NEEDED) names.push(word(at + 8));
    if (tag === TAG_STRING_TABLE) strings = word(at + 8);
  }
  const home = segments.find(
    (segment) =>
      segment.type === LOAD &&
      strings >= segment.address &&
      strings < segment.address + segment.fileSize,
  );
  if (home === undefined) return [];
  const table = strings - home.address + home.offset;
  return names.map((name) => {
    const from = table + name;
    return new TextDecoder().decode(data.subarray(from, data.indexOf(0, from)));
  });
}

const TAG_DEBUG = 21;
const TAG_RPATH = 15;

/**
 * Makes a program load its libraries from its own directory and its loader from a path written
 * into the last `reserved` bytes of the file, without moving anything: `patchelf` would, and
 * Bun's executable does not survive that. The kernel reads the loader's path by file offset, so
 * it may lie at the end. The place of the old path, which is mapped, becomes the RPATH's text,
 * and the entry kept for debuggers becomes the RPATH.
 */
export function withOwnLoader(program: Uint8Array, reserved: number): Uint8Array {
  const data = new Uint8Array(program.length + reserved);
  data.set(program);
  const view = new DataView(data.buffer);
  const word = (at: number): number => Number(view.getBigUint64(at, true));
  const headers = Array.from(
    { length: view.getUint16(56, true) },
    (_, index) => word(32) + index * view.getUint16(54, true),
  );
  const header = (type: number): number => {
    const found = headers.find((at) => view.getUint32(at, true) === type);
    if (found === undefined) throw new Error(`The program has no header of type ${type}.`);
    return found;
  };
  const interpreter = header(INTERPRETER);
  const text = new TextEncoder().encode("$ORIGIN\0");
  data.set(text, word(interpreter + 8));
  const textAddress = view.getBigUint64(interpreter + 16, true);
  view.setBigUint64(interpreter + 8, BigInt(program.length), true);
  view.setBigUint64(interpreter + 32, BigInt(reserved), true);
  const dynamic = header(DYNAMIC);
  const start = word(dynamic + 8);
  const entries = Array.from({ length: word(dynamic + 32) / 16 }, (_, index) => start + index * 16);
  const entry = (tag: number): number => {
    const found = entries.find((at) => word(at) === tag);
    if (found === undefined) throw new Error(`The program has no dynamic entry ${tag}.`);
    return found;
  };
  const strings = view.getBigUint64(entry(TAG_STRING_TABLE) + 8, true);
  const debug = entry(TAG_DEBUG);
  view.setBigUint64(debug, BigInt(TAG_RPATH), true);
  view.setBigUint64(debug + 8, BigInt.asUintN(64, textAddress - strings), true);
  return data;
}
