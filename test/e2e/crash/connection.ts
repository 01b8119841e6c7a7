/** One HTTP/2 connection under mutual TLS. It never asks twice: an answer comes once or not at all. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import type { Kubeconfig } from "../../../src/client/kubeconfig.ts";

/** The connection ended before the whole answer was read: nobody knows whether it was done. */
export class Unanswered extends Error {}

/** As much of a ConfigMap, a list of them or a Status as the writers look at. */
export interface Body {
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly data?: Readonly<Record<string, string>>;
  readonly items?: readonly Body[];
  readonly message?: string;
}

export interface Answer {
  readonly status: number;
  readonly body: Body;
}

const cutIsKnownMs = 500;

export class Connection {
  readonly #session: ClientHttp2Session;
  readonly #waiting = new Set<(error: Error) => void>();
  readonly closed: Promise<void>;
  #over = false;

  constructor(config: Kubeconfig) {
    const { server, ca, cert, key } = config;
    this.#session = connect(server, { ca, cert, key } as Parameters<typeof connect>[1]);
    this.closed = new Promise((resolve) => {
      const end = () => {
        this.#end();
        resolve();
      };
      this.#session.on("error", end);
      this.#session.on("close", end);
      this.#session.on("goaway", end);
    });
  }

  /** Resolves with the whole answer, or rejects with Unanswered. */
  async ask(
    method: string,
    path: string,
    body?: unknown,
    type = "application/json",
  ): Promise<Answer> {
    let text = "";
    const decoder = new TextDecoder();
    const status = await this.#exchange(method, path, body, type, (chunk) => {
      text += decoder.decode(chunk, { stream: true });
    });
    const read = parsed(text);
    if (read !== undefined) return { status, body: read };
    // A cut connection can look like the end of an answer; on a living one this is the answer.
    await Promise.race([this.closed, Bun.sleep(cutIsKnownMs)]);
    if (this.#over) throw new Unanswered("the answer was cut");
    return { status, body: { message: text } };
  }

  /** Reads JSON lines until the server or the connection ends; the status of the answer. */
  async lines(path: string, onLine: (line: string) => void): Promise<number> {
    let rest = "";
    const decoder = new TextDecoder();
    return this.#exchange("GET", path, undefined, "application/json", (chunk) => {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      for (const line of parts) if (line !== "") onLine(line);
    });
  }

  close(): void {
    this.#session.destroy();
    this.#end();
  }

  #end(): void {
    this.#over = true;
    for (const fail of [...this.#waiting]) fail(new Unanswered("the connection ended"));
  }

  #exchange(
    method: string,
    path: string,
    body: unknown,
    type: string,
    onChunk: (chunk: Uint8Array) => void,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#over) throw new Unanswered("the connection is closed");
      let status = 0;
      let over = false;
      const fail = (error: Error) => {
        if (over) return;
        over = true;
        this.#waiting.delete(fail);
        reject(error);
      };
      this.#waiting.add(fail);
      const stream: ClientHttp2Stream = this.#session.request({
        ":method": method,
        ":path": path,
        "content-type": type,
        accept: "application/json",
      });
      stream.on("response", (headers) => {
        status = Number(headers[":status"]);
      });
      stream.on("data", (chunk: Uint8Array) => {
        if (over) return;
        try {
          onChunk(chunk);
        } catch (error) {
          fail(error as Error);
        }
      });
      stream.on("error", (error) => fail(new Unanswered(String(error))));
      stream.on("close", () => fail(new Unanswered("the stream was cut")));
      stream.on("end", () => {
        if (over) return;
        // A cut stream ends too, and only its code tells it from a whole one.
        if (stream.rstCode) return fail(new Unanswered(`cut with code ${stream.rstCode}`));
        if (status === 0) return fail(new Unanswered("no headers"));
        over = true;
        this.#waiting.delete(fail);
        resolve(status);
      });
      stream.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}

function parsed(text: string): Body | undefined {
  if (text === "ok") return { message: text };
  try {
    return JSON.parse(text) as Body;
  } catch {
    return undefined;
  }
}
