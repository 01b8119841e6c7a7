/** A connection to the system's D-Bus: calls that are answered, and signals that are followed. */
import type { ByteStream, Net } from "../../runtime/runtime.ts";
import { type DbusMessage, type DbusValue, decodeMessage, encodeMessage } from "./dbus-message.ts";

export interface DbusCall {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly body?: readonly DbusValue[];
}

const bus = {
  destination: "org.freedesktop.DBus",
  path: "/org/freedesktop/DBus",
  interface: "org.freedesktop.DBus",
} as const;

export class Dbus {
  readonly #stream: ByteStream;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers = new Map<number, PromiseWithResolvers<readonly DbusValue[]>>();
  readonly #onSignal: (signal: DbusMessage) => void;
  readonly #closed = Promise.withResolvers<void>();
  #serial = 0;

  private constructor(stream: ByteStream, onSignal: (signal: DbusMessage) => void) {
    this.#stream = stream;
    this.#writer = stream.writable.getWriter();
    this.#onSignal = onSignal;
  }

  /** Connects and introduces itself; signals come once they were asked for by `follow`. */
  static async open(
    net: Net,
    socketPath: string,
    onSignal: (signal: DbusMessage) => void,
    signal: AbortSignal,
  ): Promise<Dbus> {
    const address = { type: "unix", path: socketPath } as const;
    const dbus = new Dbus(await net.dial(address, signal), onSignal);
    try {
      const reader = dbus.#stream.readable.getReader();
      const rest = await dbus.#authenticate(reader);
      void dbus.#read(reader, rest);
      await dbus.call({ ...bus, member: "Hello" });
      return dbus;
    } catch (error) {
      dbus.close();
      throw error;
    }
  }

  /** Resolves when the connection is gone. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  close(): void {
    this.#stream.close();
  }

  async call(call: DbusCall): Promise<readonly DbusValue[]> {
    const serial = ++this.#serial;
    const answer = Promise.withResolvers<readonly DbusValue[]>();
    this.#answers.set(serial, answer);
    const { signature = "", body = [] } = call;
    await this.#writer.write(encodeMessage({ type: "call", serial, ...call, signature, body }));
    return await answer.promise;
  }

  /** Asks for the signals that fit the rule. */
  async follow(rule: string): Promise<void> {
    await this.call({ ...bus, member: "AddMatch", signature: "s", body: [rule] });
  }

  /** The bus knows by the socket who we are; what came after its consent is answered. */
  async #authenticate(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array> {
    const encoder = new TextEncoder();
    await this.#writer.write(encoder.encode("\0AUTH EXTERNAL\r\nDATA\r\n"));
    const consent = /^DATA\r\nOK [^\r]*\r\n/;
    let text = "";
    while (!consent.test(text)) {
      if (/^(DATA\r\n)?(REJECTED|ERROR)/.test(text)) throw new Error(`the bus refused us: ${text}`);
      const { value, done } = await reader.read();
      if (done) throw new Error("the bus hung up");
      text += new TextDecoder("latin1").decode(value);
    }
    await this.#writer.write(encoder.encode("BEGIN\r\n"));
    return Buffer.from(text.replace(consent, ""), "latin1");
  }

  async #read(reader: ReadableStreamDefaultReader<Uint8Array>, rest: Uint8Array): Promise<void> {
    let bytes = rest;
    try {
      for (;;) {
        for (let found = decodeMessage(bytes); found; found = decodeMessage(bytes)) {
          bytes = bytes.slice(found.length);
          this.#take(found.message);
        }
        const { value, done } = await reader.read();
        if (done) break;
        bytes = Buffer.concat([bytes, value]);
      }
    } catch {
      // The connection broke: told below, to all who wait.
    }
    for (const { reject } of this.#answers.values()) reject(new Error("the bus hung up"));
    this.#answers.clear();
    this.#stream.close();
    this.#closed.resolve();
  }

  #take(message: DbusMessage): void {
    if (message.type === "signal") this.#onSignal(message);
    const answer = this.#answers.get(message.replyTo ?? 0);
    this.#answers.delete(message.replyTo ?? 0);
    if (message.type === "return") answer?.resolve(message.body);
    else if (message.type === "error") {
      answer?.reject(new Error(`${message.errorName}: ${message.body[0] ?? ""}`));
    }
  }
}
