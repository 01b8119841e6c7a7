/** `k3 uninstall`: `k3 killall`, and then the services, the data and all files of k3 go too. */
import type { CommandContext } from "./command.ts";
import { type Ending, readEnding } from "./ending.ts";
import { Killall } from "./killall.ts";
import { mountPoints } from "./killall-plan.ts";
import { usualKubelet } from "./places.ts";
import { removeService } from "./services.ts";
import {
  binFolders,
  leadsToK3,
  linkNames,
  partsOfDataDir,
  partsOfKubelet,
  programsOf,
} from "./uninstall-plan.ts";

/** What only we use: gone as a whole. */
const folders = [usualKubelet, "/etc/rancher/k3s", "/var/log/pods", "/var/log/containers"] as const;
/** Parents that we may have made: they go when nothing is in them. */
const parents = ["/var/lib/rancher", "/etc/rancher"] as const;
const nodeFolder = "/etc/rancher/node";
const logindFile = "/etc/systemd/logind.conf.d/99-kubelet.conf";
const policyPackage = "k3s-selinux";
const policySources = ["/etc/yum.repos.d", "/etc/zypp/repos.d"] as const;

export async function runUninstall(context: CommandContext): Promise<number> {
  const ending = await readEnding(context, "uninstall");
  return ending === undefined ? 0 : await new Uninstall(ending).run();
}

class Uninstall {
  constructor(private readonly ending: Ending) {}

  async run(): Promise<number> {
    const { runtime, host, context, services, only, dataDir, places } = this.ending;
    // What is still mounted or in use must not be emptied.
    const ended = await new Killall(this.ending).run();
    if (ended !== 0) {
      context.err("Nothing is removed: end these first, then run k3 uninstall again\n");
      return ended;
    }
    const leaving = services.filter(({ name }) => only === undefined || name === only);
    for (const service of leaving) {
      await removeService(runtime, host, service);
      this.#said("Removed", `service ${service.name}`);
    }
    const others = services.filter((service) => !leaving.includes(service));
    if (others.length > 0) {
      const names = others.map(({ name }) => name).join(", ");
      context.out(`Everything else stays: it belongs to ${names} too\n`);
      return 0;
    }
    await this.#removeLinks();
    await this.#removeData(dataDir, places.kubelets);
    for (const path of [...places.files, ...programsOf(leaving), logindFile])
      await this.#remove(path);
    await this.#removePolicy();
    return 0;
  }

  /** Links called kubectl, crictl and ctr that lead to k3. */
  async #removeLinks(): Promise<void> {
    const { host, services } = this.ending;
    for (const folder of binFolders(services)) {
      for (const name of linkNames) {
        const path = `${folder}/${name}`;
        const target = await host.readLink(path).catch(() => undefined);
        if (leadsToK3(target)) await this.#remove(path);
      }
    }
  }

  async #removeData(dataDir: string, kubelets: readonly string[]): Promise<void> {
    const { host } = this.ending;
    const wasServer = (await host.stat(`${dataDir}/server/tls`, false)) !== undefined;
    for (const name of partsOfDataDir) await this.#remove(`${dataDir}/${name}`);
    for (const folder of kubelets.filter((one) => one !== usualKubelet))
      for (const name of partsOfKubelet) await this.#remove(`${folder}/${name}`);
    for (const folder of folders) await this.#remove(folder);
    const nodeStays = !wasServer && (await host.stat(nodeFolder, false)) !== undefined;
    // A cluster that lives on knows this machine by its password; one's own is gone with the data.
    if (nodeStays) this.#said("Stays:", `${nodeFolder}, by which the cluster knows this machine`);
    else await this.#remove(nodeFolder);
    for (const folder of [dataDir, ...kubelets, ...parents])
      await host.removeDirectory(folder).catch(() => {}); // others' files keep it
    const left = await host.list(dataDir).catch((): readonly string[] => []);
    if (left.length > 0)
      this.#said("Stays:", `${dataDir}, for what k3 has not made: ${left.join(", ")}`);
  }

  async #removePolicy(): Promise<void> {
    const { runtime, host } = this.ending;
    for (const folder of policySources) {
      for (const name of await runtime.files.list(folder))
        if (/^rancher-k3s-common.*\.repo$/.test(name)) await host.remove(`${folder}/${name}`);
    }
    if (!(await this.#succeeds("rpm", "-q", policyPackage))) return;
    const removals: readonly (readonly [string, ...string[]])[] = [
      ["transactional-update", "--non-interactive", "pkg", "remove", policyPackage],
      ["rpm-ostree", "uninstall", policyPackage],
      ["yum", "remove", "-y", policyPackage],
      ["zypper", "--non-interactive", "remove", policyPackage],
    ];
    for (const argv of removals) {
      if (!(await this.#succeeds(...argv))) continue;
      this.#said("Removed", `package ${policyPackage}`);
      return;
    }
    this.#said("Stays:", `package ${policyPackage}, which no package manager here removes`);
  }

  async #succeeds(...argv: readonly [string, ...string[]]): Promise<boolean> {
    const { signal } = new AbortController();
    const result = await this.ending.runtime.exec.run({ argv }, signal).catch(() => undefined);
    return result?.exitCode === 0;
  }

  async #remove(path: string): Promise<void> {
    const { host, runtime, context } = this.ending;
    if ((await host.stat(path, false)) === undefined) return;
    const mountinfo = (await runtime.files.readText("/proc/self/mountinfo")) ?? "";
    const mounts = new Set(mountPoints(mountinfo));
    try {
      if (mounts.has(path) && (await host.list(path)).length === 0) return;
      await this.#removeTree(path, mounts);
      this.#said((await host.stat(path, false)) === undefined ? "Removed" : "Emptied", path);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      context.err(`Cannot remove ${path}: ${why}\n`);
    }
  }

  /** A mount point of the machine's own is emptied and stays. */
  async #removeTree(path: string, mounts: ReadonlySet<string>): Promise<void> {
    const { host } = this.ending;
    const hasMounts = [...mounts].some((mount) => mount === path || mount.startsWith(`${path}/`));
    if (!hasMounts) return await host.remove(path);
    if ((await host.stat(path, false))?.kind !== "directory") return; // mounted over a file
    for (const name of await host.list(path)) await this.#removeTree(`${path}/${name}`, mounts);
    if (!mounts.has(path)) await host.removeDirectory(path).catch(() => {}); // a mount keeps it
  }

  #said(verb: "Removed" | "Emptied" | "Stays:", what: string): void {
    this.ending.context.out(`${verb} ${what}\n`);
  }
}
