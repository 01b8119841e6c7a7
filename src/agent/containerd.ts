/**
 * containerd as a supervised child: started or adopted, watched, started anew when it dies. Pods
 * belong to their shims and outlive both containerd and k3.
 */
import type { Host } from "../runtime/host.ts";
import type { ChildProcess, Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";
import { type ContainerdConfig, renderContainerdConfig } from "./containerd-config.ts";
import { openCri } from "./cri/client.ts";
import { pauseSeccomp } from "./pause-seccomp.ts";

const limits = {
  startMsMax: 60_000,
  adoptMsMax: 5_000,
  readyPollMs: 5,
  adoptedCheckMs: 500,
  restartDelayMs: 100,
  stopMsMax: 10_000,
} as const;

export interface ContainerdOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly scope: Scope;
  /** K3s' data directory, for example /var/lib/rancher/k3s. */
  readonly dataDir: string;
  /** Holds containerd, containerd-shim-runc-v2, ctr and runc. */
  readonly binDir: string;
  readonly cniBinDir: string;
  readonly pauseImage: string;
  /** Default `/run/k3s/containerd`. */
  readonly stateDir?: string;
  /** Where containerd serves exec, attach and port-forward on loopback; default 10010. */
  readonly streamPort?: number;
  readonly snapshotter?: "overlayfs" | "native";
}

export interface Containerd {
  readonly socketPath: string;
  readonly stateDir: string;
  readonly binDir: string;
  /** The file with the seccomp profile of pause processes. */
  readonly pauseProfile: string;
  /** True when a containerd of an earlier k3 was found running and kept. */
  readonly adopted: boolean;
  pid(): number | undefined;
}

interface Running {
  readonly pid: number;
  readonly exited: Promise<unknown>;
  readonly adopted: boolean;
}

/** Resolves when containerd answers the CRI; containerd is kept running until the scope ends. */
export async function startContainerd(options: ContainerdOptions): Promise<Containerd> {
  const supervisor = await Supervisor.prepare(options);
  const first = (await supervisor.adopt()) ?? (await supervisor.start(options.scope.signal));
  options.scope.task("containerd", (signal) => supervisor.keep(first, signal));
  return {
    socketPath: supervisor.config.socketPath,
    stateDir: supervisor.config.state,
    binDir: options.binDir,
    pauseProfile: pauseProfilePath(options.dataDir),
    adopted: first.adopted,
    pid: () => supervisor.pid,
  };
}

class Supervisor {
  readonly config: ContainerdConfig;
  pid: number | undefined;
  readonly #options: ContainerdOptions;
  readonly #configPath: string;
  readonly #pidPath: string;
  readonly #logPath: string;
  readonly #changed: boolean;

  private constructor(options: ContainerdOptions, config: ContainerdConfig, changed: boolean) {
    this.#options = options;
    this.config = config;
    this.#changed = changed;
    this.#configPath = configPath(options.dataDir);
    this.#pidPath = `${config.state}/k3.pid`;
    this.#logPath = `${config.root}/containerd.log`;
  }

  static async prepare(options: ContainerdOptions): Promise<Supervisor> {
    const { runtime, dataDir } = options;
    const path = configPath(dataDir);
    const before = await runtime.files.readText(path);
    const config = await decideConfig(options, before);
    const text = renderContainerdConfig(config);
    await runtime.files.mkdir(config.root, 0o711);
    await runtime.files.mkdir(config.state, 0o711);
    await runtime.files.mkdir(config.cniConfDir, 0o755);
    await runtime.files.mkdir(config.registryConfigDir, 0o755);
    await runtime.files.writeAtomic(pauseProfilePath(dataDir), pauseSeccomp, 0o600);
    if (text !== before) await runtime.files.writeAtomic(path, text, 0o600);
    return new Supervisor(options, config, text !== before);
  }

