/**
 * Request smuggling: heads whose framing two readers may take differently. Whatever the door makes
 * of the first request, what stands in its body must never be served as a request of its own.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type TLSSocket } from "node:tls";
import { createRuntime } from "../runtime/real.ts";
import { startFrontDoor } from "./front-door.ts";
import { makeTestPki, type TestPki, testScope } from "./testing/door.ts";

const runtime = createRuntime({ logLevel: "error" });
const running = testScope();
const served: string[] = [];
let keys: TestPki;
let port = 0;

beforeAll(async () => {
  keys = await makeTestPki(runtime);
  const door = await startFrontDoor({
    port: 0,
    host: "127.0.0.1",
    certificates: keys.certificates(),
    runtime,
    scope: running.scope,
    upgrade: async ({ stream }) => stream.close(),
    fetch: async (request) => {
      served.push(`${request.method} ${request.path}`);
      await request.body(1 << 20);
      return new Response("served");
    },
  });
  port = door.port;
});
afterAll(async () => {
  await running.stop();
  keys[Symbol.dispose]();
});

const hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
/** A chunked body that ends at once: who goes by the length takes the rest for a body. */
const chunked = `0\r\n\r\n${hidden}`;

const encodings = [
  "Transfer-Encoding: chunked",
  "Transfer-Encoding : chunked",
  "Transfer-Encoding:\tchunked",
  "Transfer-Encoding: xchunked",
  "Transfer-Encoding: chunked, identity",
  "Transfer-Encoding: identity, chunked",
  "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
  "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
  "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
  "Transfer-Encoding:\r\n chunked",
  "Transfer-Encoding: \x0bchunked",
  "Transfer-Encoding: chunked\x00",
  "Transfer-Encoding: CHUNKED",
  'transfer-encoding: "chunked"',
  "Transfer_Encoding: chunked",
  "X: y\nTransfer-Encoding: chunked",
  "X: y\rTransfer-Encoding: chunked",
  "Transfer-Encoding: chunked;a=b",
  " Transfer-Encoding: chunked",
  "Transfer\x00-Encoding: chunked",
  "Transfer-Encoding: chunked, chunked",
] as const;
const lengths = [
  (body: string) => `Content-Length: ${body.length}`,
  (body: string) => `Content-Length: ${body.length}\r\nContent-Length: 0`,
  (body: string) => `Content-Length: ${body.length}\r\nContent-Length: ${body.length}`,
  (body: string) => `Content-Length: ${body.length}, ${body.length}`,
  (body: string) => `Content-Length: +${body.length}`,
  (body: string) => `Content-Length: 0${body.length}`,
  (body: string) => `Content-Length : ${body.length}`,
  (body: string) => `Content-Length: 0x${body.length.toString(16)}`,
  (body: string) => `Content-Length: ${body.length} `,
  (body: string) => `Content-Length: ${body.length},`,
  (body: string) => `Content-Length:\r\n ${body.length}`,
  (body: string) => `Content-Length: -1\r\nContent-Length: ${body.length}`,
  (body: string) => `Content-Length: ${body.length}e0`,
  (body: string) => `content-length: ${body.length}\nX: y`,
] as const;

/** Bodies of chunks whose sizes are odd; the hidden request stands inside of them. */
const oddChunks = [
  `${hidden.length.toString(16)};a="\r\n${hidden}\r\n0\r\n\r\n`,
  `0x${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
  `+${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
  `-1\r\n${hidden}\r\n0\r\n\r\n`,
  `${hidden.length.toString(16)}\n${hidden}\n0\n\n`,
  `${"f".repeat(17)}\r\n${hidden}\r\n0\r\n\r\n`,
  `1${"0".repeat(16)}\r\n${hidden}\r\n0\r\n\r\n`,
  ` ${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
  `${hidden.length.toString(16)} \r\n${hidden}\r\n0\r\n\r\n`,
  `g\r\n${hidden}\r\n0\r\n\r\n`,
  `\r\n${hidden}\r\n0\r\n\r\n`,
];

const corpus: readonly (readonly [name: string, text: string])[] = [
  ...encodings.flatMap((encoding) =>
    lengths.map((length): readonly [string, string] => {
      const framing = [length(chunked), encoding];
      const head = `POST /first HTTP/1.1\r\nHost: a\r\n${framing.join("\r\n")}\r\n\r\n`;
      return [JSON.stringify(framing), `${head}${chunked}`];
    }),
  ),
  ...oddChunks.map((body): readonly [string, string] => {
    const head = "POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    return [JSON.stringify(body.slice(0, 24)), `${head}${body}`];
  }),
  ...lengths.slice(1).map((length): readonly [string, string] => {
    const head = `POST /first HTTP/1.1\r\nHost: a\r\n${length(hidden)}\r\n\r\n`;
    return [JSON.stringify(length(hidden)), `${head}${hidden}`];
  }),
  ["HTTP/1.0 chunked", `POST /first HTTP/1.0\r\n${encodings[0]}\r\n\r\n${chunked}`],
  ["two lines in one", `GET /first HTTP/1.1\r\nHost: a\r\nX: y\n\n${hidden}`],
];

/** What the door says until it closes the connection, or nothing more comes. */
async function say(text: string): Promise<string> {
  const ca = keys.pki.authorities["server-ca"].certPem;
  const socket: TLSSocket = await new Promise((resolve, reject) => {
    const made = connect({ host: "127.0.0.1", port, ca, ALPNProtocols: ["http/1.1"] }, () =>
      resolve(made),
    );
    made.on("error", reject);
  });
  let heard = "";
  const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("data", (chunk) => {
    heard += String(chunk);
  });
  socket.on("error", () => {}); // told by the close
  socket.write(Buffer.from(text, "latin1"));
  // A plain request behind it shows when the door has read everything it is going to read.
  socket.write("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  await Promise.race([ended, Bun.sleep(300)]);
  socket.destroy();
  return heard;
}

test("a request behind another is served: what follows would show what it looks for", async () => {
  await say("POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
  expect(served).toEqual(["POST /first", "GET /last"]);
  served.length = 0;
});

test(`none of ${corpus.length} ambiguous requests lets its body be served`, async () => {
  const smuggled: string[] = [];
  const batch = 24;
  for (let at = 0; at < corpus.length; at += batch) {
    await Promise.all(
      corpus.slice(at, at + batch).map(async ([name, text]) => {
        const marked = text.replaceAll("/smuggled", `/smuggled-${at}`);
        const answer = await say(marked);
        if (served.includes(`GET /smuggled-${at}`)) smuggled.push(`${name}: ${answer}`);
      }),
    );
    served.length = 0;
  }
  expect(smuggled).toEqual([]);
}, 60_000);
