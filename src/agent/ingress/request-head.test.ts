import { expect, test } from "bun:test";
import { parseRequestHead } from "./request-head.ts";

function parsed(...lines: readonly string[]) {
  return parseRequestHead(lines.join("\r\n"));
}

test("parseRequestHead() reads what clients send", () => {
  expect(parsed("GET /a?b=c HTTP/1.1", "Host: A.test:8080", "X-One:  1 ")).toMatchObject({
    method: "GET",
    target: "/a?b=c",
    host: "A.test:8080",
    fields: [
      { name: "Host", lower: "host", value: "A.test:8080" },
      { name: "X-One", lower: "x-one", value: "1" },
    ],
    framing: { type: "none" },
    keepsAlive: true,
    upgrade: "",
  });
  expect(parsed("POST / HTTP/1.1", "Host: a", "Content-Length: 12")).toMatchObject({
    framing: { type: "length", bytes: 12 },
  });
  expect(parsed("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: Chunked")).toMatchObject({
    framing: { type: "chunked" },
  });
  expect(parsed("GET http://b.test HTTP/1.1", "Host: a")).toMatchObject({
    host: "b.test",
    target: "/",
  });
  expect(parsed("GET / HTTP/1.0")).toMatchObject({ host: "", keepsAlive: false });
  expect(parsed("GET / HTTP/1.1", "Host: a", "Connection: Close, X")).toMatchObject({
    keepsAlive: false,
    connection: ["close", "x"],
  });
});

test("parseRequestHead() takes a change of protocol only where Connection names it", () => {
  const lines = ["GET / HTTP/1.1", "Host: a", "Upgrade: websocket"];
  expect(parsed(...lines, "Connection: keep-alive, Upgrade")).toMatchObject({
    upgrade: "websocket",
  });
  expect(parsed(...lines)).toMatchObject({ upgrade: "" });
});

const refused: readonly (readonly [why: string, status: number, ...lines: string[]])[] = [
  ["both framings", 400, "Host: a", "Content-Length: 3", "Transfer-Encoding: chunked"],
  ["two lengths", 400, "Host: a", "Content-Length: 3", "Content-Length: 3"],
  ["a list of lengths", 400, "Host: a", "Content-Length: 3, 3"],
  ["a signed length", 400, "Host: a", "Content-Length: +3"],
  ["a length in hexadecimal", 400, "Host: a", "Content-Length: 0x3"],
  ["two codings", 400, "Host: a", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
  ["a coding nobody knows", 501, "Host: a", "Transfer-Encoding: xchunked"],
  ["a coding with a control character", 400, "Host: a", "Transfer-Encoding: \vchunked"],
  ["a blank before the colon", 400, "Host: a", "Transfer-Encoding : chunked"],
  ["a folded line", 400, "Host: a", "X: 1", " 2"],
  ["no name", 400, "Host: a", ": x"],
  ["no colon", 400, "Host: a", "nothing"],
  ["two hosts", 400, "Host: a", "Host: b"],
  ["no host", 400, "X: 1"],
  ["a host with a path", 400, "Host: a/b"],
  ["a host with a user", 400, "Host: u@a"],
  ["a bare line feed", 400, "Host: a\nX: 1"],
  ["a bare carriage return", 400, "Host: a\rX: 1"],
  ["a zero byte", 400, "Host: a\0"],
  ["an expectation nobody knows", 417, "Host: a", "Expect: wonders"],
  ["many fields", 431, "Host: a", ...Array.from({ length: 100 }, (_, i) => `X-${i}: 1`)],
];

for (const [why, status, ...lines] of refused) {
  test(`parseRequestHead() refuses ${why}`, () => {
    expect(parsed("POST / HTTP/1.1", ...lines)).toEqual({ status: status as 400 });
  });
}

const firstLines: readonly (readonly [line: string, status: number])[] = [
  ["GET / HTTP/2.0", 505],
  ["GET / HTTP/1.10", 400],
  ["GET / http/1.1", 400],
  ["GET /", 400],
  ["GET  / HTTP/1.1", 400],
  ["GET /a b HTTP/1.1", 400],
  ["GET /#a HTTP/1.1", 400],
  ["GET /\xe9 HTTP/1.1", 400],
  ["G@T / HTTP/1.1", 400],
  ["CONNECT a:443 HTTP/1.1", 400],
  ["GET a HTTP/1.1", 400],
  [`GET /${"a".repeat(9000)} HTTP/1.1`, 414],
];

for (const [line, status] of firstLines) {
  test(`parseRequestHead() refuses ${line.slice(0, 40)}`, () => {
    expect(parsed(line, "Host: a")).toEqual({ status: status as 400 });
  });
}
