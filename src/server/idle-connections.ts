/**
 * Closes connections whose clients only hold them: no request begins, or its head never comes to
 * an end. The times are those of upstream's servers (Go's ReadHeaderTimeout and
 * IdleTimeout as kube-apiserver sets them).
 */
import type { Clock } from "../runtime/runtime.ts";

const limits = { sweepMs: 5_000, headMs: 32_000, idleMs: 90_000 } as const;

interface Held {
  readonly close: () => void;
  /** Requests under way. */
  active: number;
  /** When the connection was made, or its last request ended. */
  sinceMs: number;
  waitMs: number;
}

/** One for each listener. */
export class IdleConnections {
  readonly #held = new Map<object, Held>();

  constructor(private readonly clock: Clock) {}

  /** Looks around every few seconds until `signal` aborts. */
  start(signal: AbortSignal): void {
    this.clock.every(limits.sweepMs, signal, () => this.sweep());
  }

  opened(connection: object, close: () => void): void {
    const sinceMs = this.clock.monotonicMs();
    this.#held.set(connection, { close, active: 0, sinceMs, waitMs: limits.headMs });
  }

  /** The connection is gone, or serves another protocol. */
  closed(connection: object): void {
    this.#held.delete(connection);
  }

  /** A request has begun; the answer is to be called when it has ended. */
  begin(connection: object): () => void {
    const held = this.#held.get(connection);
    if (held === undefined) return () => {};
    held.active += 1;
    return () => {
      held.active -= 1;
      held.sinceMs = this.clock.monotonicMs();
      held.waitMs = limits.idleMs;
    };
  }

  sweep(): void {
    const nowMs = this.clock.monotonicMs();
    for (const { close, active, sinceMs, waitMs } of this.#held.values()) {
      if (active === 0 && nowMs - sinceMs > waitMs) close();
    }
  }
}
