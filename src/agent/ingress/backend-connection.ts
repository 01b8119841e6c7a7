/** One connection to a backend: reads its answers, keeps it for the next request. */
import type { StreamOwner, StreamSocket } from "../../runtime/stream-sockets.ts";
import { type BodyReader, bodyReader } from "./body-reader.ts";
import { headLimits } from "./header-fields.ts";
import { parseResponseHead, type ResponseHead } from "./response-head.ts";

/** Who waits for an answer on a connection. */
export interface AnswerReader {
  /** 100 to 199, but 101. */
  interim(head: ResponseHead): void;
  head(head: ResponseHead): void;
  body(piece: Buffer): void;
  /** The connection may be used by others from here on. */
  whole(): void;
  /** 101: from here on bytes pass as they are, to `body` too. */
  switched(head: ResponseHead): void;
  /** Bytes that came together have all been told. */
  flush(): void;
  drained(): void;
  /** It ended before the answer did, or what it sent is no answer. */
  broken(): void;
  /** After `switched`: the backend sends no more. */
  ended(): void;
}

const headEnd = Buffer.from("\r\n\r\n");

type Reading =
  | { readonly part: "idle" }
  | { readonly part: "head"; readonly method: string }
  | { readonly part: "body"; readonly reader: BodyReader; readonly keeps: boolean }
  | { readonly part: "raw" };

export class BackendConnection implements StreamOwner {
  #user: AnswerReader | undefined;
  #reading: Reading = { part: "idle" };
  #pending: Buffer | undefined;
  #isClosed = false;
  /** Whether it has carried a request before the present one. */
  isReused = false;
  idleSinceMs = 0;

  constructor(
    readonly key: string,
    readonly socket: StreamSocket,
    /** Called when it is free again, and when it is gone. */
    private readonly onFree: (connection: BackendConnection) => void,
    private readonly onGone: (connection: BackendConnection) => void,
  ) {
    socket.owner = this;
  }

  get isUsable(): boolean {
    return !this.#isClosed && this.#user === undefined;
  }

  /** False: the socket is full, and `drained` tells when to go on. */
  request(user: AnswerReader, method: string, text: string): boolean {
    this.#user = user;
    this.#reading = { part: "head", method };
    return this.socket.write(text);
  }

  destroy(): void {
    this.#user = undefined;
    this.#isClosed = true;
    this.socket.destroy();
    this.onGone(this);
  }

  data(bytes: Buffer): void {
    const { part } = this.#reading;
    // An answer that nobody asked for would become the next client's.
    if (part === "idle") {
      this.destroy();
      return;
    }
    if (part === "head") this.#takeHead(bytes);
    else this.#takeBody(bytes);
    this.#user?.flush();
  }

  #takeHead(bytes: Buffer): void {
    let pending = this.#pending === undefined ? bytes : Buffer.concat([this.#pending, bytes]);
    this.#pending = undefined;
    while (this.#reading.part === "head") {
      const end = pending.indexOf(headEnd);
      if (end === -1) {
        if (pending.length > headLimits.bytesMax) {
          this.#break();
          return;
        }
        this.#pending = pending;
        return;
      }
      const head = parseResponseHead(pending.toString("latin1", 0, end), this.#reading.method);
      if (head === undefined) {
        this.#break();
        return;
      }
      pending = pending.subarray(end + headEnd.length);
      this.#begin(head);
    }
    if (this.#user !== undefined) this.#takeBody(pending);
  }

  #begin(head: ResponseHead): void {
    if (head.status === 101) {
      this.#reading = { part: "raw" };
      this.#user?.switched(head);
    } else if (head.status < 200) {
      this.#user?.interim(head);
    } else {
      const reader = bodyReader(head.framing);
      this.#reading = { part: "body", reader, keeps: head.keepsAlive };
      this.#user?.head(head);
    }
  }

  #takeBody(bytes: Buffer): void {
    const reading = this.#reading;
    if (reading.part === "raw") {
      if (bytes.length > 0) this.#user?.body(bytes);
      return;
    }
    if (reading.part !== "body") return;
    const step = reading.reader.read(bytes, (piece) => this.#user?.body(piece));
    if (step.state === "malformed") this.#break();
    else if (step.state === "whole") this.#whole(reading.keeps && step.rest === bytes.length);
  }

  #whole(keeps: boolean): void {
    const user = this.#user;
    this.#user = undefined;
    this.#reading = { part: "idle" };
    if (keeps && !this.#isClosed) {
      this.isReused = true;
      this.onFree(this);
    } else if (!this.#isClosed) {
      this.destroy();
    }
    user?.whole();
  }

  #break(): void {
    const user = this.#user;
    this.destroy();
    user?.broken();
  }

  drained(): void {
    this.#user?.drained();
  }

  ended(): void {
    if (this.#reading.part === "raw") this.#user?.ended();
    else this.#lost();
  }

  closed(): void {
    if (!this.#isClosed) this.#lost();
  }

  /** The end of the connection ends a body that has no other end. */
  #lost(): void {
    const reading = this.#reading;
    const isLast = reading.part === "body" && reading.reader.endsWithConnection;
    if (isLast) this.#whole(false);
    else this.#break();
  }
}
