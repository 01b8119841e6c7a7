/**
 * What k3 relies on in Bun beyond what Bun documents: a new Bun version must
 * pass this before anything else is looked at.
 */

import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createPublicKey } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import {
  connect,
  createServer as createHttp2Server,
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import { Agent, request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { generateEcKey, issueCertificate, issuerOf, keyToPem } from "../src/pki/x509.ts";
import { createNet } from "../src/runtime/net.ts";

interface Pair {
  readonly key: string;
  readonly cert: string;
}
let ca: Pair;
let server: Pair;
let client: Pair;
let dir = "";
let door: Http2SecureServer;
let port = 0;

const validity = {
  notBefore: new Date("2020-01-01T00:00:00Z"),
  notAfter: new Date("2120-01-01T00:00:00Z"),
};

async function issueAll(): Promise<void> {
  const caKey = await generateEcKey();
  const caCert = issueCertificate(
    {
      ...validity,
      subject: { commonName: "test-ca", organizations: [] },
      usage: "authority",
      sans: { dnsNames: [], ips: [] },
      publicKey: createPublicKey(caKey),
    },
    caKey,
  );
  ca = { cert: caCert, key: keyToPem(caKey) };
  const leaf = async (commonName: string, organizations: readonly string[]): Promise<Pair> => {
    const key = await generateEcKey();
    const cert = issueCertificate(
      {
        ...validity,
        subject: { commonName, organizations },
        usage: "server and client",
        sans: { dnsNames: ["localhost"], ips: ["127.0.0.1"] },
        publicKey: createPublicKey(key),
      },
      issuerOf(ca.cert, ca.key),
    );
    return { cert, key: keyToPem(key) };
  };
  server = await leaf("server", []);
  client = await leaf("alice", ["dev"]);
}

function answer(request: Http2ServerRequest, response: Http2ServerResponse): void {
  if (request.url === "/forever") {
    response.writeHead(200);
    response.write("x");
    request.on("close", () => door.emit("gone"));
    return;
  }
  const peer = (request.socket as unknown as TLSSocket).getPeerCertificate();
  const body = { version: request.httpVersion, user: peer?.subject?.CN ?? "" };
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(body));
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "k3-contract-"));
  await issueAll();
  door = createSecureServer(
    {
      allowHTTP1: true,
      key: server.key,
      cert: server.cert,
      ca: ca.cert,
      requestCert: true,
      rejectUnauthorized: false,
    },
    answer,
  );
  door.on("upgrade", (_request, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n");
    socket.on("data", (chunk: Uint8Array) => socket.write(chunk));
  });
  await new Promise<void>((resolve) => door.listen(0, "127.0.0.1", resolve));
  port = (door.address() as AddressInfo).port;
});
afterAll(async () => {
  door.close();
  await rm(dir, { recursive: true, force: true });
});

async function overHttp2(path: string): Promise<unknown> {
  const session = connect(`https://localhost:${port}`, { ca: ca.cert, ...client });
  try {
    const stream = session.request({ ":path": path });
    let text = "";
    for await (const chunk of stream) text += chunk;
    return JSON.parse(text);
  } finally {
    session.close();
  }
}

function overHttp1(identity: Pair | undefined): Promise<unknown> {
  const agent = new Agent({ ca: ca.cert, ...identity });
  return new Promise((resolve, reject) => {
    const asked = httpsRequest({ host: "localhost", port, path: "/", agent }, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      agent.destroy();
      resolve(JSON.parse(text));
    });
    asked.on("error", reject);
    asked.end();
  });
}

test("one TLS port speaks HTTP/2 and HTTP/1.1 and knows the client's certificate", async () => {
  expect(await overHttp2("/")).toEqual({ version: "2.0", user: "alice" });
  expect(await overHttp1(client)).toEqual({ version: "1.1", user: "alice" });
  expect(await overHttp1(undefined)).toEqual({ version: "1.1", user: "" });
});

