/**
 * The payload: every program k3 starts, with the libraries and the loader it needs, in one
 * compressed tar per architecture. Programs find their libraries by RPATH; the path of the
 * loader is padded here and overwritten in place when the payload is unpacked.
 */
import { mkdir, readdir, readFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { MANIFEST_FILE, type Manifest, PATH_SIZE } from "../src/runtime/bundle-manifest.ts";
import { type TarEntry, writeTar } from "../src/runtime/tar.ts";
import { mustRun } from "./apt.ts";
import { compileStatic } from "./compile.ts";
import { type Arch, BUILD, extractDeb, type FetchedDeb, fetchDebs } from "./deps.ts";
import { type ElfFacts, readElf } from "./elf.ts";
import { removeExports } from "./elf-exports.ts";
import { pauseImage } from "./images.ts";

/** Path in the payload, by the place in Debian's packages. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "usr/bin/containerd": "bin/containerd",
  "usr/bin/containerd-shim-runc-v2": "bin/containerd-shim-runc-v2",
  "usr/bin/ctr": "bin/ctr",
  "usr/sbin/runc": "bin/runc-real",
  "usr/bin/kubectl": "bin/kubectl",
  "usr/sbin/nft": "bin/nft",
  "usr/bin/ip": "bin/ip",
  "usr/sbin/bridge": "bin/bridge",
  "usr/sbin/conntrack": "bin/conntrack",
  "usr/bin/mount": "bin/mount",
  "usr/bin/umount": "bin/umount",
  "usr/bin/wg": "bin/wg",
  "usr/lib/cni/bridge": "cni/bridge",
  "usr/lib/cni/host-local": "cni/host-local",
  "usr/lib/cni/portmap": "cni/portmap",
  "usr/lib/cni/loopback": "cni/loopback",
};

/** `ip` finds the kinds of links it knows (vxlan, wireguard) by the names it exports. */
const looksForItsNames: ReadonlySet<string> = new Set(["bin/ip"]);

const LOADERS: Readonly<Record<Arch, { dir: string; loader: string; machine: number }>> = {
  amd64: { dir: "usr/lib/x86_64-linux-gnu", loader: "ld-linux-x86-64.so.2", machine: 62 },
  arm64: { dir: "usr/lib/aarch64-linux-gnu", loader: "ld-linux-aarch64.so.1", machine: 183 },
};

export interface BuiltPayload {
  readonly path: string;
  readonly sha256: string;
  /** The packages whose files are inside. */
  readonly packages: readonly FetchedDeb[];
}

interface Stage {
  readonly arch: Arch;
  readonly root: string;
  readonly out: string;
}

/** How hard to compress: for a try on this machine, or for a release. */
export type Effort = "fast" | "small";

const EFFORTS: Readonly<Record<Effort, readonly string[]>> = {
  fast: ["-6"],
  // Go programs share code over long distances: a window of 16 MiB would cost 9 MiB of size.
  small: ["--ultra", "-22", "--long=27"],
};

/** Builds build/payload-ARCH-SHA256.tar.zst, or finds the one already built from the same input. */
export async function buildPayload(arch: Arch, effort: Effort = "fast"): Promise<BuiltPayload> {
  const debs = await fetchDebs(arch);
  const recipe = await recipeHash(debs);
  const stampFile = join(BUILD, `payload-${arch}.json`);
  const stamp = JSON.parse(await readFile(stampFile, "utf8").catch(() => "{}")) as Partial<{
    recipe: string;
    effort: Effort;
    path: string;
    sha256: string;
    packages: string[];
  }>;
  const pick = (names: readonly string[]): FetchedDeb[] =>
    debs.filter((deb) => names.includes(deb.name));
  const enough = stamp.effort === effort || stamp.effort === "small";
  if (stamp.recipe === recipe && enough && stamp.path && stamp.sha256 && stamp.packages) {
    if (await Bun.file(stamp.path).exists()) {
      return { path: stamp.path, sha256: stamp.sha256, packages: pick(stamp.packages) };
    }
  }
  console.log(`Building the payload for ${arch}`);
  const { tar, packages } = await assemble(arch, debs);
  const path = await compress(arch, effort, tar);
  const sha256 = /-([0-9a-f]{64})\./.exec(path)?.[1] ?? "";
  const names = [...packages];
  await writeFile(stampFile, JSON.stringify({ recipe, effort, path, sha256, packages: names }));
  return { path, sha256, packages: pick(names) };
}

async function recipeHash(debs: readonly FetchedDeb[]): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  const own = ["payload.ts", "elf-exports.ts", "images.ts", "compile.ts", "runc-front.c"];
  const sources = [...own, "../src/runtime/tar.ts"];
  for (const source of sources) hasher.update(await readFile(join(import.meta.dir, source)));
  for (const deb of debs) hasher.update(deb.sha256);
  return hasher.digest("hex");
}

