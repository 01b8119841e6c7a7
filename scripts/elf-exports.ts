/**
 * Takes away the names by which a program could be called into. Nothing does so in most
 * programs that are carried along, and in Go programs these names are megabytes that hardly compress.
 */

const tags = {
  needed: 1,
  hash: 4,
  strings: 5,
  symbols: 6,
  relocations: 7,
  relocationsSize: 8,
  stringsSize: 10,
  soname: 14,
  rpath: 15,
  pltRelocations: 23,
  pltRelocationsSize: 2,
  runpath: 29,
  gnuHash: 0x6ffffef5,
  needs: 0x6ffffffe,
  needsCount: 0x6fffffff,
} as const;

const segmentTypes = { load: 1, dynamic: 2 } as const;
const symbolBytes = 24;
const relocationBytes = 24;

/** A 64-bit little-endian program, read by the addresses in its dynamic section. */
class Program {
  readonly view: DataView;
  readonly #segments: readonly { type: number; offset: number; address: number; size: number }[];
  readonly #tags: readonly (readonly [tag: number, value: number])[];

  constructor(readonly data: Uint8Array) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const start = this.word(32);
    const entrySize = this.view.getUint16(54, true);
    this.#segments = Array.from({ length: this.view.getUint16(56, true) }, (_, index) => {
      const at = start + index * entrySize;
      const type = this.view.getUint32(at, true);
      return {
        type,
        offset: this.word(at + 8),
        address: this.word(at + 16),
        size: this.word(at + 32),
      };
    });
    const dynamic = this.#segments.find(({ type }) => type === segmentTypes.dynamic);
    this.#tags = Array.from({ length: (dynamic?.size ?? 0) / 16 }, (_, index) => {
      const at = (dynamic?.offset ?? 0) + index * 16;
      return [this.word(at), this.word(at + 8)] as const;
    });
  }

  word(at: number): number {
    return Number(this.view.getBigUint64(at, true));
  }

  value(tag: number): number | undefined {
    return this.#tags.find(([one]) => one === tag)?.[1];
  }

  values(tag: number): number[] {
    return this.#tags.filter(([one]) => one === tag).map(([, value]) => value);
  }

  /** Where what a tag points to lies in the file. */
  place(tag: number): number | undefined {
    const address = this.value(tag);
    if (address === undefined) return undefined;
    const home = this.#segments.find(
      (one) =>
        one.type === segmentTypes.load &&
        address >= one.address &&
        address < one.address + one.size,
    );
    return home === undefined ? undefined : address - home.address + home.offset;
  }
}

interface GnuHash {
  readonly at: number;
  /** Bytes that it takes. */
  readonly size: number;
  readonly first: number;
  /** How many symbols there are. */
  readonly count: number;
}

function readGnuHash({ view }: Program, at: number): GnuHash {
  const buckets = view.getUint32(at, true);
  const first = view.getUint32(at + 4, true);
  const bucketsAt = at + 16 + view.getUint32(at + 8, true) * 8;
  const chainsAt = bucketsAt + buckets * 4;
  let last = 0;
  for (let i = 0; i < buckets; i++) last = Math.max(last, view.getUint32(bucketsAt + i * 4, true));
  if (last === 0) return { at, size: chainsAt - at, first, count: first };
  while ((view.getUint32(chainsAt + (last - first) * 4, true) & 1) === 0) last += 1;
  return { at, size: chainsAt + (last + 1 - first) * 4 - at, first, count: last + 1 };
}

