/** What a single-process driver supplies; `LocalStore` adds group commit, watch and leases. */
import type { Change, Durability, Entry, KeyRange, Page, Revision, WriteResult } from "./store.ts";

export type Write =
  | {
      readonly type: "put";
      readonly key: string;
      readonly value: Uint8Array;
      readonly expected: Revision;
      readonly leaseSeconds: number;
      readonly durability: Durability;
    }
  | { readonly type: "delete"; readonly key: string; readonly expected: Revision };

export interface Applied {
  /** One per write, in order. */
  readonly results: readonly WriteResult[];
  /** One per write that took effect, in revision order. */
  readonly changes: readonly Change[];
}

/** Reads are synchronous: one call is one consistent view. */
export interface Backend {
  /** Applies all writes as one transaction, each with its own compare-and-set. */
  apply(writes: readonly Write[]): Applied;
  /**
   * Resolves once all that was written is as durable as it was asked to be; undefined when it is
   * already. Until then nothing else may be applied, compacted or flushed, and nobody be told.
   */
  durable?(): Promise<void> | undefined;
  /** From now on reads see what was applied, if they have not at once. */
  reveal?(): void;
  revision(): Revision;
  /** Reads at any revision from here on are answered. */
  compacted(): Revision;
  get(key: string, at: Revision | undefined): Entry | undefined;
  list(range: KeyRange, limit: number, at: Revision | undefined): Page;
  count(range: KeyRange): number;
  sizeBytes(): number;
  /** The first `limit` changes of the range after `from`. */
  changes(range: KeyRange, from: Revision, limit: number): readonly Change[];
  /** Forgets what only revisions below `before` need; at most `limit` log rows are visited. */
  compactStep(before: Revision, limit: number): void;
  /**
   * What has to be done between writes, when there is something and all is durable: until it
   * resolves nothing may be applied, compacted or flushed. Reads go on.
   */
  rest?(): Promise<void> | undefined;
  /** Makes durable what was applied to be so soon. */
  flush(): void;
  /** Current entries that have a lease. */
  leased(): Iterable<Pick<Entry, "key" | "revision" | "leaseSeconds">>;
  close(): void | Promise<void>;
}

/** Compares as UTF-8 bytes would: UTF-16 order differs where surrogates meet U+E000 and above. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return codePointRank(x) - codePointRank(y);
  }
  return a.length - b.length;
}

function codePointRank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}

export function inRange(key: string, range: KeyRange): boolean {
  return compareKeys(key, range.start) >= 0 && compareKeys(key, range.end) < 0;
}

export function revisionOf(change: Change): Revision {
  return change.type === "put" ? change.entry.revision : change.revision;
}

export function keyOfChange(change: Change): string {
  return change.type === "put" ? change.entry.key : change.previous.key;
}
