/** The endpoints that one request has been brought to, and where it goes next. */
import type { Balancer } from "./balancer.ts";

const triesMax = 4;

export class EndpointTries {
  readonly #tried: string[] = [];
  #count = 0;

  constructor(
    private readonly balancer: Balancer,
    private readonly nowMs: () => number,
    /** The endpoint to try first. */
    private preferred: string | undefined,
  ) {}

  /** The endpoint it is at; "" for none. */
  get current(): string {
    return this.#tried.at(-1) ?? "";
  }

  /** Undefined when there is none. */
  next(): string | undefined {
    const endpoint = this.preferred ?? this.balancer.pick(this.#tried, this.nowMs());
    this.preferred = undefined;
    if (endpoint !== undefined) this.#tried.push(endpoint);
    return endpoint;
  }

  /** The present one does not let anybody in. */
  refused(): void {
    this.balancer.setAside(this.current, this.nowMs());
  }

  /** Nothing has been sent: whether to go on, "later" where only new endpoints can help. */
  again(): "now" | "later" | "never" {
    this.#count += 1;
    if (this.#count >= triesMax) return "never";
    if (this.balancer.pick(this.#tried, this.nowMs()) !== undefined) return "now";
    this.#tried.length = 0;
    return "later";
  }
}
