/** Whether work that was begun comes to an end: what runs for minutes is stuck. */
import type { Clock } from "../runtime/runtime.ts";
import type { Health } from "../runtime/scope.ts";

const limits = { workMsMax: 300_000 } as const;

/** One for each component; its health is that of its oldest piece of work. */
export class WorkWatch {
  readonly #begun = new Set<{ readonly what: string; readonly sinceMs: number }>();

  constructor(private readonly clock: Clock) {}

  /** Something has begun; the answer is to be called when it has ended. */
  begin(what: string): () => void {
    const work = { what, sinceMs: this.clock.monotonicMs() };
    this.#begun.add(work);
    return () => void this.#begun.delete(work);
  }

  health(): Health {
    // In the order of their beginning.
    const [oldest] = this.#begun.values();
    if (oldest === undefined) return { ok: true };
    const ms = this.clock.monotonicMs() - oldest.sinceMs;
    if (ms <= limits.workMsMax) return { ok: true };
    return { ok: false, reason: `${oldest.what} has not ended for ${Math.round(ms / 1000)} s` };
  }
}
