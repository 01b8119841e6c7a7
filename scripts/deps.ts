/**
 * The Debian packages k3 is built from: `airgap/deps.lock.json` names them by version and hash.
 *
 *   bun scripts/deps.ts update   renew the lock from the mirror
 *   bun scripts/deps.ts fetch    download and verify what is locked
 *   bun scripts/deps.ts schema   extract the Kubernetes type sources to build/schema-src
 */
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type AptPackage, aptDownload, machineMirror, mustRun, PrivateApt, SUITE } from "./apt.ts";

export const ROOT = dirname(import.meta.dir);
export const BUILD = join(ROOT, "build");
const LOCK = join(ROOT, "airgap/deps.lock.json");
const DEBS = join(BUILD, "debs");
const SCHEMA = join(BUILD, "schema-src");
const UPDATE_HINT = "Run `bun run deps update` to renew airgap/deps.lock.json.";

export const ARCHES = ["amd64", "arm64"] as const;
export type Arch = (typeof ARCHES)[number];

/** What a package is for: in the binary, in the test image, to compile, or to generate types. */
export type Part = "payload" | "image" | "build" | "schema";

export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  readonly arch: Arch | "all";
  readonly part: Part;
  readonly sha256: string;
  readonly size: number;
  /** Path below the mirror's root. */
  readonly file: string;
}
export interface Lock {
  readonly suite: string;
  readonly packages: readonly LockedPackage[];
}

const ROOTS: Readonly<Record<Part, readonly string[]>> = {
  payload: [
    "containerd",
    "runc",
    "containernetworking-plugins",
    "nftables",
    "iproute2",
    "conntrack",
    "kubectl",
    "catatonit",
    "mount",
    "wireguard-tools",
  ],
  image: ["busybox-static"],
  build: ["libzstd-dev"],
  schema: [
    "golang-k8s-api-dev",
    "golang-k8s-apimachinery-dev",
    "golang-k8s-metrics-dev",
    "golang-k8s-cri-api-dev",
  ],
};

/** Reads the lock. */
export async function readLock(): Promise<Lock> {
  const lock = JSON.parse(await readFile(LOCK, "utf8")) as Lock;
  if (lock.suite !== SUITE) throw new Error(`The lock is of suite ${lock.suite}. ${UPDATE_HINT}`);
  return lock;
}

/** Packages whose name says that they carry shared libraries programs load. */
export function isLibraryPackage(name: string): boolean {
  return /^(lib|zlib1g)/.test(name) && !/^libc-|-dev$|-bin$|-common$/.test(name);
}

async function resolvePart(apt: PrivateApt, part: Part, arch: Arch): Promise<LockedPackage[]> {
  const found = new Map<string, AptPackage>();
  let wanted: readonly string[] = ROOTS[part];
  while (wanted.length > 0) {
    const shown = await apt.show(wanted, arch);
    const missing = wanted.filter((name) => !shown.some((known) => known.name === name));
    const lost = missing.filter((name) => ROOTS[part].includes(name));
    if (lost.length > 0) throw new Error(`The mirror has no ${lost.join(", ")} for ${arch}.`);
    for (const known of shown) found.set(known.name, known);
    if (part !== "payload") break;
    const next = shown.flatMap((known) => known.depends).filter(isLibraryPackage);
    wanted = [...new Set(next)].filter((name) => !found.has(name) && !missing.includes(name));
  }
  return [...found.values()].map(({ depends: _, arch: own, ...rest }) => ({
    ...rest,
    arch: own === "all" ? "all" : arch,
    part,
  }));
}

/** Renews the lock: every root package, and for the payload every library it may need. */
export async function updateLock(): Promise<void> {
  const apt = new PrivateApt(join(BUILD, "apt"));
  const mirror = await machineMirror();
  console.log(`Reading the package lists of ${SUITE} (amd64, arm64)`);
  await apt.update(mirror);
  const locked = new Map<string, LockedPackage>();
  for (const arch of ARCHES) {
    for (const part of ["payload", "image", "build", "schema"] as const) {
      // Packages for all architectures are listed under the first one only.
      if (part === "schema" && arch !== ARCHES[0]) continue;
      for (const entry of await resolvePart(apt, part, arch)) {
        locked.set(`${entry.part} ${entry.name} ${entry.arch}`, entry);
      }
    }
  }
  const packages = [...locked.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, v]) => v);
  const lock: Lock = { suite: SUITE, packages: packages.map(inOrder) };
  await mkdir(dirname(LOCK), { recursive: true });
  await writeFile(LOCK, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`Locked ${packages.length} packages`);
}

