/** An agent's LiveSets: list and watch through a Client, again from the last known revision. */
import type { Client, Resource, WatchEvent } from "../client/client.ts";
import { isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type KubeObject, keyOf } from "../schema/object.ts";
import type { Revision } from "../store/store.ts";
import { deepFreeze, ParsedObject } from "./live-object.ts";
import type { LiveSet, LiveSets } from "./live-set.ts";
import { LiveSetImpl } from "./live-set-impl.ts";

const limits = {
  pageObjectsMax: 500,
  retryMinMs: 500,
  retryMaxMs: 30_000,
  /** A watch that ended sooner than this without an event counts as a failure. */
  healthyWatchMs: 1000,
} as const;

export interface ClientFeedOptions {
  readonly client: Client;
  readonly runtime: Runtime;
  /** Ends all watches. */
  readonly signal: AbortSignal;
  /** Freeze what is handed out; on in development and tests. */
  readonly freeze?: boolean;
}

/** Hands out sets that follow the API through `client`; each starts at its first use. */
export function createClientLiveSets(options: ClientFeedOptions): LiveSets {
  const sets = new Map<string, LiveSetImpl<KubeObject>>();
  return {
    of<T extends KubeObject>(
      resource: Resource<T>,
      more: { readonly fieldSelector?: string } = {},
    ): LiveSet<T> {
      const { group, version, plural } = resource;
      const { fieldSelector = "" } = more;
      const id = `${group}/${version}/${plural}?${fieldSelector}`;
      let set = sets.get(id);
      if (set === undefined) {
        set = new LiveSetImpl<KubeObject>();
        sets.set(id, set);
        void new Follower(resource as Resource<KubeObject>, fieldSelector, set, options).run();
      }
      return set as unknown as LiveSet<T>;
    },
  };
}

class Follower {
  #revision = "";
  #failures = 0;

  constructor(
    private readonly resource: Resource<KubeObject>,
    private readonly fieldSelector: string,
    private readonly set: LiveSetImpl<KubeObject>,
    private readonly options: ClientFeedOptions,
  ) {}

  /** Never rejects: what goes wrong with the server is tried again until the signal aborts. */
  async run(): Promise<void> {
    const { runtime, signal } = this.options;
    while (!signal.aborted) {
      try {
        if (this.#revision === "") await this.#list();
        const startedAt = runtime.clock.monotonicMs();
        await this.#watch();
        if (runtime.clock.monotonicMs() - startedAt >= limits.healthyWatchMs) continue;
        this.#failures += 1;
      } catch (error) {
        if (signal.aborted) return;
        this.#recover(error);
      }
      await runtime.clock.sleep(this.#waitMs(), signal);
    }
  }

  #recover(error: unknown): void {
    if (isReason(error, "Expired") || isReason(error, "Gone")) {
      this.#revision = "";
      return;
    }
    this.#failures += 1;
    const { group, plural } = this.resource;
    this.options.runtime.log.debug("watch interrupted", { group, plural, error: String(error) });
  }

  #waitMs(): number {
    const { random } = this.options.runtime;
    if (this.#failures === 0) return 0;
    const doubled = limits.retryMinMs * 2 ** Math.min(this.#failures - 1, 10);
    const ms = Math.min(doubled, limits.retryMaxMs);
    return ms / 2 + random.int(Math.ceil(ms / 2));
  }

  async #list(): Promise<void> {
    const objects: KubeObject[] = [];
    const selector = this.fieldSelector === "" ? {} : { fieldSelector: this.fieldSelector };
    let next = "";
    let version = "";
    do {
      const page = await this.options.client.list(this.resource, "", {
        ...selector,
        limit: limits.pageObjectsMax,
        ...(next === "" ? {} : { continue: next }),
      });
      objects.push(...page.items);
      next = page.continue;
      version = page.resourceVersion;
    } while (next !== "");
    const live = objects.map((object) => this.#liveObject(object));
    this.set.reset(live, Number(version));
    this.#revision = version;
    this.#failures = 0;
  }

  async #watch(): Promise<void> {
    const { client, signal } = this.options;
    const selector = this.fieldSelector === "" ? {} : { fieldSelector: this.fieldSelector };
    const options = { ...selector, resourceVersion: this.#revision };
    for await (const event of client.watch(this.resource, "", options, signal)) {
      this.#take(event);
      this.#failures = 0;
    }
  }

  #take(event: WatchEvent<KubeObject>): void {
    const version = event.object.metadata.resourceVersion ?? this.#revision;
    if (event.type === "BOOKMARK") this.set.progress(Number(version) as Revision);
    else {
      const now = this.#liveObject(event.object);
      this.set.apply([{ type: event.type === "DELETED" ? "delete" : "put", now }]);
    }
    this.#revision = version;
  }

  #liveObject(object: KubeObject): ParsedObject<KubeObject> {
    const shared = this.options.freeze === true ? deepFreeze(object) : object;
    return new ParsedObject(keyOf(object), shared as DeepReadonly<KubeObject>);
  }
}
