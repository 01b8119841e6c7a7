/**
 * What a containerd that was killed in the middle of its work knows nothing of any more: shims,
 * leased addresses and network namespaces of sandboxes it had not written down yet. Only what is
 * older than the running containerd and is found twice in a row counts: a sandbox that is being
 * made or removed at this moment looks the same.
 */
import { ContainerState, PodSandboxState } from "../gen/cri/api_pb.ts";
import type { Host } from "../runtime/host.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type CriClient, isCriUnavailable } from "./cri/client.ts";

const limits = {
  lookEveryMs: 2_500,
  /** Looks after each start of containerd; an orphan shows soon after or never. */
  looksMax: 8,
  idleMs: 10_000,
} as const;

export interface OrphanOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly cri: CriClient;
  readonly binDir: string;
  readonly cniBinDir: string;
  /** The file that `writeCniConfig` has written. */
  readonly cniConfigPath: string;
  /** host-local's folder of this network. */
  readonly leaseDir: string;
  /** containerd's state directory. */
  readonly stateDir: string;
  runtimePid(): number | undefined;
}

interface Shim {
  readonly pid: number;
  readonly sandboxId: string;
  readonly ageMs: number;
}
interface Lease {
  readonly address: string;
  readonly sandboxId: string;
  readonly ageMs: number;
}
interface Namespace {
  readonly path: string;
  /** No process is in it. */
  readonly isEmpty: boolean;
  readonly ageMs: number;
}

export interface RuntimeFacts {
  readonly runtimeAgeMs: number;
  /** Id of every sandbox that containerd lists. */
  readonly listed: ReadonlySet<string>;
  /** Of those, the ones that are up or still have a container running. */
  readonly living: ReadonlySet<string>;
  readonly shims: readonly Shim[];
  readonly leases: readonly Lease[];
  readonly namespaces: readonly Namespace[];
}

export type Orphan =
  | { readonly kind: "shim"; readonly pid: number; readonly sandboxId: string }
  | { readonly kind: "lease"; readonly address: string; readonly sandboxId: string }
  | { readonly kind: "namespace"; readonly path: string };

/** Shims before leases before namespaces: each holds the next. */
export function planOrphans(facts: RuntimeFacts): readonly Orphan[] {
  const isOld = ({ ageMs }: { readonly ageMs: number }): boolean => ageMs > facts.runtimeAgeMs;
  const shims = facts.shims
    .filter((shim) => isOld(shim) && !facts.living.has(shim.sandboxId))
    .map(({ pid, sandboxId }) => ({ kind: "shim" as const, pid, sandboxId }));
  const leases = facts.leases
    .filter((lease) => isOld(lease) && !facts.listed.has(lease.sandboxId))
    .map(({ address, sandboxId }) => ({ kind: "lease" as const, address, sandboxId }));
  const namespaces = facts.namespaces
    .filter((space) => isOld(space) && space.isEmpty)
    .map(({ path }) => ({ kind: "namespace" as const, path }));
  return [...shims, ...leases, ...namespaces];
}

/** Looks after every start of containerd, and ends with the signal. */
export async function sweepOrphans(options: OrphanOptions, signal: AbortSignal): Promise<void> {
  const { clock, log } = options.runtime;
  const machine = new Machine(options, signal);
  let pid: number | undefined;
  let looks = 0;
  let before = new Set<string>();
  while (!signal.aborted) {
    await clock.sleep(looks < limits.looksMax ? limits.lookEveryMs : limits.idleMs, signal);
    const now = options.runtimePid();
    if (now !== pid) [pid, looks, before] = [now, 0, new Set()];
    if (pid === undefined || looks >= limits.looksMax || signal.aborted) continue;
    looks += 1;
    try {
      const orphans = planOrphans(await machine.facts(pid));
      for (const orphan of orphans) {
        if (!before.has(JSON.stringify(orphan))) continue;
        log.info("Removing what belongs to no sandbox", { ...orphan });
        await machine.remove(orphan);
      }
      before = new Set(orphans.map((orphan) => JSON.stringify(orphan)));
    } catch (error) {
      if (signal.aborted) return;
      if (!isCriUnavailable(error)) log.warn("Cannot look for orphans", { error: `${error}` });
    }
  }
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly ageMs: number;
  readonly args: readonly string[];
}

