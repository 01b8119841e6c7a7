/**
 * WATCH: what a client has missed, then what happens, in one unbroken order. Starting is
 * synchronous with the LiveSet, so that nothing falls between the past and the present.
 */

import { apiVersionOf } from "../client/request-form.ts";
import { ApiError } from "../lib/api-error.ts";
import { nextTurn } from "../lib/turns.ts";
import type { LiveChange, LiveSet } from "../live/live-set.ts";
import type { KubeObject } from "../schema/object.ts";
import { Compacted, prefixRange, type Revision } from "../store/store.ts";
import type { Call } from "./call.ts";
import type { WatchCounts } from "./flowcontrol/watch-counts.ts";
import { currentSet, expired } from "./list.ts";
import { type ListQuery, readListOptions } from "./list-options.ts";
import { storagePrefixOf } from "./registry.ts";
import { type Selection, selectionOf } from "./selection.ts";
import { type Stored, storedAllFrom } from "./stored.ts";

const limits = {
  bookmarkEveryMs: 60_000,
  minRequestTimeoutSeconds: 1800,
  lastBookmarkBeforeEndMs: 2000,
  /** Objects of the initial state that are shown in one turn of the event loop. */
  presentAtOnceMax: 250,
} as const;

export type WatchType = "ADDED" | "MODIFIED" | "DELETED";

/** Who receives the events; it may end the watch by aborting the signal it was started with. */
export interface WatchSink {
  /** `asOf` is set when the object is shown with the revision of a later change. */
  event(type: WatchType, object: Stored, asOf?: Revision): void;
  bookmark(object: KubeObject): void;
  /** The events of `work` may travel as one. */
  together(work: () => void): void;
  /** Resolves when more of the past may be sent; what happens now never waits. */
  room(): Promise<void>;
  fail(error: ApiError): void;
  end(): void;
}

/** A watch that was checked and may be started. */
export interface PlannedWatch {
  /** Delivers the past, then follows; returns at once. Ends with the signal or by itself. */
  start(sink: WatchSink, signal: AbortSignal): void;
}

/** Checks the request; throws what is wrong with it. */
export async function planWatch(call: Call): Promise<PlannedWatch> {
  const { definition, request } = call;
  const options = readListOptions(request.query, "watch");
  const selection = selectionOf(definition, request);
  const mustWait = options.sendInitialEvents === true || !options.hasResourceVersion;
  const set = await currentSet(call, mustWait ? options.notOlderThan : 0);
  return {
    start: (sink, signal) => new Watch(call, set, selection, options, sink, signal).start(),
  };
}

class Watch {
  #subscription: Disposable | undefined;
  #counted: ReturnType<WatchCounts["add"]> | undefined;
  #over = false;
  #seen: Revision = 0;

  constructor(
    private readonly call: Call,
    private readonly set: LiveSet<KubeObject>,
    private readonly selection: Selection,
    private readonly options: ListQuery,
    private readonly sink: WatchSink,
    private readonly signal: AbortSignal,
  ) {}

  start(): void {
    if (this.signal.aborted) {
      this.sink.end();
      return;
    }
    this.signal.addEventListener("abort", () => this.#end(), { once: true });
    const { parts, request } = this.call;
    this.#counted = parts.watches?.add(request);
    const { custom } = this.call.definition;
    custom?.removed.addEventListener("abort", () => this.#end(), { signal: this.signal });
    const { hasResourceVersion, notOlderThan, sendInitialEvents } = this.options;
    this.#keepTime();
    if (sendInitialEvents ?? !hasResourceVersion) this.#fromPresent();
    else if (!hasResourceVersion) this.#follow(this.set.revision);
    else this.#fromPast(notOlderThan);
  }

  #fromPast(from: Revision): void {
    const missed = this.set.since(from);
    if (missed === "too-old") {
      this.#fromLog(from).catch((error: unknown) => this.#fail(error));
      return;
    }
    for (const change of missed) this.#deliver(change);
    this.#follow(Math.max(from, this.set.revision));
  }

  #fromPresent(): void {
    const { key, prefix } = this.selection;
    const one = key === undefined ? undefined : this.set.get(key);
    const present =
      key !== undefined ? (one === undefined ? [] : [one]) : [...this.set.list(prefix)];
    if (present.length > limits.presentAtOnceMax) {
      this.#presentInTurns(present).catch((error: unknown) => this.#fail(error));
      return;
    }
    for (const object of present) this.#show(object);
    this.#follow(this.set.revision);
    this.#endOfPresent();
  }

  /** As fast as the reader takes them; what happens meanwhile comes after. */
  async #presentInTurns(present: readonly Stored[]): Promise<void> {
    const { revision } = this.set;
    for (let at = 0; at < present.length; at += limits.presentAtOnceMax) {
      const slice = present.slice(at, at + limits.presentAtOnceMax);
      this.sink.together(() => {
        for (const object of slice) this.#show(object);
      });
      await nextTurn();
      await this.sink.room();
      if (this.#over) return;
    }
    this.#seen = revision;
    this.#endOfPresent();
    this.#fromPast(revision);
  }

