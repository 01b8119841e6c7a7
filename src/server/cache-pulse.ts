/** Whether the caches follow the store: sets that stay behind would answer with the past. */
import type { StoreLiveSets } from "../live/store-feed.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { Health } from "../runtime/scope.ts";
import type { Store } from "../store/store.ts";

const limits = { everyMs: 5_000, behindMsMax: 30_000 } as const;

export class CachePulse {
  #behind = "";
  #sinceMs: number | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly store: Store,
    private readonly live: StoreLiveSets,
  ) {}

  /** Looks every few seconds until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // What was committed before this moment must be in every set a little later.
      const revision = await this.store.revision().catch(() => undefined);
      await this.clock.sleep(limits.everyMs, signal);
      if (revision !== undefined && !signal.aborted) this.#note(this.live.behind(revision));
    }
  }

  health(): Health {
    if (this.#sinceMs === undefined) return { ok: true };
    const ms = this.clock.monotonicMs() - this.#sinceMs;
    if (ms <= limits.behindMsMax) return { ok: true };
    return { ok: false, reason: `the cache of ${this.#behind} does not follow the store` };
  }

  #note(behind: readonly string[]): void {
    if (behind.length === 0) this.#sinceMs = undefined;
    else this.#sinceMs ??= this.clock.monotonicMs();
    this.#behind = behind.join(", ");
  }
}
