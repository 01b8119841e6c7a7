import { expect, test } from "bun:test";
import { Pieces } from "./pieces.ts";

const kib = 1024;

test("parts are gathered in their order, whatever their sizes", () => {
  const sizes = [0, 1, 200 * kib, 5, 127 * kib, kib, 128 * kib, 3, 500 * kib];
  const parts = sizes.map((size, i) => new Uint8Array(size).fill(i));
  const pieces = new Pieces(parts);
  const sent = [...pieces].map((piece) => Buffer.from(piece));
  expect(Buffer.concat(sent).equals(Buffer.concat(parts))).toBe(true);
  expect(pieces.length).toBe(Buffer.concat(parts).length);
  expect(sent.every((piece) => piece.length > 0)).toBe(true);
});

test("only what the reader takes is made", async () => {
  const part = new Uint8Array(100 * kib);
  const pieces = new Pieces(Array.from({ length: 1000 }, () => part));
  const reader = pieces.stream().getReader();
  const before = process.memoryUsage().arrayBuffers;
  await reader.read();
  await Bun.sleep(0);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10 * kib * kib);
  await reader.cancel();
});
