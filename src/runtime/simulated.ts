/** A seeded world: the same seed gives the same order of events, hours pass in milliseconds. */
import { createLogger, type LogLevel } from "./log.ts";
import { suffixFrom } from "./real.ts";
import type {
  Address,
  ByteStream,
  Clock,
  Command,
  CommandResult,
  Files,
  Net,
  Random,
  Runtime,
} from "./runtime.ts";

export interface SimulatedClock extends Clock {
  /** Lets all work that is ready now run, without moving time. */
  runUntilIdle(): Promise<void>;
  /** Moves time by `ms`, firing timers in order and letting each one's work run. */
  advance(ms: number): Promise<void>;
  /** Advances until `reached()`; throws after `limitMs` (default one hour) of virtual time. */
  until(reached: () => boolean, limitMs?: number): Promise<void>;
}

export interface SimulatedRuntime extends Runtime {
  readonly clock: SimulatedClock;
  /** Lines logged so far, without line breaks. */
  readonly logged: readonly string[];
}

export interface SimulatedOptions {
  readonly startAt?: Date;
  readonly logLevel?: LogLevel;
  /** Answers `exec.run`; without it commands fail. */
  readonly run?: (command: Command) => Promise<CommandResult> | CommandResult;
  readonly fetch?: Net["fetch"];
  readonly dial?: (address: Address) => Promise<ByteStream>;
}

export function createSimulatedRuntime(
  seed: number,
  options: SimulatedOptions = {},
): SimulatedRuntime {
  const random = createSeededRandom(seed);
  const clock = new VirtualClock(random, options.startAt ?? new Date("2026-01-01T00:00:00Z"));
  const logged: string[] = [];
  const log = createLogger({
    level: options.logLevel ?? "debug",
    json: false,
    uptimeSeconds: () => Math.floor(clock.monotonicMs() / 1000),
    now: () => clock.now(),
    write: (line) => void logged.push(line.trimEnd()),
  });
  const refuse = (what: string) => async (): Promise<never> => {
    throw new Error(`The simulated world has no ${what}`);
  };
  const { run } = options;
  return {
    clock,
    random,
    log,
    logged,
    files: createMemoryFiles(),
    exec: {
      run: run === undefined ? refuse("commands") : async (command) => run(command),
      spawn: () => {
        throw new Error("The simulated world has no children");
      },
    },
    net: {
      fetch: options.fetch ?? refuse("HTTP"),
      dial: options.dial ?? refuse("sockets"),
      udp: refuse("sockets"),
      listen: refuse("sockets"),
      serve: refuse("sockets"),
    },
  };
}

/** mulberry32: small, fast, good enough to shuffle. */
export function createSeededRandom(seed: number): Random {
  let state = seed >>> 0;
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (below: number): number => Math.floor(fraction() * below);
  const bytes = (count: number): Uint8Array => Uint8Array.from({ length: count }, () => int(256));
  return {
    int,
    bytes,
    suffix: (length) => suffixFrom(int, length),
    uuid: () => {
      const raw = bytes(16);
      raw[6] = ((raw[6] ?? 0) & 0x0f) | 0x40;
      raw[8] = ((raw[8] ?? 0) & 0x3f) | 0x80;
      return raw.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    },
  };
}

interface Timer {
  readonly dueMs: number;
  /** Drawn from the seed: decides among timers of the same moment. */
  readonly order: number;
  readonly fire: () => void;
}

/** Turns of the real event loop that work of one moment may need (stores commit per turn). */
const turnsPerMoment = 4;

class VirtualClock implements SimulatedClock {
  #nowMs = 0;
  readonly #timers = new Set<Timer>();

  constructor(
    private readonly random: Random,
    private readonly origin: Date,
  ) {}

