import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { connect as connectTls } from "node:tls";
import {
  type IngressWorld,
  RawClient,
  rawBackend,
  serve,
  startWorld,
} from "./testing/ingress-world.ts";
import { pairFor } from "./testing/test-pairs.ts";

let world: IngressWorld;

beforeAll(async () => {
  world = await startWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const ok = (body: string): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

function url(path = "/"): string {
  return `http://127.0.0.1:${world.web}${path}`;
}

test("a backend gets the client's address, and nothing that was for us", async () => {
  let seen = "";
  using backend = rawBackend((socket, text) => {
    seen = text;
    socket.write(ok("hello"));
  });
  serve(world, [backend.endpoint]);
  using client = new RawClient(world.web);
  client.send(
    "GET /a?b=c HTTP/1.1\r\nHost: A.test\r\nX-Forwarded-For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\n" +
      "Forwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\nConnection: keep-alive, X-Own\r\n" +
      "X-Own: 1\r\nTE: trailers\r\nAccept: */*\r\n\r\n",
  );
  const answer = await client.until("hello");
  expect(answer).toStartWith("HTTP/1.1 200 OK\r\n");
  expect(seen).toBe(
    "GET /a?b=c HTTP/1.1\r\nHost: A.test\r\nAccept: */*\r\nX-Forwarded-For: 127.0.0.1\r\n" +
      "X-Forwarded-Host: A.test\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n" +
      "X-Real-Ip: 127.0.0.1\r\n\r\n",
  );
});

test("connections are kept on both sides, pipelined requests answered in order", async () => {
  const connections = new Set<number>();
  using backend = rawBackend((socket, text, connection) => {
    connections.add(connection);
    socket.write(ok(/^GET (\S+)/.exec(text)?.[1] ?? ""));
  });
  serve(world, [backend.endpoint]);
  using client = new RawClient(world.web);
  const request = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
  client.send(request("/1") + request("/2") + request("/3"));
  const text = await client.until("/3");
  expect(text.indexOf("/1")).toBeLessThan(text.indexOf("/2"));
  expect(connections.size).toBe(1);
});

test("bodies pass in both directions, whatever their framing", async () => {
  const backend = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const hash = createHash("sha256")
        .update(await request.bytes())
        .digest("hex");
      const length = request.headers.get("content-length") ?? "chunked";
      return new Response(`${length} ${hash}`);
    },
  });
  serve(world, [`127.0.0.1:${backend.port}`]);
  const bytes = new Uint8Array(3_000_000).map((_, at) => at % 251);
  const hash = createHash("sha256").update(bytes).digest("hex");
  const whole = await fetch(url(), { method: "POST", body: bytes });
  expect(await whole.text()).toBe(`3000000 ${hash}`);
  const stream = new Response(bytes).body as ReadableStream;
  const streamed = await fetch(url(), { method: "POST", body: stream });
  expect(await streamed.text()).toEndWith(` ${hash}`);
  await backend.stop(true);
});

test("a slow reader holds up the backend, not our memory", async () => {
  const chunk = Buffer.alloc(1 << 16, 65);
  const chunks = 512;
  let sent = 0;
  const backend = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () =>
      new Response(
        new ReadableStream(
          {
            pull(controller) {
              if (sent === chunks) return controller.close();
              sent += 1;
              controller.enqueue(chunk);
            },
          },
          { highWaterMark: 1 },
        ),
      ),
  });
  serve(world, [`127.0.0.1:${backend.port}`]);
  using client = new RawClient(world.web);
  client.socket.pause();
  client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const before = process.memoryUsage().rss;
  let last = -1;
  // It comes to rest when the buffers of the kernel are full.
  while (last !== sent || sent === 0) {
    last = sent;
    await Bun.sleep(300);
  }
  expect(sent).toBeLessThan(chunks);
  expect(process.memoryUsage().rss - before).toBeLessThan(100 << 20);
  client.socket.resume();
  const text = await client.closed();
  expect(text.length).toBeGreaterThan(chunks * chunk.length);
  expect(text).toEndWith("0\r\n\r\n");
  await backend.stop(true);
});

