import { afterAll, beforeAll, expect, test } from "bun:test";
import { createPublicKey } from "node:crypto";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { request as httpsRequest } from "node:https";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { headerValue, headerValues } from "../api/auth/identity-headers.ts";
import {
  AnswerHeaders,
  type Frames,
  type HttpAnswer,
  type HttpRequest,
} from "../api/http-exchange.ts";
import { Pieces } from "../api/pieces.ts";
import type { KeyPair, Pki } from "../pki/ensure.ts";
import { generateEcKey, issueCertificate, keyToPem } from "../pki/x509.ts";
import { createRuntime } from "../runtime/real.ts";
import type { DoorPeer } from "./door-peer.ts";
import { type FrontDoor, type IncomingUpgrade, startFrontDoor } from "./front-door.ts";
import { makeTestPki, type TestPki, testScope } from "./testing/door.ts";

const runtime = createRuntime({ logLevel: "error" });
let keys: TestPki;
let pki: Pki;
const certificates: TestPki["certificates"] = (name) => keys.certificates(name);

const seen: { aborted: PromiseWithResolvers<string>; pulled: number } = {
  aborted: Promise.withResolvers(),
  pulled: 0,
};

/** Frames that go on for as long as the reader takes them. */
const flood: Frames = {
  isEndless: true,
  start(out) {
    const send = (): void => {
      while (out.write(new Uint8Array(1 << 16))) seen.pulled++;
    };
    send();
    return { drained: send, cancel: () => seen.aborted.resolve("/frames") };
  },
};

/** Every part says where it stands, so that nothing can be lost, doubled or overwritten. */
const pieces = new Pieces(function* () {
  for (let i = 0; i < 30_000; i++) yield Buffer.from(`${String(i).padStart(99, " ")}\n`);
});

async function handle(asked: HttpRequest, peer: DoorPeer): Promise<HttpAnswer | Response> {
  if (asked.path === "/frames") return { status: 200, headers: new AnswerHeaders(), body: flood };
  if (asked.path === "/pieces") return { status: 200, headers: new AnswerHeaders(), body: pieces };
  if (asked.path === "/short") {
    const body = await asked.body(10);
    const text = body instanceof Uint8Array ? `${asked.query} ${body.length}` : `${body}`;
    return { status: 200, headers: new AnswerHeaders({ "x-lean": "yes" }), body: text };
  }
  const request = asked.toRequest();
  const { pathname } = new URL(request.url);
  switch (pathname) {
    case "/identity":
      return Response.json({
        user: headerValue(request.headers, "x-remote-user"),
        groups: headerValues(request.headers, "x-remote-group"),
      });
    case "/peer":
      return Response.json({ ...peer, host: request.headers.get("host") });
    case "/echo": {
      const bytes = await request.bytes();
      const headers = { "content-length": String(bytes.length) };
      return new Response(bytes, { status: 201, headers });
    }
    case "/fail":
      throw new Error("on purpose");
    case "/watch":
      request.signal.addEventListener("abort", () => seen.aborted.resolve(pathname));
      return new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(new TextEncoder().encode("first\n")),
        }),
      );
    case "/flood":
      request.signal.addEventListener("abort", () => seen.aborted.resolve(pathname));
      return new Response(
        new ReadableStream({
          pull: (controller) => {
            seen.pulled++;
            controller.enqueue(new Uint8Array(1 << 20));
          },
        }),
      );
  }
  return new Response(null, { status: 404 });
}

