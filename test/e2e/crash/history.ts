/**
 * What was asked, what was answered, what was watched: and whether the three can be true together.
 * Knows nothing of processes or sockets; every broken promise is a thrown Violation.
 */

export class Violation extends Error {}

export type Verb = "create" | "update" | "delete";

/** One request of a writer. Only the writer of a key writes it, one request after the other. */
export interface Write {
  readonly id: number;
  readonly key: string;
  readonly verb: Verb;
  /** "unknown": the answer never came, the write may or may not have happened. */
  outcome: "unknown" | "done" | "refused";
  /** The acknowledged resourceVersion, when the answer told one. */
  revision?: number;
  /** The resourceVersion of the watch event that showed it. */
  seen?: number;
}

export interface WatchedEvent {
  readonly type: string;
  readonly key: string;
  readonly revision: number;
  /** The id of the write that made this content; for DELETED that of the last content. */
  readonly id: number;
  /** The id of the content that an update with a resourceVersion was based on. */
  readonly base?: number | undefined;
  /** Whether the content carries the label of the selecting watcher. */
  readonly selected: boolean;
}

export interface Listed {
  readonly key: string;
  readonly revision: number;
  readonly id: number;
}

const typeOf: Readonly<Record<Verb, string>> = {
  create: "ADDED",
  update: "MODIFIED",
  delete: "DELETED",
};

export class History {
  readonly #writes = new Map<number, Write>();
  readonly #deletes = new Map<string, Write[]>();
  readonly #living = new Map<string, WatchedEvent>();
  /** Acknowledged and not yet seen by the checked watch. */
  readonly #unseen = new Set<Write>();
  #nextId = 1;
  #newest = 0;
  #floor = 0;
  #checkedTo = 0;
  acknowledged = 0;
  unknownDone = 0;
  checkedEvents = 0;

