/**
 * WATCH: what a client has missed, then what happens, in one unbroken order. Starting is
 * synchronous with the LiveSet, so that nothing falls between the past and the present.
 */

import { apiVersionOf } from "../client/request-form.ts";
import { ApiError } from "../lib/api-error.ts";
import { nextTurn } from "../lib/turns.ts";
import type { LiveChange, SearchableSet } from "../live/live-set.ts";
import type { KubeObject } from "../schema/object.ts";
import { Compacted, prefixRange, type Revision } from "../store/store.ts";
import type { Call, Parts } from "./call.ts";
import type { CountedWatch, WatchTally } from "./flowcontrol/watch-counts.ts";
import { candidatesIn, currentSet, expired } from "./list.ts";
import { type ListQuery, readListOptions } from "./list-options.ts";
import { storagePrefixOf } from "./registry.ts";
import type { ResourceDefinition } from "./resource-definition.ts";
import { type Selection, selectionOf } from "./selection.ts";
import { type Stored, storedAllFrom } from "./stored.ts";
import {
  type Audience,
  audienceOf,
  eventOf,
  type Listener,
  type SelectedEvent,
  type WatchType,
} from "./watch-audience.ts";
import type { Timed } from "./watch-times.ts";

const limits = {
  bookmarkEveryMs: 60_000,
  minRequestTimeoutSeconds: 1800,
  lastBookmarkBeforeEndMs: 2000,
  /** Objects of the initial state that are shown in one turn of the event loop. */
  presentAtOnceMax: 250,
} as const;

/** Who receives the events. */
export interface WatchSink {
  /** The bytes that it takes on the wire; 0 where it does not go over one. */
  event(type: WatchType, object: Stored): number;
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
  /** Delivers the past, then follows; returns at once. It may end by itself. */
  start(sink: WatchSink): RunningWatch;
}

export interface RunningWatch {
  end(): void;
}

/** Checks the request; throws what is wrong with it. */
export async function planWatch(call: Call): Promise<PlannedWatch> {
  const { definition, request } = call;
  const options = readListOptions(request.query, "watch");
  const asked = selectionOf(definition, request);
  const mustWait = options.sendInitialEvents === true || !options.hasResourceVersion;
  const set = await currentSet(call, mustWait ? options.notOlderThan : 0);
  const { parts } = call;
  return {
    start(sink) {
      const counted = parts.watches?.add(request);
      const audience = audienceOf(set, definition);
      const selection = audience.shared(asked);
      const watching = { parts, definition, set, audience, selection, options, counted };
      const watch = new Watch(watching, sink);
      watch.start();
      // No closure: it would keep the request for as long as the watch lasts.
      return watch;
    },
  };
}

/** What a watch keeps of its request: there may be many, and they last. */
interface Watching {
  readonly parts: Parts;
  readonly definition: ResourceDefinition;
  readonly set: SearchableSet<KubeObject>;
  readonly audience: Audience;
  readonly selection: Selection;
  readonly options: ListQuery;
  readonly counted: CountedWatch | undefined;
}

class Watch implements RunningWatch, Timed, Listener {
  /** It is told of changes as they happen. */
  #follows = false;
  /** While the store's log is read. */
  #reading: AbortController | undefined;
  readonly #onRemoved = (): void => this.end();
  #over = false;
  readonly #tally: WatchTally | undefined;
  #seen: Revision = 0;
  #slot = 0;
  #endsMs = 0;
  #nextBookmarkMs = 0;

  constructor(
    private readonly watching: Watching,
    private readonly sink: WatchSink,
  ) {
    this.#tally = watching.counted?.tally;
  }

  start(): void {
    const { definition, options, set } = this.watching;
    definition.custom?.removed.addEventListener("abort", this.#onRemoved);
    const { hasResourceVersion, notOlderThan, sendInitialEvents } = options;
    this.#keepTime();
    if (sendInitialEvents ?? !hasResourceVersion) this.#fromPresent();
    else if (!hasResourceVersion) this.#follow(set.revision);
    else this.#fromPast(notOlderThan);
  }

  #fromPast(from: Revision): void {
    const missed = this.watching.set.since(from);
    if (missed === "too-old") {
      this.#fromLog(from).catch((error: unknown) => this.#fail(error));
      return;
    }
    for (const change of missed) this.#deliver(change);
    this.#follow(Math.max(from, this.watching.set.revision));
  }

