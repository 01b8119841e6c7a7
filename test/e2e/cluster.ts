/** Starts the real binary on this machine and drives it as a user would: kubectl and signals. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const architecture = process.arch === "arm64" ? "arm64" : "amd64";

/** The built executable; `scripts/build` makes it. */
export const binary = join(root, `dist/k3-${architecture}`);
/** The image tests run: busybox-static with its applets, made by `scripts/images.ts`. */
export const testImageArchive = join(root, `build/images/busybox-${architecture}.tar`);
export const testImage = "docker.io/library/k3-busybox:test";

/** Why real pods cannot run here, or undefined when they can. */
export function reasonToSkip(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root: containers, links and mounts are made";
  if (!existsSync(binary)) return `needs ${binary}: run scripts/build first`;
  if (!existsSync(testImageArchive)) return `needs ${testImageArchive}: run scripts/build first`;
  return undefined;
}

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class Cluster {
  readonly dataDir: string;
  readonly logFile: string;
  #child: Bun.Subprocess | undefined;

  constructor() {
    this.dataDir = mkdtempSync(join(tmpdir(), "k3-e2e-"));
    this.logFile = join(this.dataDir, "k3.log");
    mkdirSync(join(this.dataDir, "agent/images"), { recursive: true });
    cpSync(testImageArchive, join(this.dataDir, "agent/images/busybox.tar"));
  }

  get kubeconfig(): string {
    return join(this.dataDir, "k3.yaml");
  }

  /** Starts `k3 server` with extra flags; resolves when the node is Ready. */
  async start(...flags: readonly string[]): Promise<void> {
    this.#spawn(flags);
    await this.#come("the node is Ready", async () => {
      const { stdout } = await this.kubectl(
        "get node k3-e2e -o jsonpath={.status.conditions[?(@.type=='Ready')].status}",
      );
      return stdout === "True";
    });
  }

  /** As `start`, but the server has no node of its own; resolves when it is ready. */
  async startWithoutAgent(...flags: readonly string[]): Promise<void> {
    this.#spawn(["--disable-agent", ...flags]);
    await this.#come("the server is ready", async () => {
      return (await this.kubectl("get --raw /readyz")).stdout === "ok";
    });
  }

  #spawn(flags: readonly string[]): void {
    const log = openSync(this.logFile, "a");
    this.#child = Bun.spawn(
      [
        binary,
        "server",
        `--data-dir=${this.dataDir}`,
        `--write-kubeconfig=${this.kubeconfig}`,
        "--node-name=k3-e2e",
        "--debug",
        ...flags,
      ],
      { stdout: log, stderr: log, stdin: "ignore" },
    );
  }

  async #come(what: string, condition: () => Promise<boolean>): Promise<void> {
    await this.until(what, async () => {
      if (this.#child?.exitCode !== null) throw new Error(`k3 ended:\n${this.logTail()}`);
      return await condition();
    });
  }

  /** Runs `k3 kubectl` with the words of `line`; `stdin` feeds `-f -`. */
  async kubectl(line: string | readonly string[], stdin = ""): Promise<Result> {
    const words = typeof line === "string" ? line.split(" ") : line;
    const child = Bun.spawn([binary, "kubectl", ...words], {
      env: this.#environment(),
      stdin: new TextEncoder().encode(stdin),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, stdout, stderr };
  }

  /** As `kubectl`, but a failure ends the test with what was printed. */
  async run(line: string | readonly string[], stdin = ""): Promise<string> {
    const result = await this.kubectl(line, stdin);
    if (result.code !== 0) {
      throw new Error(
        `kubectl ${line} ended with ${result.code}:\n${result.stderr}${result.stdout}`,
      );
    }
    return result.stdout;
  }

  /** What `k3 crictl` prints with the words of `line`. */
  async crictl(line: string): Promise<string> {
    const child = Bun.spawn([binary, "crictl", ...line.split(" ")], {
      env: { ...process.env, K3S_DATA_DIR: this.dataDir },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return `${stdout}${stderr}`;
  }

  /** All that kubectl prints until it ends or `signal` aborts. */
  async following(
    args: readonly string[],
    signal: AbortSignal,
    onText: (text: string) => void = () => {},
  ): Promise<string> {
    const child = Bun.spawn([binary, "kubectl", ...args], {
      env: this.#environment(),
      stdout: "pipe",
      stderr: "inherit",
    });
    signal.addEventListener("abort", () => child.kill("SIGTERM"), { once: true });
    const decoder = new TextDecoder();
    let all = "";
    for await (const chunk of child.stdout) {
      const text = decoder.decode(chunk, { stream: true });
      all += text;
      onText(text);
    }
    await child.exited;
    return all;
  }

  /** What kubectl shows on a terminal of the given size, where `typed` is typed. */
  async onTerminal(
    line: string,
    options: { readonly rows: number; readonly columns: number; readonly typed?: string },
  ): Promise<string> {
    const { rows, columns, typed = "" } = options;
    const command = `stty rows ${rows} cols ${columns}; ${binary} kubectl ${line}`;
    const child = Bun.spawn(["script", "-qec", command, "/dev/null"], {
      env: this.#environment(),
      stdin: new TextEncoder().encode(typed),
      stdout: "pipe",
      stderr: "pipe",
    });
    const text = await new Response(child.stdout).text();
    await child.exited;
    return text;
  }

  #environment(): Record<string, string | undefined> {
    return { ...process.env, KUBECONFIG: this.kubeconfig, K3S_DATA_DIR: this.dataDir };
  }

  /** Asks until `condition` holds; fails with the log's tail after `limitMs`. */
  async until(what: string, condition: () => Promise<boolean>, limitMs = 60_000): Promise<void> {
    const end = Date.now() + limitMs;
    while (!(await condition())) {
      if (Date.now() > end)
        throw new Error(`Waited ${limitMs} ms in vain until ${what}\n${this.logTail()}`);
      await Bun.sleep(50);
    }
  }

  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, "utf8") : "";
  }

  logTail(lines = 40): string {
    return this.log().split("\n").slice(-lines).join("\n");
  }

  /** Ends k3 as a crash would; containerd and the pods go on. */
  async crash(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  async stop(): Promise<void> {
    this.#child?.kill("SIGTERM");
    await this.#child?.exited;
  }

  /** Stops everything that the cluster left on the machine. */
  async destroy(): Promise<void> {
    await this.stop();
    const kill = Bun.spawn([binary, "killall", `--data-dir=${this.dataDir}`], {
      stdout: "pipe",
      stderr: "pipe",
    });
    await kill.exited;
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}