test("a change of protocol makes a way for bytes in both directions", async () => {
  const backend = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no")),
    websocket: {
      message: (socket, message) => void socket.send(`echo ${message}`),
    },
  });
  serve(world, [`127.0.0.1:${backend.port}`]);
  const socket = new WebSocket(`ws://127.0.0.1:${world.web}/`);
  const heard = new Promise<string>((resolve, reject) => {
    socket.onopen = () => socket.send("hi");
    socket.onmessage = ({ data }) => resolve(String(data));
    socket.onerror = () => reject(new Error("no connection"));
  });
  expect(await heard).toBe("echo hi");
  socket.close();
  await backend.stop(true);
});

test("an endpoint that refuses is passed over, another serves its requests", async () => {
  using dead = rawBackend(() => {});
  const { endpoint } = dead;
  dead[Symbol.dispose]();
  using backend = rawBackend((socket) => void socket.write(ok("alive")));
  serve(world, [endpoint, backend.endpoint]);
  for (let i = 0; i < 4; i++) {
    const answer = await fetch(url(), { method: "POST", body: "x", keepalive: false });
    expect(await answer.text()).toBe("alive");
  }
});

test("a request that finds no endpoint waits for one that comes soon", async () => {
  using dead = rawBackend(() => {});
  dead[Symbol.dispose]();
  using backend = rawBackend((socket) => void socket.write(ok("alive")));
  serve(world, [dead.endpoint]);
  const asked = fetch(url());
  await Bun.sleep(50);
  serve(world, [backend.endpoint]);
  expect(await (await asked).text()).toBe("alive");
});

test("an idle connection that the backend has closed costs nobody an answer", async () => {
  using backend = rawBackend((socket, _, connection) => {
    // It says that the connection stays, and closes it when the next request comes.
    if (connection > 1) return void socket.write(ok("second"));
    if (isFirst) socket.write(ok("first"));
    else socket.terminate();
    isFirst = false;
  });
  let isFirst = true;
  serve(world, [backend.endpoint]);
  expect(await (await fetch(url())).text()).toBe("first");
  expect(await (await fetch(url())).text()).toBe("second");
});

test("nobody to ask is 503, nobody who answers 502, no route 404", async () => {
  serve(world, []);
  const none = await fetch(url());
  expect([none.status, await none.text()]).toEqual([503, "no available server\n"]);
  using rude = rawBackend((socket) => socket.terminate());
  serve(world, [rude.endpoint]);
  expect((await fetch(url(), { method: "POST", body: "x" })).status).toBe(502);
  world.server.take({ type: "routes", routes: [] });
  const nowhere = await fetch(url());
  expect([nowhere.status, await nowhere.text()]).toEqual([404, "404 page not found\n"]);
});

