import { expect, test } from "bun:test";
import {
  decodeConnectionIds,
  decodeTunnelMessage,
  encodeConnectionIds,
  encodeTunnelMessage,
  tunnelTypes,
} from "./tunnel-messages.ts";

const text = (words: string): Uint8Array => new TextEncoder().encode(words);

/** As rancher/remotedialer v0.6 has sent them; its message ids are random. */
const recorded = [
  ["c6f491a0a3b68dc5690404b0ea017463702f3132372e302e302e313a3138303939", 2, "tcp/127.0.0.1:18099"],
  ["c8f491a0a3b68dc5690402b0ea0168656c6c6f", 1, "hello"],
  ["caf491a0a3b68dc569040c", 6, ""],
  ["ccf491a0a3b68dc569040e", 7, ""],
  ["b8edee9de99bdf9cef010406454f46", 3, "EOF"],
] as const;

test("messages of K3s' own tunnels are understood", () => {
  for (const [hex, type, words] of recorded) {
    expect(decodeTunnelMessage(Uint8Array.fromHex(hex))).toEqual({
      type,
      connection: 2,
      payload: text(words),
    });
  }
});

test("messages are written as K3s' own tunnels write them", () => {
  for (const [hex, type, words] of recorded) {
    const message = { type, connection: 2, payload: text(words) };
    // The id of the message takes nine or ten bytes in the recorded ones, and one byte here.
    const withoutId = hex.replace(/^(?:[89a-f][0-9a-f])*[0-7][0-9a-f]/, "");
    expect(encodeTunnelMessage(1, message).toHex()).toBe(`02${withoutId}`);
  }
});

test("what is cut short or about no connection is refused", () => {
  expect(() => decodeTunnelMessage(new Uint8Array())).toThrow(RangeError);
  expect(() => decodeTunnelMessage(Uint8Array.fromHex("0204"))).toThrow(RangeError);
  expect(() => decodeTunnelMessage(Uint8Array.fromHex("02030c"))).toThrow(RangeError);
  expect(() => decodeTunnelMessage(Uint8Array.fromHex(`02${"ff".repeat(12)}00`))).toThrow(
    RangeError,
  );
});

test("lists of connections have eight bytes for each", () => {
  const ids = [2, 300, 2 ** 40];
  expect(encodeConnectionIds(ids.slice(0, 2)).toHex()).toBe("02000000000000002c01000000000000");
  expect(decodeConnectionIds(encodeConnectionIds(ids))).toEqual(ids);
  expect(() => decodeConnectionIds(new Uint8Array(9))).toThrow(RangeError);
  expect(tunnelTypes.syncConnections).toBe(8);
});
