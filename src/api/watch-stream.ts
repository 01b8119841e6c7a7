/** A watch as a stream of frames; equal frames are built once and shared by all watchers. */
import type { ApiError } from "../lib/api-error.ts";
import { joinBytes } from "../lib/bytes.ts";
import { copyJson } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import { protobufType } from "../schema/protobuf-decode.ts";
import { encodeProtobuf, type Typed, watchFrame } from "../schema/protobuf-encode.ts";
import type { Revision } from "../store/store.ts";
import type { Wanted } from "./negotiate.ts";
import { protobufOf } from "./protobuf-forms.ts";
import type { Stored } from "./stored.ts";
import type { PlannedWatch, WatchSink, WatchType } from "./watch.ts";

const limits = {
  /** Frames that may wait for a slow reader before its stream is ended. */
  watchQueueFramesMax: 1000,
  /** Free places in that queue from which on the past is read further. */
  roomFramesMin: 500,
  /** Frames of the initial state that travel as one chunk. */
  initialFramesPerChunk: 256,
} as const;

const encoder = new TextEncoder();
const shared = new WeakMap<Stored, Map<string, Uint8Array>>();

/** How an object stands in a frame, when not as itself. */
export type Shape = (object: KubeObject) => KubeObject;

/** Forms that can be framed, and how their streams are called. */
export const streamTypes = {
  json: "application/json",
  protobuf: `${protobufType};stream=watch`,
} as const;

export interface WatchForm {
  readonly format: keyof typeof streamTypes;
  readonly shape: Shape | undefined;
}

export function streamFormat(wanted: Pick<Wanted, "format">): WatchForm["format"] {
  return wanted.format === "protobuf" ? "protobuf" : "json";
}

export function watchStream(planned: PlannedWatch, form: WatchForm, signal: AbortSignal) {
  const over = new AbortController();
  const all = AbortSignal.any([signal, over.signal]);
  let sink: StreamSink | undefined;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        sink = new StreamSink(controller, form, () => over.abort());
        planned.start(sink, all);
        sink.started();
      },
      pull() {
        sink?.pulled();
      },
      cancel() {
        over.abort();
      },
    },
    { highWaterMark: limits.watchQueueFramesMax },
  );
}

class StreamSink implements WatchSink {
  /** Frames of the initial state, gathered; undefined once the watch follows. */
  #initial: Uint8Array[] | undefined = [];
  #ended = false;
  #hasRoom: (() => void) | undefined;

  constructor(
    private readonly controller: ReadableStreamDefaultController<Uint8Array>,
    private readonly form: WatchForm,
    private readonly stop: () => void,
  ) {}

  /** From here on frames go out one by one. */
  started(): void {
    const frames = this.#initial ?? [];
    this.#initial = undefined;
    for (let at = 0; at < frames.length; at += limits.initialFramesPerChunk) {
      this.#enqueue(joinBytes(frames.slice(at, at + limits.initialFramesPerChunk)));
    }
    if (this.#ended) this.controller.close();
  }

  event(type: WatchType, object: Stored, asOf?: Revision): void {
    const { format, shape } = this.form;
    if (shape !== undefined || asOf !== undefined) {
      const copy = copyJson<KubeObject>(object.object as KubeObject);
      if (asOf !== undefined) copy.metadata.resourceVersion = String(asOf);
      this.#send(frameOf(format, type, shape === undefined ? copy : shape(copy)));
      return;
    }
    this.#send(sharedFrame(format, type, object));
  }

  bookmark(object: KubeObject): void {
    const { format, shape } = this.form;
    this.#send(frameOf(format, "BOOKMARK", shape === undefined ? object : shape(object)));
  }

  async room(): Promise<void> {
    while (!this.#ended && (this.controller.desiredSize ?? 0) < limits.roomFramesMin) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#hasRoom = resolve;
      await promise;
    }
  }

  /** The reader has taken something. */
  pulled(): void {
    this.#hasRoom?.();
  }

  fail(error: ApiError): void {
    this.#send(frameOf(this.form.format, "ERROR", error.toStatus()));
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#hasRoom?.();
    if (this.#initial === undefined) this.#close();
  }

  #send(frame: Uint8Array): void {
    if (this.#ended) return;
    if (this.#initial !== undefined) this.#initial.push(frame);
    else this.#enqueue(frame);
  }

  #enqueue(frame: Uint8Array): void {
    // The reader keeps what is queued, then asks again from where it was.
    if ((this.controller.desiredSize ?? 0) > 0) this.controller.enqueue(frame);
    else this.stop();
  }

  #close(): void {
    try {
      this.controller.close();
    } catch (error) {
      // A cancelled stream cannot be closed again.
      if (!(error instanceof TypeError)) throw error;
    }
  }
}

function sharedFrame(format: WatchForm["format"], type: WatchType, object: Stored): Uint8Array {
  let frames = shared.get(object);
  if (frames === undefined) {
    frames = new Map();
    shared.set(object, frames);
  }
  const key = `${format} ${type}`;
  let frame = frames.get(key);
  if (frame === undefined) {
    const head = () => encoder.encode(`{"type":"${type}","object":`);
    frame =
      format === "json"
        ? joinBytes([head(), object.json(), encoder.encode("}\n")])
        : watchFrame(type, protobufOf(object));
    frames.set(key, frame);
  }
  return frame;
}

function frameOf(format: WatchForm["format"], type: string, object: Typed): Uint8Array {
  return format === "json"
    ? encoder.encode(`${JSON.stringify({ type, object })}\n`)
    : watchFrame(type, encodeProtobuf(object));
}
