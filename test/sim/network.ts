/** The way between a component and the API server: slow, at times broken, at times cut. */
import type { WatchEvent } from "../../src/client/client.ts";
import type { Ask, Transport } from "../../src/client/request-client.ts";
import { assert } from "../../src/lib/assert.ts";
import type { Clock, Random } from "../../src/runtime/runtime.ts";
import type { KubeObject } from "../../src/schema/object.ts";
import type { Chance } from "./chance.ts";

const never = new AbortController().signal;
const limits = { refusedAfterMs: 1000, failPercent: 2, lostPercent: 2, cutPercent: 1 } as const;

/** Why a request got no answer: never an ApiError, as nobody has judged it. */
export class NetworkError extends Error {
  override readonly name = "NetworkError";
}

export interface LinkOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly chance: Chance;
  /** The server that answers now; undefined while there is none. */
  readonly server: () => Transport | undefined;
  /** Within the server's process: requests may fail, but no answer is late or gets lost. */
  readonly isLocal: boolean;
}

/** One component's connections. A component that is dead gets no answer any more. */
export class Link {
  readonly #options: LinkOptions;
  readonly #watches = new Set<AbortController>();
  #isCut = false;
  #isDead = false;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get isAlive(): boolean {
    return !this.#isDead;
  }

  /** Requests fail and watches end until it is mended. */
  cut(): void {
    this.#isCut = true;
    this.endWatches();
  }

  mend(): void {
    this.#isCut = false;
  }

  endWatches(): void {
    for (const watch of [...this.#watches]) watch.abort(new NetworkError("the watch was cut"));
  }

  kill(): void {
    this.#isDead = true;
    this.endWatches();
  }

  /** `change` picks whom to act as. */
  transport(change: (server: Transport) => Transport = (server) => server): Transport {
    return {
      request: (ask) => this.#request(change, ask),
      watch: (ask, signal) => this.#watch(change, ask, signal),
      as: (name, groups) => this.transport((server) => change(server).as(name, groups)),
    };
  }

  async #request<T>(change: (server: Transport) => Transport, ask: Ask): Promise<T> {
    const { chance, isLocal } = this.#options;
    await this.#travel();
    const server = await this.#reach();
    if (chance.percent(limits.failPercent)) throw new NetworkError("connection reset");
    // An API error travels back as any answer does.
    const answer = await change(server)
      .request<T>(ask)
      .then(
        (value) => () => value,
        (error: unknown) => (): T => {
          throw error;
        },
      );
    await this.#travel();
    const isLost = !isLocal && (this.#isCut || chance.percent(limits.lostPercent));
    if (isLost || this.#options.server() !== server) throw new NetworkError("the answer was lost");
    return answer();
  }

  async *#watch<T extends KubeObject>(
    change: (server: Transport) => Transport,
    ask: Ask,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    await this.#travel();
    const server = await this.#reach();
    const own = new AbortController();
    this.#watches.add(own);
    let last = 0;
    try {
      const both = AbortSignal.any([own.signal, signal]);
      for await (const event of change(server).watch<T>(ask, both)) {
        await this.#travel();
        if (own.signal.aborted || this.#options.chance.percent(limits.cutPercent)) {
          throw new NetworkError("the watch was cut");
        }
        const revision = Number(event.object.metadata.resourceVersion);
        const isChange = event.type !== "BOOKMARK";
        // The first events of a watch from nowhere are the objects as they are, in any order.
        const isOrdered = ask.query.resourceVersion !== "" && isChange;
        assert(!isOrdered || revision > last, `a watch went back from ${last} to ${revision}`);
        last = Math.max(last, revision);
        yield event;
      }
    } finally {
      this.#watches.delete(own);
      own.abort();
    }
  }

  async #reach(): Promise<Transport> {
    const { clock, server } = this.#options;
    const reached = this.#isCut ? undefined : server();
    if (reached !== undefined) return reached;
    await clock.sleep(limits.refusedAfterMs, never);
    throw new NetworkError("connection refused");
  }

  async #travel(): Promise<void> {
    const { clock, random, isLocal } = this.#options;
    // Most packets are fast, a few take their time.
    const ms = random.int(20) === 0 ? random.int(300) : 1 + random.int(5);
    if (!isLocal) await clock.sleep(ms, never);
    if (this.#isDead) await new Promise(() => {});
  }
}
