/** The k3 under test: one server, with a node or without. */
import { cpSync, mkdirSync, openSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { ROOT } from "../../scripts/deps.ts";
import { hostArch } from "../../scripts/images.ts";
import type { Registry } from "./registry.ts";

const binary = join(ROOT, `dist/k3-${hostArch()}`);
const START_LIMIT_MS = 120_000;

export interface ClusterOptions {
  /** Folder of the log and, while it runs, of the data. */
  readonly dir: string;
  readonly node: boolean;
  /** Images to import on the node. */
  readonly archive: string | undefined;
  readonly flags: readonly string[];
  /** Answers for the hosts of the test images. */
  readonly registry: Registry | undefined;
}

export class ConformanceCluster {
  readonly #dataDir: string;
  readonly #options: ClusterOptions;
  #child: Bun.Subprocess | undefined;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#dataDir = join(options.dir, "data");
    mkdirSync(this.#dataDir, { recursive: true });
  }

  get kubeconfig(): string {
    return join(this.#dataDir, "k3.yaml");
  }

  /** A copy: the binary may be built anew while the suite runs. */
  get #binary(): string {
    return join(this.#dataDir, "k3");
  }

  /** The bundled kubectl, which runs when the binary is called by this name. */
  get kubectl(): string {
    return join(this.#dataDir, "kubectl");
  }

  /** Resolves when the API server answers and, with a node, when the node is Ready. */
  async start(): Promise<void> {
    const { dir, node, archive, flags } = this.#options;
    cpSync(binary, this.#binary);
    symlinkSync(this.#binary, this.kubectl);
    const imageDir = join(this.#dataDir, "agent/images");
    mkdirSync(imageDir, { recursive: true });
    if (archive !== undefined) cpSync(archive, join(imageDir, basename(archive)));
    this.#mirror();
    const log = openSync(join(dir, "k3.log"), "w");
    this.#child = Bun.spawn(
      [
        this.#binary,
        "server",
        `--data-dir=${this.#dataDir}`,
        `--write-kubeconfig=${this.kubeconfig}`,
        ...(node ? ["--node-name=k3-conformance"] : ["--disable-agent"]),
        ...flags,
      ],
      { stdout: log, stderr: log, stdin: "ignore" },
    );
    const wanted = node ? "get nodes" : "get --raw /readyz";
    const fits = node ? / Ready / : /ok/;
    const end = Date.now() + START_LIMIT_MS;
    while (!fits.test(await this.#ask(wanted.split(" ")))) {
      if (this.#child.exitCode !== null || Date.now() > end) {
        throw new Error(`k3 did not become ready. Its log is ${dir}/k3.log.`);
      }
      await Bun.sleep(500);
    }
  }

  /** containerd asks the registry at hand for the images of these hosts. */
  #mirror(): void {
    const { registry } = this.#options;
    if (registry === undefined) return;
    const certs = join(this.#dataDir, "agent/etc/containerd/certs.d");
    const text = [
      `server = "${registry.url}"`,
      `[host."${registry.url}"]`,
      '  capabilities = ["pull", "resolve"]',
      "",
    ].join("\n");
    for (const host of registry.hosts) {
      mkdirSync(join(certs, host), { recursive: true });
      writeFileSync(join(certs, host, "hosts.toml"), text);
    }
  }

  async #ask(words: readonly string[]): Promise<string> {
    const child = Bun.spawn([this.kubectl, ...words], {
      env: { ...process.env, KUBECONFIG: this.kubeconfig, K3S_DATA_DIR: this.#dataDir },
      stdout: "pipe",
      stderr: "ignore",
    });
    return await new Response(child.stdout).text();
  }

  /** Stops everything and removes what was stored. */
  async destroy(): Promise<void> {
    this.#child?.kill("SIGTERM");
    await this.#child?.exited;
    const killall = Bun.spawn([this.#binary, "killall", `--data-dir=${this.#dataDir}`], {
      stdout: "ignore",
      stderr: "ignore",
    });
    await killall.exited;
    rmSync(this.#dataDir, { recursive: true, force: true });
  }
}
