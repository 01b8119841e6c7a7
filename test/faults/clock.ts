/**
 * Moves the clock on the wall that processes see, without moving the machine's: no namespace has
 * one of its own. The kernel's vDSO, by which every program asks for the time, is rewritten in
 * their memory (amd64 only); what the kernel itself dates, files for example, keeps the machine's time.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeSync } from "node:fs";

/** Where the vDSO lies in a process, and where its functions begin. */
interface Vdso {
  readonly base: number;
  readonly image: Buffer;
  readonly functions: ReadonlyMap<string, number>;
}

const codeBytes = 256;
const movedMark = Buffer.from("K3MOVED!");

/** From now on all processes that this one sees, itself and its parents left out, are ahead. */
export async function moveClocks(seconds: number): Promise<void> {
  const spared = ownLine();
  for (const pid of readdirSync("/proc").map(Number)) {
    if (!(pid > 0) || spared.has(pid)) continue;
    try {
      await moveClock(pid, seconds);
    } catch {
      // It ended meanwhile, or has no memory of its own any more.
    }
  }
}

/** Whoever waits for us would take a child that is stopped for one to wait for. */
function ownLine(): ReadonlySet<number> {
  const line = new Set<number>();
  for (let pid = process.pid; pid > 0 && !line.has(pid); ) {
    line.add(pid);
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    pid = Number(status.match(/^PPid:\s+(\d+)/m)?.[1] ?? 0);
  }
  return line.add(1);
}

async function moveClock(pid: number, seconds: number): Promise<void> {
  const line = readFileSync(`/proc/${pid}/maps`, "utf8").match(/^(\w+)-(\w+) .*\[vdso\]$/m);
  if (line === null) return;
  const [base, end] = [Number.parseInt(line[1] ?? "", 16), Number.parseInt(line[2] ?? "", 16)];
  const memory = openSync(`/proc/${pid}/mem`, "r+");
  try {
    const image = Buffer.alloc(end - base);
    readSync(memory, image, 0, image.length, base);
    const place = image.length - codeBytes;
    const offset = Buffer.alloc(8);
    offset.writeBigInt64LE(BigInt(seconds));
    if (!image.subarray(place).subarray(0, 8).equals(movedMark)) {
      if (image.subarray(place).some((byte) => byte !== 0)) throw new Error("no room in the vDSO");
      await whileStopped(pid, () =>
        rewrite(memory, { base, image, functions: functionsOf(image) }),
      );
    }
    writeSync(memory, offset, 0, 8, base + place + 8);
  } finally {
    closeSync(memory);
  }
}

/** No thread may be within what is rewritten. */
async function whileStopped(pid: number, work: () => void): Promise<void> {
  process.kill(pid, "SIGSTOP");
  try {
    while (!/^State:\s+[TtZ]/m.test(readFileSync(`/proc/${pid}/status`, "utf8")))
      await Bun.sleep(1);
    work();
  } finally {
    process.kill(pid, "SIGCONT");
  }
}

/** The names that the image exports, by its dynamic section: ELF, 64 bits, little-endian. */
function functionsOf(image: Buffer): ReadonlyMap<string, number> {
  const sections = Number(image.readBigUInt64LE(40));
  const [entryBytes, count] = [image.readUInt16LE(58), image.readUInt16LE(60)];
  const dynamicSymbols = 11;
  for (let i = 0; i < count; i++) {
    const at = sections + i * entryBytes;
    if (image.readUInt32LE(at + 4) !== dynamicSymbols) continue;
    const [offset, size] = [image.readBigUInt64LE(at + 24), image.readBigUInt64LE(at + 32)];
    const names = sections + image.readUInt32LE(at + 40) * entryBytes;
    const strings = Number(image.readBigUInt64LE(names + 24));
    return symbols(image.subarray(Number(offset), Number(offset + size)), image.subarray(strings));
  }
  throw new Error("the vDSO has no symbols");
}

function symbols(table: Buffer, strings: Buffer): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (let at = 0; at < table.length; at += 24) {
    const from = table.readUInt32LE(at);
    const name = strings.subarray(from, strings.indexOf(0, from)).toString("latin1");
    found.set(name, Number(table.readBigUInt64LE(at + 8)));
  }
  return found;
}

/**
 * What stands in place of the three functions: the system call, then the offset is added. After
 * each `@` follow four bytes, the way from there to the offset.
 */
const programs: Readonly<Record<string, string>> = {
  // Clock 0 is the one on the wall, 5 its coarse form.
  __vdso_clock_gettime: "b8e4000000 0f05 85c0 7513 85ff 7405 83ff05 750a 488b0d@ 48010e c3",
  __vdso_gettimeofday: "b860000000 0f05 4885ff 740a 488b0d@ 48010f c3",
  __vdso_time: "b8c9000000 0f05 480305@ 4885ff 7403 488907 c3",
};

function rewrite(memory: number, { base, image, functions }: Vdso): void {
  const place = image.length - codeBytes;
  const put = (at: number, bytes: Buffer): void => {
    writeSync(memory, bytes, 0, bytes.length, base + at);
  };
  let at = place + 16;
  const jumps: (readonly [number, number])[] = [];
  for (const [name, program] of Object.entries(programs)) {
    const entry = functions.get(name);
    if (entry === undefined) throw new Error(`the vDSO has no ${name}`);
    const [before = "", after = ""] = program.replaceAll(" ", "").split("@");
    const head = Buffer.from(before, "hex");
    const way = Buffer.alloc(4);
    way.writeInt32LE(place + 8 - (at + head.length + 4));
    const code = Buffer.concat([head, way, Buffer.from(after, "hex")]);
    put(at, code);
    jumps.push([entry, at]);
    at += code.length;
  }
  for (const [from, to] of jumps) {
    const jump = Buffer.from("e900000000", "hex");
    jump.writeInt32LE(to - (from + jump.length), 1);
    put(from, jump);
  }
  put(place, movedMark);
}