  /** Notes a request before it is sent. */
  begin(key: string, verb: Verb): Write {
    const write: Write = { id: this.#nextId++, key, verb, outcome: "unknown" };
    this.#writes.set(write.id, write);
    if (verb === "delete") {
      const deletes = this.#deletes.get(key);
      if (deletes === undefined) this.#deletes.set(key, [write]);
      else deletes.push(write);
    }
    return write;
  }

  /** The server said yes, or a read showed that the write had happened. */
  done(write: Write, revision?: number): void {
    if (revision !== undefined) {
      if (revision <= this.#floor) {
        throw new Violation(
          `${told(write)}: resourceVersion ${revision} was reused: ${this.#floor} was known ` +
            "before the restart",
        );
      }
      if (write.seen !== undefined && write.seen !== revision) {
        throw new Violation(`${told(write)}: acknowledged at ${revision}, seen at ${write.seen}`);
      }
      write.revision = revision;
      this.know(revision);
    }
    write.outcome = "done";
    this.acknowledged += 1;
    if (write.seen === undefined) this.#unseen.add(write);
  }

  /** A read after the restart showed that an unanswered write had happened. */
  found(write: Write, revision?: number): void {
    const floor = this.#floor;
    this.#floor = 0; // it happened before the restart, so it may be below
    this.done(write, revision);
    this.#floor = floor;
    this.acknowledged -= 1;
    this.unknownDone += 1;
  }

  /** The server said no, or a read showed that the write had not happened. */
  refused(write: Write): void {
    if (write.seen !== undefined) {
      throw new Violation(`${told(write)}: did not happen, yet was seen at ${write.seen}`);
    }
    write.outcome = "refused";
  }

  /** Any resourceVersion that the server told: acknowledged, watched, listed, bookmarked. */
  know(revision: number): void {
    if (revision > this.#newest) this.#newest = revision;
  }

  /** From now on every new write must be newer than all that is known. */
  restarted(): void {
    this.#floor = this.#newest;
  }

  /** What must be seen by a watch that has reached a write made after this call. */
  owed(): readonly Write[] {
    return [...this.#unseen];
  }

  /** Checks the next stretch of the unfiltered watch, up to and with `fence`. */
  check(events: readonly WatchedEvent[], owed: readonly Write[]): void {
    for (const event of events) this.#checkEvent(event);
    for (const write of owed) {
      if (write.seen === undefined) {
        throw new Violation(`${told(write)}: acknowledged, but no watch event showed it`);
      }
    }
  }

  #checkEvent(event: WatchedEvent): void {
    const { key, type, revision } = event;
    const what = `event ${type} ${key} at ${revision}`;
    if (revision <= this.#checkedTo) {
      throw new Violation(`${what}: doubled or out of order, after ${this.#checkedTo}`);
    }
    this.#checkedTo = revision;
    const before = this.#living.get(key);
    if ((type === "ADDED") !== (before === undefined)) {
      throw new Violation(`${what}: the key ${before ? "existed" : "did not exist"}`);
    }
    const write = type === "DELETED" ? this.#deleteOf(key) : this.#writes.get(event.id);
    if (write === undefined || write.key !== key) throw new Violation(`${what}: nobody asked`);
    if (write.seen !== undefined) throw new Violation(`${what}: seen before at ${write.seen}`);
    if (write.outcome === "refused") throw new Violation(`${what}: it was refused`);
    if (typeOf[write.verb] !== type) throw new Violation(`${what}: asked was ${write.verb}`);
    if (write.revision !== undefined && write.revision !== revision) {
      throw new Violation(`${what}: acknowledged at ${write.revision}`);
    }
    if (type === "MODIFIED" && event.base !== undefined && event.base !== before?.id) {
      throw new Violation(`${what}: based on ${event.base}, overwrote ${before?.id}`);
    }
    if (type === "DELETED" && before !== undefined && event.id !== before.id) {
      throw new Violation(`${what}: shows content ${event.id}, the last one was ${before.id}`);
    }
    write.seen = revision;
    this.#unseen.delete(write);
    this.checkedEvents += 1;
    if (type === "DELETED") this.#living.delete(key);
    else this.#living.set(key, event);
  }

  /** The oldest delete of this key that may have happened and has not been seen. */
  #deleteOf(key: string): Write | undefined {
    const deletes = this.#deletes.get(key) ?? [];
    while (deletes[0]?.outcome === "refused" || deletes[0]?.seen !== undefined) deletes.shift();
    return deletes[0];
  }

  /** The state that the checked events end in must be what the server lists. */
  compare(listed: readonly Listed[]): void {
    const rest = new Map(this.#living);
    for (const { key, revision, id } of listed) {
      const expected = rest.get(key);
      if (expected === undefined) throw new Violation(`${key} is listed, but no event made it`);
      if (expected.id !== id || expected.revision !== revision) {
        throw new Violation(
          `${key} is listed with content ${id} at ${revision}, ` +
            `watched with ${expected.id} at ${expected.revision}`,
        );
      }
      rest.delete(key);
    }
    for (const [key, { revision }] of rest) {
      throw new Violation(`${key}, last written at ${revision}, is not listed`);
    }
  }
}

/** What a watcher with a label selector must be shown of the whole stream. */
export class Selection {
  readonly #selected = new Set<string>();

  of(events: readonly WatchedEvent[]): WatchedEvent[] {
    return events.flatMap((event) => {
      const { key } = event;
      const before = this.#selected.has(key);
      const after = event.type !== "DELETED" && event.selected;
      if (after) this.#selected.add(key);
      else this.#selected.delete(key);
      if (!before && !after) return [];
      const type = !after ? "DELETED" : before ? "MODIFIED" : "ADDED";
      return [{ ...event, type }];
    });
  }
}

/** Two watchers were shown the same, or a Violation names the first difference. */
export function sameEvents(
  name: string,
  found: readonly WatchedEvent[],
  expected: readonly WatchedEvent[],
): void {
  const text = (event: WatchedEvent | undefined) =>
    event === undefined ? "nothing" : `${event.type} ${event.key} at ${event.revision}`;
  for (let i = 0; i < Math.max(found.length, expected.length); i += 1) {
    if (text(found[i]) === text(expected[i])) continue;
    throw new Violation(`${name} saw ${text(found[i])} where ${text(expected[i])} was due`);
  }
}

function told({ verb, key, id }: Write): string {
  return `${verb} ${key} (write ${id})`;
}
