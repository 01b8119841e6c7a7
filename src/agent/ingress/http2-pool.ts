/** Connections to backends that speak HTTP/2: one for each, shared by all requests. */
import type { ClientHttp2Session } from "node:http2";
import type { Streams } from "../../runtime/stream-sockets.ts";
import { keyOf, type Place } from "./backend-pool.ts";

const limits = { idleMsMax: 30_000 } as const;

interface Kept {
  readonly session: ClientHttp2Session;
  /** Who waits for it to be connected; undefined when it is. */
  waiting: { readonly open: () => void; readonly fail: () => void }[] | undefined;
  streams: number;
  idleSinceMs: number;
}

export class Http2Pool {
  readonly #kept = new Map<string, Kept>();

  constructor(
    private readonly streams: Streams,
    private readonly nowMs: () => number,
  ) {}

  /** Calls one of the two, at once when there is a connection. */
  session(
    place: Place,
    onOpen: (session: ClientHttp2Session) => void,
    onFailure: () => void,
  ): void {
    const kept = this.#kept.get(keyOf(place)) ?? this.#connect(place);
    const { session } = kept;
    if (kept.waiting === undefined) onOpen(session);
    else kept.waiting.push({ open: () => onOpen(session), fail: onFailure });
  }

  #connect(place: Place): Kept {
    const key = keyOf(place);
    const { endpoint, tls } = place;
    const session = this.streams.connectHttp2(endpoint, tls);
    const kept: Kept = { session, waiting: [], streams: 0, idleSinceMs: this.nowMs() };
    const gone = (): void => {
      if (this.#kept.get(key) === kept) this.#kept.delete(key);
      const { waiting = [] } = kept;
      kept.waiting = [];
      for (const { fail } of waiting) fail();
    };
    session.on("connect", () => {
      const { waiting = [] } = kept;
      kept.waiting = undefined;
      for (const { open } of waiting) open();
    });
    session.on("error", gone);
    session.on("close", gone);
    // It finishes what it has, and takes no more.
    session.on("goaway", gone);
    this.#kept.set(key, kept);
    return kept;
  }

  /** Counts a request that begins on it, and the end of one. */
  count(place: Place, by: 1 | -1): void {
    const kept = this.#kept.get(keyOf(place));
    if (kept === undefined) return;
    kept.streams += by;
    kept.idleSinceMs = this.nowMs();
  }

  /** Closes what nobody has used for long, or what leads to no endpoint any more. */
  sweep(isKnown: (key: string) => boolean): void {
    const since = this.nowMs() - limits.idleMsMax;
    for (const [key, { session, streams, idleSinceMs }] of this.#kept) {
      const isOld = streams <= 0 && idleSinceMs < since;
      if (isKnown(key) && !isOld) continue;
      this.#kept.delete(key);
      // It ends when its last request has.
      session.close();
    }
  }

  close(): void {
    for (const { session } of this.#kept.values()) session.destroy();
    this.#kept.clear();
  }
}
