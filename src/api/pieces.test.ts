import { expect, test } from "bun:test";
import type { FrameWriter } from "./http-exchange.ts";
import { gathered, Pieces } from "./pieces.ts";

const kib = 1024;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A reader that takes a piece and then says when it has room again. */
function reader() {
  const chunks: Buffer[] = [];
  let ended = false;
  const out: FrameWriter = {
    write(bytes) {
      chunks.push(Buffer.from(bytes));
      return false;
    },
    end() {
      ended = true;
    },
  };
  return { out, chunks, isEnded: () => ended };
}

test("parts are gathered in their order, whatever their sizes", async () => {
  const sizes = [0, 1, 200 * kib, 5, 127 * kib, kib, 128 * kib, 3, 500 * kib];
  const parts = sizes.map((size, i) => new Uint8Array(size).fill(i));
  const pieces = new Pieces(() => parts);
  const { out, chunks, isEnded } = reader();
  const sender = pieces.start(out);
  while (!isEnded()) {
    sender.drained();
    await turn();
  }
  expect(Buffer.concat(chunks).equals(Buffer.concat(parts))).toBe(true);
  expect(chunks.every((piece) => piece.length > 0)).toBe(true);
  expect(Buffer.from(pieces.bytes()).equals(Buffer.concat(parts))).toBe(true);
  const own = [...gathered(parts, () => new Uint8Array(128 * kib))];
  expect(Buffer.concat(own).equals(Buffer.concat(parts))).toBe(true);
});

test("only what the reader takes is made, and nothing once it has left", async () => {
  let made = 0;
  const part = new Uint8Array(100 * kib);
  const pieces = new Pieces(function* () {
    for (; made < 1000; made++) yield part;
  });
  const { out, chunks } = reader();
  const sender = pieces.start(out);
  await turn();
  expect([chunks.length, made]).toEqual([1, 1]);
  sender.drained();
  await turn();
  expect([chunks.length, made]).toEqual([2, 2]);
  sender.cancel();
  sender.drained();
  await turn();
  expect(made).toBe(2);
});