  #fromPresent(): void {
    const present = candidatesIn(this.watching.set, this.watching.selection);
    if (present.length > limits.presentAtOnceMax) {
      this.#presentInTurns(present).catch((error: unknown) => this.#fail(error));
      return;
    }
    for (const object of present) this.#present(object);
    this.#follow(this.watching.set.revision);
    this.#endOfPresent();
  }

  /** As fast as the reader takes them; what happens meanwhile comes after. */
  async #presentInTurns(present: readonly Stored[]): Promise<void> {
    const { revision } = this.watching.set;
    for (let at = 0; at < present.length; at += limits.presentAtOnceMax) {
      const slice = present.slice(at, at + limits.presentAtOnceMax);
      this.sink.together(() => {
        for (const object of slice) this.#present(object);
      });
      await nextTurn();
      await this.sink.room();
      if (this.#over) return;
    }
    this.#seen = revision;
    this.#endOfPresent();
    this.#fromPast(revision);
  }

  #present(object: Stored): void {
    if (this.#over || (this.watching.selection.selects && !this.watching.selection.matches(object)))
      return;
    this.sink.event("ADDED", object);
  }

  #endOfPresent(): void {
    if (
      this.watching.options.sendInitialEvents === true &&
      this.watching.options.allowWatchBookmarks
    ) {
      this.#bookmark({ "k8s.io/initial-events-end": "true" });
    }
  }

  /** The LiveSet has forgotten what the store's log still knows. */
  async #fromLog(from: Revision): Promise<void> {
    const { definition, parts } = this.watching;
    const range = prefixRange(storagePrefixOf(definition));
    this.#reading = new AbortController();
    for await (const batch of parts.store.watch(range, from, this.#reading.signal)) {
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
    this.#follows = true;
    this.watching.audience.join(this.watching.selection, this);
  }

  /** Something that was missed. */
  #deliver(change: LiveChange<KubeObject>): void {
    const event = eventOf(change, this.watching.selection);
    if (event !== undefined) this.#show(event.type, event.object);
  }

  tell(event: SelectedEvent, revision: Revision): void {
    if (revision > this.#seen) this.#show(event.type, event.object);
  }

  #show(type: WatchType, object: Stored): void {
    if (this.#over) return;
    const bytes = this.sink.event(type, object);
    if (this.#tally === undefined) return;
    this.#tally.events += 1;
    if (bytes > 0) this.#tally.sized(bytes);
  }

  #keepTime(): void {
    const { runtime, minRequestTimeoutSeconds } = this.watching.parts;
    const { clock, random } = runtime;
    const least = Math.max(minRequestTimeoutSeconds ?? limits.minRequestTimeoutSeconds, 1);
    // Watches that began together do not end together.
    const seconds = this.watching.options.timeoutSeconds || least + random.int(least);
    const now = clock.monotonicMs();
    this.#endsMs = now + seconds * 1000;
    this.#nextBookmarkMs = now + limits.bookmarkEveryMs;
    this.#wait(now);
  }

  /** For the next bookmark or the end; the last bookmark comes shortly before that. */
  #wait(now: number): void {
    const { options, parts } = this.watching;
    const lastMs = this.#endsMs - limits.lastBookmarkBeforeEndMs;
    const isLast = !options.allowWatchBookmarks || now >= lastMs;
    const nextMs = isLast ? this.#endsMs : Math.min(this.#nextBookmarkMs, lastMs);
    this.#slot = parts.watchTimes.add(this, nextMs - now);
  }

  due(): void {
    if (this.#over) return;
    const now = this.watching.parts.runtime.clock.monotonicMs();
    if (now >= this.#endsMs) {
      this.end();
      return;
    }
    this.#bookmark({});
    if (now >= this.#nextBookmarkMs) this.#nextBookmarkMs += limits.bookmarkEveryMs;
    this.#wait(now);
  }

  #bookmark(annotations: Record<string, string>): void {
    if (this.#over || (!this.#follows && this.#seen === 0)) return;
    const { definition, set } = this.watching;
    const revision = this.#follows ? set.revision : this.#seen;
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
      this.sink.fail(expired(this.watching.options.notOlderThan, error.compactRevision));
    } else {
      this.watching.parts.runtime.log.error("watch failed", { error: String(error) });
      this.sink.fail(new ApiError("InternalError", "Internal error occurred: the watch failed"));
    }
    this.end();
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    const { audience, counted, definition, parts, selection } = this.watching;
    counted?.forget();
    parts.watchTimes.remove(this, this.#slot);
    definition.custom?.removed.removeEventListener("abort", this.#onRemoved);
    this.#reading?.abort();
    if (this.#follows) audience.leave(selection, this);
    this.sink.end();
  }
}
