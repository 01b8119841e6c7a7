/**
 * The compressed, self-extracting release file: a static launcher, then k3 with the loader and
 * the libraries it runs with as one zstd frame, then a table of the files and a trailer.
 */
import { chmod, mkdir, readFile, realpath, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PATH_SIZE } from "../src/runtime/bundle-manifest.ts";
import { mustRun } from "./apt.ts";
import { filterBranches } from "./branch-filter.ts";
import { compileStatic, TRIPLES } from "./compile.ts";
import { type Arch, BUILD, extractDeb, fetchDebs } from "./deps.ts";
import { readElf, withOwnLoader } from "./elf.ts";

const LOADERS: Readonly<Record<Arch, string>> = {
  amd64: "ld-linux-x86-64.so.2",
  arm64: "ld-linux-aarch64.so.1",
};
const NAME_SIZE = 56;
const LIMIT = 80 * 2 ** 20;

interface Part {
  readonly name: string;
  readonly data: Uint8Array;
}

/** Compiles the launcher for `arch` with the machine's own or cross compiler. */
async function buildLauncher(arch: Arch): Promise<Uint8Array> {
  const [zstd] = await fetchDebs(arch, "build");
  if (zstd === undefined) throw new Error("The lock has no libzstd-dev: bun run deps update");
  const dir = join(BUILD, `launcher-${arch}`);
  await rm(dir, { recursive: true, force: true });
  await extractDeb(zstd.path, dir);
  const out = join(dir, "launcher");
  const archive = join(dir, "usr/lib", TRIPLES[arch], "libzstd.a");
  const more = ["-I", join(dir, "usr/include"), archive];
  await compileStatic(arch, join(import.meta.dir, "launcher.c"), out, more);
  return readFile(out);
}

/** The loader and the libraries of `program`, out of the locked C library package. */
async function libraries(arch: Arch, program: Uint8Array): Promise<Part[]> {
  const libc = (await fetchDebs(arch)).find((deb) => deb.name === "libc6");
  if (libc === undefined) throw new Error("The lock has no libc6: bun run deps update");
  const dir = join(BUILD, `libc-${arch}`);
  await rm(dir, { recursive: true, force: true });
  await extractDeb(libc.path, dir);
  const wanted = new Set([LOADERS[arch], ...(readElf(program)?.needed ?? [])]);
  const parts: Part[] = [];
  for (const name of wanted) {
    const path = await realpath(join(dir, "usr/lib", TRIPLES[arch], name));
    const data = await readFile(path);
    parts.push({ name, data });
    for (const needed of readElf(data)?.needed ?? []) wanted.add(needed);
  }
  await rm(dir, { recursive: true, force: true });
  return parts;
}

/** `quick` is for tests: the same file, hardly compressed and of any size. */
type Mode = "quick" | "small";

/** Writes the release form of `program` to `out`. */
export async function buildRelease(
  arch: Arch,
  program: string,
  out: string,
  mode: Mode = "small",
): Promise<void> {
  const original = await readFile(program);
  const k3 = withOwnLoader(original, PATH_SIZE);
  filterBranches(arch, k3);
  const parts: Part[] = [{ name: "k3", data: k3 }, ...(await libraries(arch, original))];
  const raw = join(BUILD, `release-${arch}.bin`);
  const whole = Buffer.concat(parts.map((part) => part.data));
  const version = new Bun.CryptoHasher("sha256").update(whole).digest("hex");
  await writeFile(raw, whole);
  const level = mode === "quick" ? ["-1"] : ["--ultra", "-22", "--zstd=wlog=27"];
  await mustRun(
    ["zstd", "-q", "-f", "-T0", ...level, raw, "-o", `${raw}.zst`],
    "Install zstd: apt-get install zstd",
  );
  const packed = await readFile(`${raw}.zst`);
  await rm(raw);
  await rm(`${raw}.zst`);
  const launcher = await buildLauncher(arch);
  await mkdir(join(out, ".."), { recursive: true });
  const tail = describe(parts, launcher.length, packed.length, version);
  await writeFile(out, Buffer.concat([launcher, packed, tail]));
  await chmod(out, 0o755);
  const { size } = await stat(out);
  if (mode === "small" && size > LIMIT)
    throw new Error(`${out} has ${size} bytes, more than 80 MiB`);
  console.log(`${out}: ${(size / 2 ** 20).toFixed(1)} MiB`);
}

/** The table of files and the trailer, as launcher.c reads them. */
function describe(
  parts: readonly Part[],
  offset: number,
  packed: number,
  version: string,
): Uint8Array {
  const entry = NAME_SIZE + 8;
  const table = Buffer.alloc(parts.length * entry);
  parts.forEach((part, index) => {
    table.write(part.name, index * entry);
    table.writeBigUInt64LE(BigInt(part.data.length), index * entry + NAME_SIZE);
  });
  const trailer = Buffer.alloc(96);
  trailer.writeBigUInt64LE(BigInt(offset), 0);
  trailer.writeBigUInt64LE(BigInt(packed), 8);
  trailer.writeBigUInt64LE(BigInt(parts.length), 16);
  trailer.write(version, 24);
  trailer.write("K3SELF1\n", 88);
  return Buffer.concat([table, trailer]);
}

if (import.meta.main) {
  const [quick, arch, program, out] = process.argv.slice(2);
  if (quick !== "--quick" || (arch !== "amd64" && arch !== "arm64") || !program || !out) {
    console.error("Use: bun scripts/release.ts --quick amd64|arm64 PROGRAM OUT");
    process.exit(1);
  }
  await buildRelease(arch, program, out, "quick");
}
