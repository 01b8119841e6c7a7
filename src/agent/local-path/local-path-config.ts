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

/** What is done on a node for a volume. */
export type Action = "create" | "delete";

/** What the cluster's own program does for the action: a command of the image, or a script. */
export interface HelperSettings {
  /** Empty where the script is run. */
  readonly commands: Readonly<Record<Action, string>>;
  readonly timeoutMs: number;
  /** The manifest of the pod that does it. */
  readonly template: string;
  /** The actions that are not what the provisioner does by itself. */
  readonly actions: ReadonlySet<Action>;
}

export interface LocalPathConfig {
  readonly helper: HelperSettings;
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
  readonly cmdTimeoutSeconds?: number;
}

const defaultTimeoutSeconds = 120;
export const scriptKeys: Readonly<Record<Action, string>> = { create: "setup", delete: "teardown" };

/** The other entries of the ConfigMap as they are made. */
export const shippedEntries: Readonly<Record<string, string>> = {
  setup: `#!/bin/sh
set -eu
mkdir -m 0777 -p "$VOL_DIR"
chmod 700 "$VOL_DIR/.."
`,
  teardown: `#!/bin/sh
set -eu
rm -rf "$VOL_DIR"
`,
  "helperPod.yaml": `apiVersion: v1
kind: Pod
metadata:
  name: helper-pod
spec:
  containers:
  - name: helper-pod
    image: rancher/mirrored-library-busybox:1.37.0
    imagePullPolicy: IfNotPresent
`,
};

/** Scripts that do what the provisioner does without them: K3s' own and those it comes from. */
const builtIn: Readonly<Record<Action, readonly string[]>> = {
  create: ["mkdir -m 0777 -p $VOL_DIR", "mkdir -m 0777 -p $VOL_DIR;chmod 700 $VOL_DIR/.."],
  delete: ["rm -rf $VOL_DIR"],
};

function isBuiltIn(action: Action, script: string): boolean {
  const statements = script
    .replaceAll('"', "")
    .replaceAll(/\$\{(\w+)\}/g, "$$$1")
    .split(/[\n;]/)
    .map((line) => line.trim().replaceAll(/\s+/g, " "))
    .filter((line) => line !== "" && !line.startsWith("#") && !/^set -[eux]+$/.test(line));
  return builtIn[action].includes(statements.join(";"));
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

/** Takes in the ConfigMap's entries; throws with what is wrong with them. */
export function parseConfig(data: Readonly<Record<string, string>>): LocalPathConfig {
  const text = data["config.json"] ?? "";
  let raw: RawConfig;
  try {
    raw = JSON.parse(text) as RawConfig;
  } catch (error) {
    throw new Error(`fail to load config file config.json: ${(error as Error).message}`);
  }
  const listed = Object.entries(raw.storageClassConfigs ?? {});
  const classes = new Map(listed.map(([name, one]) => [name, placesOf(one)]));
  const isOpen = raw.nodePathMap === undefined && !raw.sharedFileSystemPath;
  const base = isOpen && classes.size > 0 ? undefined : placesOf(raw);
  return { base, classes, helper: helperOf(raw, data) };
}

function helperOf(raw: RawConfig, data: Readonly<Record<string, string>>): HelperSettings {
  const commands = { create: raw.setupCommand ?? "", delete: raw.teardownCommand ?? "" };
  const isOther = (action: Action): boolean => {
    const script = data[scriptKeys[action]];
    return commands[action] !== "" || (script !== undefined && !isBuiltIn(action, script));
  };
  const seconds = raw.cmdTimeoutSeconds ?? 0;
  return {
    commands,
    timeoutMs: (seconds > 0 ? seconds : defaultTimeoutSeconds) * 1000,
    template: data["helperPod.yaml"] ?? shippedEntries["helperPod.yaml"] ?? "",
    actions: new Set((["create", "delete"] as const).filter(isOther)),
  };
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