function inOrder(entry: LockedPackage): LockedPackage {
  const { name, version, arch, part, sha256, size, file } = entry;
  return { name, version, arch, part, sha256, size, file };
}

async function hashOf(path: string): Promise<string | undefined> {
  const file = Bun.file(path);
  if (!(await file.exists())) return undefined;
  return new Bun.CryptoHasher("sha256").update(await file.bytes()).digest("hex");
}

/** Downloads one locked package into the cache, or trusts a verified copy already there. */
async function fetchDeb(mirror: () => Promise<string>, entry: LockedPackage): Promise<string> {
  const path = join(DEBS, `${entry.sha256.slice(0, 12)}_${basename(entry.file)}`);
  if ((await hashOf(path)) === entry.sha256) return path;
  const partial = `${path}.part`;
  await rm(partial, { force: true });
  console.log(`Fetching ${entry.name} ${entry.version} ${entry.arch}`);
  const url = `${await mirror()}/${entry.file.replaceAll("+", "%2b").replaceAll("~", "%7e")}`;
  if (!(await aptDownload(url, partial, entry.sha256))) {
    throw new Error(
      `The mirror no longer has ${entry.name} ${entry.version} (${entry.arch}) as locked, ` +
        `or cannot be reached. ${UPDATE_HINT}`,
    );
  }
  if ((await hashOf(partial)) !== entry.sha256) {
    throw new Error(`${entry.name} ${entry.version} does not match its locked sha256.`);
  }
  await rename(partial, path);
  return path;
}

export interface FetchedDeb extends LockedPackage {
  /** Where the verified .deb lies. */
  readonly path: string;
}

/** Downloads and verifies the locked packages of `part` that serve `arch`. */
export async function fetchDebs(arch: Arch, part: Part = "payload"): Promise<FetchedDeb[]> {
  const lock = await readLock();
  let mirrorOnce: Promise<string> | undefined;
  const mirror = (): Promise<string> => {
    mirrorOnce ??= machineMirror();
    return mirrorOnce;
  };
  const wanted = lock.packages.filter(
    (entry) => entry.part === part && (entry.arch === arch || entry.arch === "all"),
  );
  const fetched: FetchedDeb[] = [];
  const queue = [...wanted];
  const worker = async (): Promise<void> => {
    for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) {
      fetched.push({ ...entry, path: await fetchDeb(mirror, entry) });
    }
  };
  await Promise.all(Array.from({ length: 4 }, worker));
  return fetched.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Unpacks a package's files into `dir`. */
export async function extractDeb(deb: string, dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  await mustRun(["dpkg-deb", "-x", deb, dir], "Install dpkg: apt-get install dpkg");
}

/** Puts the Kubernetes type sources under build/schema-src, once per lock. */
export async function extractSchemaSources(): Promise<string> {
  const debs = await fetchDebs("amd64", "schema");
  const stamp = debs.map((deb) => deb.sha256).join("\n");
  const stampFile = join(SCHEMA, ".stamp");
  if ((await readFile(stampFile, "utf8").catch(() => "")) === stamp) return SCHEMA;
  const fresh = `${SCHEMA}.new`;
  await rm(fresh, { recursive: true, force: true });
  for (const deb of debs) await extractDeb(deb.path, fresh);
  await writeFile(join(fresh, ".stamp"), stamp);
  if (await stat(SCHEMA).catch(() => undefined)) await rm(SCHEMA, { recursive: true });
  await rename(fresh, SCHEMA);
  console.log(`Extracted the Kubernetes type sources to ${SCHEMA}`);
  return SCHEMA;
}

async function main(command: string | undefined): Promise<void> {
  switch (command) {
    case "update":
      return updateLock();
    case "schema":
      await extractSchemaSources();
      return;
    case "fetch":
    case undefined:
      for (const arch of ARCHES) {
        for (const part of ["payload", "image", "build"] as const) await fetchDebs(arch, part);
      }
      console.log("All locked packages are in build/debs");
      return;
    default:
      throw new Error(`Unknown command ${command}: use update, fetch or schema.`);
  }
}

if (import.meta.main) {
  try {
    await main(process.argv[2]);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
