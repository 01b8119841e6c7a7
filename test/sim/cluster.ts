/**
 * World(seed): a server, its controllers and scheduler, and nodes with real kubelets over fake
 * runtimes, all in one process, on one simulated clock, joined by a network that fails.
 */

import { startKubelet } from "../../src/agent/kubelet/kubelet.ts";
import { createLocalTransport } from "../../src/api/local-client.ts";
import { serverUser } from "../../src/api/pipeline.ts";
import type { Client } from "../../src/client/client.ts";
import { createRequestClient, type Transport } from "../../src/client/request-client.ts";
import { allControllers } from "../../src/controllers/all.ts";
import { openServer } from "../../src/groups/test-world.ts";
import { createEventRecorder } from "../../src/live/event-recorder.ts";
import { createClientLiveSets } from "../../src/live/http-feed.ts";
import type { LiveSets } from "../../src/live/live-set.ts";
import { runController } from "../../src/live/run-controller.ts";
import type { Host } from "../../src/runtime/host.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";
import type { Scope } from "../../src/runtime/scope.ts";
import { createSimulatedRuntime, type SimulatedRuntime } from "../../src/runtime/simulated.ts";
import { createScheduler } from "../../src/scheduler/scheduler.ts";
import { controlledResources } from "../../src/server/server-controllers.ts";
import { openMemoryStore } from "../../src/store/memory.ts";
import type { Store } from "../../src/store/store.ts";
import { Chance } from "./chance.ts";
import { FakeRuntime, type Witness } from "./fake-cri.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { Link } from "./network.ts";

const never = new AbortController().signal;
const machineFiles = {
  "/proc/cpuinfo": "processor\t: 0\nprocessor\t: 1\n",
  "/proc/meminfo": "MemTotal: 8388608 kB\nMemFree: 6291456 kB\nMemAvailable: 6291456 kB\n",
  "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
  "/etc/hosts": "127.0.0.1 localhost\n",
  "/etc/resolv.conf": "nameserver 10.0.0.1\n",
};

/** What a component has begun; a task that fails is a failure of the simulation. */
class SimScope implements Scope {
  readonly #stop = new AbortController();
  readonly signal = this.#stop.signal;

  constructor(private readonly failed: (task: string, error: unknown) => void) {}

  task(name: string, run: (signal: AbortSignal) => Promise<void>): void {
    run(this.signal).catch((error: unknown) => {
      if (!this.signal.aborted) this.failed(name, error);
    });
  }

  defer(): void {}

  end(): void {
    this.#stop.abort();
  }
}

/** One life of a component: its connections and its tasks end together. */
interface Life {
  readonly link: Link;
  readonly scope: SimScope;
}

export interface SimNode {
  readonly name: string;
  readonly cri: FakeRuntime;
  readonly disk: MemoryDisk;
  life: Life | undefined;
}

export interface SimOptions {
  readonly nodeCount: number;
  readonly witnessOf: (node: string) => Witness;
  /** Controllers and scheduler live in the server's process and see what it sees, at once. */
  readonly isOneProcess: boolean;
}

type Server = Awaited<ReturnType<typeof openServer>>;

export class SimCluster {
  readonly runtime: SimulatedRuntime;
  readonly chance: Chance;
  readonly store: Store;
  readonly nodes: readonly SimNode[];
  /** What no component may do: fail for good. */
  readonly failures: string[] = [];
  #server: Server | undefined;
  #transport: Transport | undefined;
  #controllers: Life | undefined;
  #scheduler: Life | undefined;

  readonly #isOneProcess: boolean;

  constructor(seed: number, options: SimOptions) {
    const { nodeCount, witnessOf } = options;
    this.#isOneProcess = options.isOneProcess;
    this.runtime = createSimulatedRuntime(seed, { logLevel: "error" });
    const { clock, random } = this.runtime;
    this.chance = new Chance(random);
    this.store = openMemoryStore(this.runtime);
    this.nodes = Array.from({ length: nodeCount }, (_, index) => ({
      name: `n${index + 1}`,
      cri: new FakeRuntime({
        clock,
        random,
        chance: this.chance,
        subnet: `10.42.${index}`,
        witness: witnessOf(`n${index + 1}`),
      }),
      disk: new MemoryDisk(machineFiles),
      life: undefined,
    }));
  }

  async start(): Promise<void> {
    await this.#openServer();
    await this.#startControllers();
    await this.#startScheduler();
    for (const node of this.nodes) this.#startNode(node);
  }

