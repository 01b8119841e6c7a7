/**
 * Writes the files of a volume so that readers see all of the old or all of the new: everything
 * goes to a fresh directory, then the `..data` link moves there in one rename.
 */
import type { Host } from "../../runtime/host.ts";

export interface PayloadFile {
  readonly data: Uint8Array;
  readonly mode: number;
  /** Owner of the file where it is not root: a token read by a pod's only user. */
  readonly uid?: number;
}

/** Relative paths without `..` or a leading slash. */
export type Payload = ReadonlyMap<string, PayloadFile>;

export interface WriteTarget {
  readonly dir: string;
  /** Group of everything written, which may then read it; undefined leaves root's. */
  readonly fsGroup: number | undefined;
  /** A name never used before in this volume. */
  readonly version: string;
}

const dataLink = "..data";

function topOf(path: string): string {
  return path.split("/")[0] ?? path;
}

export async function writePayload(
  host: Host,
  target: WriteTarget,
  payload: Payload,
): Promise<void> {
  const { dir, fsGroup, version } = target;
  const before = await host.readLink(`${dir}/${dataLink}`);
  const fresh = `..${version}`;
  await makeDir(host, `${dir}/${fresh}`, fsGroup);
  for (const [path, file] of payload) {
    await makeParents(host, `${dir}/${fresh}`, path, fsGroup);
    const full = `${dir}/${fresh}/${path}`;
    const mode = fsGroup === undefined ? file.mode : file.mode | 0o440;
    await host.write(full, file.data, mode);
    if (fsGroup !== undefined || file.uid !== undefined) {
      await host.chown(full, file.uid ?? -1, fsGroup ?? -1);
      // Changing the owner may clear mode bits.
      await host.chmod(full, mode);
    }
  }
  await replaceLink(host, dir, dataLink, fresh);
  const wanted = new Set([...payload.keys()].map(topOf));
  for (const name of wanted) {
    const link = `${dataLink}/${name}`;
    if ((await host.readLink(`${dir}/${name}`)) !== link) await replaceLink(host, dir, name, link);
  }
  for (const name of await host.list(dir)) {
    if (!name.startsWith("..") && !wanted.has(name)) await host.remove(`${dir}/${name}`);
  }
  if (before !== undefined && before !== fresh) await host.remove(`${dir}/${before}`);
}

async function replaceLink(host: Host, dir: string, name: string, target: string): Promise<void> {
  const beside = `${dir}/..tmp_${name}`;
  await host.remove(beside);
  await host.symlink(target, beside);
  await host.rename(beside, `${dir}/${name}`);
}

async function makeDir(host: Host, path: string, fsGroup: number | undefined): Promise<void> {
  await host.mkdir(path, 0o755);
  if (fsGroup === undefined) return;
  await host.chown(path, -1, fsGroup);
  await host.chmod(path, 0o2775);
}

async function makeParents(
  host: Host,
  root: string,
  path: string,
  fsGroup: number | undefined,
): Promise<void> {
  const parents = path.split("/").slice(0, -1);
  for (let depth = 1; depth <= parents.length; depth += 1) {
    await makeDir(host, `${root}/${parents.slice(0, depth).join("/")}`, fsGroup);
  }
}
