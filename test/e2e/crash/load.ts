/** The load: writers that note what they ask, and watchers that go on from where they stopped. */
import { type Answer, type Body, type Connection, Unanswered } from "./connection.ts";
import { type History, Violation, type WatchedEvent, type Write } from "./history.ts";

export const namespace = "crash";
const path = `/api/v1/namespaces/${namespace}/configmaps`;
const keysPerWriter = 12;
const sharedKeys = 3;
/** Some values fill several pages of the database, so that a kill can fall between them. */
const bigValue = "x".repeat(24_000);

/** Numbers from 0 to 1, the same for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function revisionOf(body: Body): number {
  const revision = Number(body.metadata?.resourceVersion);
  if (!Number.isSafeInteger(revision) || revision <= 0) {
    throw new Violation(`no resourceVersion in ${JSON.stringify(body).slice(0, 300)}`);
  }
  return revision;
}

interface Content {
  readonly write: Write;
  readonly random: () => number;
  /** The object that an update is based on. */
  readonly base?: Body | undefined;
}

function configMap({ write, random, base }: Content): Body {
  return {
    metadata: {
      name: write.key,
      labels: { half: random() < 0.5 ? "this" : "that" },
      ...(base === undefined ? {} : { resourceVersion: base.metadata?.resourceVersion ?? "" }),
    },
    data: {
      id: String(write.id),
      base: base?.data?.id ?? "",
      ...(random() < 0.05 ? { big: bigValue } : {}),
    },
  };
}

interface OwnKey {
  readonly name: string;
  exists: boolean;
  /** A write whose answer never came; nothing else is asked of the key until a read told. */
  open?: Write | undefined;
}

/** Writes keys of its own without a resourceVersion, and shared ones with optimistic locking. */
export class Writer {
  readonly #keys: OwnKey[];

  constructor(
    number: number,
    private readonly history: History,
    private readonly random: () => number,
  ) {
    this.#keys = Array.from({ length: keysPerWriter }, (_, i) => ({
      name: `w${number}-${i}`,
      exists: false,
    }));
  }

  /** One request after the other, until the connection is cut. */
  async run(connection: Connection): Promise<void> {
    try {
      for (const key of this.#keys) await this.#settle(connection, key);
      for (;;) {
        if (this.random() < 0.15) await this.#raise(connection);
        else await this.#write(connection, this.#pick());
      }
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
    }
  }

  #pick(): OwnKey {
    return this.#keys[Math.floor(this.random() * keysPerWriter)] as OwnKey;
  }

  /** Reads what became of the write that the last kill cut off. */
  async #settle(connection: Connection, key: OwnKey): Promise<void> {
    const { status, body } = await connection.ask("GET", `${path}/${key.name}`);
    if (status !== 200 && status !== 404) throw unexpected(`get ${key.name}`, { status, body });
    const { open } = key;
    if (open === undefined) {
      if (key.exists !== (status === 200)) throw unexpected(`get ${key.name}`, { status, body });
      return;
    }
    const isDone =
      open.verb === "delete" ? status === 404 : Number(body.data?.id ?? "") === open.id;
    if (isDone) this.history.found(open, status === 200 ? revisionOf(body) : undefined);
    else this.history.refused(open);
    key.exists = status === 200;
    key.open = undefined;
  }

  async #write(connection: Connection, key: OwnKey): Promise<void> {
    const draw = this.random();
    const verb = !key.exists ? "create" : draw < 0.25 ? "delete" : "update";
    const write = this.history.begin(key.name, verb);
    key.open = write;
    const asked = this.#send(connection, write, draw < 0.5);
    const answer = await asked;
    if (answer.status >= 300) throw unexpected(`${verb} ${key.name}`, answer);
    this.history.done(write, verb === "delete" ? undefined : revisionOf(answer.body));
    key.exists = verb !== "delete";
    key.open = undefined;
  }

  #send(connection: Connection, write: Write, asPatch: boolean): Promise<Answer> {
    const own = `${path}/${write.key}`;
    if (write.verb === "delete") return connection.ask("DELETE", own);
    const object = configMap({ write, random: this.random });
    if (write.verb === "create") return connection.ask("POST", path, object);
    if (!asPatch) return connection.ask("PUT", own, object);
    return connection.ask("PATCH", own, object, "application/merge-patch+json");
  }

  /** Reads a shared key and writes it back at the version read; a conflict writes nothing. */
  async #raise(connection: Connection): Promise<void> {
    const name = `shared-${Math.floor(this.random() * sharedKeys)}`;
    const read = await connection.ask("GET", `${path}/${name}`);
    if (read.status !== 200) throw unexpected(`get ${name}`, read);
    const write = this.history.begin(name, "update");
    const object = configMap({ write, random: this.random, base: read.body });
    const answer = await connection.ask("PUT", `${path}/${name}`, object);
    if (answer.status === 409) this.history.refused(write);
    else if (answer.status === 200) this.history.done(write, revisionOf(answer.body));
    else throw unexpected(`update ${name}`, answer);
  }
}

