/** Gives the files of a volume to the group of its pod. */
import type { FileInfo, Host } from "../../runtime/host.ts";

export interface OwnershipWish {
  readonly group: number;
  readonly readOnly: boolean;
  /** Upstream's fsGroupChangePolicy. */
  readonly onlyOnRootMismatch: boolean;
}

const masks = { write: 0o660, read: 0o440, enter: 0o110, setGid: 0o2000 } as const;

export async function giveToGroup(host: Host, root: string, wish: OwnershipWish): Promise<void> {
  const info = await host.stat(root, true);
  if (info === undefined) return;
  const has = info.gid === wish.group && (info.mode & maskOf(info, wish)) === maskOf(info, wish);
  if (has && wish.onlyOnRootMismatch) return;
  await giveTree(host, root, info, wish);
}

/** The deepest first: a root that fits says that all below does. */
async function giveTree(
  host: Host,
  path: string,
  info: FileInfo,
  wish: OwnershipWish,
): Promise<void> {
  if (info.kind === "directory") {
    for (const name of await host.list(path)) {
      const below = await host.stat(`${path}/${name}`, false);
      if (below !== undefined) await giveTree(host, `${path}/${name}`, below, wish);
    }
  }
  await host.chown(path, -1, wish.group);
  if (info.kind !== "symlink") await host.chmod(path, info.mode | maskOf(info, wish));
}

function maskOf({ kind }: FileInfo, { readOnly }: OwnershipWish): number {
  const mask = readOnly ? masks.read : masks.write;
  return kind === "directory" ? mask | masks.enter | masks.setGid : mask;
}
