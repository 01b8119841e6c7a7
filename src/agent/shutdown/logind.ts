/**
 * systemd-logind, who ends the machine: told to wait for us, and asked to tell when it begins. The
 * lock is an open file that only a process can hold, so systemd's own program holds it.
 */
import type { Runtime } from "../../runtime/runtime.ts";
import { Dbus } from "./dbus.ts";

const manager = {
  destination: "org.freedesktop.login1",
  path: "/org/freedesktop/login1",
  interface: "org.freedesktop.login1.Manager",
} as const;

const limits = { reloadMsFirst: 100, reloadTries: 5 } as const;
const hangUp = 1;

export interface LogindOptions {
  readonly runtime: Runtime;
  /** The socket of the system's bus. */
  readonly busPath: string;
  /** Where logind's own settings may be overridden. */
  readonly confDir: string;
  readonly onShutdown: (isBegun: boolean) => void;
}

export class Logind {
  readonly #runtime: Runtime;
  readonly #confDir: string;
  readonly #bus: Dbus;
  #lock: AbortController | undefined;

  private constructor({ runtime, confDir }: LogindOptions, bus: Dbus) {
    this.#runtime = runtime;
    this.#confDir = confDir;
    this.#bus = bus;
  }

  /** Fails where there is no bus or no logind. */
  static async open(options: LogindOptions, signal: AbortSignal): Promise<Logind> {
    const { runtime, busPath, onShutdown } = options;
    const bus = await Dbus.open(
      runtime.net,
      busPath,
      ({ member, body }) => {
        if (member === "PrepareForShutdown") onShutdown(body[0] === true);
      },
      signal,
    );
    const rule = `type='signal',interface='${manager.interface}',member='PrepareForShutdown'`;
    await bus.follow(`${rule},path='${manager.path}'`);
    return new Logind(options, bus);
  }

  get closed(): Promise<void> {
    return this.#bus.closed;
  }

  close(): void {
    this.release();
    this.#bus.close();
  }

  /** Takes care that logind waits as long as we may need. */
  async allow(seconds: number, signal: AbortSignal): Promise<void> {
    if ((await this.#delaySeconds()) >= seconds) return;
    const text = `# Kubelet logind override\n[Login]\nInhibitDelayMaxSec=${seconds}\n`;
    const { files, clock } = this.#runtime;
    await files.mkdir(this.#confDir, 0o755);
    await files.writeAtomic(`${this.#confDir}/99-kubelet.conf`, text, 0o644);
    await this.#bus.call({
      destination: "org.freedesktop.systemd1",
      path: "/org/freedesktop/systemd1",
      interface: "org.freedesktop.systemd1.Manager",
      member: "KillUnit",
      signature: "ssi",
      body: ["systemd-logind.service", "all", hangUp],
    });
    for (let tries = 0; tries < limits.reloadTries; tries++) {
      await clock.sleep(limits.reloadMsFirst * 2 ** tries, signal);
      if ((await this.#delaySeconds()) >= seconds) return;
    }
    const now = await this.#delaySeconds();
    throw new Error(`logind's InhibitDelayMaxSec is ${now}, and does not become ${seconds}`);
  }

  async #delaySeconds(): Promise<number> {
    const [micros] = await this.#bus.call({
      ...manager,
      interface: "org.freedesktop.DBus.Properties",
      member: "Get",
      signature: "ss",
      body: [manager.interface, "InhibitDelayMaxUSec"],
    });
    return Number(micros) / 1_000_000;
  }

  /** From now on the machine waits for us before it goes down. */
  hold(): void {
    if (this.#lock !== undefined) return;
    const lock = new AbortController();
    this.#lock = lock;
    const { exec, log } = this.#runtime;
    const why = "Kubelet needs time to handle node shutdown";
    const inhibit = ["--what=shutdown", "--who=kubelet", `--why=${why}`, "--mode=delay"] as const;
    // Ends with us, so that a kubelet that was killed holds nobody up.
    const wait = ["tail", `--pid=${process.pid}`, "-f", "/dev/null"] as const;
    const argv = ["systemd-inhibit", ...inhibit, ...wait] as const;
    const ended = (details: Record<string, unknown>): void => {
      if (!lock.signal.aborted) log.error("The shutdown lock is gone", details);
    };
    void exec.run({ argv }, lock.signal).then(
      ({ exitCode, stderr }) => ended({ exitCode, stderr }),
      // A run that is aborted fails: that is how the lock is let go.
      (error: unknown) => ended({ error: `${error}` }),
    );
  }

  release(): void {
    this.#lock?.abort();
    this.#lock = undefined;
  }
}
