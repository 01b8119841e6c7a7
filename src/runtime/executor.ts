/** Starts components by their needs, restarts what fails, stops all in reverse. */
import { AssertionError } from "../lib/assert.ts";
import type { Logger, Runtime } from "./runtime.ts";
import type { Component, Executor, Health, Scope } from "./scope.ts";

export interface Timing {
  readonly name: string;
  readonly startedAtMs: number;
  readonly tookMs: number;
}

export interface TimedExecutor extends Executor {
  /** How long each component took to start, in the order they were up. */
  timings(): readonly Timing[];
}

export interface ExecutorOptions {
  /** A broken invariant: by default it is logged and ends the process. */
  readonly onBroken?: (error: AssertionError) => void;
}

const firstBackoffMs = 500;
const longestBackoffMs = 30_000;
/** A component that ran this long has recovered: its next failure starts at the first backoff. */
const recoveredAfterMs = 60_000;

export function createExecutor(runtime: Runtime, options: ExecutorOptions = {}): TimedExecutor {
  return new ComponentExecutor(runtime, options);
}

/** What one start of a component has begun. */
class OwnedScope implements Scope {
  readonly #controller = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  readonly #cleanups: (() => Promise<void> | void)[] = [];

  constructor(
    private readonly log: Logger,
    private readonly onFailure: (name: string, error: unknown) => void,
  ) {}

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  task(name: string, run: (signal: AbortSignal) => Promise<void>): void {
    const ended = this.#run(name, run).finally(() => this.#tasks.delete(ended));
    this.#tasks.add(ended);
  }

  async #run(name: string, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await run(this.signal);
    } catch (error) {
      if (!this.signal.aborted || error instanceof AssertionError) this.onFailure(name, error);
    }
  }

  defer(cleanup: () => Promise<void> | void): void {
    this.#cleanups.push(cleanup);
  }

  async close(): Promise<void> {
    this.#controller.abort();
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    for (let cleanup = this.#cleanups.pop(); cleanup; cleanup = this.#cleanups.pop()) {
      try {
        await cleanup();
      } catch (error) {
        this.log.warn("A clean-up failed", { error });
      }
    }
  }
}

/** One row of the executor: the component and how it fares. */
interface Running {
  readonly component: Component;
  readonly up: Promise<void>;
  scope: OwnedScope;
  state: Health | "up";
  upSinceMs: number;
  backoffMs: number;
  /** Ends when a restart under way has ended; stopping waits for it. */
  restart: Promise<void>;
}

class ComponentExecutor implements TimedExecutor {
  readonly #rows = new Map<string, Running>();
  readonly #timings: Timing[] = [];
  readonly #stopping = new AbortController();
  #stopped: Promise<void> | undefined;

  constructor(
    private readonly runtime: Runtime,
    private readonly options: ExecutorOptions,
  ) {}

  async start(components: readonly Component[]): Promise<void> {
    const byName = new Map(components.map((component) => [component.name, component]));
    refuseCycles(byName);
    const begin = (component: Component): Running => {
      const known = this.#rows.get(component.name);
      if (known !== undefined) return known;
      const needs: Promise<void>[] = [];
      for (const name of component.needs) {
        // A need without a row was switched off by a flag, and holds nobody up.
        const row = this.#rows.get(name) ?? mapped(byName.get(name), begin);
        if (row !== undefined) needs.push(row.up);
      }
      return this.#add(component, needs);
    };
    await Promise.all(components.map((component) => begin(component).up));
  }

  health(): ReadonlyMap<string, Health> {
    const all = new Map<string, Health>();
    for (const [name, row] of this.#rows) {
      all.set(name, row.state === "up" ? row.component.health() : row.state);
    }
    return all;
  }

  timings(): readonly Timing[] {
    return this.#timings;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped ??= this.#stopAll();
    await this.#stopped;
  }

