/** Remembers which keys end when. Time is monotonic: a jump of the wall clock expires nothing. */
import type { Clock } from "../runtime/runtime.ts";
import { keyOfChange } from "./backend.ts";
import type { Change, Entry, Revision } from "./store.ts";

export interface Expired {
  readonly key: string;
  readonly revision: Revision;
}

type Leased = Pick<Entry, "key" | "revision" | "leaseSeconds">;

export class LeaseClock {
  /** Per lease length, keys in order of their last write, which is the order of their ends. */
  readonly #byLength = new Map<number, Map<string, { revision: Revision; endsMs: number }>>();
  readonly #lengthOf = new Map<string, number>();

  constructor(private readonly clock: Clock) {}

  /** After a restart a lease counts anew: nobody could renew it while the store was down. */
  grant(entry: Leased): void {
    this.#forget(entry.key);
    const { key, revision, leaseSeconds } = entry;
    if (leaseSeconds <= 0) return;
    let row = this.#byLength.get(leaseSeconds);
    if (row === undefined) {
      row = new Map();
      this.#byLength.set(leaseSeconds, row);
    }
    row.set(key, { revision, endsMs: this.clock.monotonicMs() + leaseSeconds * 1000 });
    this.#lengthOf.set(key, leaseSeconds);
  }

  observe(change: Change): void {
    if (change.type === "put") this.grant(change.entry);
    else this.#forget(keyOfChange(change));
  }

  /** Keys whose lease has ended and whose end was not told before. */
  take(): readonly Expired[] {
    const nowMs = this.clock.monotonicMs();
    const expired: Expired[] = [];
    for (const row of this.#byLength.values()) {
      for (const [key, { revision, endsMs }] of row) {
        if (endsMs > nowMs) break;
        expired.push({ key, revision });
        row.delete(key);
        this.#lengthOf.delete(key);
      }
    }
    return expired;
  }

  #forget(key: string): void {
    const length = this.#lengthOf.get(key);
    if (length === undefined) return;
    this.#lengthOf.delete(key);
    const row = this.#byLength.get(length);
    row?.delete(key);
    if (row?.size === 0) this.#byLength.delete(length);
  }
}