async function upgrade({ request, peer, stream }: IncomingUpgrade): Promise<void> {
  const writer = stream.writable.getWriter();
  const name = peer.certificate?.commonName ?? "nobody";
  await writer.write(
    new TextEncoder().encode(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${request.headers.get("upgrade")}\r\n` +
        `Connection: Upgrade\r\nx-user: ${name}\r\n\r\n`,
    ),
  );
  writer.releaseLock();
  await stream.readable.pipeTo(stream.writable);
}

const running = testScope();
let door: FrontDoor;
beforeAll(async () => {
  keys = await makeTestPki(runtime);
  pki = keys.pki;
  door = await startFrontDoor({
    port: 0,
    host: "127.0.0.1",
    certificates: certificates(),
    runtime,
    scope: running.scope,
    fetch: handle,
    upgrade,
  });
});
afterAll(async () => {
  await running.stop();
  keys[Symbol.dispose]();
});

type Credentials = Pick<KeyPair, "certPem" | "keyPem"> | undefined;
interface Answer {
  readonly status: number;
  readonly body: string;
}
interface Ask {
  readonly path: string;
  readonly as?: Credentials;
  readonly method?: string;
  readonly body?: string | Uint8Array;
  readonly headers?: Record<string, string>;
}

const tlsOptions = (as: Credentials): object => ({
  ca: pki.authorities["server-ca"].certPem,
  ...(as === undefined ? {} : { cert: as.certPem, key: as.keyPem }),
});

function http1({ path, as, method = "GET", body, headers = {} }: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port: door.port, path, method, headers, agent: false };
    const request = httpsRequest({ ...options, ...tlsOptions(as) }, (response) => {
      const chunks: Uint8Array[] = [];
      response.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
      );
    });
    request.on("error", reject);
    request.end(body);
  });
}

function session(as: Credentials): ClientHttp2Session {
  const client = connectHttp2(`https://127.0.0.1:${door.port}`, tlsOptions(as));
  client.on("error", () => {});
  return client;
}

async function http2({ path, as, method = "GET", body, headers = {} }: Ask): Promise<Answer> {
  const client = session(as);
  try {
    return await new Promise<Answer>((resolve, reject) => {
      const stream = client.request(
        { ":path": path, ":method": method, ...headers },
        { endStream: body === undefined },
      );
      let status = 0;
      const chunks: Uint8Array[] = [];
      stream.on("response", (head) => {
        status = Number(head[":status"]);
      });
      stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      stream.on("end", () => resolve({ status, body: Buffer.concat(chunks).toString() }));
      stream.on("error", reject);
      client.on("error", reject);
      if (body !== undefined) stream.end(body);
    });
  } finally {
    client.close();
  }
}

for (const [name, ask] of Object.entries({ http1, http2 })) {
  test(`${name}: a client certificate becomes an identity`, async () => {
    const { status, body } = await ask({ path: "/peer", as: pki.leaves["client-admin"] });
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({
      address: "127.0.0.1",
      certificate: { commonName: "system:admin", organizations: ["system:masters"] },
      host: `127.0.0.1:${door.port}`,
    });
  });

  test(`${name}: no certificate is no identity`, async () => {
    const peer = JSON.parse((await ask({ path: "/peer" })).body);
    expect(peer.certificate).toBeUndefined();
    expect(peer.frontProxy).toBeUndefined();
    expect(peer.certificateError).toBeUndefined();
  });

  test(`${name}: rogue certificates name nobody`, async () => {
    const key = await generateEcKey();
    const rogue = {
      keyPem: keyToPem(key),
      certPem: issueCertificate(
        {
          subject: { commonName: "system:admin", organizations: ["system:masters"] },
          usage: "client",
          sans: { dnsNames: [], ips: [] },
          publicKey: createPublicKey(key),
          notBefore: new Date(Date.now() - 60_000),
          notAfter: new Date(Date.now() + 3_600_000),
        },
        key,
      ),
    };
    for (const as of [rogue, pki.leaves["etcd/client"], pki.leaves["serving-kubelet"]]) {
      const peer = JSON.parse((await ask({ path: "/peer", as })).body);
      expect(peer.certificate).toBeUndefined();
      expect(peer.frontProxy).toBeUndefined();
      expect(peer.certificateError).toBeString();
    }
  });

  test(`${name}: the aggregating proxy is no user`, async () => {
    const { body } = await ask({ path: "/peer", as: pki.leaves["client-auth-proxy"] });
    expect(JSON.parse(body).certificate).toBeUndefined();
    expect(JSON.parse(body).frontProxy).toBe("system:auth-proxy");
  });

  test(`${name}: bodies small and large arrive whole`, async () => {
    for (const size of [0, 10, 200_000, 3_000_000]) {
      const body = "x".repeat(size);
      const headers = { "content-length": String(size) };
      const answer = await ask({ path: "/echo", method: "POST", body, headers });
      expect(answer.status).toBe(201);
      expect(answer.body.length).toBe(size);
    }
  });

  test(`${name}: a long answer in pieces arrives whole and in order`, async () => {
    const { body } = await ask({ path: "/pieces" });
    expect(body).toBe(Buffer.from(pieces.bytes()).toString());
  });

  test(`${name}: a body is read up to its limit`, async () => {
    const sent = (body: string) => ask({ path: "/short?a=b", method: "POST", body });
    expect((await sent("0123456789")).body).toBe("a=b 10");
    expect((await sent("0123456789a")).body).toBe("too-large");
    expect((await sent("x".repeat(100_000))).body).toBe("too-large");
    expect((await ask({ path: "/short" })).body).toBe("undefined");
  });

  test(`${name}: a failing handler is a 500 and no more`, async () => {
    const quiet = await ask({ path: "/fail" });
    expect(quiet.status).toBe(500);
    expect((await ask({ path: "/nowhere" })).status).toBe(404);
    expect((await ask({ path: "/peer", method: "HEAD" })).body).toBe("");
  });
}

test("http1: odd targets are refused or answered, never fatal", async () => {
  for (const path of ["/%zz", "//evil.example/x", "/a%2f..", "/...", "/%00", "/x?a=/../"])
    expect((await http1({ path })).status).toBe(404);
  expect((await http1({ path: "http://other/x" })).status).toBe(400);
});

for (const { name, ask } of [
  { name: "http1", ask: http1 },
  { name: "http2", ask: http2 },
]) {
  test(`${name}: a path that steps up is refused, not resolved`, async () => {
    for (const path of ["/a/../peer", "/a/%2e%2E", "/a/.%2e/peer", "/..?x", "/a/\\..\\peer"]) {
      const { status, body } = await ask({ path });
      expect({ path, status }).toEqual({ path, status: 400 });
      expect(JSON.parse(body)).toMatchObject({
        reason: "BadRequest",
        message: `Name parameter invalid: "..": may not be '..'`,
      });
    }
  });
}

test("a stream begins at once and ends when the client leaves (h1)", async () => {
  seen.aborted = Promise.withResolvers();
  const request = httpsRequest({
    host: "127.0.0.1",
    port: door.port,
    path: "/watch",
    agent: false,
    ...tlsOptions(undefined),
  });
  request.on("error", () => {});
  request.end();
  const first = await new Promise<string>((resolve) =>
    request.on("response", (response) => {
      response.on("error", () => {});
      response.once("data", (chunk) => resolve(String(chunk)));
    }),
  );
  expect(first).toBe("first\n");
  request.destroy();
  expect(await seen.aborted.promise).toBe("/watch");
});

test("a stream begins at once and ends when the client leaves (h2)", async () => {
  seen.aborted = Promise.withResolvers();
  const client = session(undefined);
  const stream = client.request({ ":path": "/watch" });
  stream.on("error", () => {});
  const first = await new Promise<string>((resolve) =>
    stream.once("data", (chunk) => resolve(String(chunk))),
  );
  expect(first).toBe("first\n");
  stream.close(8);
  expect(await seen.aborted.promise).toBe("/watch");
  client.destroy();
});

test("a reader that stops reading stops the source", async () => {
  seen.aborted = Promise.withResolvers();
  seen.pulled = 0;
  const client = session(undefined);
  const stream = client.request({ ":path": "/flood" });
  stream.on("error", () => {});
  await new Promise((resolve) => stream.once("response", resolve));
  let before = -1;
  while (before !== seen.pulled) {
    before = seen.pulled;
    await Bun.sleep(100);
  }
  expect(seen.pulled).toBeLessThan(100);
  client.destroy();
  expect(await seen.aborted.promise).toBe("/flood");
});

test("frames stop with their reader, go on with it and end with it", async () => {
  seen.aborted = Promise.withResolvers();
  seen.pulled = 0;
  const client = session(undefined);
  const stream = client.request({ ":path": "/frames" });
  stream.on("error", () => {});
  await new Promise((resolve) => stream.once("response", resolve));
  let before = -1;
  while (before !== seen.pulled) {
    before = seen.pulled;
    await Bun.sleep(100);
  }
  expect(seen.pulled).toBeLessThan(100);
  let read = 0;
  await new Promise<void>((resolve) =>
    stream.on("data", (chunk) => {
      read += chunk.length;
      if (read > 100 << 16) resolve();
    }),
  );
  stream.close(8);
  expect(await seen.aborted.promise).toBe("/frames");
  client.destroy();
});

test("an upgrade passes bytes both ways and knows its peer", async () => {
  const { certPem, keyPem } = pki.leaves["client-admin"];
  const socket = connectTls({
    host: "127.0.0.1",
    port: door.port,
    ca: pki.authorities["server-ca"].certPem,
    cert: certPem,
    key: keyPem,
  });
  let text = "";
  const until = (wanted: string): Promise<void> =>
    new Promise((resolve) => {
      const check = (chunk?: Uint8Array): void => {
        text += chunk === undefined ? "" : Buffer.from(chunk).toString();
        if (!text.includes(wanted)) return;
        socket.off("data", check);
        resolve();
      };
      socket.on("data", check);
      check();
    });
  // Bytes in the same packet as the head must not be lost.
  socket.write(
    "POST /exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nearly",
  );
  await until("x-user: system:admin\r\n\r\nearly");
  expect(text).toContain("Upgrade: SPDY/3.1");
  socket.write("late");
  await until("late");
  const big = "y".repeat(1_000_000);
  socket.write(`${big}!`);
  await until("!");
  expect(text.length).toBeGreaterThan(1_000_000);
  socket.end();
  await new Promise((resolve) => socket.on("close", resolve));
});

test("replaceCertificates() serves the new certificate to new connections", async () => {
  const subject = (): Promise<string> =>
    new Promise((resolve) => {
      const socket: TLSSocket = connectTls(
        { host: "127.0.0.1", port: door.port, rejectUnauthorized: false },
        () => {
          resolve(String(socket.getPeerCertificate().subject.CN));
          socket.destroy();
        },
      );
    });
  expect(await subject()).toBe("kube-apiserver");
  door.replaceCertificates(certificates("serving-kubelet"));
  expect(await subject()).toBe("node-1");
  door.replaceCertificates(certificates());
  expect(await subject()).toBe("kube-apiserver");
  const { body } = await http1({ path: "/peer", as: pki.leaves["client-admin"] });
  expect(JSON.parse(body).certificate.commonName).toBe("system:admin");
});

test("startFrontDoor() says that the port is taken", async () => {
  const { scope } = testScope();
  const options = { certificates: certificates(), runtime, scope, fetch: handle, upgrade };
  expect(startFrontDoor({ ...options, host: "127.0.0.1", port: door.port })).rejects.toThrow(
    `Cannot listen on 127.0.0.1:${door.port}: the port is taken by another process`,
  );
});

test("stop lets due answers finish and ends streams", async () => {
  const own = testScope();
  const asked = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const second = await startFrontDoor({
    port: 0,
    host: undefined,
    certificates: certificates(),
    runtime,
    scope: own.scope,
    upgrade,
    fetch: async (request, peer) => {
      if (!request.url.endsWith("/slow")) return handle(request, peer);
      asked.resolve();
      await release.promise;
      return Response.json("slow but there");
    },
  });
  const get = (path: string): Promise<Answer> => {
    const client = connectHttp2(`https://127.0.0.1:${second.port}`, tlsOptions(undefined));
    return new Promise((resolve, reject) => {
      const stream = client.request({ ":path": path });
      let body = "";
      stream.on("data", (chunk) => {
        body += String(chunk);
        if (path === "/watch") watching.resolve();
      });
      stream.on("error", reject);
      stream.on("end", () => resolve({ status: 200, body }));
    });
  };
  const watching = Promise.withResolvers<void>();
  const watch = get("/watch");
  const slow = get("/slow");
  await Promise.all([watching.promise, asked.promise]);
  const stopped = own.stop();
  expect((await watch).body).toBe("first\n");
  release.resolve();
  expect((await slow).body).toBe('"slow but there"');
  await stopped;
});

const identityHeaders: readonly (readonly [lines: readonly string[], answer: string])[] = [
  [
    ["x-remote-user: cn=a,o=b", "x-remote-group: a,b", "X-Remote-Group: c%2C"],
    '{"user":"cn=a,o=b","groups":["a,b","c%2C"]}',
  ],
  [["x-remote-user: a", "x-remote-user: b"], "HTTP/1.1 400"],
  [["impersonate-user: a", "Impersonate-User: b"], "HTTP/1.1 400"],
  [["impersonate-uid: a", "impersonate-uid: b"], "HTTP/1.1 400"],
  [["authorization: Bearer a", "authorization: Bearer b"], "HTTP/1.1 400"],
  [["audit-id: a", "audit-id: b"], "HTTP/1.1 400"],
];
for (const [lines, answer] of identityHeaders) {
  test(`who asks is beyond doubt: ${lines.join(", ")}`, async () => {
    const head = ["GET /identity HTTP/1.1", "host: a", "connection: close", ...lines, "", ""];
    const socket = connectTls({ host: "127.0.0.1", port: door.port, ...tlsOptions(undefined) });
    socket.write(head.join("\r\n"));
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    expect(text).toContain(answer);
  });
}
