import { expect, test } from "bun:test";
import { type DbusMessage, decodeMessage, encodeMessage } from "./dbus-message.ts";

const call: DbusMessage = {
  type: "call",
  serial: 7,
  destination: "org.freedesktop.login1",
  path: "/org/freedesktop/login1",
  interface: "a.b",
  member: "Get",
  signature: "ssib",
  body: ["ä", "", -3, true],
};

test("what is written can be read, however much follows", () => {
  const bytes = encodeMessage(call);
  const twice = Buffer.concat([bytes, bytes, Buffer.from([108])]);
  const first = decodeMessage(twice);
  expect(first?.length).toBe(bytes.length);
  expect(first?.message).toEqual({ ...call, replyTo: undefined, errorName: undefined });
  expect(decodeMessage(twice.subarray(2 * bytes.length))).toBeUndefined();
  expect(decodeMessage(bytes.subarray(0, bytes.length - 1))).toBeUndefined();
});

test("an answer with a number of eight bytes in a variant", () => {
  // As a bus sends it: 5,000,000 in answer to call 2.
  const fields = [5, 1, 117, 0, 2, 0, 0, 0, 8, 1, 103, 0, 1, 118, 0];
  const body = [1, 116, 0, 0, 0, 0, 0, 0, 0x40, 0x4b, 0x4c, 0, 0, 0, 0, 0];
  const head = [108, 2, 1, 1, body.length, 0, 0, 0, 9, 0, 0, 0, fields.length, 0, 0, 0];
  const decoded = decodeMessage(Uint8Array.from([...head, ...fields, 0, ...body]));
  expect(decoded?.message).toMatchObject({ type: "return", replyTo: 2, body: [5_000_000n] });
});

test("what is not ours does no harm", () => {
  const other = decodeMessage(encodeMessage({ ...call, signature: "as", body: ["x"] }));
  expect(other?.message.body).toEqual([]);
  expect(() => decodeMessage(new Uint8Array(32).fill(66))).toThrow("big-endian");
});