async function assemble(
  arch: Arch,
  debs: readonly FetchedDeb[],
): Promise<{ tar: Uint8Array; packages: ReadonlySet<string> }> {
  const stage: Stage = {
    arch,
    root: join(BUILD, `stage-${arch}/root`),
    out: join(BUILD, `stage-${arch}/out`),
  };
  await rm(join(BUILD, `stage-${arch}`), { recursive: true, force: true });
  const owners = new Map<string, string>();
  for (const deb of debs) {
    const dir = `${stage.root}-${deb.name}`;
    await extractDeb(deb.path, dir);
    for (const file of await readdir(dir, { recursive: true })) owners.set(file, deb.name);
    await mustRun(["cp", "-a", `${dir}/.`, stage.root], "Make room on the disk.");
  }
  for (const dir of ["bin", "lib", "cni", "images"]) {
    await mkdir(join(stage.out, dir), { recursive: true });
  }
  const used = new Set<string>(["catatonit"]);
  const take = async (from: string, to: string): Promise<ElfFacts | undefined> => {
    const path = await realpath(join(stage.root, from));
    const data = await readFile(path);
    const facts = readElf(data);
    if (facts !== undefined && facts.machine !== LOADERS[arch].machine) {
      throw new Error(`${from} is not made for ${arch}`);
    }
    const owner = owners.get(from);
    if (owner !== undefined) used.add(owner);
    await writeFile(join(stage.out, to), data, { mode: 0o755 });
    return facts;
  };
  await takeAll(stage, take);
  const catatonit = await readFile(join(stage.root, "usr/bin/catatonit"));
  await writeFile(join(stage.out, "images/pause.tar"), pauseImage(arch, catatonit));
  const front = join(stage.out, "bin/runc");
  await compileStatic(arch, join(import.meta.dir, "runc-front.c"), front);
  const tar = await pack(stage);
  await rm(join(BUILD, `stage-${arch}`), { recursive: true, force: true });
  return { tar, packages: used };
}

/** Copies programs, then their libraries, then the libraries' libraries, until none is missing. */
async function takeAll(
  stage: Stage,
  take: (from: string, to: string) => Promise<ElfFacts | undefined>,
): Promise<void> {
  const { dir, loader } = LOADERS[stage.arch];
  const wanted = new Set<string>([loader]);
  for (const [from, to] of Object.entries(PROGRAMS)) {
    const facts = await take(from, to);
    for (const name of facts?.needed ?? []) wanted.add(name);
    if (facts?.interpreter !== undefined) await patchProgram(stage, join(stage.out, to));
  }
  // A set may grow while it is walked; each library adds the ones it needs itself.
  for (const name of wanted) {
    const facts = await take(join(dir, name), join("lib", name));
    for (const needed of facts?.needed ?? []) wanted.add(needed);
  }
}

/** Room for a path, as it stands in a program until it is unpacked. */
const padding = (letter: string): string => `/${letter.repeat(PATH_SIZE - 2)}`;

/**
 * RPATH, not RUNPATH: it also serves the libraries' own libraries. An absolute one, because runc
 * runs from a copy in memory, where $ORIGIN leads nowhere.
 */
async function patchProgram(stage: Stage, path: string): Promise<void> {
  await mustRun(
    [
      "patchelf",
      ...(stage.arch === "arm64" ? ["--page-size", "65536"] : []),
      "--set-interpreter",
      padding("i"),
      "--force-rpath",
      "--set-rpath",
      padding("r"),
      path,
    ],
    "Install patchelf: apt-get install patchelf",
  );
}

async function pack(stage: Stage): Promise<Uint8Array> {
  const files: Manifest["files"][number][] = [];
  const entries: TarEntry[] = [];
  for (const dir of ["bin", "cni", "images", "lib"]) {
    entries.push({ path: dir, type: "dir", mode: 0o755 });
    for (const name of (await readdir(join(stage.out, dir))).sort()) {
      const path = join(dir, name);
      const data = await readFile(join(stage.out, path));
      const mode = dir === "images" || (dir === "lib" && !name.startsWith("ld-")) ? 0o644 : 0o755;
      const facts = dir === "images" ? undefined : readElf(data);
      const interpreter = dir === "lib" ? undefined : facts?.interpreter;
      if (interpreter !== undefined && !looksForItsNames.has(path)) removeExports(data);
      const libraryPathOffset = data.indexOf(padding("r"));
      if (interpreter !== undefined && interpreter.size !== PATH_SIZE) {
        throw new Error(`${path}: the interpreter path was not padded`);
      }
      if ((interpreter !== undefined) !== libraryPathOffset > 0) {
        throw new Error(`${path}: the library path was not padded`);
      }
      files.push({
        path,
        mode,
        size: data.length,
        sha256: new Bun.CryptoHasher("sha256").update(data).digest("hex"),
        ...(interpreter && { interpreterOffset: interpreter.offset, libraryPathOffset }),
      });
      entries.push({ path, type: "file", mode, data });
    }
  }
  const manifest: Manifest = { arch: stage.arch, loader: LOADERS[stage.arch].loader, files };
  const data = new TextEncoder().encode(JSON.stringify(manifest));
  return writeTar([{ path: MANIFEST_FILE, type: "file", mode: 0o644, data }, ...entries]);
}

/** Compresses the tar; the name carries the hash. */
async function compress(arch: Arch, effort: Effort, tar: Uint8Array): Promise<string> {
  const raw = join(BUILD, `payload-${arch}.tar`);
  await writeFile(raw, tar);
  await mustRun(
    ["zstd", "-q", "-f", "-T0", ...EFFORTS[effort], raw, "-o", `${raw}.zst`],
    "Install zstd: apt-get install zstd",
  );
  await rm(raw);
  const data = await readFile(`${raw}.zst`);
  const hash = new Bun.CryptoHasher("sha256").update(data).digest("hex");
  for (const name of await readdir(BUILD)) {
    if (name.startsWith(`payload-${arch}-`)) await rm(join(BUILD, name));
  }
  const path = join(BUILD, `payload-${arch}-${hash}.tar.zst`);
  await rename(`${raw}.zst`, path);
  const { size } = await stat(path);
  console.log(`${basename(path)}: ${(size / 2 ** 20).toFixed(1)} MiB`);
  return path;
}

if (import.meta.main) {
  const { hostArch } = await import("./images.ts");
  console.log((await buildPayload((process.argv[2] as Arch | undefined) ?? hostArch())).path);
}