test("fetch carries a client certificate and a private CA", async () => {
  const init = { tls: { ca: ca.cert, cert: client.cert, key: client.key } };
  const response = await fetch(`https://localhost:${port}/`, init as RequestInit);
  expect(await response.json()).toEqual({ version: "1.1", user: "alice" });
  expect(fetch(`https://localhost:${port}/`)).rejects.toThrow();
});

test("whatever is trusted is trusted alone, an authority or not, as with Go", async () => {
  const { fetch: ask } = createNet();
  const request = (): Request => new Request(`https://localhost:${port}/`);
  for (const more of [{}, { headerLines: [["x-a", "b"]] as const }]) {
    const own = await ask(request(), { tls: { ca: server.cert }, ...more });
    expect(own.status).toBe(200);
    expect(ask(request(), { tls: { ca: client.cert }, ...more })).rejects.toThrow();
  }
});

test("an upgrade hands over the raw socket", async () => {
  const socket = tlsConnect({ port, host: "localhost", ca: ca.cert, ALPNProtocols: ["http/1.1"] });
  socket.write(
    "GET /exec HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n",
  );
  let text = "";
  for await (const chunk of socket) {
    if (text === "") socket.write("ping");
    text += chunk;
    if (text.endsWith("ping")) break;
  }
  expect(text).toStartWith("HTTP/1.1 101");
  socket.destroy();
});

test("a server sees that a client of HTTP/2 has gone", async () => {
  const gone = new Promise<void>((resolve) => door.once("gone", () => resolve()));
  const session = connect(`https://localhost:${port}`, { ca: ca.cert });
  const stream = session.request({ ":path": "/forever" });
  stream.once("data", () => stream.close());
  await gone;
  session.close();
});

test("HTTP/2 without TLS over a unix socket, as CRI speaks it", async () => {
  const path = join(dir, "h2c.sock");
  const plain = createHttp2Server((_request, response) => void response.end("pong"));
  await new Promise<void>((resolve) => plain.listen(path, resolve));
  const { connect: dial } = await import("node:net");
  const session = connect("http://localhost", { createConnection: () => dial(path) });
  let text = "";
  for await (const chunk of session.request({ ":path": "/" })) text += chunk;
  expect(text).toBe("pong");
  session.close();
  plain.close();
});

test("SQLite syncs fully in WAL mode, holds its lock and keeps 53-bit revisions", () => {
  const database = new Database(join(dir, "x.db"), { create: true, strict: true });
  database.run("PRAGMA locking_mode = EXCLUSIVE");
  expect(database.query("PRAGMA journal_mode = WAL").get()).toEqual({ journal_mode: "wal" });
  database.run("PRAGMA synchronous = FULL");
  expect(database.query("PRAGMA synchronous").get()).toEqual({ synchronous: 2 });
  database.run("CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB) STRICT");
  const big = Number.MAX_SAFE_INTEGER;
  database.prepare("INSERT INTO t VALUES (?, ?)").run(big, new Uint8Array([0, 255]));
  expect(database.query("SELECT * FROM t").get()).toEqual({ n: big, b: new Uint8Array([0, 255]) });
  database.run("BEGIN");
  expect(database.inTransaction).toBe(true);
  expect(() => database.run("INSERT INTO t VALUES (1, 'text')")).toThrow();
  database.run("ROLLBACK");
  database.close();
});

test("setImmediate runs after all that one turn's promises do", async () => {
  const order: string[] = [];
  const later = new Promise<void>((resolve) =>
    setImmediate(() => {
      order.push("immediate");
      resolve();
    }),
  );
  await Promise.resolve();
  for (let i = 0; i < 10; i++) await Promise.resolve().then(() => order.push("micro"));
  await later;
  expect(order.at(-1)).toBe("immediate");
  expect(order).toHaveLength(11);
});

test("a detached child leads its own session", async () => {
  const child = Bun.spawn(["sh", "-c", "cut -d' ' -f6 /proc/$$/stat"], { detached: true });
  expect((await new Response(child.stdout).text()).trim()).toBe(String(child.pid));
});
