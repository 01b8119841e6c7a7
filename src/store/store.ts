/** A revisioned key-value log with compare-and-set, ranges and watch; drivers differ inside. */
import type { Runtime } from "../runtime/runtime.ts";

/**
 * Counts changes; 0 is the empty store. Never reused. Without gaps, but for one after a crash that
 * took back what was to be durable "soon".
 */
export type Revision = number;

/** Keys in `start` ≤ key < `end`, ordered by UTF-8 bytes. */
export interface KeyRange {
  readonly start: string;
  readonly end: string;
}

export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: Revision;
  readonly createRevision: Revision;
  /** 0: no lease. Otherwise the key is deleted this long after its last write. */
  readonly leaseSeconds: number;
}

export type Change =
  | { readonly type: "put"; readonly entry: Entry; readonly previous: Entry | undefined }
  | { readonly type: "delete"; readonly revision: Revision; readonly previous: Entry };

export type WriteResult =
  | { readonly ok: true; readonly revision: Revision }
  | { readonly ok: false; readonly current: Entry | undefined };

/**
 * When a write must be on the disk: before it is answered, or with the next commit, at the latest
 * some minutes later. A crash may take back what is durable "soon" (never out of order: a later
 * write that is durable makes all before it durable), but its revision is not used again.
 */
export type Durability = "now" | "soon";

export interface Page {
  readonly entries: readonly Entry[];
  /** The revision the page is consistent with. */
  readonly revision: Revision;
  /** True when keys of the range remain after the last entry. */
  readonly more: boolean;
  /** How many keys of the range remain after this page. */
  readonly remaining: number;
}

export interface Store extends AsyncDisposable {
  revision(): Promise<Revision>;
  get(key: string, at?: Revision): Promise<Entry | undefined>;
  /** `limit` 0 means all. Throws Compacted when `at` is older than the log. */
  list(range: KeyRange, options: { readonly limit: number; readonly at?: Revision }): Promise<Page>;
  count(range: KeyRange): Promise<number>;
  /** What the data takes where it is kept; 0 where that is memory. */
  sizeBytes(): Promise<number>;
  /**
   * Compare-and-set: `expected` 0 means "the key must not exist". Resolves once durable, or with
   * "soon" once everybody can see it.
   */
  put(
    key: string,
    value: Uint8Array,
    expected: Revision,
    leaseSeconds?: number,
    durability?: Durability,
  ): Promise<WriteResult>;
  delete(key: string, expected: Revision): Promise<WriteResult>;
  /**
   * Batches in revision order, starting after `from`. Registration is synchronous with the call of
   * the iterator's first `next()`. Throws Compacted when `from` is gone. Batches of a commit are
   * delivered before the writers of that commit are answered (DESIGN section 7.3).
   */
  watch(range: KeyRange, from: Revision, signal: AbortSignal): AsyncIterable<readonly Change[]>;
  /** Synchronous hand-over of each commit's changes, in order, before its writers are answered. */
  onCommit(listener: (changes: readonly Change[]) => void): Disposable;
  /** Forgets old versions below `before`; current entries stay. */
  compact(before: Revision): Promise<void>;
  /** Lowest revision that `get`/`list`/`watch` still answer. */
  compactedRevision(): Promise<Revision>;
}

export interface Driver {
  readonly scheme: string;
  open(endpoint: URL, runtime: Runtime): Promise<Store>;
}

/** The asked revision was compacted away. */
export class Compacted extends Error {
  override readonly name = "Compacted";
  constructor(readonly compactRevision: Revision) {
    super(`Revision was compacted: the oldest kept revision is ${compactRevision}`);
  }
}

/** The asked revision has not been committed yet. */
export class FutureRevision extends Error {
  override readonly name = "FutureRevision";
  constructor(
    readonly asked: Revision,
    readonly current: Revision,
  ) {
    super(`Revision ${asked} is in the future: the newest is ${current}`);
  }
}

/**
 * The store could not write. Disk full: nothing of the batch is kept. A disk that failed to sync:
 * nothing is to be seen of it, nothing more can be written, and who opens the store again finds
 * all of it or nothing.
 */
export class WriteFailed extends Error {
  override readonly name = "WriteFailed";
}

/** The range of all keys beginning with `prefix`. */
export function prefixRange(prefix: string): KeyRange {
  const last = prefix.charCodeAt(prefix.length - 1);
  return { start: prefix, end: prefix.slice(0, -1) + String.fromCharCode(last + 1) };
}