  now(): Date {
    return new Date(this.origin.getTime() + this.#nowMs);
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const finish = (): void => {
        signal.removeEventListener("abort", finish);
        this.#timers.delete(timer);
        resolve();
      };
      const timer = this.#add(ms, finish);
      signal.addEventListener("abort", finish);
    });
  }

  every(ms: number, signal: AbortSignal, tick: () => void): void {
    if (signal.aborted) return;
    const arm = (): Timer =>
      this.#add(ms, () => {
        timer = arm();
        tick();
      });
    let timer = arm();
    signal.addEventListener("abort", () => this.#timers.delete(timer), { once: true });
  }

  async runUntilIdle(): Promise<void> {
    for (let turn = 0; turn < turnsPerMoment; turn++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await this.runUntilIdle();
    while (await this.#fireNext(endMs)) {}
    this.#nowMs = endMs;
  }

  async until(reached: () => boolean, limitMs = 3_600_000): Promise<void> {
    const endMs = this.#nowMs + limitMs;
    await this.runUntilIdle();
    while (!reached()) {
      if (!(await this.#fireNext(endMs))) {
        throw new Error(`Not reached within ${limitMs} ms of virtual time`);
      }
    }
  }

  #add(ms: number, fire: () => void): Timer {
    const timer = {
      dueMs: this.#nowMs + Math.max(0, ms),
      order: this.random.int(2 ** 32),
      fire,
    };
    this.#timers.add(timer);
    return timer;
  }

  async #fireNext(endMs: number): Promise<boolean> {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs > endMs) continue;
      const earlier =
        next === undefined ||
        timer.dueMs < next.dueMs ||
        (timer.dueMs === next.dueMs && timer.order < next.order);
      if (earlier) next = timer;
    }
    if (next === undefined) return false;
    this.#timers.delete(next);
    this.#nowMs = next.dueMs;
    next.fire();
    await this.runUntilIdle();
    return true;
  }
}

/** Files in a map; directories are the prefixes of paths and those made by `mkdir`. */
export function createMemoryFiles(): Files {
  const files = new Map<string, Uint8Array>();
  const dirs = new Set<string>();
  const watchers = new Set<(path: string) => void>();
  const changed = (path: string): void => {
    for (const watcher of watchers) watcher(path);
  };
  const read = async (path: string): Promise<Uint8Array | undefined> => files.get(path);
  return {
    read,
    readText: async (path) => {
      const data = files.get(path);
      return data === undefined ? undefined : new TextDecoder().decode(data);
    },
    writeAtomic: async (path, data) => {
      files.set(path, typeof data === "string" ? new TextEncoder().encode(data) : data.slice());
      changed(path);
    },
    writeInPlace: async (path, data) => {
      files.set(path, new TextEncoder().encode(data));
      changed(path);
    },
    remove: async (path) => {
      for (const file of [...files.keys()]) {
        if (file !== path && !file.startsWith(`${path}/`)) continue;
        files.delete(file);
        changed(file);
      }
      for (const dir of [...dirs]) {
        if (dir === path || dir.startsWith(`${path}/`)) dirs.delete(dir);
      }
    },
    mkdir: async (path) => void dirs.add(path),
    list: async (dir) => {
      const names = new Set<string>();
      for (const path of [...files.keys(), ...dirs]) {
        const name = path.startsWith(`${dir}/`) ? path.slice(dir.length + 1).split("/")[0] : "";
        if (name) names.add(name);
      }
      return [...names].sort();
    },
    watch: async function* (dir, signal) {
      const names: string[] = [];
      let wake = (): void => {};
      const onChange = (path: string): void => {
        if (!path.startsWith(`${dir}/`)) return;
        names.push(path.slice(dir.length + 1).split("/")[0] ?? "");
        wake();
      };
      const onAbort = (): void => wake();
      watchers.add(onChange);
      signal.addEventListener("abort", onAbort);
      try {
        while (!signal.aborted) {
          const name = names.shift();
          if (name !== undefined) yield name;
          else
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
        }
      } finally {
        watchers.delete(onChange);
        signal.removeEventListener("abort", onAbort);
      }
    },
  };
}
