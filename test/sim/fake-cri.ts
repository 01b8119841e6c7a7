/**
 * A container runtime in memory, with what makes a real one hard: calls take their time, names are
 * reserved, events get lost, it goes away and comes back while containers run on.
 */
import { create, type DescService } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { CriClient } from "../../src/agent/cri/client.ts";
import {
  type ContainerConfig,
  type ContainerEventResponse,
  ContainerEventResponseSchema,
  ContainerEventType,
  ContainerState,
  ContainerStatusSchema,
  ImageService,
  type PodSandboxConfig,
  PodSandboxState,
  PodSandboxStatusSchema,
  RuntimeService,
} from "../../src/gen/cri/api_pb.ts";
import type { Clock, Random } from "../../src/runtime/runtime.ts";
import type { Chance } from "./chance.ts";

export interface Sandbox {
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly createdAt: bigint;
  readonly ip: string;
  ready: boolean;
}

export interface Container {
  readonly id: string;
  readonly name: string;
  readonly sandbox: Sandbox;
  readonly config: ContainerConfig;
  readonly createdAt: bigint;
  state: ContainerState;
  startedAt: bigint;
  finishedAt: bigint;
  exitCode: number;
  /** Resolves at its end. */
  readonly ended: PromiseWithResolvers<void>;
}

/** Told of everything at the moment it happens. */
export interface Witness {
  sandboxRuns(sandbox: Sandbox): void;
  containerStarts(container: Container): void;
  /** The kubelet asks a running container to end. */
  containerStopped(container: Container): void;
  containerEnds(container: Container): void;
}

type Call = (request: never) => Promise<object>;
type Calls = Readonly<Record<string, Call>>;

const never = new AbortController().signal;
const limits = { eventLossPercent: 10, lostAnswerPercent: 3, addressesPerNode: 250 } as const;

export class FakeRuntime {
  readonly sandboxes = new Map<string, Sandbox>();
  readonly containers = new Map<string, Container>();
  readonly #images = new Set<string>();
  readonly #streams = new Set<(event: ContainerEventResponse | "end") => void>();
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #chance: Chance;
  readonly #subnet: string;
  readonly #witness: Witness;
  #away = false;
  #made = 0;

  constructor(options: {
    readonly clock: Clock;
    readonly random: Random;
    readonly chance: Chance;
    /** `10.42.1`: what its pods' addresses begin with. */
    readonly subnet: string;
    readonly witness: Witness;
  }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#chance = options.chance;
    this.#subnet = options.subnet;
    this.#witness = options.witness;
  }

  /** A connection of one kubelet; nothing is answered any more once `isAlive` says no. */
  connect(isAlive: () => boolean): CriClient {
    return {
      runtime: {
        ...this.#client(RuntimeService, this.#runtimeCalls, isAlive),
        getContainerEvents: (_request: unknown, { signal }: { signal: AbortSignal }) =>
          this.#events(signal),
      },
      images: this.#client(ImageService, this.#imageCalls, isAlive),
      close: () => {},
    } as unknown as CriClient;
  }