/** Changes `data` in place; nothing moves. What is no such program stays as it is. */
export function removeExports(data: Uint8Array): void {
  const program = new Program(data);
  const symbols = program.place(tags.symbols);
  const strings = program.place(tags.strings);
  const hashAt = program.place(tags.gnuHash);
  const isOld = program.value(tags.hash) !== undefined;
  if (symbols === undefined || strings === undefined || hashAt === undefined || isOld) return;
  const { view } = program;
  const hash = readGnuHash(program, hashAt);
  const used = usedSymbols(program);
  const sectionOf = (index: number): number =>
    view.getUint16(symbols + index * symbolBytes + 6, true);
  const kept: number[] = [];
  for (let index = 0; index < hash.count; index++) {
    const at = symbols + index * symbolBytes;
    if (sectionOf(index) === 0 || used.has(index)) kept.push(index);
    else data.fill(0, at, at + symbolBytes);
  }
  const names = kept.map((index) => view.getUint32(symbols + index * symbolBytes, true));
  keepStrings(program, strings, [...names, ...otherNames(program)]);
  const found = kept.filter((index) => index >= hash.first && sectionOf(index) !== 0);
  writeGnuHash(program, hash, found, (index) =>
    nameAt(data, strings + view.getUint32(symbols + index * symbolBytes, true)),
  );
}

/** Symbols that the program itself looks up by relocations. */
function usedSymbols(program: Program): Set<number> {
  const used = new Set<number>();
  const tables = [
    [tags.relocations, tags.relocationsSize],
    [tags.pltRelocations, tags.pltRelocationsSize],
  ] as const;
  for (const [table, size] of tables) {
    const from = program.place(table) ?? 0;
    const end = from + (program.value(size) ?? 0);
    for (let at = from; at < end; at += relocationBytes) {
      used.add(program.view.getUint32(at + 12, true));
    }
  }
  return used;
}

/** Names of libraries and of their versions, as offsets. */
function otherNames(program: Program): number[] {
  const { view } = program;
  const own = [tags.needed, tags.soname, tags.rpath, tags.runpath];
  const names: number[] = own.flatMap((tag) => program.values(tag));
  let at = program.place(tags.needs) ?? 0;
  for (let left = program.value(tags.needsCount) ?? 0; left > 0; left--) {
    names.push(view.getUint32(at + 4, true));
    let version = at + view.getUint32(at + 8, true);
    for (let versions = view.getUint16(at + 2, true); versions > 0; versions--) {
      names.push(view.getUint32(version + 8, true));
      version += view.getUint32(version + 12, true);
    }
    at += view.getUint32(at + 12, true);
  }
  return names;
}

/** Empties the table of strings but for those at these offsets. */
function keepStrings(program: Program, strings: number, names: readonly number[]): void {
  const { data } = program;
  const end = strings + (program.value(tags.stringsSize) ?? 0);
  // A Buffer's own `slice` would be no copy.
  const before = new Uint8Array(data.subarray(strings, end));
  data.fill(0, strings, end);
  for (const name of names)
    data.set(before.subarray(name, before.indexOf(0, name)), strings + name);
}

function nameAt(data: Uint8Array, at: number): string {
  return Buffer.from(data.subarray(at, data.indexOf(0, at))).toString("latin1");
}

/** One bucket, whose chain runs from the first to the last symbol that can still be found. */
function writeGnuHash(
  { data, view }: Program,
  { at, size }: GnuHash,
  found: readonly number[],
  nameOf: (index: number) => string,
): void {
  data.fill(0, at, at + size);
  const first = found[0] ?? 1;
  const header = [1, first, 1, 0];
  for (const [i, value] of header.entries()) view.setUint32(at + i * 4, value, true);
  if (found.length === 0) return;
  view.setBigUint64(at + 16, 0xffff_ffff_ffff_ffffn, true);
  view.setUint32(at + 24, first, true);
  for (const index of found) {
    view.setUint32(at + 28 + (index - first) * 4, gnuHash(nameOf(index)) & ~1, true);
  }
  const last = at + 28 + ((found.at(-1) ?? first) - first) * 4;
  view.setUint32(last, view.getUint32(last, true) | 1, true);
}

function gnuHash(name: string): number {
  let hash = 5381;
  for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 33) + name.charCodeAt(i)) >>> 0;
  return hash;
}
