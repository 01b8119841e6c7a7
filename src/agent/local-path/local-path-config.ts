/** The ConfigMap `local-path-config`: where on which node local volumes lie. Pure. */
import { posix } from "node:path";

export const provisionerName = "rancher.io/local-path";
export const configMapName = "local-path-config";
/** Stands for all nodes that are not listed. */
export const defaultNode = "DEFAULT_PATH_FOR_NON_LISTED_NODES";

/** Where volumes of a storage class lie: in a path of their node, or in one that nodes share. */
export type Places =
  | { readonly paths: ReadonlyMap<string, readonly string[]> }
  | { readonly shared: string };

export interface LocalPathConfig {
  readonly base: Places | undefined;
  /** Where any class is listed, only those that are listed can be used. */
  readonly classes: ReadonlyMap<string, Places>;
}

interface RawPlaces {
  readonly nodePathMap?: readonly { readonly node?: string; readonly paths?: readonly string[] }[];
  readonly sharedFileSystemPath?: string;
}

interface RawConfig extends RawPlaces {
  readonly storageClassConfigs?: Readonly<Record<string, RawPlaces>>;
  readonly setupCommand?: string;
  readonly teardownCommand?: string;
}

/** The text of a configuration with one path for all nodes. */
export function configText(path: string): string {
  return JSON.stringify({ nodePathMap: [{ node: defaultNode, paths: [path] }] }, undefined, 2);
}

/** True for a configuration that nobody has changed since it was made, whatever its path. */
export function isUntouched(text: string): boolean {
  try {
    const raw = JSON.parse(text) as RawConfig;
    const path = raw.nodePathMap?.[0]?.paths?.[0];
    return (
      path !== undefined && JSON.stringify(raw) === JSON.stringify(JSON.parse(configText(path)))
    );
  } catch {
    return false;
  }
}

/** Throws with what is wrong with the text. */
export function parseConfig(text: string): LocalPathConfig {
  let raw: RawConfig;
  try {
    raw = JSON.parse(text) as RawConfig;
  } catch (error) {
    throw new Error(`fail to load config file config.json: ${(error as Error).message}`);
  }
  if (raw.setupCommand || raw.teardownCommand) {
    throw new Error("setupCommand and teardownCommand are not run by the built-in provisioner");
  }
  const listed = Object.entries(raw.storageClassConfigs ?? {});
  const classes = new Map(listed.map(([name, one]) => [name, placesOf(one)]));
  const isOpen = raw.nodePathMap === undefined && !raw.sharedFileSystemPath;
  const base = isOpen && classes.size > 0 ? undefined : placesOf(raw);
  return { base, classes };
}

function placesOf({ nodePathMap, sharedFileSystemPath }: RawPlaces): Places {
  const nodes = nodePathMap ?? [];
  if (nodes.length > 0 && sharedFileSystemPath) {
    throw new Error(
      "both nodePathMap and sharedFileSystemPath are defined. Please make sure only one is in use",
    );
  }
  if (sharedFileSystemPath) return { shared: normalized(sharedFileSystemPath, "any node") };
  if (nodePathMap === undefined) {
    throw new Error("both nodePathMap and sharedFileSystemPath are unconfigured");
  }
  const paths = new Map<string, readonly string[]>();
  for (const { node = "", paths: listed = [] } of nodes) {
    if (paths.has(node)) throw new Error(`duplicate node ${node}`);
    const all = listed.map((path) => normalized(path, node));
    if (new Set(all).size < all.length) throw new Error(`duplicate path on node ${node}`);
    paths.set(node, all);
  }
  return { paths };
}

function normalized(path: string, node: string): string {
  if (!path.startsWith("/")) {
    throw new Error(`path must start with / for path ${path} on node ${node}`);
  }
  const clean = posix.normalize(path).replace(/\/+$/, "");
  if (clean === "") throw new Error(`cannot use root ('/') as path on node ${node}`);
  return clean;
}

/** What holds for volumes of the class. */
export function placesFor({ base, classes }: LocalPathConfig, className: string): Places {
  const found = classes.size === 0 ? base : classes.get(className);
  if (found !== undefined) return found;
  throw new Error(`Got request for unexpected storage class ${className}`);
}

/** Paths below which volumes of the node may lie; empty where the node takes none. */
export function pathsOn(places: Places, node: string): readonly string[] {
  if ("shared" in places) return [places.shared];
  const paths = places.paths.get(node) ?? places.paths.get(defaultNode);
  if (paths !== undefined) return paths;
  const wanted = `config doesn't contain node ${node}`;
  throw new Error(`${wanted}, and no ${defaultNode} available`);
}