  /** With all rights, past the network. */
  get client(): Client {
    if (this.#server === undefined) throw new Error("There is no server now");
    return this.#server.client;
  }

  get hasServer(): boolean {
    return this.#server !== undefined;
  }

  /** The server goes, with all that waits for its answers, and comes back over the same store. */
  async crashServer(awayMs: number): Promise<void> {
    if (this.#server === undefined) return;
    this.#server.live[Symbol.dispose]();
    this.#server = undefined;
    this.#transport = undefined;
    for (const life of this.#lives()) life.link.endWatches();
    const within = this.#isOneProcess
      ? [this.crashControllers(awayMs), this.crashScheduler(awayMs)]
      : [];
    await this.runtime.clock.sleep(awayMs, never);
    await this.#openServer();
    await Promise.all(within);
  }

  async crashControllers(awayMs: number): Promise<void> {
    if (!kill(this.#controllers)) return;
    this.#controllers = undefined;
    await this.runtime.clock.sleep(awayMs, never);
    await this.#startControllers();
  }

  async crashScheduler(awayMs: number): Promise<void> {
    if (!kill(this.#scheduler)) return;
    this.#scheduler = undefined;
    await this.runtime.clock.sleep(awayMs, never);
    await this.#startScheduler();
  }

  /** The kubelet dies at once, in the midst of whatever it does; its containers run on. */
  async crashKubelet(node: SimNode, awayMs: number): Promise<void> {
    if (!kill(node.life)) return;
    node.life = undefined;
    await this.runtime.clock.sleep(awayMs, never);
    this.#startNode(node);
  }

  async partition(node: SimNode, awayMs: number): Promise<void> {
    const { life } = node;
    if (life === undefined) return;
    life.link.cut();
    await this.runtime.clock.sleep(awayMs, never);
    life.link.mend();
  }

  cutWatches(): void {
    for (const life of this.#lives()) life.link.endWatches();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const life of this.#lives()) kill(life);
    await this.store[Symbol.asyncDispose]();
  }

  #lives(): readonly Life[] {
    const all = [this.#controllers, this.#scheduler, ...this.nodes.map(({ life }) => life)];
    return all.filter((life) => life !== undefined);
  }

  async #openServer(): Promise<void> {
    const server = await openServer(this.runtime, this.store);
    this.#server = server;
    this.#transport = createLocalTransport(server.pipeline, serverUser);
  }

  #newLife(component: string, isLocal: boolean): Life {
    const { clock, random } = this.runtime;
    const { chance } = this;
    const link = new Link({ clock, random, chance, isLocal, server: () => this.#transport });
    const scope = new SimScope((task, error) => {
      this.failures.push(`${component}: ${task}: ${error instanceof Error ? error.stack : error}`);
    });
    return { link, scope };
  }

  async #startControllers(): Promise<void> {
    const { registry, live } = await this.#serverThere();
    const life = this.#newLife("controllers", this.#isOneProcess);
    this.#controllers = life;
    const { runtime } = this;
    const client = createRequestClient(life.link.transport());
    const context = { client, live: this.#liveSets(client, life, live), runtime };
    const controllers = allControllers(context, {
      rootCa: "PEM",
      metrics: createMetrics(),
      serviceLb: false,
      servesIngress: false,
      clusterCidrs: ["10.42.0.0/16"],
      allocatesNodeCidrs: true,
      ...controlledResources(registry),
    });
    for (const controller of controllers) {
      life.scope.task(controller.name, (stop) => runController(controller, context, stop));
    }
  }

  async #startScheduler(): Promise<void> {
    const { live: near } = await this.#serverThere();
    const life = this.#newLife("scheduler", this.#isOneProcess);
    this.#scheduler = life;
    const { runtime } = this;
    const root = createRequestClient(life.link.transport());
    const client = root.as("system:kube-scheduler", ["system:authenticated"]);
    const live = this.#liveSets(client, life, near);
    const events = createEventRecorder(client, runtime, "default-scheduler", "");
    const scheduler = createScheduler({ client, live, runtime, events });
    life.scope.task("scheduler", (stop) => scheduler.run(stop));
  }

  async #serverThere(): Promise<Server> {
    while (this.#server === undefined) await this.runtime.clock.sleep(100, never);
    return this.#server;
  }

  #liveSets(client: Client, { scope }: Life, near: LiveSets): LiveSets {
    if (this.#isOneProcess) return near;
    const { signal } = scope;
    return createClientLiveSets({ client, runtime: this.runtime, signal, freeze: true });
  }

  #startNode(node: SimNode): void {
    const life = this.#newLife(node.name, false);
    node.life = life;
    const runtime = { ...this.runtime, files: node.disk.files };
    const root = createRequestClient(life.link.transport());
    const client = root.as(`system:node:${node.name}`, ["system:nodes", "system:authenticated"]);
    const { signal } = life.scope;
    const isAlive = (): boolean => life.link.isAlive;
    const live = createClientLiveSets({ client, runtime, signal, freeze: true });
    life.scope.task("kubelet", async () => {
      await startKubelet({
        runtime,
        host: gated(node.disk.host, isAlive),
        scope: life.scope,
        client,
        live,
        events: createEventRecorder(client, runtime, "kubelet", node.name),
        cri: node.cri.connect(isAlive),
        nodeName: node.name,
        nodeIps: [`192.168.0.${this.nodes.indexOf(node) + 1}`],
        isServer: false,
        kubeletVersion: "v1.36.4+k3.1",
        clusterDns: ["10.43.0.10"],
        clusterDomain: "cluster.local",
      });
    });
  }
}

function kill(life: Life | undefined): boolean {
  if (life === undefined) return false;
  life.link.kill();
  life.scope.end();
  return true;
}

/** The dead write to no disk. */
function gated(host: Host, isAlive: () => boolean): Host {
  const waits = new Set<keyof Host>(["write", "append", "mkdir", "symlink", "rename", "remove"]);
  const gate = <K extends keyof Host>(name: K): Host[K] => {
    const known = host[name] as (...args: unknown[]) => unknown;
    const call = async (...args: unknown[]): Promise<unknown> =>
      isAlive() ? await known(...args) : await new Promise(() => {});
    return call as unknown as Host[K];
  };
  const changes = [...waits].map((name) => [name, gate(name)] as const);
  return { ...host, ...Object.fromEntries(changes) };
}