/** The harness's own writes; never cut off, for nothing is killed while they run. */
export class Harness {
  #hasFence = false;

  constructor(private readonly history: History) {}

  async prepareNamespace(connection: Connection): Promise<void> {
    const made = await connection.ask("POST", "/api/v1/namespaces", {
      metadata: { name: namespace },
    });
    if (made.status !== 201) throw unexpected("create namespace", made);
  }

  async prepareShared(connection: Connection): Promise<void> {
    for (let i = 0; i < sharedKeys; i += 1) await this.#put(connection, `shared-${i}`, "create");
  }

  /** Writes an object that every watcher must reach; its resourceVersion. */
  async fence(connection: Connection): Promise<number> {
    const revision = await this.#put(connection, "fence", this.#hasFence ? "update" : "create");
    this.#hasFence = true;
    return revision;
  }

  async #put(connection: Connection, name: string, verb: "create" | "update"): Promise<number> {
    const write = this.history.begin(name, verb);
    const object: Body = {
      metadata: { name, labels: { half: "this" } },
      data: { id: String(write.id) },
    };
    const answer =
      verb === "create"
        ? await connection.ask("POST", path, object)
        : await connection.ask("PUT", `${path}/${name}`, object);
    if (answer.status >= 300) throw unexpected(`${verb} ${name}`, answer);
    const revision = revisionOf(answer.body);
    this.history.done(write, revision);
    return revision;
  }
}

/** All ConfigMaps of the writers, with the resourceVersion of the list. */
export async function list(connection: Connection): Promise<{ revision: number; items: Body[] }> {
  const answer = await connection.ask("GET", path);
  if (answer.status !== 200) throw unexpected("list", answer);
  const items = (answer.body.items ?? []).filter((item) => item.data?.id !== undefined);
  return { revision: revisionOf(answer.body), items };
}

/** A watch that goes on after each restart from the last resourceVersion it was shown. */
export class Watcher {
  /** Why the last connection showed nothing more. */
  ended = "";
  /** What was seen since it was last taken. */
  #events: WatchedEvent[] = [];
  #waiting: { revision: number; resolve: () => void } | undefined;

  constructor(
    readonly name: string,
    private readonly query: string,
    private readonly history: History,
    public at: number,
  ) {}

  static all(history: History, at: number): Watcher {
    return new Watcher("the watch of one namespace", `${path}?`, history, at);
  }
  static everywhere(history: History, at: number): Watcher {
    return new Watcher("the watch of all namespaces", "/api/v1/configmaps?", history, at);
  }
  static selecting(history: History, at: number): Watcher {
    const query = `${path}?labelSelector=half%3Dthis&`;
    return new Watcher("the watch with a selector", query, history, at);
  }

  /** Watches until the connection is cut. */
  async run(connection: Connection): Promise<void> {
    const query = `${this.query}watch=true&allowWatchBookmarks=true&resourceVersion=${this.at}`;
    try {
      const status = await connection.lines(query, (line) => this.#read(line));
      // A torn end of an answer looks like its end; one that the server refused is told apart.
      if (status !== 200) throw new Violation(`${this.name} from ${this.at} answered ${status}`);
      this.ended = "the server ended it";
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      this.ended = error.message;
    }
  }

  /** Resolves when an event at `revision` or later was seen. */
  reach(revision: number): Promise<void> {
    if (this.at >= revision) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting = { revision, resolve };
    });
  }

  /** The events up to `revision`, which are not given again. */
  take(revision: number): WatchedEvent[] {
    const end = this.#events.findIndex((event) => event.revision > revision);
    return this.#events.splice(0, end < 0 ? this.#events.length : end);
  }

  #read(line: string): void {
    const { type, object } = JSON.parse(line) as { type: string; object: Body };
    if (type === "ERROR") throw new Violation(`${this.name}: ${line.slice(0, 300)}`);
    const revision = revisionOf(object);
    const { name = "", namespace: where } = object.metadata ?? {};
    const isLate = type === "BOOKMARK" ? revision < this.at : revision <= this.at;
    if (isLate) {
      throw new Violation(`${this.name} was shown ${type} ${name} at ${revision} after ${this.at}`);
    }
    this.at = revision;
    this.history.know(revision);
    const id = Number(object.data?.id ?? "0");
    if (type !== "BOOKMARK" && where === namespace && id > 0) {
      const base = object.data?.base ? Number(object.data.base) : undefined;
      const selected = object.metadata?.labels?.half === "this";
      this.#events.push({ type, key: name, revision, id, base, selected });
    }
    if (this.#waiting !== undefined && revision >= this.#waiting.revision) {
      this.#waiting.resolve();
      this.#waiting = undefined;
    }
  }
}

function unexpected(what: string, { status, body }: Answer): Violation {
  return new Violation(`${what} answered ${status}: ${JSON.stringify(body).slice(0, 300)}`);
}