class Machine {
  readonly #options: OrphanOptions;
  readonly #signal: AbortSignal;

  constructor(options: OrphanOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  async facts(runtimePid: number): Promise<RuntimeFacts> {
    const { cri, binDir } = this.#options;
    // The machine first: what is listed afterwards cannot be missing for being too new.
    const processes = await this.#processes();
    const [leases, namespaces] = await Promise.all([this.#leases(), this.#namespaces(processes)]);
    const [sandboxes, containers] = await Promise.all([
      cri.runtime.listPodSandbox({}),
      cri.runtime.listContainers({}),
    ]);
    const up = sandboxes.items.filter(({ state }) => state === PodSandboxState.SANDBOX_READY);
    const busy = containers.containers.filter(
      ({ state }) => state === ContainerState.CONTAINER_RUNNING,
    );
    return {
      runtimeAgeMs: processes.find(({ pid }) => pid === runtimePid)?.ageMs ?? Infinity,
      listed: new Set(sandboxes.items.map(({ id }) => id)),
      living: new Set([...up.map(({ id }) => id), ...busy.map((one) => one.podSandboxId)]),
      shims: processes.flatMap(({ pid, args, ageMs }) => {
        const program = args[0] ?? "";
        const isShim = /\/containerd-shim-runc-v2$/.test(program);
        // Another version of k3 may have started it, but from the same data directory.
        const isOurs = program.startsWith(binDir.replace(/[^/]+\/bin$/, ""));
        const sandboxId = args[args.indexOf("-id") + 1] ?? "";
        return isShim && isOurs && sandboxId !== "" ? [{ pid, sandboxId, ageMs }] : [];
      }),
      leases,
      namespaces,
    };
  }

  async remove(orphan: Orphan): Promise<void> {
    switch (orphan.kind) {
      case "shim":
        return await this.#endShim(orphan.pid, orphan.sandboxId);
      case "lease":
        return await this.#releaseAddress(orphan.address, orphan.sandboxId);
      case "namespace":
        await this.#tryRun(["umount", orphan.path]);
        return await this.#options.host.remove(orphan.path);
    }
  }

  async #endShim(pid: number, sandboxId: string): Promise<void> {
    const { host, binDir, stateDir } = this.#options;
    const processes = await this.#processes();
    const doomed = [pid];
    for (const parent of doomed) {
      doomed.push(...processes.filter((one) => one.parent === parent).map((one) => one.pid));
    }
    for (const one of doomed) host.signal(one, "SIGKILL");
    const root = `${stateDir}/runc/k8s.io`;
    await this.#tryRun([`${binDir}/runc`, "--root", root, "delete", "--force", sandboxId]);
    const bundle = `${stateDir}/io.containerd.runtime.v2.task/k8s.io/${sandboxId}`;
    const files = `${stateDir}/io.containerd.grpc.v1.cri/sandboxes/${sandboxId}`;
    for (const path of [`${bundle}/rootfs`, `${files}/shm`]) {
      if ((await host.stat(path, false)) !== undefined) await this.#tryRun(["umount", path]);
    }
  }

  /** As containerd would on the sandbox's end: every plugin's DEL, the last plugin first. */
  async #releaseAddress(address: string, sandboxId: string): Promise<void> {
    const { runtime, host, cniBinDir, cniConfigPath, leaseDir } = this.#options;
    const { plugins, ...network } = JSON.parse(
      (await runtime.files.readText(cniConfigPath)) ?? '{"plugins":[]}',
    ) as { readonly plugins: readonly { readonly type: string }[] };
    const env = {
      PATH: `${process.env.PATH}`,
      CNI_COMMAND: "DEL",
      CNI_CONTAINERID: sandboxId,
      CNI_NETNS: "",
      CNI_IFNAME: "eth0",
      CNI_PATH: cniBinDir,
    };
    for (const plugin of plugins.toReversed()) {
      const stdin = JSON.stringify({ ...network, ...plugin });
      await this.#tryRun([`${cniBinDir}/${plugin.type}`], { env, stdin });
    }
    await host.remove(`${leaseDir}/${address}`);
  }

  async #processes(): Promise<readonly Process[]> {
    const { host, runtime } = this.#options;
    const uptime = Number(((await runtime.files.readText("/proc/uptime")) ?? "").split(" ")[0]);
    const pids = (await host.list("/proc")).filter((name) => /^\d+$/.test(name));
    const all = pids.map(async (pid): Promise<Process | undefined> => {
      const [stat, commandLine] = await Promise.all(
        ["stat", "cmdline"].map((name) =>
          // It may end while we look.
          runtime.files.readText(`/proc/${pid}/${name}`).catch(() => undefined),
        ),
      );
      if (stat === undefined || commandLine === undefined) return undefined;
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (fields[0] === "Z") return undefined;
      // Field 22 counts hundredths of a second since the machine's start.
      const ageMs = uptime * 1000 - Number(fields[19]) * 10;
      return { pid: Number(pid), parent: Number(fields[1]), ageMs, args: commandLine.split("\0") };
    });
    return (await Promise.all(all)).filter((one) => one !== undefined);
  }

