import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import {
  type IngressWorld,
  RawClient,
  rawBackend,
  serve,
  startWorld,
} from "./testing/ingress-world.ts";

let world: IngressWorld;
let session: ClientHttp2Session;

beforeAll(async () => {
  world = await startWorld();
  session = connect(`https://127.0.0.1:${world.websecure}`, { rejectUnauthorized: false });
});
afterAll(async () => {
  session.destroy();
  await world[Symbol.asyncDispose]();
});

interface Heard {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: string;
}

function ask(headers: Record<string, string>, body?: string | readonly Buffer[]): Promise<Heard> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":path": "/", ":authority": "a.test", ...headers });
    let heard: Heard = { headers: {}, trailers: {}, body: "" };
    stream.on("response", (answer) => {
      heard = { ...heard, headers: answer };
    });
    stream.on("trailers", (trailers) => {
      heard = { ...heard, trailers };
    });
    stream.on("data", (piece) => {
      heard = { ...heard, body: heard.body + piece };
    });
    stream.on("close", () => resolve(heard));
    stream.on("error", reject);
    if (typeof body === "string") stream.end(body);
    else {
      for (const piece of body ?? []) stream.write(piece);
      stream.end();
    }
  });
}

/** A backend that speaks HTTP/2 without TLS. */
async function http2Backend(
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
): Promise<{ readonly endpoint: string } & AsyncDisposable> {
  const server = createServer();
  server.on("stream", onStream);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const at = server.address();
  return {
    endpoint: `127.0.0.1:${typeof at === "object" ? at?.port : 0}`,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

test("a client of HTTP/2 is served by a backend of HTTP/1.1", async () => {
  let seen = "";
  using backend = rawBackend((socket, text) => {
    seen = text;
    const own = "Connection: keep-alive\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n";
    socket.write(`HTTP/1.1 200 OK\r\n${own}Content-Length: 2\r\n\r\nok`);
  });
  serve(world, [backend.endpoint]);
  const { headers, body } = await ask({ ":path": "/x?y", "x-forwarded-for": "6.6.6.6" });
  expect(headers[":status"]).toBe(200 as never);
  expect(headers["set-cookie"]).toEqual(["a=1", "b=2"]);
  expect(headers.connection).toBeUndefined();
  expect(body).toBe("ok");
  expect(seen).toStartWith("GET /x?y HTTP/1.1\r\nHost: a.test\r\n");
  expect(seen).toContain("\r\nX-Forwarded-Proto: https\r\n");
  expect(seen).toContain("\r\nX-Forwarded-For: 127.0.0.1\r\n");
  expect(seen).not.toContain("6.6.6.6");
});

test("bodies pass both ways, more than windows hold", async () => {
  const backend = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => new Response(await request.bytes()),
  });
  serve(world, [`127.0.0.1:${backend.port}`]);
  const pieces = Array.from({ length: 40 }, (_, at) => Buffer.alloc(50_000, 65 + (at % 26)));
  const { body } = await ask({ ":method": "POST" }, pieces);
  expect(body).toBe(Buffer.concat(pieces).toString());
  await backend.stop(true);
});

test("gRPC passes: HTTP/2 on both sides, with trailers", async () => {
  let seen: IncomingHttpHeaders = {};
  await using backend = await http2Backend((stream, headers) => {
    seen = headers;
    let length = 0;
    stream.on("data", (piece) => {
      length += piece.length;
    });
    stream.on("end", () => {
      stream.respond(
        { ":status": 200, "content-type": "application/grpc" },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(`got ${length}`);
    });
  });
  serve(world, [backend.endpoint], {}, { protocol: "h2c" });
  const grpc = { ":method": "POST", "content-type": "application/grpc", te: "trailers" };
  for (let i = 0; i < 3; i++) {
    const { headers, trailers, body } = await ask(grpc, "x".repeat(100_000));
    expect(headers["content-type"]).toBe("application/grpc");
    expect(body).toBe("got 100000");
    expect(trailers["grpc-status"]).toBe("0");
  }
  expect([seen.te, seen[":authority"], seen["x-real-ip"]]).toEqual([
    "trailers",
    "a.test",
    "127.0.0.1",
  ]);
});

test("both sides of a stream are open at once: what is sent is answered at once", async () => {
  await using backend = await http2Backend((stream) => {
    stream.respond({ ":status": 200 });
    stream.on("data", (piece) => stream.write(`echo ${piece}`));
    stream.on("end", () => stream.end());
  });
  serve(world, [backend.endpoint], {}, { protocol: "h2c" });
  const stream = session.request({ ":path": "/", ":authority": "a.test", ":method": "POST" });
  stream.setEncoding("utf8");
  const next = (): Promise<string> => new Promise((resolve) => stream.once("data", resolve));
  stream.write("one");
  expect(await next()).toBe("echo one");
  stream.write("two");
  expect(await next()).toBe("echo two");
  stream.end();
  await new Promise((resolve) => stream.on("close", resolve));
});

test("a client of HTTP/1.1 is served by a backend of HTTP/2", async () => {
  await using backend = await http2Backend((stream, headers) => {
    stream.respond({ ":status": 201, "x-path": headers[":path"] });
    stream.end("hello");
  });
  serve(world, [backend.endpoint], {}, { protocol: "h2c" });
  const answer = await fetch(`http://127.0.0.1:${world.web}/a`, { method: "POST", body: "x" });
  expect([answer.status, answer.headers.get("x-path"), await answer.text()]).toEqual([
    201,
    "/a",
    "hello",
  ]);
});

test("an answer shorter than was told is cut off, not mixed with the next one", async () => {
  await using backend = await http2Backend((stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200, "content-length": 10 });
    stream.end("short");
  });
  serve(world, [backend.endpoint], {}, { protocol: "h2c" });
  using client = new RawClient(world.web);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const text = await client.closed();
  expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(1);
});

