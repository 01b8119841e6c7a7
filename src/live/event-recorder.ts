/** Writes core/v1 Events; a repeated event becomes a higher count on the first one. */
import type { Client } from "../client/client.ts";
import { events } from "../client/resources.ts";
import type { Event } from "../gen/core-v1.ts";
import { isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { KubeObject } from "../schema/object.ts";
import type { EventRecorder } from "./events.ts";

const limits = {
  /** Events whose repeats are recognised. */
  rememberedMax: 4096,
  /** Events of one source about one object: a burst, then one in five minutes. */
  burst: 25,
  refillMs: 300_000,
  messageBytesMax: 1024,
} as const;

const never = new AbortController().signal;

interface Remembered {
  readonly name: string;
  readonly namespace: string;
  readonly firstTimestamp: string;
  count: number;
}

interface Bucket {
  tokens: number;
  filledAtMs: number;
}

/**
 * `component` and `host` become the source of the events. They are written `lagMs` after they were
 * told: who tells has more urgent things to do at that moment.
 */
export function createEventRecorder(
  client: Client,
  runtime: Runtime,
  component: string,
  host: string,
  lagMs = 0,
): EventRecorder {
  return new Recorder(client, runtime, component, host, lagMs);
}

type About = DeepReadonly<KubeObject>;

class Recorder implements EventRecorder {
  readonly #remembered = new Map<string, Remembered>();
  readonly #buckets = new Map<string, Bucket>();
  /** Writes go out one after the other, so that a count never overtakes its event. */
  #last: Promise<void> = Promise.resolve();

  constructor(
    private readonly client: Client,
    private readonly runtime: Runtime,
    private readonly component: string,
    private readonly host: string,
    private readonly lagMs: number,
  ) {}

  event(...[about, type, reason, message, options]: Parameters<EventRecorder["event"]>): void {
    if (!this.#mayTell(about)) return;
    const event = this.#eventOf(about, type, reason, message, options ?? {});
    const lag = this.lagMs === 0 ? undefined : this.runtime.clock.sleep(this.lagMs, never);
    this.#last = Promise.all([this.#last, lag])
      .then(() => this.#write(event))
      .catch((error: unknown) => {
        // In a namespace that goes nothing new can be told, and nobody would read it.
        const level = String(error).includes("because it is being terminated") ? "debug" : "warn";
        this.runtime.log[level]("cannot record event", { reason, error: String(error) });
      });
  }

  #eventOf(
    about: About,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
    { fieldPath = "", annotations }: NonNullable<Parameters<EventRecorder["event"]>[4]>,
  ): Event {
    const { name = "", namespace, uid, resourceVersion } = about.metadata;
    const now = `${this.runtime.clock.now().toISOString().slice(0, 19)}Z`;
    const hex = BigInt(this.runtime.clock.now().getTime()) * 1_000_000n;
    const unique = (hex + BigInt(this.runtime.random.int(1_000_000))).toString(16);
    const { apiVersion, kind } = about;
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: {
        name: `${name}.${unique}`,
        namespace: namespace || "default",
        ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
      },
      involvedObject: {
        kind,
        apiVersion,
        name,
        ...(namespace === undefined ? {} : { namespace }),
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        ...(fieldPath === "" ? {} : { fieldPath }),
      },
      reason,
      message: message.slice(0, limits.messageBytesMax),
      type,
      source: { component: this.component, ...(this.host === "" ? {} : { host: this.host }) },
      reportingComponent: this.component,
      reportingInstance: this.host,
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    };
  }

  async #write(event: Event): Promise<void> {
    const key = similarity(event);
    const known = this.#remembered.get(key);
    if (known !== undefined) {
      known.count += 1;
      if (await this.#count(event, known)) return;
    }
    const { name = "", namespace = "" } = event.metadata;
    await this.client.create(events, event);
    this.#remember(key, {
      name,
      namespace,
      firstTimestamp: event.firstTimestamp ?? "",
      count: 1,
    });
  }

  /** False when the counted event is gone, as events live for an hour only. */
  async #count(event: Event, known: Remembered): Promise<boolean> {
    const change = {
      count: known.count,
      lastTimestamp: event.lastTimestamp,
      message: event.message,
    };
    try {
      await this.client.patch(events, known.namespace, known.name, "merge", change);
      return true;
    } catch (error) {
      if (isReason(error, "NotFound")) return false;
      throw error;
    }
  }

  #remember(key: string, remembered: Remembered): void {
    this.#remembered.delete(key);
    this.#remembered.set(key, remembered);
    if (this.#remembered.size <= limits.rememberedMax) return;
    const [oldest] = this.#remembered.keys();
    if (oldest !== undefined) this.#remembered.delete(oldest);
  }

  /** Keeps one noisy object from filling the store. */
  #mayTell(about: About): boolean {
    const key = about.metadata.uid ?? `${about.kind}/${about.metadata.name}`;
    const now = this.runtime.clock.monotonicMs();
    const bucket = this.#buckets.get(key) ?? { tokens: limits.burst, filledAtMs: now };
    const refilled = Math.floor((now - bucket.filledAtMs) / limits.refillMs);
    if (refilled > 0) {
      bucket.tokens = Math.min(limits.burst, bucket.tokens + refilled);
      bucket.filledAtMs += refilled * limits.refillMs;
    }
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > limits.rememberedMax) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    if (bucket.tokens === 0) return false;
    bucket.tokens -= 1;
    return true;
  }
}

function similarity(event: Event): string {
  const { involvedObject: about, type, reason, message, reportingComponent } = event;
  const parts = [about.kind, about.namespace, about.name, about.uid, about.fieldPath];
  return JSON.stringify([...parts, type, reason, message, reportingComponent]);
}