for (const [why, answer] of [
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
  ["both framings", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["no HTTP", "SSH-2.0-x\r\n\r\n"],
  ["a protocol nobody asked for", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
] as const) {
  test(`an answer that cannot be relied on is 502: ${why}`, async () => {
    using backend = rawBackend((socket) => void socket.write(answer));
    serve(world, [backend.endpoint]);
    expect((await fetch(url(), { method: "POST", body: "x" })).status).toBe(502);
  });
}

test("what follows a request that is refused is not taken for another one", async () => {
  let requests = 0;
  using backend = rawBackend((socket) => {
    requests += 1;
    socket.write(ok("x"));
  });
  serve(world, [backend.endpoint]);
  using client = new RawClient(world.web);
  client.send(
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" +
      "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
  );
  const text = await client.closed();
  expect(text).toStartWith("HTTP/1.1 400 Bad Request\r\n");
  expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(requests).toBe(0);
});

test("a body larger than the route allows is refused, also one of unknown length", async () => {
  using backend = rawBackend((socket, text) => {
    if (text.includes("0\r\n\r\n")) socket.write(ok("x"));
  });
  serve(world, [backend.endpoint], { rules: { bodyBytesMax: 10 } });
  expect((await fetch(url(), { method: "POST", body: "x".repeat(11) })).status).toBe(413);
  using client = new RawClient(world.web);
  const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  client.send(`${head}b\r\n${"x".repeat(11)}\r\n0\r\n\r\n`);
  expect(await client.until("\r\n\r\n")).toStartWith("HTTP/1.1 413 ");
});

test("a backend that takes too long is 504 where the route says how long", async () => {
  using backend = rawBackend(() => {});
  serve(world, [backend.endpoint], { rules: { readMs: 300 } });
  expect((await fetch(url())).status).toBe(504);
});

test("HTTP/1.0 gets an answer without chunks, and the end of the connection", async () => {
  using backend = rawBackend((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  });
  serve(world, [backend.endpoint]);
  using client = new RawClient(world.web);
  client.send("GET / HTTP/1.0\r\n\r\n");
  const text = await client.closed();
  expect(text).toEndWith("\r\n\r\nabc");
  expect(text).not.toContain("chunked");
});

test("HEAD and 304 keep the length that is told, and no body is awaited", async () => {
  using backend = rawBackend((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
  });
  serve(world, [backend.endpoint]);
  using client = new RawClient(world.web);
  client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(await client.until("\r\n\r\n")).toContain("Content-Length: 7\r\n");
  client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(await client.until("\r\n\r\n")).toContain("Content-Length: 7\r\n");
});

test("TLS shows the certificate of the name asked for, and a new one at once", async () => {
  using backend = rawBackend((socket) => void socket.write(ok("x")));
  serve(world, [backend.endpoint]);
  const shown = (servername: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const at = { host: "127.0.0.1", port: world.websecure, servername };
      const socket = connectTls({ ...at, rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject?.CN));
        socket.destroy();
      });
      socket.on("error", reject);
    });
  const certificates = [
    { hosts: ["a.test"], ...pairFor("one") },
    { hosts: ["*.b.test"], ...pairFor("wild") },
  ];
  world.server.take({ type: "certificates", certificates });
  expect(await shown("a.test")).toBe("one");
  expect(await shown("x.b.test")).toBe("wild");
  expect(await shown("x.y.b.test")).toBe("fallback.test");
  world.server.take({
    type: "certificates",
    certificates: [{ hosts: ["a.test"], ...pairFor("two") }],
  });
  expect(await shown("a.test")).toBe("two");
  const answer = await fetch(`https://127.0.0.1:${world.websecure}/`, {
    tls: { rejectUnauthorized: false },
  });
  expect(await answer.text()).toBe("x");
});

test("metrics count requests by their Ingress", async () => {
  using backend = rawBackend((socket) => void socket.write(ok("abc")));
  serve(world, [backend.endpoint], { ingress: "default/counted" });
  await (await fetch(url())).text();
  world.server.take({ type: "metrics", id: 7 });
  const report = world.reports.findLast(({ type }) => type === "metrics");
  expect(report).toMatchObject({ type: "metrics", id: 7 });
  const text = report?.type === "metrics" ? report.text : "";
  const labels = 'code="200",entrypoint="web",method="GET",router="default/counted"';
  expect(text).toContain(`traefik_router_requests_total{${labels}} 1\n`);
  expect(text).toContain(`traefik_router_responses_bytes_total{${labels}} 3\n`);
});

test("a backend that speaks TLS is spoken to by TLS, whoever signed its certificate", async () => {
  const { cert, key } = pairFor("inner.test");
  const backend = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert, key },
    fetch: async (request) => new Response(`inner ${await request.text()}`),
  });
  serve(world, [`127.0.0.1:${backend.port}`], {}, { protocol: "https" });
  for (let i = 0; i < 3; i++) {
    const answer = await fetch(url(), { method: "POST", body: "x".repeat(200_000) });
    expect((await answer.text()).length).toBe(200_006);
  }
  await backend.stop(true);
});

test("a connection without TLS is not used for who asks for TLS at the same endpoint", async () => {
  using backend = rawBackend((socket) => void socket.write(ok("plain")));
  serve(world, [backend.endpoint]);
  expect(await (await fetch(url())).text()).toBe("plain");
  serve(world, [backend.endpoint], {}, { protocol: "https" });
  expect((await fetch(url())).status).toBe(502);
});
