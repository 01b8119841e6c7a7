/** Cuts a body out of the bytes of a connection, by length or by chunks. */
import type { Framing } from "./request-head.ts";

/** How far the bytes of a call belonged to the body. */
export type BodyStep =
  | { readonly state: "more" }
  /** The body is whole; the bytes from `rest` on are the next message's. */
  | { readonly state: "whole"; readonly rest: number }
  | { readonly state: "malformed" };

const more: BodyStep = { state: "more" };
const malformed: BodyStep = { state: "malformed" };
/** The size of a chunk in hexadecimal, its extensions and line end; or one trailer field. */
const lineBytesMax = 4096;
const trailerLinesMax = 100;
const sizeForm = /^([0-9a-fA-F]{1,13})[\t ]*(?:;[\t -~]*)?$/;

export interface BodyReader {
  /** Whether the end of the connection is the body's, and no other. */
  readonly endsWithConnection: boolean;
  /** Hands what belongs to the body to `take`, piece by piece. */
  read(bytes: Buffer, take: (piece: Buffer) => void): BodyStep;
}

export function bodyReader(framing: Framing | { readonly type: "close" }): BodyReader {
  switch (framing.type) {
    case "none":
      return { endsWithConnection: false, read: () => ({ state: "whole", rest: 0 }) };
    case "length":
      return new LengthReader(framing.bytes);
    case "chunked":
      return new ChunkReader();
    case "close":
      return {
        endsWithConnection: true,
        read(bytes, take) {
          take(bytes);
          return more;
        },
      };
  }
}

class LengthReader implements BodyReader {
  readonly endsWithConnection = false;
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  read(bytes: Buffer, take: (piece: Buffer) => void): BodyStep {
    const own = Math.min(this.#left, bytes.length);
    this.#left -= own;
    if (own > 0) take(own === bytes.length ? bytes : bytes.subarray(0, own));
    return this.#left === 0 ? { state: "whole", rest: own } : more;
  }
}

type ChunkPart = "size" | "data" | "data-end" | "trailer";

class ChunkReader implements BodyReader {
  readonly endsWithConnection = false;
  #part: ChunkPart = "size";
  #left = 0;
  /** The begin of a line whose end has not come yet. */
  #line = "";
  #trailerLines = 0;

  read(bytes: Buffer, take: (piece: Buffer) => void): BodyStep {
    let at = 0;
    while (at < bytes.length) {
      if (this.#part === "data") {
        const own = Math.min(this.#left, bytes.length - at);
        take(bytes.subarray(at, at + own));
        at += own;
        this.#left -= own;
        if (this.#left === 0) this.#part = "data-end";
        continue;
      }
      const end = bytes.indexOf(10, at);
      const until = end === -1 ? bytes.length : end + 1;
      this.#line += bytes.toString("latin1", at, until);
      if (this.#line.length > lineBytesMax) return malformed;
      if (end === -1) return more;
      at = until;
      if (!this.#line.endsWith("\r\n")) return malformed;
      const line = this.#line.slice(0, -2);
      this.#line = "";
      const isWhole = this.#takeLine(line);
      if (isWhole === undefined) return malformed;
      if (isWhole) return { state: "whole", rest: at };
    }
    return more;
  }

  /** Whether the body ends with this line; undefined when the line is wrong. */
  #takeLine(line: string): boolean | undefined {
    switch (this.#part) {
      case "size": {
        const size = sizeForm.exec(line)?.[1];
        if (size === undefined) return undefined;
        this.#left = Number.parseInt(size, 16);
        this.#part = this.#left === 0 ? "trailer" : "data";
        return false;
      }
      case "data":
      case "data-end":
        this.#part = "size";
        return line === "" ? false : undefined;
      case "trailer":
        // Trailers may be dropped on the way, and so they are.
        this.#trailerLines += 1;
        if (line === "") return true;
        return this.#trailerLines > trailerLinesMax || !line.includes(":") ? undefined : false;
    }
  }
}
