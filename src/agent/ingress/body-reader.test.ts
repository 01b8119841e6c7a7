import { expect, test } from "bun:test";
import fc from "fast-check";
import { bodyReader } from "./body-reader.ts";

const chunked = { type: "chunked" } as const;

/** Reads `wire` cut at `cuts`; the body, and what was left behind it. */
function readAll(wire: Buffer, cuts: readonly number[]) {
  const reader = bodyReader(chunked);
  const pieces: Buffer[] = [];
  let from = 0;
  for (const cut of [...[...cuts].sort((a, b) => a - b), wire.length]) {
    const until = Math.min(cut, wire.length);
    const step = reader.read(wire.subarray(from, until), (piece) => pieces.push(piece));
    if (step.state === "whole") {
      return { state: "whole", body: Buffer.concat(pieces), rest: wire.subarray(from + step.rest) };
    }
    if (step.state === "malformed") return { state: "malformed" };
    from = until;
  }
  return { state: "more" };
}

test("a chunked body comes out as it went in, wherever its bytes are cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 8 }),
      fc.array(fc.nat(600), { maxLength: 20 }),
      fc.string({ maxLength: 20 }),
      (chunks, cuts, next) => {
        const parts = chunks.flatMap((one) => [`${one.length.toString(16)};x=y\r\n`, one, "\r\n"]);
        const wire = Buffer.concat([...parts, "0\r\nTrailer: 1\r\n\r\n", next].map(bytesOf));
        const read = readAll(wire, cuts);
        expect(read.state).toBe("whole");
        expect(read.body).toEqual(Buffer.concat(chunks));
        expect(read.rest?.toString()).toBe(next);
      },
    ),
  );
});

function bytesOf(part: string | Uint8Array): Buffer {
  return Buffer.from(part as string);
}

for (const wire of [
  "3\nabc\n0\n\n",
  "3\r\nabcd\r\n0\r\n\r\n",
  "0x3\r\nabc\r\n0\r\n\r\n",
  "-3\r\nabc\r\n0\r\n\r\n",
  "\r\n",
  "g\r\n",
  "3 3\r\nabc\r\n0\r\n\r\n",
  "ffffffffffffffffff\r\n",
  "3;\u0001\r\nabc\r\n0\r\n\r\n",
  "0\r\nnothing\r\n\r\n",
  `0;${"x".repeat(5000)}\r\n\r\n`,
]) {
  test(`a chunked body is refused: ${JSON.stringify(wire).slice(0, 40)}`, () => {
    expect(readAll(Buffer.from(wire), []).state).toBe("malformed");
  });
}

test("a body with a length ends there, and what follows is left alone", () => {
  const reader = bodyReader({ type: "length", bytes: 4 });
  let body = "";
  const take = (piece: Buffer): void => {
    body += piece.toString();
  };
  expect(reader.read(Buffer.from("ab"), take)).toEqual({ state: "more" });
  expect(reader.read(Buffer.from("cdGET"), take)).toEqual({ state: "whole", rest: 2 });
  expect(body).toBe("abcd");
});
