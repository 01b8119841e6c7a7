/**
 * What the listener hands to the API, and what it gets back: as lean as a hot path needs. The web's
 * own Request and Response are made of them only where someone asks for these.
 */

/** A request whose head has come. */
export interface HttpRequest {
  readonly method: string;
  /** Without query; not unescaped. */
  readonly path: string;
  /** What follows the question mark. */
  readonly query: string;
  readonly url: string;
  /** Throws ApiError for what is no header. */
  readonly headers: Headers;
  /** Aborted when the client leaves before its answer has ended. */
  readonly signal: AbortSignal;
  /** The whole body; undefined when there is none, "too-large" when it is longer than allowed. */
  body(bytesMax: number): Promise<Uint8Array | undefined | "too-large">;
  /** Instead of `body`, once. Throws ApiError for what the platform's class refuses. */
  toRequest(): Request;
}

/** Takes bytes as they happen. */
export interface FrameWriter {
  /**
   * False when the reader is behind; what is written all the same is kept for it. Then the memory
   * of these bytes is the writer's again only after `drained`; else it never is.
   */
  write(bytes: Uint8Array): boolean;
  end(): void;
}

/** The source's end of a stream of frames. */
export interface FrameReader {
  /** After a `write` that said false: the reader has caught up. */
  drained(): void;
  /** The reader has left. */
  cancel(): void;
}

/** Bytes that come as things happen. A ReadableStream costs several times as much per frame. */
export interface Frames {
  /** They may go on for as long as the client likes. */
  readonly isEndless: boolean;
  /** Called once. */
  start(out: FrameWriter): FrameReader;
}

export type AnswerBody = Uint8Array | string | undefined | ReadableStream<Uint8Array> | Frames;

export interface HttpAnswer {
  readonly status: number;
  readonly headers: AnswerHeaders;
  /** Bytes and text are sent whole; a stream with a content-length has an end, others may not. */
  readonly body: AnswerBody;
}

/** Headers of an answer, asked for in lower case. */
export class AnswerHeaders {
  readonly #values: Record<string, string | string[]>;

  constructor(values: Readonly<Record<string, string>> = {}) {
    this.#values = { ...values };
  }

  has(name: string): boolean {
    return this.#values[name] !== undefined;
  }

  get(name: string): string | null {
    const value = this.#values[name];
    if (value === undefined) return null;
    return typeof value === "string" ? value : value.join(", ");
  }

  set(name: string, value: string): void {
    this.#values[name.toLowerCase()] = value;
  }

  append(given: string, value: string): void {
    const name = given.toLowerCase();
    const known = this.#values[name];
    if (known === undefined) this.#values[name] = value;
    else this.#values[name] = typeof known === "string" ? [known, value] : [...known, value];
  }

  /** As `node:http` takes them. */
  get values(): Readonly<Record<string, string | string[]>> {
    return this.#values;
  }
}

export function isFrames(body: AnswerBody): body is Frames {
  return typeof body === "object" && "start" in body;
}

/** The same as the web has it. */
export function responseOf(answer: HttpAnswer): Response {
  const headers = new Headers();
  for (const [name, value] of Object.entries(answer.headers.values)) {
    for (const one of typeof value === "string" ? [value] : value) headers.append(name, one);
  }
  const { body, status } = answer;
  const init = isFrames(body) ? streamOf(body) : (body as BodyInit | undefined);
  return new Response(init ?? null, { status, headers });
}

/** Frames for who reads a stream: as many wait for the reader as the source puts up with. */
export function streamOf(frames: Frames): ReadableStream<Uint8Array> {
  let reader: FrameReader | undefined;
  let isOpen = true;
  let isBehind = false;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      reader = frames.start({
        write(bytes) {
          // Who reads a stream keeps its chunks for as long as it likes.
          if (isOpen) controller.enqueue(new Uint8Array(bytes));
          isBehind = (controller.desiredSize ?? 0) <= 0;
          return !isBehind;
        },
        end() {
          if (isOpen) controller.close();
          isOpen = false;
        },
      });
    },
    pull() {
      if (!isBehind) return;
      isBehind = false;
      reader?.drained();
    },
    cancel() {
      isOpen = false;
      reader?.cancel();
    },
  });
}
