/** Who is let in by a certificate: the tricks that are known, and what happens to them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createPublicKey } from "node:crypto";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { request } from "node:https";
import { connect as connectTls } from "node:tls";
import { createAuthenticate } from "../api/auth/authenticate.ts";
import type { LiveSets } from "../live/live-set.ts";
import {
  generateEcKey,
  type IssueOptions,
  issueCertificate,
  issuerOf,
  keyToPem,
} from "../pki/x509.ts";
import { createRuntime } from "../runtime/real.ts";
import { type DoorCertificates, type FrontDoor, startFrontDoor } from "./front-door.ts";
import { makeTestPki, type TestPki, testScope } from "./testing/door.ts";

const runtime = createRuntime({ logLevel: "error" });
const running = testScope();
const hourMs = 3_600_000;
let keys: TestPki;
let door: FrontDoor;

/** Without tokens: only certificates can name anybody. */
const authenticate = createAuthenticate({
  verifyToken: async () => undefined,
  staticUsers: [],
  live: undefined as unknown as LiveSets,
  clock: runtime.clock,
});

function open(certificates: DoorCertificates): Promise<FrontDoor> {
  return startFrontDoor({
    port: 0,
    host: "127.0.0.1",
    certificates,
    runtime,
    scope: running.scope,
    upgrade: async () => {},
    fetch: async (asked, peer) => {
      const user = await authenticate(asked.headers, peer, asked.url).catch(() => undefined);
      return Response.json({ user: user?.name ?? "refused", proxy: peer.frontProxy ?? "" });
    },
  });
}

beforeAll(async () => {
  keys = await makeTestPki(runtime);
  door = await open(keys.certificates());
});
afterAll(async () => {
  await running.stop();
  keys[Symbol.dispose]();
});

interface Shown {
  readonly cert: string;
  readonly key: string;
}

type Authority = "client-ca" | "request-header-ca";

function authority(name: Authority) {
  const { certPem, keyPem } = keys.pki.authorities[name];
  return issuerOf(certPem, keyPem);
}

async function issue(more: Partial<IssueOptions> = {}, by: Authority | "itself" = "client-ca") {
  const key = await generateEcKey();
  const options: IssueOptions = {
    subject: { commonName: "jane", organizations: ["system:masters"] },
    usage: "client",
    sans: { dnsNames: [], ips: [] },
    publicKey: createPublicKey(key),
    notBefore: new Date(Date.now() - hourMs),
    notAfter: new Date(Date.now() + hourMs),
    ...more,
  };
  const cert = issueCertificate(options, by === "itself" ? key : authority(by));
  return { cert, key: keyToPem(key) };
}

const tls = () => ({ ca: keys.pki.authorities["server-ca"].certPem });

interface Seen {
  readonly user: string;
  readonly proxy: string;
}

function whoIs(shown: Shown, port = door.port, headers = {}): Promise<Seen> {
  const options = { host: "127.0.0.1", port, headers, agent: false, ...tls(), ...shown };
  return new Promise((resolve, reject) => {
    const asked = request(options, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += String(chunk);
      });
      response.on("end", () => resolve(JSON.parse(text)));
    });
    asked.on("error", reject);
    asked.end();
  });
}

const named = (commonName: string) => ({ subject: { commonName, organizations: [] } });
const tricks: readonly (readonly [what: string, make: () => Promise<Shown>, user: string])[] = [
  ["as it should be", () => issue(), "jane"],
  ["for servers", () => issue({ usage: "server" }), "refused"],
  ["that signed itself", () => issue({}, "itself"), "refused"],
  ["that is over", () => issue({ notAfter: new Date(Date.now() - 60_000) }), "refused"],
  ["that is not yet", () => issue({ notBefore: new Date(Date.now() + 60_000) }), "refused"],
  ["without a name", () => issue(named("")), "system:anonymous"],
  ["with a NUL in its name", () => issue(named("system:admin\u0000x")), "system:admin\u0000x"],
  ["with a look-alike name", () => issue(named("\u0455ystem:admin")), "\u0455ystem:admin"],
  [
    "with an attribute in its name",
    () => issue(named("jane/O=system:masters")),
    "jane/O=system:masters",
  ],
];
for (const [what, make, user] of tricks) {
  test(`a certificate ${what} names ${JSON.stringify(user)}`, async () => {
    expect((await whoIs(await make())).user).toBe(user);
  });
}

test("a certificate that is no authority signs nobody", async () => {
  const jane = await issue();
  const key = await generateEcKey();
  const options: IssueOptions = {
    subject: { commonName: "system:admin", organizations: ["system:masters"] },
    usage: "client",
    sans: { dnsNames: [], ips: [] },
    publicKey: createPublicKey(key),
    notBefore: new Date(Date.now() - hourMs),
    notAfter: new Date(Date.now() + hourMs),
  };
  const evil = issueCertificate(options, issuerOf(jane.cert, jane.key));
  const chain = { cert: `${evil}${jane.cert}`, key: keyToPem(key) };
  expect((await whoIs(chain)).user).toBe("refused");
});

const asOther = { "x-remote-user": "root", "x-remote-group": "system:masters" };

test("headers name a user only under a proxy's certificate, of the right name", async () => {
  const proxy = await issue(named("system:auth-proxy"), "request-header-ca");
  expect((await whoIs(proxy, door.port, asOther)).user).toBe("root");
  const other = await issue(named("someone"), "request-header-ca");
  expect((await whoIs(other, door.port, asOther)).user).toBe("refused");
  const user = await issue(named("system:auth-proxy"));
  expect(await whoIs(user, door.port, asOther)).toEqual({ user: "system:auth-proxy", proxy: "" });
});

test("with one authority for users and proxies nobody is a proxy", async () => {
  const certificates = keys.certificates();
  const { clientCaPem } = certificates;
  const { port } = await open({ ...certificates, requestHeaderCaPem: clientCaPem });
  const shown = await issue(named("system:auth-proxy"));
  expect(await whoIs(shown, port, asOther)).toEqual({ user: "system:auth-proxy", proxy: "" });
});

function ask(client: ClientHttp2Session): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const stream = client.request({ ":path": "/" });
    let text = "";
    stream.on("data", (chunk) => {
      text += String(chunk);
    });
    stream.on("end", () => resolve(JSON.parse(text)));
    stream.on("error", reject);
  });
}

test("a new authority drops who came by the old one, on open connections too", async () => {
  const own = await open(keys.certificates());
  const jane = await issue();
  const client = connectHttp2(`https://127.0.0.1:${own.port}`, { ...tls(), ...jane });
  client.on("error", () => {});
  expect((await ask(client)).user).toBe("jane");
  const clientCaPem = keys.pki.authorities["server-ca"].certPem;
  own.replaceCertificates({ ...keys.certificates(), clientCaPem });
  expect((await ask(client)).user).toBe("refused");
  expect((await whoIs(jane, own.port)).user).toBe("refused");
  client.close();
});

test("names that clients ask for change no certificate", async () => {
  const fingerprints = new Set<string>();
  for (let i = 0; i < 300; i++) {
    await new Promise<void>((resolve, reject) => {
      const servername = `name-${i}.example.com`;
      const options = { host: "127.0.0.1", port: door.port, servername, rejectUnauthorized: false };
      const socket = connectTls(options, () => {
        fingerprints.add(socket.getPeerCertificate().fingerprint256);
        socket.destroy();
        resolve();
      });
      socket.on("error", reject);
    });
  }
  expect(fingerprints.size).toBe(1);
});
