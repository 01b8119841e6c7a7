/**
 * A private apt: its own state, cache and source list, so that packages of another suite and
 * architecture are resolved through the machine's own mirror without touching the machine.
 */
import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

export const SUITE = "forky";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** What apt knows about one package; the epoch stays in `version`. */
export interface AptPackage {
  readonly name: string;
  readonly version: string;
  readonly arch: string;
  readonly file: string;
  readonly sha256: string;
  readonly size: number;
  /** First alternatives of Depends and Pre-Depends. */
  readonly depends: readonly string[];
}

export interface ToolResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export async function runTool(
  argv: readonly string[],
  options: { readonly cwd?: string; readonly stdin?: Uint8Array } = {},
): Promise<ToolResult> {
  const child = Bun.spawn([...argv], {
    stdout: "pipe",
    stderr: "pipe",
    stdin: options.stdin ?? "ignore",
    env: { ...process.env, LC_ALL: "C" },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, stdout, stderr };
}

/** Runs a program that must succeed; `mend` says what the reader can do when it does not. */
export async function mustRun(
  argv: readonly string[],
  mend: string,
  options: { readonly cwd?: string; readonly stdin?: Uint8Array } = {},
): Promise<string> {
  const result = await runTool(argv, options);
  if (result.exitCode !== 0) {
    const said = (result.stderr.trim() || result.stdout.trim()).split("\n").slice(-5).join("\n");
    throw new Error(`${argv[0]} failed with exit code ${result.exitCode}: ${said}\n${mend}`);
  }
  return result.stdout;
}

/**
 * The Debian archive this machine is set up to use. `indextargets` answers only for lists that
 * were fetched; a container image without lists is asked by `--print-uris` instead.
 */
export async function machineMirror(): Promise<string> {
  const format = "$(ORIGIN) $(LABEL) $(REPO_URI)";
  const targets = await runTool(["apt-get", "indextargets", "--format", format]);
  for (const line of targets.stdout.split("\n")) {
    const match = /^Debian Debian (\S+)$/.exec(line.trim());
    if (match?.[1] !== undefined) return match[1].replace(/\/$/, "");
  }
  const uris = await runTool(["apt-get", "--print-uris", "update"]);
  for (const line of uris.stdout.split("\n")) {
    const match = /^'(\S+?)\/dists\/[a-z]+\/InRelease'/.exec(line);
    if (match?.[1] !== undefined && !match[1].includes("security")) return match[1];
  }
  throw new Error(
    "No Debian mirror is configured for apt. Add one to /etc/apt/sources.list.d and try again.",
  );
}

/** apt with its state under `dir`. */
export class PrivateApt {
  readonly #dir: string;
  readonly #suite: string;
  readonly #type: "deb" | "deb-src";

  constructor(dir: string, suite: string = SUITE, type: "deb" | "deb-src" = "deb") {
    this.#dir = dir;
    this.#suite = suite;
    this.#type = type;
  }

  /** Fetches the package lists of the suite for both architectures, or that of its sources. */
  async update(mirror: string): Promise<void> {
    await mkdir(join(this.#dir, "lists/partial"), { recursive: true });
    await mkdir(join(this.#dir, "cache/archives/partial"), { recursive: true });
    await writeFile(join(this.#dir, "status"), "");
    const signedBy = (await exists(KEYRING)) ? `[signed-by=${KEYRING}] ` : "";
    await writeFile(
      join(this.#dir, "sources.list"),
      `${this.#type} ${signedBy}${mirror} ${this.#suite} main\n`,
    );
    await mustRun(
      ["apt-get", ...this.#options(), "update"],
      `Check that this machine's Debian mirror carries the suite ${this.#suite} and can be reached.`,
    );
  }

  /** The newest version of each name that exists for `arch`. */
  async show(names: readonly string[], arch: string): Promise<readonly AptPackage[]> {
    if (names.length === 0) return [];
    const wanted = names.map((name) => `${name}:${arch}`);
    const shown = await runTool([
      "apt-cache",
      ...this.#options(),
      "show",
      "--no-all-versions",
      ...wanted,
    ]);
    return shown.stdout
      .split("\n\n")
      .filter((stanza) => stanza.includes("Package:"))
      .map(parseStanza);
  }

  /** Puts the files of a source package into `into`; apt checks their hashes. */
  async downloadSource(name: string, into: string): Promise<void> {
    const source = ["source", "--download-only", name];
    const mend = "Check that this machine's Debian mirror carries sources.";
    await mustRun(["apt-get", ...this.#options(), ...source], mend, { cwd: into });
  }

  #options(): string[] {
    const settings = {
      "Dir::State": this.#dir,
      "Dir::State::status": join(this.#dir, "status"),
      "Dir::Cache": join(this.#dir, "cache"),
      "Dir::Cache::pkgcache": "pkgcache.bin",
      "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
      "Dir::Etc::sourcelist": join(this.#dir, "sources.list"),
      "Dir::Etc::sourceparts": "/dev/null",
      "Dir::Etc::preferencesparts": "/dev/null",
      "APT::Architecture": "amd64",
      "APT::Architectures": "amd64,arm64",
      "Acquire::Languages": "none",
      "APT::Sandbox::User": "root",
    };
    return Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  }
}

/** Reads one stanza of a Packages file. */
export function parseStanza(stanza: string): AptPackage {
  const fields = new Map<string, string>();
  for (const line of stanza.split("\n")) {
    const match = /^([A-Za-z0-9-]+): (.*)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) fields.set(match[1], match[2]);
  }
  const field = (name: string): string => {
    const value = fields.get(name);
    if (value === undefined) throw new Error(`Package stanza without ${name}: ${stanza}`);
    return value;
  };
  const relations = `${fields.get("Pre-Depends") ?? ""},${fields.get("Depends") ?? ""}`;
  return {
    name: field("Package"),
    version: field("Version"),
    arch: field("Architecture"),
    file: field("Filename"),
    sha256: field("SHA256"),
    size: Number(field("Size")),
    depends: relations
      .split(",")
      .map((relation) => /^\s*([a-z0-9.+-]+)/.exec(relation)?.[1] ?? "")
      .filter((name) => name !== ""),
  };
}

/** Downloads one file with apt's own transport, proxies and credentials; apt checks the hash. */
export async function aptDownload(url: string, target: string, sha256: string): Promise<boolean> {
  await mkdir(dirname(target), { recursive: true });
  const helper = "/usr/lib/apt/apt-helper";
  const settings = ["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"];
  const result = await runTool([
    helper,
    ...settings,
    "download-file",
    url,
    target,
    `SHA256:${sha256}`,
  ]);
  return result.exitCode === 0;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
