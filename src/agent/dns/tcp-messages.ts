/** DNS over TCP: each message has its length in two bytes before it. */

const empty = new Uint8Array();

export async function writeMessage(
  writer: WritableStreamDefaultWriter<Uint8Array>,
  message: Uint8Array,
): Promise<void> {
  const framed = new Uint8Array(message.length + 2);
  framed.set([message.length >> 8, message.length & 0xff]);
  framed.set(message, 2);
  await writer.write(framed);
}

/** The messages of a stream until it ends. */
export async function* messages(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): AsyncIterable<Uint8Array> {
  let held: Uint8Array = empty;
  for (;;) {
    const size = held.length < 2 ? undefined : ((held[0] ?? 0) << 8) | (held[1] ?? 0);
    if (size !== undefined && held.length >= size + 2) {
      yield Buffer.from(held.subarray(2, size + 2));
      held = held.slice(size + 2);
      continue;
    }
    const { done, value } = await reader.read();
    if (done) return;
    held = held.length === 0 ? value : Buffer.concat([held, value]);
  }
}

export async function readMessage(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<Uint8Array | undefined> {
  for await (const message of messages(reader)) return message;
  return undefined;
}
