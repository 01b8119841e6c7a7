import { expect, test } from "bun:test";
import { constants, inflateSync } from "node:zlib";
import fc from "fast-check";
import { joinBytes } from "../../lib/bytes.ts";
import {
  dataFrame,
  pingFrame,
  resetFrame,
  type SpdyFrame,
  SpdyReader,
  StreamOpener,
} from "./spdy-frames.ts";

const stream = fc.integer({ min: 1, max: 0x7fff_ffff });

/** What was sent, and what a reader makes of it. */
const sent = fc.oneof(
  fc
    .record({
      stream,
      bytes: fc.uint8Array({ maxLength: 70_000, size: "max" }),
      isLast: fc.boolean(),
    })
    .map(({ stream, bytes, isLast }) => ({
      frame: dataFrame(stream, bytes, isLast),
      read: [
        ...(bytes.length > 0 ? [{ type: "data", stream, bytes }] : []),
        ...(isLast ? [{ type: "end", stream }] : []),
      ] as SpdyFrame[],
    })),
  stream.map((id) => ({ frame: pingFrame(id), read: [{ type: "ping", id }] as SpdyFrame[] })),
  stream.map((stream) => ({
    frame: resetFrame(stream),
    read: [{ type: "end", stream }] as SpdyFrame[],
  })),
);

/** Data of one frame that came in pieces, as one. */
function joined(frames: Iterable<SpdyFrame>): SpdyFrame[] {
  const whole: SpdyFrame[] = [];
  for (const frame of frames) {
    const last = whole.at(-1);
    if (frame.type === "data" && last?.type === "data" && last.stream === frame.stream) {
      whole[whole.length - 1] = { ...frame, bytes: joinBytes([last.bytes, frame.bytes]) };
    } else whole.push(frame);
  }
  return whole;
}

test("frames are read as they were sent, wherever the bytes are cut", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(fc.array(sent, { maxLength: 6 }), sizes, (frames, cuts) => {
      const bytes = joinBytes(frames.map(({ frame }) => frame));
      const reader = new SpdyReader();
      const read: SpdyFrame[] = [];
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const end = at + (cuts[turn % cuts.length] ?? 1);
        read.push(...reader.push(bytes.subarray(at, end)));
        at = end;
      }
      expect(joined(read)).toEqual(joined(frames.flatMap((one) => one.read)));
    }),
    { numRuns: 100 },
  );
});

test("what matters not is passed over, what is no SPDY is told", () => {
  const read = (...words: number[]) => {
    const bytes = new Uint8Array(words.length * 4);
    words.forEach((word, i) => {
      new DataView(bytes.buffer).setUint32(i * 4, word);
    });
    return [...new SpdyReader().push(bytes)];
  };
  expect(read(0x8003_0004, 4, 0, 0x8003_0009, 8, 1, 65_536)).toEqual([]);
  expect(read(0x8003_0007, 8, 1, 0)).toEqual([{ type: "goaway" }]);
  expect(read(0x8003_0002, 0x0100_0004, 3)).toEqual([{ type: "end", stream: 3 }]);
  expect(read(0x8003_0001, 0x0000_000a, 2, 0, 0)).toEqual([{ type: "open", stream: 2 }]);
  expect(() => read(0x8002_0006, 4, 1)).toThrow("another version");
  expect(() => read(0x8003_0006, 0x00ff_ffff)).toThrow("too long");
  expect(() => read(0x8003_0006, 0)).toThrow("too short");
});

test("the headers of all streams are one zlib stream, each block flushed", () => {
  const opener = new StreamOpener();
  const frames = [opener.open(1, "streamtype", "error"), opener.open(3, "streamtype", "stdout")];
  const [first, second] = frames.map((frame) => new DataView(frame.buffer));
  expect(first?.getUint32(0)).toBe(0x8003_0001);
  expect(first?.getUint32(4)).toBe((frames[0]?.length ?? 0) - 8);
  expect(second?.getUint32(8)).toBe(3);
  const blocks = frames.map((frame) => frame.subarray(18));
  const finishFlush = constants.Z_SYNC_FLUSH;
  const lone = inflateSync(blocks[0] ?? new Uint8Array(), { finishFlush });
  const text = (length: number, word: string): string =>
    `\0\0\0${String.fromCharCode(length)}${word}`;
  const header = (value: string): string =>
    `\0\0\0\x01${text(10, "streamtype")}${text(value.length, value)}`;
  expect(lone.toString("latin1")).toBe(header("error"));
  const both = inflateSync(joinBytes(blocks), { finishFlush });
  expect(both.toString("latin1")).toBe(header("error") + header("stdout"));
});
