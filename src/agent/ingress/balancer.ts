/** Which endpoint of a backend comes next: in turn, without those that refused lately. */
import { createHash } from "node:crypto";
import type { Backend } from "./route-table.ts";

/** An endpoint that could not be connected to is left out for this long. */
const setAsideMs = 1000;

export class Balancer {
  #backend: Backend;
  #next = 0;
  readonly #asideUntilMs = new Map<string, number>();
  /** For cookies: they name an endpoint without telling its address. */
  #byMark: ReadonlyMap<string, string> | undefined;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  get backend(): Backend {
    return this.#backend;
  }

  replace(backend: Backend): void {
    this.#backend = backend;
    this.#byMark = undefined;
    for (const endpoint of this.#asideUntilMs.keys()) {
      if (!backend.endpoints.includes(endpoint)) this.#asideUntilMs.delete(endpoint);
    }
  }

  /** Undefined when all have been tried. */
  pick(tried: readonly string[], nowMs: number): string | undefined {
    const { endpoints } = this.#backend;
    let second: string | undefined;
    for (let step = 0; step < endpoints.length; step++) {
      const endpoint = endpoints[(this.#next + step) % endpoints.length] ?? "";
      if (tried.includes(endpoint)) continue;
      if ((this.#asideUntilMs.get(endpoint) ?? 0) > nowMs) {
        second ??= endpoint;
        continue;
      }
      this.#next = (this.#next + step + 1) % endpoints.length;
      return endpoint;
    }
    return second;
  }

  /** The endpoint that a client's cookie names, as long as it is there. */
  marked(mark: string): string | undefined {
    this.#byMark ??= new Map(this.#backend.endpoints.map((one) => [markOf(one), one]));
    return this.#byMark.get(mark);
  }

  /** What keeps a client with the endpoint; undefined where nobody asked for that. */
  cookieFor(endpoint: string): string | undefined {
    const { sticky } = this.#backend;
    return sticky === undefined
      ? undefined
      : `${sticky.name}=${markOf(endpoint)}${sticky.attributes}`;
  }

  setAside(endpoint: string, nowMs: number): void {
    this.#asideUntilMs.set(endpoint, nowMs + setAsideMs);
  }
}

function markOf(endpoint: string): string {
  return createHash("sha256").update(endpoint).digest("hex").slice(0, 16);
}
