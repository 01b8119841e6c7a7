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