  /** The containerd that an earlier k3 left, unless it runs with another configuration. */
  async adopt(): Promise<Running | undefined> {
    const pid = await this.#foundPid();
    if (pid === undefined) return undefined;
    const { runtime, host, scope } = this.#options;
    const usable = !this.#changed && (await this.#answers(limits.adoptMsMax, scope.signal));
    if (!usable) {
      runtime.log.info("Replacing the running containerd", { pid, changed: this.#changed });
      await this.#end(pid);
      return undefined;
    }
    runtime.log.info("Adopted the running containerd", { pid });
    this.pid = pid;
    await runtime.files.writeAtomic(this.#pidPath, `${pid}\n`, 0o600);
    const gone = async (): Promise<void> => {
      while (host.processAlive(pid) && !scope.signal.aborted) {
        await runtime.clock.sleep(limits.adoptedCheckMs, scope.signal);
      }
    };
    return { pid, exited: gone(), adopted: true };
  }

  async start(signal: AbortSignal): Promise<Running> {
    const { runtime, binDir } = this.#options;
    const path = `${binDir}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
    const child: ChildProcess = runtime.exec.spawn({
      argv: [`${binDir}/containerd`, "--config", this.#configPath],
      env: { PATH: path },
      logFile: this.#logPath,
    });
    this.pid = child.pid;
    await runtime.files.writeAtomic(this.#pidPath, `${child.pid}\n`, 0o600);
    const ready = await Promise.race([
      this.#answers(limits.startMsMax, signal),
      child.exited.then((code) => `it ended with exit code ${code}`),
    ]);
    if (ready !== true && !signal.aborted) {
      child.kill("SIGKILL");
      const why = ready === false ? `no answer in ${limits.startMsMax} ms` : ready;
      throw new Error(`Cannot start containerd: ${why}, see ${this.#logPath}`);
    }
    return { pid: child.pid, exited: child.exited, adopted: false };
  }

  /** Starts containerd again whenever it ends, and stops it with the scope. */
  async keep(first: Running, signal: AbortSignal): Promise<void> {
    const { runtime } = this.#options;
    const stopped = new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    let running: Running | undefined = first;
    while (!signal.aborted) {
      if (running !== undefined) await Promise.race([running.exited, stopped]);
      if (signal.aborted) break;
      runtime.log.warn("containerd ended, starting it again", { pid: this.pid });
      await runtime.clock.sleep(limits.restartDelayMs, signal);
      running = await this.start(signal).catch((error: unknown) => {
        runtime.log.error("Cannot start containerd again", { error: `${error}` });
        return undefined;
      });
    }
    if (this.pid !== undefined) await this.#end(this.pid);
  }

  /** By the file first; a k3 that was killed right after the start has not written it. */
  async #foundPid(): Promise<number | undefined> {
    const { runtime, host } = this.#options;
    const noted = Number((await runtime.files.readText(this.#pidPath))?.trim() ?? "");
    if (await this.#isOurs(noted)) return noted;
    for (const name of await host.list("/proc")) {
      if (/^\d+$/.test(name) && (await this.#isOurs(Number(name)))) return Number(name);
    }
    return undefined;
  }

  /** A process id may have been given to something else meanwhile. */
  async #isOurs(pid: number): Promise<boolean> {
    const { runtime, host } = this.#options;
    if (!Number.isInteger(pid) || pid <= 1 || !host.processAlive(pid)) return false;
    // It may end while we look.
    const commandLine = await runtime.files.readText(`/proc/${pid}/cmdline`).catch(() => "");
    const [program = "", flag, path] = (commandLine ?? "").split("\0");
    return program.endsWith("/containerd") && flag === "--config" && path === this.#configPath;
  }

  async #answers(withinMs: number, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#options.runtime;
    const deadline = clock.monotonicMs() + withinMs;
    while (!signal.aborted && clock.monotonicMs() < deadline) {
      if (await this.#answersNow(signal)) return true;
      await clock.sleep(limits.readyPollMs, signal);
    }
    return false;
  }

  async #answersNow(signal: AbortSignal): Promise<boolean> {
    const { net } = this.#options.runtime;
    try {
      // A bare dial is cheaper than an HTTP/2 session while the socket is not there yet.
      const probe = await net.dial({ type: "unix", path: this.config.socketPath }, signal);
      probe.close();
    } catch {
      return false;
    }
    const cri = openCri(this.config.socketPath);
    try {
      await cri.runtime.version({ version: "v1" }, { timeoutMs: 2_000 });
      return true;
    } catch {
      return false;
    } finally {
      cri.close();
    }
  }

  async #end(pid: number): Promise<void> {
    const { runtime, host } = this.#options;
    const never = new AbortController().signal;
    const deadline = runtime.clock.monotonicMs() + limits.stopMsMax;
    host.signal(pid, "SIGTERM");
    while (host.processAlive(pid) && runtime.clock.monotonicMs() < deadline) {
      await runtime.clock.sleep(limits.readyPollMs, never);
    }
    host.signal(pid, "SIGKILL");
    await runtime.files.remove(this.#pidPath);
  }
}

function configPath(dataDir: string): string {
  return `${dataDir}/agent/etc/containerd/config.toml`;
}

function pauseProfilePath(dataDir: string): string {
  return `${dataDir}/agent/etc/containerd/pause-seccomp.json`;
}

async function decideConfig(
  options: ContainerdOptions,
  before: string | undefined,
): Promise<ContainerdConfig> {
  const { runtime, host, dataDir, binDir } = options;
  const state = options.stateDir ?? "/run/k3s/containerd";
  const root = `${dataDir}/agent/containerd`;
  await runtime.files.mkdir(root, 0o711);
  const v2 = (await host.stat("/sys/fs/cgroup/cgroup.controllers", true)) !== undefined;
  const systemd = (await host.stat("/run/systemd/system", true))?.kind === "directory";
  return {
    root,
    state,
    socketPath: `${state}/containerd.sock`,
    binDir,
    cniBinDir: options.cniBinDir,
    cniConfDir: `${dataDir}/agent/etc/cni/net.d`,
    registryConfigDir: `${dataDir}/agent/etc/containerd/certs.d`,
    pauseImage: options.pauseImage,
    snapshotter: options.snapshotter ?? snapshotterOf(before) ?? (await probeOverlay(options)),
    systemdCgroup: v2 && systemd,
    restrictOomScore: !(await hasCapability(runtime, 24)),
    streamPort: options.streamPort ?? 10010,
    // Under systemd the service's own cgroup holds containerd, as the service manager expects.
    cgroup: v2 && systemd ? undefined : "/k3s/containerd",
  };
}

/** A change of snapshotter would hide every image, so the one chosen first stays. */
function snapshotterOf(config: string | undefined): "overlayfs" | "native" | undefined {
  const found = config?.match(/^\s*snapshotter = "(overlayfs|native)"/m)?.[1];
  return found === "overlayfs" || found === "native" ? found : undefined;
}

/** Mounts an overlay inside the data directory: some file systems cannot carry one. */
async function probeOverlay(options: ContainerdOptions): Promise<"overlayfs" | "native"> {
  const { runtime, scope } = options;
  const dir = `${options.dataDir}/agent/containerd/overlay-probe`;
  for (const part of ["lower", "upper", "work", "merged"]) {
    await runtime.files.mkdir(`${dir}/${part}`, 0o700);
  }
  const layers = `lowerdir=${dir}/lower,upperdir=${dir}/upper,workdir=${dir}/work`;
  const mounted = await runtime.exec.run(
    { argv: ["mount", "-t", "overlay", "overlay", "-o", layers, `${dir}/merged`] },
    scope.signal,
  );
  if (mounted.exitCode === 0) {
    await runtime.exec.run({ argv: ["umount", `${dir}/merged`] }, scope.signal);
  }
  await runtime.files.remove(dir);
  return mounted.exitCode === 0 ? "overlayfs" : "native";
}

/** Reads the effective capability set of this process; the numbers are the kernel's. */
async function hasCapability(runtime: Runtime, number: number): Promise<boolean> {
  const status = (await runtime.files.readText("/proc/self/status")) ?? "";
  const mask = status.match(/^CapEff:\s*([0-9a-f]+)/m)?.[1] ?? "0";
  return ((BigInt(`0x${mask}`) >> BigInt(number)) & 1n) === 1n;
}
