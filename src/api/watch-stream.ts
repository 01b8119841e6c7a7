/** A watch as a stream of frames; equal frames are built once and shared by all watchers. */
import type { ApiError } from "../lib/api-error.ts";
import { joinBytes } from "../lib/bytes.ts";
import { copyJson } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import { protobufType } from "../schema/protobuf-decode.ts";
import { encodeProtobuf, type Typed, watchFrame } from "../schema/protobuf-encode.ts";
import type { FrameReader, Frames, FrameWriter } from "./http-exchange.ts";
import type { Wanted } from "./negotiate.ts";
import { protobufOf } from "./protobuf-forms.ts";
import type { Stored } from "./stored.ts";
import type { PlannedWatch, RunningWatch, WatchSink } from "./watch.ts";
import type { WatchType } from "./watch-audience.ts";

const limits = {
  /** Frames that may wait for a slow reader before its stream is ended. */
  watchQueueFramesMax: 1000,
  /** Objects whose frames are kept for further watchers. */
  sharedObjectsMax: 128,
} as const;

const encoder = new TextEncoder();
/** Of the newest changes only: who watches gets them now, and the objects themselves live long. */
const shared = new Map<Stored, Map<string, Uint8Array>>();
let last: {
  readonly format: string;
  readonly type: string;
  readonly object: Stored | undefined;
  readonly frame: Uint8Array;
} = { format: "", type: "", object: undefined, frame: new Uint8Array() };

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

/** The forms of objects as they are: one for all watches. */
const plainForms = {
  json: { format: "json", shape: undefined },
  protobuf: { format: "protobuf", shape: undefined },
} as const;

export function streamForm(wanted: Pick<Wanted, "format">, shape: Shape | undefined): WatchForm {
  const plain = plainForms[wanted.format === "protobuf" ? "protobuf" : "json"];
  return shape === undefined ? plain : { format: plain.format, shape };
}

export function watchStream(planned: PlannedWatch, form: WatchForm): Frames {
  return {
    isEndless: true,
    start(out) {
      const sink = new StreamSink(out, form);
      sink.follow(planned);
      return sink;
    },
  };
}

class StreamSink implements WatchSink, FrameReader {
  /** Frames that are to travel as one; undefined when each goes by itself. */
  #gathered: Uint8Array[] | undefined;
  /** What the reader is too slow for; undefined while it keeps up. */
  #queue: Uint8Array[] | undefined;
  #ended = false;
  #hasRoom: (() => void) | undefined;
  #watch: RunningWatch | undefined;
  #isLeft = false;

  constructor(
    private readonly out: FrameWriter,
    private readonly form: WatchForm,
  ) {}

  follow(planned: PlannedWatch): void {
    this.together(() => {
      this.#watch = planned.start(this);
    });
    if (this.#isLeft) this.#watch?.end();
  }

  together(work: () => void): void {
    if (this.#gathered !== undefined) {
      work();
      return;
    }
    const frames: Uint8Array[] = [];
    this.#gathered = frames;
    work();
    this.#gathered = undefined;
    if (frames.length > 0) this.#write(joinBytes(frames));
    if (this.#ended) this.#close();
  }

  event(type: WatchType, object: Stored): number {
    const { format, shape } = this.form;
    const frame =
      shape === undefined
        ? sharedFrame(format, type, object)
        : frameOf(format, type, shape(copyJson<KubeObject>(object.object as KubeObject)));
    this.#send(frame);
    return frame.length;
  }

  bookmark(object: KubeObject): void {
    const { format, shape } = this.form;
    this.#send(frameOf(format, "BOOKMARK", shape === undefined ? object : shape(object)));
  }

  async room(): Promise<void> {
    while (!this.#ended && this.#queue !== undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#hasRoom = resolve;
      await promise;
    }
  }

  fail(error: ApiError): void {
    this.#send(frameOf(this.form.format, "ERROR", error.toStatus()));
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#hasRoom?.();
    if (this.#gathered === undefined) this.#close();
  }

  drained(): void {
    const waiting = this.#queue ?? [];
    this.#queue = undefined;
    let sent = 0;
    while (sent < waiting.length && this.#queue === undefined) this.#write(waiting[sent++]);
    if (sent < waiting.length) this.#queue = waiting.slice(sent);
    this.#hasRoom?.();
    if (this.#ended) this.#close();
  }

  cancel(): void {
    this.#isLeft = true;
    this.#watch?.end();
  }

  #send(frame: Uint8Array): void {
    if (this.#ended) return;
    if (this.#gathered !== undefined) this.#gathered.push(frame);
    else this.#write(frame);
  }

  #write(frame: Uint8Array | undefined): void {
    if (frame === undefined) return;
    if (this.#queue === undefined) {
      if (!this.out.write(frame)) this.#queue = [];
    } else if (this.#queue.length < limits.watchQueueFramesMax) this.#queue.push(frame);
    // The reader gets what is queued, then asks again from where it was.
    else this.cancel();
  }

  /** Once all that waits has gone out. */
  #close(): void {
    if ((this.#queue?.length ?? 0) === 0) this.out.end();
  }
}

function sharedFrame(format: WatchForm["format"], type: WatchType, object: Stored): Uint8Array {
  // The next watcher of a change mostly wants what the last one got.
  if (last.object === object && last.type === type && last.format === format) return last.frame;
  let frames = shared.get(object);
  if (frames === undefined) {
    if (shared.size === limits.sharedObjectsMax) shared.clear();
    frames = new Map();
    shared.set(object, frames);
  }
  const key = `${format} ${type}`;
  let frame = frames.get(key);
  if (frame === undefined) {
    frame = newFrame(format, type, object);
    frames.set(key, frame);
  }
  last = { format, type, object, frame };
  return frame;
}

function newFrame(format: WatchForm["format"], type: WatchType, object: Stored): Uint8Array {
  const head = () => encoder.encode(`{"type":"${type}","object":`);
  const bytes =
    format === "json"
      ? joinBytes([head(), object.json(), encoder.encode("}\n")])
      : watchFrame(type, protobufOf(object));
  // Streams of Node would make a Buffer of it for each watcher.
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function frameOf(format: WatchForm["format"], type: string, object: Typed): Uint8Array {
  return format === "json"
    ? encoder.encode(`${JSON.stringify({ type, object })}\n`)
    : watchFrame(type, encodeProtobuf(object));
}