  #add(component: Component, needs: readonly Promise<void>[]): Running {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const row: Running = {
      component,
      up: promise,
      scope: this.#scopeOf(component.name),
      state: { ok: false, reason: "starting" },
      upSinceMs: 0,
      backoffMs: firstBackoffMs,
      restart: Promise.resolve(),
    };
    this.#rows.set(component.name, row);
    promise.catch(() => {}); // every waiter sees it; a start without waiters must not crash
    Promise.all(needs)
      .then(() => this.#startOnce(row))
      .then(resolve, (error: unknown) => {
        row.state = { ok: false, reason: reasonOf(error) };
        reject(error);
      });
    return row;
  }

  async #startOnce(row: Running): Promise<void> {
    const { clock, log } = this.runtime;
    const { name } = row.component;
    this.#stopping.signal.throwIfAborted();
    const startedAtMs = clock.monotonicMs();
    await row.component.start(row.scope);
    row.upSinceMs = clock.monotonicMs();
    const tookMs = row.upSinceMs - startedAtMs;
    this.#timings.push({ name, startedAtMs, tookMs });
    // A task may have failed while the start was still under way; it keeps its reason.
    if (row.state === "up" || row.state.ok || row.state.reason === "starting") row.state = "up";
    log.debug(`Started ${name}`, { tookMs: Math.round(tookMs) });
  }

  #scopeOf(name: string): OwnedScope {
    const log = this.runtime.log.named(name);
    const scope: OwnedScope = new OwnedScope(log, (task, error) => {
      if (error instanceof AssertionError) return this.#broken(name, error);
      const row = this.#rows.get(name);
      if (row === undefined || row.scope !== scope || this.#stopping.signal.aborted) return;
      log.error(`Task ${task} failed`, { error });
      const failing = row.state !== "up" && !row.state.ok && row.state.reason !== "starting";
      row.state = { ok: false, reason: `${task}: ${reasonOf(error)}` };
      if (!failing) row.restart = this.#restart(row);
    });
    return scope;
  }

  #broken(name: string, error: AssertionError): void {
    this.runtime.log.error(`Broken invariant in ${name}`, { error, stack: error.stack });
    if (this.options.onBroken !== undefined) this.options.onBroken(error);
    else process.exit(70);
  }

  async #restart(row: Running): Promise<void> {
    const { clock, log, random } = this.runtime;
    const { signal } = this.#stopping;
    const { name } = row.component;
    await row.up.catch(() => {});
    for (;;) {
      await row.scope.close();
      const ranMs = clock.monotonicMs() - row.upSinceMs;
      if (ranMs > recoveredAfterMs) row.backoffMs = firstBackoffMs;
      await clock.sleep(row.backoffMs + random.int(Math.ceil(row.backoffMs / 4)), signal);
      if (signal.aborted) return;
      row.backoffMs = Math.min(row.backoffMs * 2, longestBackoffMs);
      row.scope = this.#scopeOf(name);
      row.state = { ok: false, reason: "starting" };
      try {
        await this.#startOnce(row);
        log.info(`Restarted ${name}`);
        return;
      } catch (error) {
        if (error instanceof AssertionError) return this.#broken(name, error);
        if (signal.aborted) return;
        log.error(`Restart of ${name} failed`, { error });
        row.state = { ok: false, reason: reasonOf(error) };
      }
    }
  }

  async #stopAll(): Promise<void> {
    this.#stopping.abort();
    const stopped = new Map<Running, Promise<void>>();
    const stop = (row: Running): Promise<void> => {
      const known = stopped.get(row);
      if (known !== undefined) return known;
      const { promise, resolve } = Promise.withResolvers<void>();
      stopped.set(row, promise);
      const dependents = [...this.#rows.values()].filter((other) =>
        other.component.needs.includes(row.component.name),
      );
      void Promise.all(dependents.map(stop))
        .then(() => row.scope.close())
        .then(() => row.restart)
        .then(() => row.scope.close())
        .then(resolve);
      return promise;
    };
    await Promise.all([...this.#rows.values()].map(stop));
  }
}

function mapped<T, R>(value: T | undefined, map: (value: T) => R): R | undefined {
  return value === undefined ? undefined : map(value);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function refuseCycles(byName: ReadonlyMap<string, Component>): void {
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    if (done.has(name)) return;
    if (path.includes(name)) {
      throw new AssertionError(`components need each other: ${[...path, name].join(" -> ")}`);
    }
    for (const need of byName.get(name)?.needs ?? []) visit(need, [...path, name]);
    done.add(name);
  };
  for (const name of byName.keys()) visit(name, []);
}