  async #leases(): Promise<readonly Lease[]> {
    const { host, runtime, leaseDir } = this.#options;
    const names = (await host.list(leaseDir)).filter((name) => /^\d+\.\d+\.\d+\.\d+$/.test(name));
    const all = names.map(async (address): Promise<readonly Lease[]> => {
      const path = `${leaseDir}/${address}`;
      const [text, ageMs] = await Promise.all([runtime.files.readText(path), this.#ageMs(path)]);
      // host-local writes the sandbox's id, then the interface, a line each.
      const sandboxId = text?.split(/\s/)[0] ?? "";
      return sandboxId === "" ? [] : [{ address, sandboxId, ageMs }];
    });
    return (await Promise.all(all)).flat();
  }

  async #namespaces(processes: readonly Process[]): Promise<readonly Namespace[]> {
    const { host } = this.#options;
    const names = (await host.list("/run/netns")).filter((name) => name.startsWith("cni-"));
    if (names.length === 0) return [];
    const links = processes.map(({ pid }) =>
      host.readLink(`/proc/${pid}/ns/net`).catch(() => undefined),
    );
    const used = new Set(await Promise.all(links));
    const all = names.map(async (name): Promise<Namespace> => {
      const path = `/run/netns/${name}`;
      const inode = (await host.stat(path, true))?.inode;
      return { path, isEmpty: !used.has(`net:[${inode}]`), ageMs: await this.#ageMs(path) };
    });
    return await Promise.all(all);
  }

  async #ageMs(path: string): Promise<number> {
    const { host, runtime } = this.#options;
    const info = await host.stat(path, true);
    return info === undefined ? 0 : runtime.clock.now().getTime() - info.mtimeMs;
  }

  async #tryRun(
    argv: readonly [string, ...string[]],
    extra: { readonly env?: Readonly<Record<string, string>>; readonly stdin?: string } = {},
  ): Promise<void> {
    const { exec, log } = this.#options.runtime;
    const { exitCode, stderr, stdout } = await exec.run({ argv, ...extra }, this.#signal);
    if (exitCode === 0) return;
    log.debug(`${argv.join(" ")} failed`, { exitCode, said: `${stderr}${stdout}`.trim() });
  }
}
