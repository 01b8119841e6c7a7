/** `k3 killall`: ends the server and all pods of this node, and removes what they left behind. */
import { cleanupNetwork } from "../agent/net/node-network.ts";
import { restoreSwitches, switchLedger } from "../agent/net/switches.ts";
import type { Host } from "../runtime/host.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { CommandContext } from "./command.ts";
import { type Ending, readEnding } from "./ending.ts";
import { mountsToRemove, type ProcessInfo, planProcesses, unusedSockets } from "./killall-plan.ts";
import { stopService } from "./services.ts";

const limits = { stopMsMax: 10_000, killMsMax: 5_000, pollMs: 50 } as const;

const links = ["flannel.1", "flannel-v6.1", "flannel-wg", "flannel-wg-v6", "kube-ipvs0"] as const;
const ofRun = ["/run/k3s", "/run/flannel"] as const;
/** Of the kubelet's folder: what a server that was killed leaves behind, its sockets included. */
const ofKubelet = [
  "pods",
  "plugins",
  "device-plugins/kubelet.sock",
  "pod-resources/kubelet.sock",
] as const;
const cgroups = ["kubepods", "kubepods.slice", "k3s"] as const;
const cgroupRoots = ["/sys/fs/cgroup"] as const;
const shimSockets = "/run/containerd/s";

export async function runKillall(context: CommandContext): Promise<number> {
  const ending = await readEnding(context, "killall");
  return ending === undefined ? 0 : await new Killall(ending).run();
}

export class Killall {
  readonly #signal = new AbortController().signal;
  private readonly runtime: Runtime;
  private readonly host: Host;
  private readonly context: CommandContext;

  constructor(private readonly ending: Ending) {
    this.runtime = ending.runtime;
    this.host = ending.host;
    this.context = ending.context;
  }

