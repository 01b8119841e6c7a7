/** Which processes and mounts belong to a node of ours: decided from what the kernel tells. */
import { usualDataDir } from "./bundled.ts";

export interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  readonly isZombie: boolean;
  readonly exe: string;
  readonly args: readonly string[];
}

export interface ProcessPlan {
  /** `k3 server`, `k3 agent` and `k3 ingress` of that data dir: asked to stop first. */
  readonly servers: readonly number[];
  /** containerd. */
  readonly runtimes: readonly number[];
  readonly shims: readonly number[];
  /** All that descends from the shims. */
  readonly containers: readonly number[];
}

/** Commands that stay. */
const parts: ReadonlySet<string> = new Set(["server", "agent", "ingress"]);

/** Paths are compared as texts: a slash at their end says nothing. */
export function withoutSlash(path: string): string {
  return path.replace(/(.)\/+$/, "$1");
}

/** Undefined where the arguments of k3 name none. */
export function dataDirOf(args: readonly string[]): string | undefined {
  for (const [i, argument] of args.entries()) {
    const isName = argument === "--data-dir" || argument === "-d";
    const value = isName ? args[i + 1] : /^(?:--data-dir|-d)=(.*)$/.exec(argument)?.[1];
    if (isName || value !== undefined) return value && withoutSlash(value);
  }
  return undefined;
}

/**
 * `k3 server ...`, or `bun .../src/main.ts server ...` from a working tree. Its data directory
 * stands in its arguments, or it holds the lock there.
 */
function isServer(info: ProcessInfo, dataDir: string, lockedBy: number): boolean {
  const [program = "", first = "", ...rest] = info.args;
  const name = program.slice(program.lastIndexOf("/") + 1);
  const isSource = name === "bun" && first.endsWith("/src/main.ts");
  if (!isSource && !/^k3s?(-[a-z0-9]+)?$/.test(name)) return false;
  const args = isSource ? rest : [first, ...rest];
  const runs = args.some((argument) => parts.has(argument));
  return runs && (info.pid === lockedBy || (dataDirOf(args) ?? usualDataDir) === dataDir);
}

export function planProcesses(
  processes: readonly ProcessInfo[],
  by: { readonly dataDir: string; readonly self: number; readonly lockedBy: number },
): ProcessPlan {
  const others = processes.filter(({ pid, isZombie }) => pid !== by.self && !isZombie);
  const bundled = others.filter(({ exe, args }) => {
    const program = exe === "" ? (args[0] ?? "") : exe;
    return program.startsWith(`${by.dataDir}/data/`);
  });
  const nameOf = ({ exe, args }: ProcessInfo): string =>
    `${exe.replace(/ \(deleted\)$/, "")} ${args[0] ?? ""}`;
  const runtimes = bundled.filter((info) => /\/containerd(-shim[\w-]*)?(\s|$)/.test(nameOf(info)));
  const shims = runtimes.filter((info) => nameOf(info).includes("/containerd-shim"));
  return {
    servers: others.filter((info) => isServer(info, by.dataDir, by.lockedBy)).map(({ pid }) => pid),
    runtimes: runtimes.filter((info) => !shims.includes(info)).map(({ pid }) => pid),
    shims: shims.map(({ pid }) => pid),
    containers: descendants(others, new Set(shims.map(({ pid }) => pid))),
  };
}

function descendants(
  processes: readonly ProcessInfo[],
  roots: ReadonlySet<number>,
): readonly number[] {
  const found: number[] = [];
  let parents = roots;
  while (parents.size > 0) {
    const children = processes.filter(({ parent }) => parents.has(parent)).map(({ pid }) => pid);
    found.push(...children);
    parents = new Set(children);
  }
  return found;
}

/** Mount points in `/proc/self/mountinfo`, in their order. */
export function mountPoints(mountinfo: string): readonly string[] {
  return mountinfo
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .map((path) =>
      path.replace(/\\([0-7]{3})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 8))),
    );
}

/** Those of ours, the last mounted first; `kubelets` are folders of kubelets. */
export function mountsToRemove(mountinfo: string, kubelets: readonly string[]): readonly string[] {
  const prefixes = [
    "/run/k3s/",
    ...kubelets.flatMap((folder) => [`${folder}/pods/`, `${folder}/plugins/`]),
    "/run/netns/cni-",
  ];
  return mountPoints(mountinfo)
    .filter((path) => prefixes.some((prefix) => path.startsWith(prefix)))
    .toReversed();
}

/** Those of `paths` that no process has open, by the kernel's table of unix sockets. */
export function unusedSockets(paths: readonly string[], table: string): readonly string[] {
  const open = new Set(table.split("\n").map((line) => line.trim().split(/\s+/)[7] ?? ""));
  return paths.filter((path) => !open.has(path));
}
