/**
 * Builds k3: dist/k3-ARCH, and with --release the compressed form dist/release/k3-ARCH, hashes
 * and the list of what is inside. K3_BUILD_ARCH limits it to one architecture.
 */
import { existsSync } from "node:fs";
import { appendFile, copyFile, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { payloadHeader } from "../src/runtime/appended-payload.ts";
import { mustRun } from "./apt.ts";
import { ARCHES, type Arch, BUILD, extractSchemaSources, ROOT } from "./deps.ts";
import { buildBusyboxImage, hostArch } from "./images.ts";
import { type BuiltPayload, buildPayload } from "./payload.ts";
import { buildRelease } from "./release.ts";
import { spdx } from "./spdx.ts";

const DIST = join(ROOT, "dist");
const BUN_NAMES: Readonly<Record<Arch, string>> = { amd64: "x64", arm64: "aarch64" };

interface Options {
  readonly arches: readonly Arch[];
  readonly release: boolean;
  readonly entry: string;
}

function readOptions(argv: readonly string[]): Options {
  const wanted = process.env.K3_BUILD_ARCH ?? "";
  const arches = ARCHES.filter((arch) => wanted === "" || wanted === arch);
  if (arches.length === 0) throw new Error(`K3_BUILD_ARCH=${wanted}: use amd64 or arm64.`);
  const entry = argv.find((argument) => argument.endsWith(".ts")) ?? join(ROOT, "src/main.ts");
  return { arches, release: argv.includes("--release"), entry };
}

/** The Bun executable that becomes k3: this one, or the other architecture's from npm. */
async function bunExecutable(arch: Arch): Promise<string> {
  if (arch === hostArch()) return process.execPath;
  const dir = join(BUILD, "bun");
  const name = `bun-linux-${BUN_NAMES[arch]}`;
  const path = join(dir, `${name}-${Bun.version}`);
  if (existsSync(path)) return path;
  await mkdir(dir, { recursive: true });
  console.log(`Fetching Bun ${Bun.version} for ${arch}`);
  const spec = `@oven/${name}@${Bun.version}`;
  const packed = await mustRun(
    ["npm", "pack", "--silent", "--pack-destination", dir, spec],
    "Check that the npm registry can be reached.",
  );
  const archive = join(dir, packed.trim().split("\n").at(-1) ?? "");
  await mustRun(["tar", "-xzf", archive, "-C", dir], "Install tar: apt-get install tar");
  await copyFile(join(dir, "package/bin/bun"), path);
  await rm(join(dir, "package"), { recursive: true });
  await rm(archive);
  return path;
}

/** The commit that is built; "unknown" outside a checkout, and where git is not installed. */
async function commit(): Promise<string> {
  if (Bun.which("git") === null) return "unknown";
  const git = Bun.spawn(["git", "rev-parse", "HEAD"], { cwd: ROOT, stderr: "ignore" });
  const hash = (await new Response(git.stdout).text()).trim();
  return (await git.exited) === 0 ? hash : "unknown";
}

async function compile(arch: Arch, payload: BuiltPayload, entry: string): Promise<string> {
  const out = join(DIST, `k3-${arch}`);
  // The name the binary is compiled under shows in its stack traces.
  const fresh = join(BUILD, `compile-${arch}`, "k3");
  await mkdir(join(BUILD, `compile-${arch}`), { recursive: true });
  const target = `bun-linux-${arch === "amd64" ? "x64" : "arm64"}`;
  await mustRun(
    [
      process.execPath,
      "build",
      "--compile",
      "--bytecode",
      "--format=esm",
      // Saves 1.7 MB, 0.4 MB compressed; the names of functions stay for stack traces.
      "--minify",
      "--keep-names",
      `--define=process.env.K3_COMMIT=${JSON.stringify(await commit())}`,
      "--no-compile-autoload-dotenv",
      "--no-compile-autoload-bunfig",
      `--target=${target}`,
      `--compile-executable-path=${await bunExecutable(arch)}`,
      entry,
      `--outfile=${fresh}`,
    ],
    "The bundler's message above names the file to mend.",
    { cwd: ROOT },
  );
  const programs = await readFile(payload.path);
  await appendFile(fresh, payloadHeader(payload.sha256, programs.length));
  await appendFile(fresh, programs);
  // A running k3 keeps its old file.
  await mustRun(["mv", "-f", fresh, out], "Make room on the disk.");
  const { size } = await stat(out);
  console.log(`${out}: ${(size / 2 ** 20).toFixed(1)} MiB`);
  return out;
}

async function writeHash(path: string): Promise<void> {
  const hash = new Bun.CryptoHasher("sha256").update(await readFile(path)).digest("hex");
  await writeFile(`${path}.sha256sum`, `${hash}  ${basename(path)}\n`);
}

async function build(options: Options): Promise<void> {
  await mkdir(DIST, { recursive: true });
  if (!existsSync(join(ROOT, "node_modules/@bufbuild"))) {
    console.log("Installing npm packages");
    const install = [process.execPath, "install", "--frozen-lockfile"];
    await mustRun(install, "Check that the npm registry can be reached.", { cwd: ROOT });
  }
  await extractSchemaSources();
  console.log("Generating Kubernetes' types");
  await mustRun([process.execPath, "scripts/generate.ts"], "See the message above.", { cwd: ROOT });
  for (const arch of options.arches) {
    await buildBusyboxImage(arch);
    const payload = await buildPayload(arch, options.release ? "small" : "fast");
    const binary = await compile(arch, payload, options.entry);
    await writeHash(binary);
    const list = await spdx(arch, payload);
    await writeFile(join(DIST, `k3-${arch}.spdx.json`), `${JSON.stringify(list, null, 2)}\n`);
    if (!options.release) continue;
    const release = join(DIST, "release", `k3-${arch}`);
    await buildRelease(arch, binary, release);
    await writeHash(release);
    await copyFile(join(DIST, `k3-${arch}.spdx.json`), `${release}.spdx.json`);
  }
}

try {
  await build(readOptions(process.argv.slice(2)));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