test("an endpoint that refuses is passed over by HTTP/2 too", async () => {
  const dead = await http2Backend(() => {});
  const { endpoint } = dead;
  await dead[Symbol.asyncDispose]();
  await using backend = await http2Backend((stream) => {
    stream.respond({ ":status": 200 });
    stream.end("alive");
  });
  serve(world, [endpoint, backend.endpoint], {}, { protocol: "h2c" });
  for (let i = 0; i < 3; i++) {
    expect((await ask({ ":method": "POST" }, "x")).body).toBe("alive");
  }
});

const smuggled: readonly (readonly [why: string, headers: Record<string, string>])[] = [
  ["a line end in a path", { ":path": "/a HTTP/1.1\r\nX: y" }],
  ["a blank in a path", { ":path": "/a b" }],
  ["a path without slash", { ":path": "a" }],
  ["a host with a path", { ":authority": "a.test/b" }],
];

for (const [why, headers] of smuggled) {
  test(`a request is refused that HTTP/1.1 would read otherwise: ${why}`, async () => {
    let requests = 0;
    using backend = rawBackend((socket) => {
      requests += 1;
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    serve(world, [backend.endpoint]);
    const answer = await ask(headers).catch(() => undefined);
    expect(answer?.headers[":status"] ?? 400).toBe(400 as never);
    expect(requests).toBe(0);
  });
}

test("who goes away takes its request along", async () => {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const { promise: asked, resolve: began } = Promise.withResolvers<void>();
  await using backend = await http2Backend((stream) => {
    began();
    stream.on("close", resolve);
    stream.on("error", () => {});
  });
  serve(world, [backend.endpoint], {}, { protocol: "h2c" });
  const stream = session.request({ ":path": "/", ":authority": "a.test" });
  stream.on("error", () => {});
  await asked;
  stream.close(8);
  await closed;
});

test("a client that speaks HTTP/2 without TLS, unasked, is served like others", async () => {
  using backend = rawBackend((socket, text) => {
    const [, path = ""] = /^GET (\S+)/.exec(text) ?? [];
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
  });
  serve(world, [backend.endpoint]);
  const plain = connect(`http://127.0.0.1:${world.web}`);
  const answers = await Promise.all(
    ["/1", "/22", "/333"].map(
      (path) =>
        new Promise<string>((resolve, reject) => {
          const stream = plain.request({ ":path": path, ":authority": "a.test" });
          let body = "";
          stream.on("data", (piece) => {
            body += piece;
          });
          stream.on("end", () => resolve(body));
          stream.on("error", reject);
        }),
    ),
  );
  expect(answers).toEqual(["/1", "/22", "/333"]);
  plain.destroy();
});

test("a large body passes both ways without TLS", async () => {
  const sent = Buffer.alloc(3_000_000, "k3");
  const backend = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => new Response(await request.arrayBuffer()),
  });
  serve(world, [`127.0.0.1:${backend.port}`]);
  const plain = connect(`http://127.0.0.1:${world.web}`);
  const pieces: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    const stream = plain.request({ ":path": "/", ":authority": "a.test", ":method": "POST" });
    stream.on("data", (piece: Buffer) => pieces.push(piece));
    stream.on("end", resolve);
    stream.on("error", reject);
    stream.end(sent);
  });
  expect(Buffer.concat(pieces).equals(sent)).toBe(true);
  plain.destroy();
  await backend.stop(true);
});
