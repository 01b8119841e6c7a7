/** What stands between the requests and the log or the webhook, each part doing one thing. */
import type { Clock } from "../../runtime/runtime.ts";
import type { TruncateOptions } from "./audit-options.ts";
import { type AuditEvent, type AuditSink, auditLevels, type OnLost } from "./event.ts";

/** Hands events to all; false when one of them could not take them. */
export function unionSink(sinks: readonly AuditSink[]): AuditSink {
  return {
    process: async (events) => {
      const taken = await Promise.all(sinks.map((sink) => sink.process(events)));
      return taken.every(Boolean);
    },
    close: async () => {
      await Promise.all(sinks.map((sink) => sink.close()));
    },
  };
}

/** Mode blocking: requests wait for the events, and go on when they are lost. */
export function ignoreErrors(sink: AuditSink): AuditSink {
  return {
    process: (events) => {
      const taken = sink.process(events);
      return typeof taken === "boolean" ? true : taken.then(() => true);
    },
    close: () => sink.close(),
  };
}

/** Writes lines; `write` throws when it cannot. */
export function lineSink(
  lineOf: (event: AuditEvent) => string,
  write: (line: string) => void,
  onLost: OnLost,
): AuditSink {
  return {
    process: (events) => {
      let isAllTaken = true;
      for (const event of events) {
        try {
          write(lineOf(event));
        } catch (error) {
          isAllTaken = false;
          onLost("log", error, [event]);
        }
      }
      return isAllTaken;
    },
    close: async () => {},
  };
}

/** Cuts the objects from events that are too long, and splits batches. */
export function truncatingSink(
  sink: AuditSink,
  { batchBytesMax, eventBytesMax }: TruncateOptions,
  onLost: OnLost,
): AuditSink {
  return {
    process: async (events) => {
      let isAllTaken = true;
      let batch: AuditEvent[] = [];
      let bytes = 0;
      const send = async (): Promise<void> => {
        if (batch.length > 0 && !(await sink.process(batch))) isAllTaken = false;
        batch = [];
        bytes = 0;
      };
      for (const event of events) {
        const fitting = fit(event, eventBytesMax);
        if (fitting === undefined) {
          onLost("truncate", new Error("event is too large even after truncating"), [event]);
          continue;
        }
        if (bytes + fitting.bytes > batchBytesMax) await send();
        batch.push(fitting.event);
        bytes += fitting.bytes;
      }
      await send();
      return isAllTaken;
    },
    close: () => sink.close(),
  };
}

function fit(
  event: AuditEvent,
  bytesMax: number,
): { readonly event: AuditEvent; readonly bytes: number } | undefined {
  const bytes = sizeOf(event);
  if (bytes <= bytesMax) return { event, bytes };
  if (auditLevels.indexOf(event.level) < auditLevels.indexOf("Request")) return undefined;
  const { requestObject: _request, responseObject: _response, annotations, ...rest } = event;
  const short = { ...rest, annotations: { ...annotations, "audit.k8s.io/truncated": "true" } };
  const shortBytes = sizeOf(short);
  return shortBytes <= bytesMax ? { event: short, bytes: shortBytes } : undefined;
}

function sizeOf(event: AuditEvent): number {
  return Buffer.byteLength(JSON.stringify(event)) + 1;
}

/** Lets `burst` through at once and `qps` a second after that. */
export class Throttle {
  readonly #clock: Clock;
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  constructor(clock: Clock, { qps, burst }: { readonly qps: number; readonly burst: number }) {
    this.#clock = clock;
    this.#perMs = qps / 1000;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atMs = clock.monotonicMs();
  }

  /** Resolves when one more may go, or at once when `signal` aborts. */
  async next(signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
    this.#tokens -= 1;
    if (this.#tokens >= 0) return;
    await this.#clock.sleep(-this.#tokens / this.#perMs, signal);
  }
}
