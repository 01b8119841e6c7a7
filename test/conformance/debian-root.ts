/** A root file system of Debian programs for test images: package files, without any set-up. */
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { type AptPackage, aptDownload, machineMirror, PrivateApt } from "../../scripts/apt.ts";
import { type Arch, BUILD, extractDeb } from "../../scripts/deps.ts";
import type { TarEntry } from "../../src/runtime/tar.ts";

/** Parts of packages that no program in a test image reads. */
const USELESS = /^usr\/share\/(doc|man|info|locale|lintian|bug|bash-completion|common-licenses)\//;
const MERGED = ["bin", "lib", "lib64", "sbin"];
const EMPTY_DIRS = ["dev", "etc", "home", "proc", "root", "run", "sys", "var"];

/** Files of `packages` and of everything they depend on, save for `without`. */
export async function debianRoot(
  packages: readonly string[],
  arch: Arch,
  without: readonly string[] = [],
): Promise<TarEntry[]> {
  const apt = new PrivateApt(join(BUILD, "apt"));
  const mirror = await machineMirror();
  await apt.update(mirror);
  const dir = join(BUILD, "conformance/root");
  rmSync(dir, { recursive: true, force: true });
  // Debian's merged /usr: older packages still put files at the old places.
  for (const name of MERGED) mkdirSync(join(dir, "usr", name), { recursive: true });
  for (const one of await closure(apt, packages, arch, without)) {
    const path = join(BUILD, "conformance/debs", basename(one.file));
    const url = `${mirror}/${one.file.replaceAll("+", "%2b").replaceAll("~", "%7e")}`;
    if (!(await Bun.file(path).exists()) && !(await aptDownload(url, path, one.sha256))) {
      throw new Error(`The mirror did not hand out ${one.name} ${one.version}.`);
    }
    await extractDeb(path, dir);
  }
  return [...rootEntries(dir), ...links()];
}

async function closure(
  apt: PrivateApt,
  packages: readonly string[],
  arch: Arch,
  without: readonly string[],
): Promise<AptPackage[]> {
  const found = new Map<string, AptPackage>();
  const asked = new Set(without);
  let wanted = [...packages];
  while (wanted.length > 0) {
    for (const name of wanted) asked.add(name);
    const shown = await apt.show(wanted, arch);
    for (const one of shown) found.set(one.name, one);
    wanted = [...new Set(shown.flatMap((one) => one.depends))].filter((name) => !asked.has(name));
  }
  return [...found.values()];
}

function rootEntries(dir: string): TarEntry[] {
  const entries: TarEntry[] = [];
  const walk = (below: string): void => {
    for (const name of readdirSync(join(dir, below)).sort()) {
      const path = below === "" ? name : `${below}/${name}`;
      if (USELESS.test(`${path}/`) || MERGED.includes(path)) continue;
      const info = lstatSync(join(dir, path));
      const mode = info.mode & 0o7777;
      if (info.isSymbolicLink()) {
        entries.push({ path, type: "symlink", mode, target: readlinkSync(join(dir, path)) });
      } else if (info.isDirectory()) {
        entries.push({ path, type: "dir", mode });
        walk(path);
      } else if (info.isFile()) {
        entries.push({ path, type: "file", mode, data: readFileSync(join(dir, path)) });
      }
    }
  };
  walk("");
  const known = new Set(entries.map(({ path }) => path));
  const missing = EMPTY_DIRS.filter((path) => !known.has(path));
  return [...missing.map((path): TarEntry => ({ path, type: "dir", mode: 0o755 })), ...entries];
}

/** What maintainer scripts would link: merged /usr and the alternatives. */
function links(): TarEntry[] {
  const alternatives = { nc: "nc.openbsd", awk: "mawk", sh: "dash" };
  const link = (path: string, target: string): TarEntry => ({
    path,
    type: "symlink",
    mode: 0o777,
    target,
  });
  return [
    ...MERGED.map((name) => link(name, `usr/${name}`)),
    ...Object.entries(alternatives).map(([name, target]) => link(`usr/bin/${name}`, target)),
  ];
}
