/** The k3 under test: one server, with a node or without, and nodes on machines made for them. */
import {
  cpSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { ROOT } from "../../scripts/deps.ts";
import { hostArch } from "../../scripts/images.ts";
import { Machine, type Switch } from "../machines/machine.ts";
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
  /** How many nodes; more than one are machines of their own on `network`. */
  readonly nodes: number;
  readonly network: Switch | undefined;
}

export class ConformanceCluster {
  readonly #dataDir: string;
  readonly #options: ClusterOptions;
  readonly #machines: Machine[] = [];
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

  /** Resolves when the API server answers and all nodes are Ready. */
  async start(): Promise<void> {
    const { dir, node, flags, network } = this.#options;
    cpSync(binary, this.#binary);
    symlinkSync(this.#binary, this.kubectl);
    this.#furnish(this.#dataDir);
    const log = openSync(join(dir, "k3.log"), "w");
    this.#child = Bun.spawn(
      [
        this.#binary,
        "server",
        `--data-dir=${this.#dataDir}`,
        `--write-kubeconfig=${this.kubeconfig}`,
        ...(node ? ["--node-name=k3-conformance"] : ["--disable-agent"]),
        ...(network === undefined ? [] : [`--node-ip=${network.own}`]),
        ...flags,
      ],
      { stdout: log, stderr: log, stdin: "ignore" },
    );
    if (!node) return await this.#until("get --raw /readyz", (text) => text.includes("ok"));
    const areReady = (count: number) => (text: string) => text.split(" Ready ").length > count;
    await this.#until("get nodes", areReady(1));
    if (network === undefined) return;
    for (let number = 2; number <= this.#options.nodes; number++)
      await this.#addNode(network, number);
    await this.#until("get nodes", areReady(this.#options.nodes));
  }

  async #until(words: string, fits: (text: string) => boolean): Promise<void> {
    const end = Date.now() + START_LIMIT_MS;
    while (!fits(await this.#ask(words.split(" ")))) {
      if (this.#child?.exitCode !== null || Date.now() > end) {
        throw new Error(`k3 did not become ready. Its log is ${this.#options.dir}/k3.log.`);
      }
      await Bun.sleep(500);
    }
  }

  /** A machine in namespaces of its own, that joins as any other does. */
  async #addNode(network: Switch, number: number): Promise<void> {
    const name = `k3-conf-${number}`;
    const machine = await Machine.start(name, network, number);
    this.#machines.push(machine);
    this.#furnish(machine.folder("/var/lib/rancher/k3s"));
    const token = readFileSync(join(this.#dataDir, "server/token"), "utf8").trim();
    const server = `--server=https://${network.own}:6443`;
    const argv = [this.#binary, "agent", server, `--token=${token}`];
    machine.spawn("agent", argv, join(this.#options.dir, `${name}.log`));
  }

  /** Puts the images where a node imports them from, and tells it of the registry. */
  #furnish(dataDir: string): void {
    const { archive } = this.#options;
    const imageDir = join(dataDir, "agent/images");
    mkdirSync(imageDir, { recursive: true });
    if (archive !== undefined) cpSync(archive, join(imageDir, basename(archive)));
    this.#mirror(dataDir);
  }

  /** containerd asks the registry at hand for the images of these hosts. */
  #mirror(dataDir: string): void {
    const { registry } = this.#options;
    if (registry === undefined) return;
    const certs = join(dataDir, "agent/etc/containerd/certs.d");
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
    for (const machine of this.#machines) await machine[Symbol.asyncDispose]();
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
