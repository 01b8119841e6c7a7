/** The form of a flag, and the sentences for those that come later. */

export type FlagType = "string" | "bool" | "int" | "list";

export interface FlagRow {
  readonly name: string;
  readonly alias?: string;
  readonly env?: string;
  readonly type: FlagType;
  readonly default?: string;
  /** Items of a list may also be separated by commas, as K3s has it for this flag. */
  readonly commas?: true;
  readonly group: FlagGroup;
  readonly help: string;
  /** A sentence on why the flag cannot be used yet; absent when it works. */
  readonly unsupported?: string;
  /** A sentence on why a boolean that is true by itself cannot be set to false. */
  readonly refusedNo?: string;
  /** What the user should know of a flag that is taken but has little to do here. */
  readonly note?: string;
  readonly hidden?: true;
}

export type FlagGroup =
  | "general"
  | "listener"
  | "networking"
  | "client"
  | "cluster"
  | "database"
  | "components"
  | "node"
  | "runtime"
  | "experimental";

export const later = {
  join: "several servers come with a later version; agents join this one",
  external: "this version stores its data in SQLite only",
  snapshot: "snapshots need embedded etcd, which comes with a later version",
  passThrough: "arguments of single components are not understood by this version",
  containerd: "this version always runs its own containerd, with overlayfs and runc",
  vpn: "this version joins no VPN",
  resources: "images are used under their own names in this version",
  split: "one port serves everything in this version",
  etcd: "embedded etcd comes with a later version",
} as const;

export type RowOptions = Omit<FlagRow, "name" | "type" | "group" | "help">;

/** Rows of one group, written short. */
export function rows(
  group: FlagGroup,
  list: readonly (readonly [name: string, type: FlagType, help: string, options?: RowOptions])[],
): readonly FlagRow[] {
  return list.map(([name, type, help, options]) => ({ name, type, group, help, ...options }));
}