  /** Away for `ms`: calls fail and event streams end, but what runs goes on. */
  async restart(ms: number): Promise<void> {
    this.#away = true;
    for (const tell of [...this.#streams]) tell("end");
    await this.#clock.sleep(ms, never);
    this.#away = false;
  }

  /** A process that runs, by chance, ends as if by a fault of its own. */
  crashOne(): void {
    const running = [...this.containers.values()].filter(isRunning);
    const victim = running[this.#random.int(Math.max(1, running.length))];
    if (victim !== undefined) this.#end(victim, 139);
  }

  #client(service: DescService, calls: Calls, isAlive: () => boolean): Calls {
    return Object.fromEntries(
      service.methods.map((method) => {
        const { localName, input, output } = method;
        const call = async (request: object): Promise<object> => {
          const known = calls[localName];
          if (known === undefined) throw new ConnectError(localName, Code.Unimplemented);
          const message = create(input, request as never);
          const answer = await this.#through(() => known(message as never), isAlive);
          return create(output, answer as never);
        };
        return [localName, call];
      }),
    );
  }

  async #through(call: () => Promise<object>, isAlive: () => boolean): Promise<object> {
    await this.#pause(1, 10);
    if (!isAlive()) return await new Promise(() => {});
    if (this.#away) throw new ConnectError("the runtime is away", Code.Unavailable);
    try {
      return await call();
    } finally {
      await this.#pause(1, 10);
      if (!isAlive()) await new Promise(() => {});
      const lost = this.#chance.percent(limits.lostAnswerPercent);
      if (this.#away || lost) {
        // biome-ignore lint/correctness/noUnsafeFinally: the answer is what gets lost
        throw new ConnectError("the connection broke", Code.Unavailable);
      }
    }
  }

  #pause(fromMs: number, toMs: number): Promise<void> {
    return this.#clock.sleep(fromMs + this.#random.int(toMs - fromMs + 1), never);
  }

  get #nanos(): bigint {
    // No two things are made in the same nanosecond.
    this.#made += 1;
    return BigInt(this.#clock.now().getTime()) * 1_000_000n + BigInt(this.#made);
  }

  readonly #runtimeCalls: Calls = {
    version: async () => ({ runtimeName: "fake", runtimeVersion: "1.0.0" }),
    status: async () => ({
      status: {
        conditions: [
          { type: "RuntimeReady", status: true },
          { type: "NetworkReady", status: true },
        ],
      },
    }),
    runPodSandbox: async ({ config }: { readonly config: PodSandboxConfig }) => {
      const { uid = "", attempt = 0 } = config.metadata ?? {};
      for (const { config: other } of this.sandboxes.values()) {
        const reserved = other.metadata?.uid === uid && other.metadata.attempt === attempt;
        if (reserved) throw new ConnectError("failed to reserve sandbox name", Code.Unknown);
      }
      const id = this.#random.bytes(8).toHex();
      const ip = this.#freeAddress();
      const sandbox = { id, config, createdAt: this.#nanos, ip, ready: true };
      this.sandboxes.set(id, sandbox);
      this.#witness.sandboxRuns(sandbox);
      await this.#pause(20, this.#random.int(8) === 0 ? 4000 : 300);
      return { podSandboxId: id };
    },
    stopPodSandbox: async ({ podSandboxId }: { readonly podSandboxId: string }) => {
      const sandbox = this.#sandbox(podSandboxId);
      for (const container of this.#of(sandbox))
        if (isRunning(container)) this.#end(container, 137);
      await this.#pause(10, 100);
      sandbox.ready = false;
      return {};
    },
    removePodSandbox: async ({ podSandboxId }: { readonly podSandboxId: string }) => {
      const sandbox = this.#sandbox(podSandboxId);
      for (const container of this.#of(sandbox)) {
        if (isRunning(container)) this.#end(container, 137);
        this.containers.delete(container.id);
      }
      this.sandboxes.delete(podSandboxId);
      this.#tell(ContainerEventType.CONTAINER_DELETED_EVENT, sandbox);
      return {};
    },
    podSandboxStatus: async ({ podSandboxId }: { readonly podSandboxId: string }) => ({
      status: sandboxStatus(this.#sandbox(podSandboxId)),
    }),
    listPodSandbox: async ({ filter }: ListRequest) => ({
      items: [...this.sandboxes.values()]
        .filter(({ config }) => matches(config.labels, filter))
        .map((sandbox) => ({
          id: sandbox.id,
          metadata: sandbox.config.metadata,
          state: stateOf(sandbox),
          createdAt: sandbox.createdAt,
          labels: sandbox.config.labels,
          annotations: sandbox.config.annotations,
        })),
    }),
    createContainer: async (request: {
      readonly podSandboxId: string;
      readonly config: ContainerConfig;
    }) => {
      const sandbox = this.#sandbox(request.podSandboxId);
      const { config } = request;
      const { name = "", attempt = 0 } = config.metadata ?? {};
      for (const other of this.#of(sandbox)) {
        const reserved = other.name === name && other.config.metadata?.attempt === attempt;
        if (reserved) throw new ConnectError("failed to reserve container name", Code.Unknown);
      }
      if (!sandbox.ready) throw new ConnectError("the sandbox is not running", Code.Unknown);
      await this.#pause(5, 50);
      const container: Container = {
        id: this.#random.bytes(8).toHex(),
        name,
        sandbox,
        config,
        createdAt: this.#nanos,
        state: ContainerState.CONTAINER_CREATED,
        startedAt: 0n,
        finishedAt: 0n,
        exitCode: 0,
        ended: Promise.withResolvers(),
      };
      this.containers.set(container.id, container);
      this.#tell(ContainerEventType.CONTAINER_CREATED_EVENT, sandbox);
      return { containerId: container.id };
    },
    startContainer: async ({ containerId }: { readonly containerId: string }) => {
      const container = this.#container(containerId);
      await this.#pause(5, 80);
      const startable = container.state === ContainerState.CONTAINER_CREATED;
      if (!startable || !container.sandbox.ready) {
        throw new ConnectError("the container cannot be started", Code.Unknown);
      }
      container.state = ContainerState.CONTAINER_RUNNING;
      container.startedAt = this.#nanos;
      this.#witness.containerStarts(container);
      this.#tell(ContainerEventType.CONTAINER_STARTED_EVENT, container.sandbox);
      if (container.config.args[0] === "task") void this.#runTask(container);
      return {};
    },
    stopContainer: async (request: { readonly containerId: string; readonly timeout: bigint }) => {
      const container = this.#container(request.containerId);
      if (!isRunning(container)) return {};
      this.#witness.containerStopped(container);
      const deaf = this.#random.int(8) === 0;
      const ownMs = deaf ? Number.POSITIVE_INFINITY : this.#random.int(1500);
      const graceMs = Number(request.timeout) * 1000;
      const wait = this.#clock.sleep(Math.min(ownMs, graceMs), never);
      await Promise.race([wait, container.ended.promise]);
      if (isRunning(container)) this.#end(container, ownMs <= graceMs ? 0 : 137);
      return {};
    },
    removeContainer: async ({ containerId }: { readonly containerId: string }) => {
      const container = this.#container(containerId);
      if (isRunning(container)) this.#end(container, 137);
      this.containers.delete(containerId);
      this.#tell(ContainerEventType.CONTAINER_DELETED_EVENT, container.sandbox);
      return {};
    },
    listContainers: async ({ filter }: ListRequest) => ({
      containers: [...this.containers.values()]
        .filter(({ config }) => matches(config.labels, filter))
        .map((container) => ({
          id: container.id,
          podSandboxId: container.sandbox.id,
          metadata: container.config.metadata,
          image: container.config.image,
          state: container.state,
          createdAt: container.createdAt,
          labels: container.config.labels,
          annotations: container.config.annotations,
        })),
    }),
    containerStatus: async ({ containerId }: { readonly containerId: string }) => ({
      status: containerStatus(this.#container(containerId)),
    }),
    updateContainerResources: async () => ({}),
    reopenContainerLog: async () => ({}),
    execSync: async () => ({ exitCode: this.#random.int(10) === 0 ? 1 : 0 }),
    listPodSandboxStats: async () => ({}),
    listContainerStats: async () => ({}),
  };

  readonly #imageCalls: Calls = {
    imageStatus: async ({ image }: { readonly image: { readonly image: string } }) =>
      this.#images.has(image.image) ? { image: { id: `sha256:${image.image}`, size: 1n } } : {},
    pullImage: async ({ image }: { readonly image: { readonly image: string } }) => {
      await this.#pause(100, 2000);
      if (this.#chance.percent(10)) throw new ConnectError("the registry is away", Code.Unknown);
      this.#images.add(image.image);
      return { imageRef: `sha256:${image.image}` };
    },
    listImages: async () => ({
      images: [...this.#images].map((name) => ({ id: `sha256:${name}`, repoTags: [name] })),
    }),
    imageFsInfo: async () => ({}),
    removeImage: async ({ image }: { readonly image: { readonly image: string } }) => {
      this.#images.delete(image.image.replace("sha256:", ""));
      return {};
    },
  };

  async #runTask(container: Container): Promise<void> {
    const over = this.#clock.sleep(200 + this.#random.int(4000), never);
    await Promise.race([over, container.ended.promise]);
    if (isRunning(container)) this.#end(container, this.#random.int(4) === 0 ? 1 : 0);
  }

  #end(container: Container, exitCode: number): void {
    container.state = ContainerState.CONTAINER_EXITED;
    container.exitCode = exitCode;
    container.finishedAt = this.#nanos;
    container.ended.resolve();
    this.#witness.containerEnds(container);
    this.#tell(ContainerEventType.CONTAINER_STOPPED_EVENT, container.sandbox);
  }

  #tell(containerEventType: ContainerEventType, sandbox: Sandbox): void {
    const event = create(ContainerEventResponseSchema, {
      containerEventType,
      createdAt: this.#nanos,
      podSandboxStatus: sandboxStatus(sandbox),
      containersStatuses: this.#of(sandbox).map(containerStatus),
    });
    for (const tell of this.#streams) {
      if (!this.#chance.percent(limits.eventLossPercent)) tell(event);
    }
  }

  async *#events(signal: AbortSignal): AsyncIterable<ContainerEventResponse> {
    if (this.#away) throw new ConnectError("the runtime is away", Code.Unavailable);
    const waiting: (ContainerEventResponse | "end")[] = [];
    let wake = Promise.withResolvers<void>();
    const tell = (event: ContainerEventResponse | "end"): void => {
      waiting.push(event);
      wake.resolve();
    };
    const stop = (): void => tell("end");
    this.#streams.add(tell);
    signal.addEventListener("abort", stop);
    try {
      for (;;) {
        const event = waiting.shift();
        if (event === "end") return;
        if (event === undefined) {
          await wake.promise;
          wake = Promise.withResolvers();
        } else {
          await this.#pause(0, 20);
          yield event;
        }
      }
    } finally {
      this.#streams.delete(tell);
      signal.removeEventListener("abort", stop);
    }
  }

  #sandbox(id: string): Sandbox {
    const found = this.sandboxes.get(id);
    if (found === undefined) throw new ConnectError(`no sandbox ${id}`, Code.NotFound);
    return found;
  }

  #container(id: string): Container {
    const found = this.containers.get(id);
    if (found === undefined) throw new ConnectError(`no container ${id}`, Code.NotFound);
    return found;
  }

  #of(sandbox: Sandbox): Container[] {
    return [...this.containers.values()].filter((container) => container.sandbox === sandbox);
  }

  #freeAddress(): string {
    const taken = new Set([...this.sandboxes.values()].map(({ ip }) => ip));
    for (let host = 2; host < limits.addressesPerNode; host += 1) {
      if (!taken.has(`${this.#subnet}.${host}`)) return `${this.#subnet}.${host}`;
    }
    throw new ConnectError("no address is left", Code.Unknown);
  }
}

interface ListRequest {
  readonly filter?: { readonly labelSelector: Readonly<Record<string, string>> };
}

function matches(labels: Readonly<Record<string, string>>, filter: ListRequest["filter"]): boolean {
  return Object.entries(filter?.labelSelector ?? {}).every(([key, value]) => labels[key] === value);
}

export function isRunning({ state }: Container): boolean {
  return state === ContainerState.CONTAINER_RUNNING;
}

function stateOf({ ready }: Sandbox): PodSandboxState {
  return ready ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}

function sandboxStatus(sandbox: Sandbox) {
  const { id, config, createdAt, ip } = sandbox;
  const { labels, annotations } = config;
  return create(PodSandboxStatusSchema, {
    id,
    state: stateOf(sandbox),
    createdAt,
    network: { ip },
    labels,
    annotations,
    ...(config.metadata === undefined ? {} : { metadata: config.metadata }),
  });
}

function containerStatus(container: Container) {
  const { id, config, state, createdAt, startedAt, finishedAt, exitCode } = container;
  const { labels, annotations, metadata, image } = config;
  const exited = state === ContainerState.CONTAINER_EXITED;
  return create(ContainerStatusSchema, {
    id,
    state,
    createdAt,
    startedAt,
    finishedAt,
    exitCode,
    labels,
    annotations,
    imageRef: image?.image ?? "",
    reason: exited ? (exitCode === 0 ? "Completed" : "Error") : "",
    ...(metadata === undefined ? {} : { metadata }),
    ...(image === undefined ? {} : { image }),
  });
}
