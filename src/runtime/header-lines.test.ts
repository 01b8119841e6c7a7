import { expect, test } from "bun:test";
import { createServer, type Server } from "node:net";
import { createNet } from "./net.ts";

/** A server that answers `answer` to whatever it is sent, and keeps what that was. */
async function listen(answer: string): Promise<{ url: string; sent: () => string } & Disposable> {
  let sent = "";
  const server: Server = createServer((socket) => {
    socket.on("data", (data) => {
      sent += data.toString();
      if (sent.includes("GET") || sent.includes("0\r\n\r\n")) socket.write(answer);
    });
    socket.on("error", () => {});
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", () => done()));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  return {
    url: `http://127.0.0.1:${port}/path?a=b`,
    sent: () => sent,
    [Symbol.dispose]: () => void server.close(),
  };
}

const lines = [
  ["x-group", "a"],
  ["x-group", "b, c"],
] as const;

test("headers of one name are sent as lines of their own", async () => {
  using server = await listen("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 2\r\n\r\nok");
  const request = new Request(server.url, { headers: { accept: "text/plain" } });
  const answer = await createNet().fetch(request, { headerLines: lines });
  expect([answer.status, answer.headers.get("location"), await answer.text()]).toEqual([
    302,
    "/x",
    "ok",
  ]);
  const sent = server.sent().toLowerCase();
  expect(sent).toStartWith("get /path?a=b http/1.1\r\n");
  expect(sent).toContain("x-group: a\r\nx-group: b, c\r\n");
  expect(sent).toContain("accept: text/plain\r\n");
});

test("whatever a value holds, it is one line in UTF-8", async () => {
  using server = await listen("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  const values = ["jürgen €", "a\r\nx-group: b"].map((value) => ["x-user", value] as const);
  await createNet().fetch(new Request(server.url), { headerLines: values });
  const sent = server.sent().toLowerCase();
  expect(sent).toContain("x-user: jürgen €\r\nx-user: a  x-group: b\r\n");
});

test("a body is sent, and an answer without one is understood", async () => {
  using server = await listen("HTTP/1.1 204 No Content\r\n\r\n");
  const request = new Request(server.url, { method: "POST", body: "some words" });
  const answer = await createNet().fetch(request, { headerLines: lines });
  expect([answer.status, answer.body]).toEqual([204, null]);
  expect(server.sent()).toContain("some words");
});

test("an abort ends the request and the body that is being read", async () => {
  using server = await listen("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst");
  const abort = new AbortController();
  const request = new Request(server.url, { signal: abort.signal });
  const answer = await createNet().fetch(request, { headerLines: lines });
  const reading = answer.text();
  abort.abort();
  expect(reading).rejects.toThrow();
  const late = new Request(server.url, { signal: abort.signal });
  expect(createNet().fetch(late, { headerLines: lines })).rejects.toThrow();
});
