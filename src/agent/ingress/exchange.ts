/** One request on its way to a backend, and its answer on the way back: who speaks to whom. */
import type { Balancer } from "./balancer.ts";
import type { Field } from "./header-fields.ts";
import type { Framing } from "./request-head.ts";
import type { Outgoing, Request } from "./request-out.ts";
import type { ResponseHead } from "./response-head.ts";

/** Who asked: gets the answer, in whatever protocol it speaks. */
export interface Asker {
  interim(head: ResponseHead): void;
  head(head: ResponseHead, endpoint: string): void;
  /** False: hold on until `resume` is called. */
  body(piece: Buffer): boolean;
  flush(): void;
  finish(trailers: readonly Field[]): void;
  /** Bytes pass as they are from here on. */
  switched(head: ResponseHead): void;
  /** The backend sends no more after `switched`. */
  halfClosed(): void;
  /** No answer was to be had. */
  fail(status: 502 | 503 | 504): void;
  /** The answer ended before its end. */
  cut(): void;
  /** The body of the request may go on. */
  more(): void;
}

/** What an asker may do with its exchange. */
export interface Exchange {
  start(): void;
  /** A piece of the request's body; false: hold on until `more`. */
  write(piece: Buffer): boolean;
  end(): void;
  pause(): void;
  resume(): void;
  /** Nobody wants the answer any more. */
  abort(): void;
  /** Looks whether the backend has taken too long. */
  tick(nowMs: number): void;
}

export interface ExchangeOptions {
  readonly balancer: Balancer;
  readonly nowMs: () => number;
  readonly request: Request;
  readonly outgoing: Outgoing;
  readonly framing: Framing;
  /** The protocol to change to; "" for none. */
  readonly upgrade: string;
  /** The endpoint to try first. */
  readonly preferred: string | undefined;
  readonly connectMs: number;
  /** Undefined: a backend may think as long as it wants. */
  readonly readMs: number | undefined;
  /** From here to the end of the answer; undefined: as long as it takes. */
  readonly wholeMs: number | undefined;
}

/** What an exchange knows of its own time. */
export interface Times {
  readonly begunMs: number;
  /** Since the last sign of life. */
  readonly sinceMs: number;
  /** A backend has the request. */
  readonly isAsked: boolean;
}

/** Whether the answer would come too late. */
export function isOverdue(
  { readMs, wholeMs }: ExchangeOptions,
  { begunMs, sinceMs, isAsked }: Times,
  nowMs: number,
): boolean {
  if (wholeMs !== undefined && nowMs - begunMs > wholeMs) return true;
  return isAsked && readMs !== undefined && nowMs - sinceMs > readMs;
}

/** What a server does once when it is asked twice. */
const repeatable: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

export function mayRepeat({ method }: Request): boolean {
  return repeatable.has(method);
}
