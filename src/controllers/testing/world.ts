/**
 * A cluster without a server for controller tests: objects in memory behind `Client` and
 * `LiveSets`, with versions, generations, finalizers and status subresources; controllers run
 * until nothing is left to do, under a clock that moves only on demand.
 */
import type { Client, Resource } from "../../client/client.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { Controller, ControllerContext } from "../../live/controller.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { type KubeObject, keyOf } from "../../schema/object.ts";
import { MemoryApi, nameOf } from "./memory-api.ts";

export interface RecordedEvent {
  readonly about: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

const neverSettledRounds = 10_000;

export class World {
  readonly api: MemoryApi;
  readonly context: ControllerContext;
  readonly recorded: RecordedEvent[] = [];
  nowMs = Date.parse("2026-01-01T00:00:00Z");
  readonly #signal = new AbortController().signal;
  readonly #queue = new Map<string, { readonly controller: Controller; readonly key: string }>();
  readonly #everAsked = new Map<
    string,
    { readonly controller: Controller; readonly key: string }
  >();
  #timers: { readonly atMs: number; readonly controller: Controller; readonly key: string }[] = [];
  /** By how much the clock on the wall has been set ahead. */
  aheadMs = 0;
  /** Failures of reconciles, newest last. */
  readonly failures: unknown[] = [];

  constructor() {
    const runtime = { clock: this.#clock(), random: seededRandom(), log: silent } as Runtime;
    this.api = new MemoryApi(runtime);
    this.context = {
      client: this.api.client,
      live: this.api.live,
      runtime,
      events: {
        event: (about, type, reason, message) => {
          this.recorded.push({ about: keyOf(about), type, reason, message });
        },
      },
    };
  }

  get client(): Client {
    return this.api.client;
  }

  /** Starts controllers: their watches see every later change and what is there now. */
  run(...controllers: readonly Controller[]): void {
    for (const controller of controllers) {
      for (const { resource, keys } of controller.watches) {
        const add = (change: unknown) => {
          for (const key of keys(change as never)) this.enqueue(controller, key);
        };
        const set = this.api.set(resource);
        for (const now of set.list()) add({ type: "added", now, before: undefined });
        set.subscribe(add);
      }
      for (const key of controller.initialKeys ?? []) this.enqueue(controller, key);
    }
  }

  /** Every key that was ever asked for, once more: as after a restart. */
  wakeAll(): void {
    for (const [id, entry] of this.#everAsked) this.#queue.set(id, entry);
  }

  enqueue(controller: Controller, key: string): void {
    this.#everAsked.set(`${controller.name}|${key}`, { controller, key });
    this.#queue.set(`${controller.name}|${key}`, { controller, key });
  }

  /** Reconciles until the queue is empty; a failed key is retried a few times. */
  async settle(): Promise<void> {
    const failedTimes = new Map<string, number>();
    for (let round = 0; round < neverSettledRounds; round++) {
      const first = this.#queue.entries().next().value;
      if (first === undefined) return;
      const [id, { controller, key }] = first;
      this.#queue.delete(id);
      try {
        const outcome = await controller.reconcile(key, this.#signal);
        if (outcome !== "done") {
          this.#timers.push({ atMs: this.nowMs + outcome.againInMs, controller, key });
        }
      } catch (error) {
        this.failures.push(error);
        const times = (failedTimes.get(id) ?? 0) + 1;
        failedTimes.set(id, times);
        if (times < 5) this.enqueue(controller, key);
      }
    }
    const busy = [...this.#queue.keys()].slice(0, 5).join(", ");
    throw new Error(`The controllers never settle: ${busy}; ${this.failures.at(-1)}`);
  }

  /** Moves the clock, running what falls due on the way. */
  async advance(ms: number): Promise<void> {
    const target = this.nowMs + ms;
    await this.settle();
    for (;;) {
      const due = this.#timers.filter(({ atMs }) => atMs <= target);
      const next = due.sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      this.enqueue(next.controller, next.key);
      await this.settle();
    }
    this.nowMs = target;
  }

  get<T extends KubeObject>(resource: Resource<T>, key: string): DeepReadonly<T> {
    const found = this.api.set(resource).get(key)?.object;
    if (found === undefined) throw new Error(`${nameOf(resource)} "${key}" does not exist`);
    return found;
  }

  list<T extends KubeObject>(resource: Resource<T>, namespace = ""): DeepReadonly<T>[] {
    const prefix = namespace === "" ? undefined : `${namespace}/`;
    return Array.from(this.api.set(resource).list(prefix), ({ object }) => object);
  }

  /** Changes an object and its status at once, as if by someone else. */
  async change<T extends KubeObject>(
    resource: Resource<T>,
    key: string,
    edit: (object: T) => void,
  ): Promise<void> {
    const copy = structuredClone(this.get(resource, key)) as T;
    edit(copy);
    const written = await this.client.update(resource, copy);
    const status = (copy as { status?: unknown }).status;
    if (status === undefined || this.api.set(resource).get(key) === undefined) return;
    await this.client.update(resource, { ...written, status } as T, { subresource: "status" });
  }

  /** The messages of recorded events of one reason. */
  messages(reason: string): string[] {
    return this.recorded.filter((event) => event.reason === reason).map(({ message }) => message);
  }

  #clock(): Runtime["clock"] {
    return {
      now: () => new Date(this.nowMs + this.aheadMs),
      monotonicMs: () => this.nowMs,
      // Others get a turn; no time passes by itself.
      sleep: () => new Promise((resolve) => setImmediate(resolve)),
      every: () => {},
    };
  }
}

const safeLetters = "bcdfghjklmnpqrstvwxz2456789";

function seededRandom(): Runtime["random"] {
  let state = 42;
  const int = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let count = 0;
  return {
    int,
    uuid: () => `00000000-0000-4000-8000-${String(++count).padStart(12, "0")}`,
    suffix: (length) => Array.from({ length }, () => safeLetters[int(safeLetters.length)]).join(""),
    bytes: (size) => Uint8Array.from({ length: size }, () => int(256)),
  };
}

const silent: Runtime["log"] = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  named: () => silent,
};
