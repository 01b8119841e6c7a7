/** The time a request may take: a minute by default, less when the client asks by `timeout`. */
import { ApiError } from "../lib/api-error.ts";
import { parseDuration } from "../lib/duration.ts";
import type { Clock } from "../runtime/runtime.ts";

const limits = { tickMs: 500 } as const;

interface Entry {
  readonly endsAtMs: number;
  readonly expire: () => void;
}

/** What the query asks for, within `requestMsMax`; throws BadRequest for what is no duration. */
export function requestTimeoutMs(query: URLSearchParams, requestMsMax: number): number {
  const text = query.get("timeout") ?? "";
  if (text === "") return requestMsMax;
  try {
    const asked = parseDuration(text);
    return asked <= 0 || asked > requestMsMax ? requestMsMax : asked;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const message = `invalid timeout specified in the request URL - ${error.message}`;
    throw new ApiError("BadRequest", message);
  }
}

/** One timer for all requests under way: most of them end long before it ever matters. */
export class Deadlines {
  readonly #open = new Set<Entry>();
  #ticking: AbortController | undefined;

  constructor(private readonly clock: Clock) {}

  /** As `work`, or a Timeout error when that takes too long. */
  async within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const endsAtMs = this.clock.now().getTime() + timeoutMs;
    const entry = { endsAtMs, expire: () => reject(timedOut()) };
    this.#open.add(entry);
    if (this.#ticking === undefined) this.#tick();
    try {
      return await Promise.race([work, late]);
    } finally {
      this.#open.delete(entry);
    }
  }

  #tick(): void {
    const ticking = new AbortController();
    this.#ticking = ticking;
    this.clock.every(limits.tickMs, ticking.signal, () => {
      const nowMs = this.clock.now().getTime();
      for (const entry of this.#open) if (entry.endsAtMs <= nowMs) entry.expire();
      if (this.#open.size > 0) return;
      ticking.abort();
      this.#ticking = undefined;
    });
  }
}

function timedOut(): ApiError {
  const why = "request did not complete within requested timeout - context deadline exceeded";
  return new ApiError("Timeout", `Timeout: ${why}`, { details: {} });
}