  /** Resolves to the exit code: 1 when a process or a mount is left. */
  async run(): Promise<number> {
    const { dataDir, services } = this.ending;
    for (const service of services) await stopService(this.runtime, service);
    const lockedBy = Number(await this.runtime.files.readText(`${dataDir}/server/k3.lock`));
    const by = { dataDir, self: process.pid, lockedBy };
    const { servers } = planProcesses(await this.#processes(), by);
    await this.#end(servers, "SIGTERM", limits.stopMsMax);
    // A server that was stopped has left its containers running: look again.
    const left = planProcesses(await this.#processes(), by);
    const survivors: number[] = [];
    // Shims last: they take leave of the containers, which otherwise wait for process 1 to do it.
    for (const pids of [[...left.servers, ...left.runtimes], left.containers, left.shims])
      survivors.push(...(await this.#end(pids, "SIGKILL", limits.killMsMax)));
    const mounted = await this.#unmount();
    await cleanupNetwork(this.runtime);
    await restoreSwitches(this.runtime, switchLedger);
    for (const link of links) await this.#quiet(["ip", "link", "delete", "dev", link]);
    await this.#removeFolders(mounted);
    await this.#removeCgroups();
    const killed = left.servers.length + left.runtimes.length + left.shims.length;
    const ended = servers.length + killed + left.containers.length;
    this.context.out(`Ended ${ended} ${ended === 1 ? "process" : "processes"}\n`);
    for (const pid of survivors) this.context.err(`Cannot end process ${pid}\n`);
    for (const path of mounted) this.context.err(`Cannot unmount ${path}\n`);
    return survivors.length + mounted.length === 0 ? 0 : 1;
  }

  async #processes(): Promise<readonly ProcessInfo[]> {
    const pids = (await this.host.list("/proc")).filter((name) => /^\d+$/.test(name));
    const found = await Promise.all(
      pids.map(async (pid): Promise<ProcessInfo | undefined> => {
        const dir = `/proc/${pid}`;
        const [exe, args, stat] = await Promise.all([
          this.host.readLink(`${dir}/exe`).catch(() => undefined),
          this.runtime.files.readText(`${dir}/cmdline`).catch(() => undefined),
          this.runtime.files.readText(`${dir}/stat`).catch(() => undefined),
        ]);
        if (stat === undefined) return undefined; // it ended while we looked
        // The name in parentheses may hold anything; what follows the last one is numbers.
        const [state = "", parent = "0"] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        return {
          pid: Number(pid),
          parent: Number(parent),
          isZombie: state === "Z",
          exe: exe ?? "",
          args: (args ?? "").split("\0").slice(0, -1),
        };
      }),
    );
    return found.filter((info) => info !== undefined);
  }

  /** Returns the ids of those that live on after `waitMs`. */
  async #end(
    pids: readonly number[],
    signal: "SIGTERM" | "SIGKILL",
    waitMs: number,
  ): Promise<readonly number[]> {
    for (const pid of pids) {
      try {
        this.host.signal(pid, signal);
      } catch (error) {
        const isGone = error instanceof Error && "code" in error && error.code === "ESRCH";
        if (!isGone) throw error;
      }
    }
    const { clock } = this.runtime;
    const deadline = clock.monotonicMs() + waitMs;
    for (;;) {
      const alive = await this.#aliveOf(pids);
      if (alive.length === 0 || clock.monotonicMs() > deadline) return alive;
      await clock.sleep(limits.pollMs, this.#signal);
    }
  }

  async #aliveOf(pids: readonly number[]): Promise<readonly number[]> {
    if (!pids.some((pid) => this.host.processAlive(pid))) return [];
    // A zombie waits for its parent only: it is dead to us.
    const living = (await this.#processes()).filter(({ isZombie }) => !isZombie);
    return pids.filter((pid) => living.some((info) => info.pid === pid));
  }

  /** Innermost first; returns what stays mounted. */
  async #unmount(): Promise<readonly string[]> {
    for (const path of await this.#mounts()) {
      if (await this.#quiet(["umount", path])) continue;
      // Busy, for example by a shell that stands in it: out of sight at least.
      await this.#quiet(["umount", "-l", path]);
    }
    return this.#mounts();
  }

  async #mounts(): Promise<readonly string[]> {
    const mountinfo = (await this.runtime.files.readText("/proc/self/mountinfo")) ?? "";
    return mountsToRemove(mountinfo, this.ending.places.kubelets);
  }

  async #removeFolders(mounted: readonly string[]): Promise<void> {
    const { kubelets } = this.ending.places;
    const below = kubelets.flatMap((folder) => ofKubelet.map((name) => `${folder}/${name}`));
    for (const place of [...ofRun, ...below]) {
      // What is still mounted below would be emptied with it.
      if (!mounted.some((path) => path.startsWith(place))) await this.runtime.files.remove(place);
    }
    for (const name of await this.host.list("/run/netns").catch(() => [])) {
      const path = `/run/netns/${name}`;
      if (name.startsWith("cni-") && !mounted.includes(path)) await this.host.remove(path);
    }
    await this.host.removeDirectory("/run/netns").catch(() => {}); // others' keep it
    await this.#empty("/var/lib/cni");
    await this.#removeSockets();
  }

  /** Shims listen where those of every containerd do: only what nobody serves any more goes. */
  async #removeSockets(): Promise<void> {
    const table = (await this.runtime.files.readText("/proc/net/unix")) ?? "";
    const paths = (await this.host.list(shimSockets)).map((name) => `${shimSockets}/${name}`);
    for (const path of unusedSockets(paths, table)) await this.host.remove(path);
    for (const folder of [shimSockets, "/run/containerd"]) {
      // Others' files keep it.
      await this.host.removeDirectory(folder).catch(() => {});
    }
  }

  /** Removes the folder; where it is a mount point of its own, only what is in it. */
  async #empty(folder: string): Promise<void> {
    for (const name of await this.host.list(folder)) await this.host.remove(`${folder}/${name}`);
    await this.host.remove(folder).catch((error: unknown) => {
      this.runtime.log.debug("folder stays", { folder, error: String(error) });
    });
  }

  /** The kernel removes a cgroup only when it is empty, so from the leaves up. */
  async #removeCgroups(): Promise<void> {
    for (const root of cgroupRoots) {
      const names = await this.host.list(root).catch((): readonly string[] => []);
      const isV2 = names.includes("cgroup.controllers");
      const tops = isV2 ? [root] : names.map((name) => `${root}/${name}`);
      for (const top of tops) {
        for (const name of cgroups) await this.#removeCgroup(`${top}/${name}`);
      }
    }
  }

  async #removeCgroup(dir: string): Promise<void> {
    if ((await this.host.stat(dir, false))?.kind !== "directory") return;
    for (const name of await this.host.list(dir)) {
      const path = `${dir}/${name}`;
      if ((await this.host.stat(path, false))?.kind === "directory") await this.#removeCgroup(path);
    }
    await this.host.removeDirectory(dir).catch((error: unknown) => {
      this.runtime.log.debug("cgroup stays", { dir, error: String(error) });
    });
  }

  /** True when the program ran and succeeded. */
  async #quiet(argv: readonly [string, ...string[]]): Promise<boolean> {
    try {
      return (await this.runtime.exec.run({ argv }, this.#signal)).exitCode === 0;
    } catch (error) {
      this.runtime.log.debug("cannot run", { argv: argv.join(" "), error: String(error) });
      return false;
    }
  }
}