  #show(object: Stored): void {
    if (this.#over || (this.selection.selects && !this.selection.matches(object))) return;
    this.sink.event("ADDED", object);
  }

  #endOfPresent(): void {
    if (this.options.sendInitialEvents === true && this.options.allowWatchBookmarks) {
      this.#bookmark({ "k8s.io/initial-events-end": "true" });
    }
  }

  /** The LiveSet has forgotten what the store's log still knows. */
  async #fromLog(from: Revision): Promise<void> {
    const { definition, parts } = this.call;
    const range = prefixRange(storagePrefixOf(definition));
    for await (const batch of parts.store.watch(range, from, this.signal)) {
      for (const change of batch) {
        if (this.#over) return;
        if (change.type === "put") {
          const [now, before] = await storedAllFrom(
            definition,
            change.previous === undefined ? [change.entry] : [change.entry, change.previous],
          );
          if (now === undefined) continue;
          this.#deliver({ type: before === undefined ? "added" : "modified", now, before });
        } else {
          const last = { ...change.previous, revision: change.revision };
          const [now, before] = await storedAllFrom(definition, [last, change.previous]);
          if (now === undefined) continue;
          this.#deliver({ type: "deleted", now, before });
        }
      }
      const last = batch.at(-1);
      if (last !== undefined) {
        this.#seen = last.type === "put" ? last.entry.revision : last.revision;
      }
      await this.sink.room();
    }
  }

  #follow(from: Revision): void {
    this.#seen = from;
    if (this.#over) return;
    this.#subscription = this.set.subscribe((change) => {
      if (change.now.revision > from) this.#deliver(change);
    });
  }

  #deliver(change: LiveChange<KubeObject>): void {
    if (this.#over || !change.now.key.startsWith(this.selection.prefix)) return;
    const { key } = this.selection;
    if (key !== undefined && change.now.key !== key) return;
    const { selectsBeyondKey, matches } = this.selection;
    const selects = this.selection.selects && selectsBeyondKey;
    const event = eventOf(change, { selects, matches });
    if (event === undefined) return;
    if (this.#counted !== undefined) this.#counted.tally.events += 1;
    if (event.type === "left") this.sink.event("DELETED", event.object, change.now.revision);
    else this.sink.event(event.type, event.object);
  }

  #keepTime(): void {
    const { runtime, minRequestTimeoutSeconds } = this.call.parts;
    const { clock, random } = runtime;
    const { allowWatchBookmarks, timeoutSeconds } = this.options;
    const least = Math.max(minRequestTimeoutSeconds ?? limits.minRequestTimeoutSeconds, 1);
    // Watches that began together do not end together.
    const seconds = timeoutSeconds || least + random.int(least);
    const early = allowWatchBookmarks ? limits.lastBookmarkBeforeEndMs : 0;
    const firstMs = Math.max(seconds * 1000 - early, 0);
    const closing = async (): Promise<void> => {
      await clock.sleep(firstMs, this.signal);
      if (this.#over) return;
      if (allowWatchBookmarks) this.#bookmark({});
      await clock.sleep(seconds * 1000 - firstMs, this.signal);
      this.#end();
    };
    closing().catch((error: unknown) => this.#fail(error));
    if (!allowWatchBookmarks) return;
    clock.every(limits.bookmarkEveryMs, this.signal, () => this.#bookmark({}));
  }

  #bookmark(annotations: Record<string, string>): void {
    if (this.#over || (this.#subscription === undefined && this.#seen === 0)) return;
    const { definition } = this.call;
    const revision = this.#subscription === undefined ? this.#seen : this.set.revision;
    const hasAnnotations = Object.keys(annotations).length > 0;
    this.sink.bookmark({
      kind: definition.kind,
      apiVersion: apiVersionOf(definition),
      metadata: {
        resourceVersion: String(revision),
        ...(hasAnnotations ? { annotations } : {}),
      },
    });
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    if (error instanceof Compacted) {
      this.sink.fail(expired(this.options.notOlderThan, error.compactRevision));
    } else {
      this.call.parts.runtime.log.error("watch failed", { error: String(error) });
      this.sink.fail(new ApiError("InternalError", "Internal error occurred: the watch failed"));
    }
    this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#counted?.forget();
    this.#subscription?.[Symbol.dispose]();
    this.sink.end();
  }
}

type SelectedEvent =
  | { readonly type: WatchType; readonly object: Stored }
  /** The object still exists but is no longer selected: shown as it last was. */
  | { readonly type: "left"; readonly object: Stored };

/** What a change is to someone who sees only what the selection matches. */
export function eventOf(
  change: LiveChange<KubeObject>,
  selection: Pick<Selection, "selects" | "matches">,
): SelectedEvent | undefined {
  const { now, before } = change;
  const sees = (object: Stored) => !selection.selects || selection.matches(object);
  const saw = before !== undefined && sees(before);
  if (change.type === "deleted") {
    return before === undefined || saw ? { type: "DELETED", object: now } : undefined;
  }
  if (sees(now)) return { type: saw ? "MODIFIED" : "ADDED", object: now };
  return saw ? { type: "left", object: before } : undefined;
}
