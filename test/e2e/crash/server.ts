/** The process under test: the real binary as a control plane only, started and killed over and over. */
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Kubeconfig, loadKubeconfig } from "../../../src/client/kubeconfig.ts";
import { createRuntime } from "../../../src/runtime/real.ts";
import { binary } from "../cluster.ts";
import { freePort } from "../free-port.ts";
import { Connection } from "./connection.ts";

const readyLimitMs = 30_000;

export class CrashServer {
  readonly dataDir = mkdtempSync(join(tmpdir(), "k3-crash-e2e-"));
  readonly database = join(this.dataDir, "server/db/state.db");
  readonly #kubeconfig = join(this.dataDir, "k3.yaml");
  readonly #logFile = join(this.dataDir, "k3.log");
  readonly #port = freePort();
  #child: Bun.Subprocess | undefined;
  #config: Kubeconfig | undefined;

  spawn(): void {
    const log = openSync(this.#logFile, "a");
    this.#child = Bun.spawn(
      [
        binary,
        "server",
        "--disable-agent",
        "--disable-scheduler",
        `--https-listen-port=${this.#port}`,
        `--data-dir=${this.dataDir}`,
        `--write-kubeconfig=${this.#kubeconfig}`,
        "--node-name=k3-crash",
        "--debug",
      ],
      { stdout: log, stderr: log, stdin: "ignore" },
    );
  }

  /** Starts and waits for /readyz; the milliseconds that took. */
  async start(): Promise<number> {
    const began = performance.now();
    this.spawn();
    while (!(await this.#isReady())) {
      if (this.#child?.exitCode !== null) throw new Error(`k3 ended:\n${this.logTail()}`);
      const tookMs = performance.now() - began;
      if (tookMs > readyLimitMs) throw new Error(`k3 is not ready:\n${this.logTail()}`);
      await Bun.sleep(5);
    }
    return performance.now() - began;
  }

  connect(): Connection {
    if (this.#config === undefined) throw new Error("the server was never ready");
    return new Connection(this.#config);
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** Ends the server as asked for by a user; its exit code. */
  async stop(): Promise<number> {
    this.#child?.kill("SIGTERM");
    return (await this.#child?.exited) ?? 0;
  }

  async destroy(): Promise<void> {
    await this.kill();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  logTail(lines = 40): string {
    if (!existsSync(this.#logFile)) return "";
    return readFileSync(this.#logFile, "utf8").split("\n").slice(-lines).join("\n");
  }

  async #isReady(): Promise<boolean> {
    try {
      this.#config ??= await loadKubeconfig(createRuntime().files, this.#kubeconfig);
    } catch {
      return false; // not written yet
    }
    const connection = new Connection(this.#config);
    try {
      return (await connection.ask("GET", "/readyz")).status === 200;
    } catch {
      return false;
    } finally {
      connection.close();
    }
  }
}
