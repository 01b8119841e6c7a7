import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHmac, createPublicKey, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer, type TLSSocket } from "node:tls";
import { realHost } from "../runtime/host.ts";
import { createRuntime } from "../runtime/real.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { leafNames, leafOf, leafRows } from "./certificates.ts";
import { readDer, sequence } from "./der.ts";
import { type EnsurePkiOptions, ensurePki, type Pki, renewalReason } from "./ensure.ts";
import { createServiceAccountTokens } from "./service-account-tokens.ts";
import { caHash, ensureTokens, isPinned, parseToken, passwordTable } from "./tokens.ts";
import { certificatesOf, generateEcKey, generateRsaKey, keyToPem, subjectOf } from "./x509.ts";

const dataDir = mkdtempSync(join(tmpdir(), "pki-"));
const runtime = createRuntime({ logLevel: "error" });
const options: EnsurePkiOptions = {
  dataDir,
  runtime,
  nodeName: "node-1",
  nodeIps: ["10.1.2.3", "fd00::7"],
  serviceIp: "10.43.0.1",
  clusterDomain: "cluster.local",
  tlsSans: ["k3.example.net", "203.0.113.9"],
};
let pki: Pki;
beforeAll(async () => {
  pki = await ensurePki(options);
  await pki.serviceKeyPem;
});
afterAll(() => rmSync(dataDir, { recursive: true }));

const openssl = Bun.which("openssl");
test.skipIf(openssl === null)("ensurePki() makes certificates that openssl verifies", () => {
  for (const name of leafNames) {
    const { signer, usage } = leafOf(name, options);
    const purpose = usage === "client" ? "sslclient" : "sslserver";
    const ca = pki.authorities[signer].certFile;
    const argv = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca];
    const { exitCode, stderr } = Bun.spawnSync([...argv, pki.leaves[name].certFile]);
    expect({ name, exitCode, stderr: stderr.toString() }).toEqual({
      name,
      exitCode: 0,
      stderr: "",
    });
  }
});

test("ensurePki() names subjects and hosts as the table says", () => {
  const admin = new X509Certificate(pki.leaves["client-admin"].certPem);
  expect(admin.subject).toBe("O=system:masters\nCN=system:admin");
  const api = new X509Certificate(pki.leaves["serving-kube-apiserver"].certPem);
  for (const host of ["kubernetes.default.svc.cluster.local", "node-1", "k3.example.net"])
    expect(api.checkHost(host)).toBe(host);
  for (const ip of ["10.43.0.1", "127.0.0.1", "10.1.2.3", "203.0.113.9"])
    expect(api.checkIP(ip)).toBe(ip);
  expect(api.checkHost("other.example.net")).toBeUndefined();
  const kubelet = new X509Certificate(pki.leaves["client-kubelet"].certPem);
  expect(kubelet.subject).toBe("O=system:nodes\nCN=system:node:node-1");
});

test("ensurePki() keeps keys from other users", () => {
  for (const { keyFile } of [...Object.values(pki.leaves), ...Object.values(pki.authorities)])
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
  expect(statSync(pki.serviceKeyFile).mode & 0o777).toBe(0o600);
});

test("ensurePki() changes nothing when all is as it should be", async () => {
  expect((await ensurePki(options)).issued).toEqual([]);
});

test("ensurePki() renews with the same key when names change, and nothing else", async () => {
  const renewed = await ensurePki({ ...options, tlsSans: ["new.example.net"] });
  expect(renewed.issued).toEqual(["serving-kube-apiserver"]);
  const before = pki.leaves["serving-kube-apiserver"];
  const now = renewed.leaves["serving-kube-apiserver"];
  expect(now.keyPem).toBe(before.keyPem);
  expect(new X509Certificate(now.certPem).checkHost("new.example.net")).toBe("new.example.net");
  expect((await ensurePki(options)).issued).toEqual(["serving-kube-apiserver"]);
});

test("ensurePki() issues anew what another authority signed", async () => {
  const dir = mkdtempSync(join(tmpdir(), "pki-"));
  const first = await ensurePki({ ...options, dataDir: dir });
  await runtime.files.remove(first.authorities["request-header-ca"].certFile);
  await runtime.files.remove(first.authorities["request-header-ca"].keyFile);
  const second = await ensurePki({ ...options, dataDir: dir });
  expect(second.issued.toSorted()).toEqual(["client-auth-proxy", "request-header-ca"]);
  await second.serviceKeyPem;
  rmSync(dir, { recursive: true });
});

test("renewalReason() asks for renewal from 120 days before the end", () => {
  const leaf = leafOf("client-admin", options);
  const { certPem } = pki.leaves["client-admin"];
  const authorityPem = pki.authorities["client-ca"].certPem;
  const ends = new Date(new X509Certificate(certPem).validTo).getTime();
  const at = (days: number): string | undefined =>
    renewalReason(certPem, leaf, { authorityPem, now: new Date(ends - days * 86_400_000) });
  expect(at(121)).toBeUndefined();
  expect(at(120)).toStartWith("it ends ");
  expect(at(-1)).toStartWith("it ends ");
});

test("a TLS server with our certificate knows a client with ours", async () => {
  const { certPem, keyPem } = pki.leaves["serving-kube-apiserver"];
  const seen = Promise.withResolvers<string>();
  const server = createServer(
    {
      cert: certPem,
      key: keyPem,
      ca: pki.authorities["client-ca"].certPem,
      requestCert: true,
      rejectUnauthorized: false,
    },
    (socket: TLSSocket) => {
      seen.resolve(`${socket.authorized} ${socket.getPeerCertificate().subject.CN}`);
      socket.end();
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const admin = pki.leaves["client-admin"];
  const client = connect({
    port: address.port,
    host: "127.0.0.1",
    servername: "node-1",
    ca: pki.authorities["server-ca"].certPem,
    cert: admin.certPem,
    key: admin.keyPem,
  });
  expect(await seen.promise).toBe("true system:admin");
  client.destroy();
  server.close();
});

test("every leaf has a place and a subject", () => {
  const files = leafNames.map((name) => leafOf(name, options).file);
  expect(new Set(files).size).toBe(Object.keys(leafRows).length);
});

test("readDer() refuses bytes that are cut off", () => {
  expect(() => readDer(Uint8Array.of(0x30, 0x05, 0x01))).toThrow("cut off");
  expect(() => readDer(Uint8Array.of(0x30, 0x80))).toThrow("bad length");
});

test("ensureTokens() writes K3s's files and keeps a token over restarts", async () => {
  const serverCaPem = pki.authorities["server-ca"].certPem;
  const wish = { dataDir, runtime, host: realHost, serverCaPem };
  const first = await ensureTokens({ ...wish, token: undefined, agentToken: undefined });
  expect(first.serverToken).toMatch(/^K10[0-9a-f]{64}::server:[0-9a-f]{32}$/);
  expect(await ensureTokens({ ...wish, token: undefined, agentToken: undefined })).toEqual(first);
  const file = (name: string): string => join(dataDir, "server", name);
  expect(readFileSync(file("token"), "utf8")).toBe(`${first.serverToken}\n`);
  expect(statSync(file("token")).mode & 0o777).toBe(0o600);
  expect(readlinkSync(file("node-token"))).toBe("token");
  const own = await ensureTokens({ ...wish, token: first.serverToken, agentToken: "a,b" });
  expect(own.agentToken).toEndWith("::node:a,b");
  expect(own.serverToken).toBe(first.serverToken);
  expect(readFileSync(file("agent-token"), "utf8")).toBe(`${own.agentToken}\n`);
  expect(readFileSync(file("cred/passwd"), "utf8")).toContain('"a,b",node,node,k3s:agent\n');
});

test("parseToken() understands every form", () => {
  const hash = "a".repeat(64);
  expect(parseToken("secret")).toEqual({ type: "short", password: "secret" });
  expect(parseToken(`K10${hash}::server:pa:ss\n`)).toEqual({
    type: "full",
    caHash: hash,
    user: "server",
    password: "pa:ss",
  });
  expect(parseToken("abcdef.0123456789abcdef").type).toBe("bootstrap");
  expect(parseToken(`K10${hash}::abcdef.0123456789abcdef`)).toMatchObject({ caHash: hash });
  expect(() => parseToken("  ")).toThrow("empty token");
  expect(() => parseToken("K10zz::server:x")).toThrow("64 digits");
  expect(() => parseToken(`K10${hash}::server`)).toThrow("user and password");
});

test("caHash() of a chain is the hash of its root", () => {
  const [a, b] = [pki.authorities["server-ca"].certPem, pki.authorities["client-ca"].certPem];
  expect(caHash(a + b)).toBe(
    new Bun.CryptoHasher("sha256").update(certificatesOf(b)[0]?.raw ?? "").digest("hex"),
  );
  expect(isPinned({ type: "full", caHash: caHash(a), user: "u", password: "p" }, a)).toBe(true);
  expect(isPinned({ type: "full", caHash: caHash(b), user: "u", password: "p" }, a)).toBe(false);
  expect(passwordTable([{ name: "node", password: 'q"', groups: ["k3s:agent"] }])).toBe(
    '"q""",node,node,k3s:agent\n',
  );
});

test("subjectOf() reads certificates of version 1, which have no version field", () => {
  const admin = new X509Certificate(pki.leaves["client-admin"].certPem).raw;
  const [certificate] = readDer(admin);
  const [body, ...signature] = readDer(certificate?.content ?? new Uint8Array());
  const [version, ...fields] = readDer(body?.content ?? new Uint8Array());
  expect(version?.tag).toBe(0xa0);
  const old = sequence(
    sequence(...fields.filter(({ tag }) => tag !== 0xa3).map(({ whole }) => whole)),
    ...signature.map(({ whole }) => whole),
  );
  expect(subjectOf(old)).toEqual({
    commonName: "system:admin",
    organizations: ["system:masters"],
  });
});

test("createServiceAccountTokens() verifies by public keys and certificates too", async () => {
  const { clock, random } = createSimulatedRuntime(7);
  const place = { issuer: "https://api.example:6443/", audiences: ["api"], clock, random };
  const claims = { namespace: "default", serviceAccount: { name: "web", uid: "u1" } };
  const { keyPem, certPem } = pki.leaves["serving-kube-apiserver"];
  const former = createServiceAccountTokens({ ...place, keyPem });
  const { token } = await former.sign({ claims, audiences: [], expirationSeconds: 600 });
  const fresh = { ...place, keyPem: keyToPem(await generateEcKey()) };
  expect(await createServiceAccountTokens(fresh).verify(token)).toBeUndefined();
  const [leaf = ""] = certPem.match(/-----BEGIN[^-]+-----[^-]+-----END CERTIFICATE-----/) ?? [];
  const both = createServiceAccountTokens({ ...fresh, verificationPem: leaf });
  expect(await both.verify(token)).toMatchObject({ ...claims, audiences: ["api"] });
  expect((await both.keySet()).keys).toHaveLength(2);
  expect(() => createServiceAccountTokens({ ...place, keyPem: leaf })).toThrow("Cannot find");
});

test("createServiceAccountTokens() verifies what it signed until it expires", async () => {
  const { clock, random } = createSimulatedRuntime(7);
  const keyPem = await pki.serviceKeyPem;
  const tokens = createServiceAccountTokens({
    keyPem,
    issuer: "https://kubernetes.default.svc.cluster.local",
    audiences: ["https://kubernetes.default.svc.cluster.local", "k3s"],
    clock,
    random,
  });
  const claims = {
    namespace: "default",
    serviceAccount: { name: "web", uid: "u1" },
    pod: { name: "web-1", uid: "u2" },
    node: { name: "node-1", uid: "u3" },
  };
  const { token, expiresAt } = await tokens.sign({
    claims,
    audiences: [],
    expirationSeconds: 600,
  });
  const verified = await tokens.verify(token);
  expect(verified).toMatchObject({
    ...claims,
    audiences: ["https://kubernetes.default.svc.cluster.local", "k3s"],
  });
  expect(verified?.expiresAt).toEqual(expiresAt);
  expect(verified?.id).toMatch(/^[0-9a-f-]{36}$/);
  expect(await tokens.verify(token, ["vault"])).toBeUndefined();
  const [head = "", body = "", signature = ""] = token.split(".");
  const forged = JSON.parse(Buffer.from(body, "base64url").toString());
  forged.sub = "system:serviceaccount:kube-system:admin";
  const other = Buffer.from(JSON.stringify(forged)).toString("base64url");
  expect(await tokens.verify(`${head}.${other}.${signature}`)).toBeUndefined();
  const unsigned = Buffer.from('{"alg":"none"}').toString("base64url");
  expect(await tokens.verify(`${unsigned}.${body}.`)).toBeUndefined();
  expect(await tokens.verify("not a token")).toBeUndefined();
  const { keys } = await tokens.keySet();
  expect(keys[0]).toMatchObject({ kty: "RSA", use: "sig", alg: "RS256" });
  expect(JSON.stringify(keys)).not.toContain('"d"');
});

test("createServiceAccountTokens() believes clocks a minute apart, and no more", async () => {
  const { clock, random } = createSimulatedRuntime(9);
  const keyPem = await pki.serviceKeyPem;
  const common = { keyPem, random, issuer: "https://own", audiences: ["own"] };
  const at = (seconds: number) => {
    const now = (): Date => new Date(clock.now().getTime() + seconds * 1000);
    return createServiceAccountTokens({ ...common, clock: { ...clock, now } });
  };
  const claims = { namespace: "a", serviceAccount: { name: "b", uid: "1" } };
  const { token } = await at(0).sign({ claims, audiences: [], expirationSeconds: 600 });
  const isBelieved = async (seconds: number): Promise<boolean> =>
    (await at(seconds).verify(token)) !== undefined;
  expect(await Promise.all([-61, -60, 0, 659, 661].map(isBelieved))).toEqual([
    false,
    true,
    true,
    true,
    false,
  ]);
});

test("createServiceAccountTokens() is not fooled by algorithms, keys and key ids", async () => {
  const { clock, random } = createSimulatedRuntime(8);
  const keyPem = await pki.serviceKeyPem;
  const common = { clock, random, issuer: "https://own", audiences: ["own"] };
  const tokens = createServiceAccountTokens({ ...common, keyPem });
  const claims = { namespace: "a", serviceAccount: { name: "b", uid: "1" } };
  const { token } = await tokens.sign({ claims, audiences: [], expirationSeconds: 600 });
  expect(await tokens.verify(token)).toMatchObject(claims);
  const [head = "", body = "", signature = ""] = token.split(".");
  const { kid, alg } = JSON.parse(Buffer.from(head, "base64url").toString());
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const publicPem = createPublicKey(keyPem).export({ type: "spki", format: "pem" });
  const hmac = (text: string) => createHmac("sha256", publicPem).update(text).digest("base64url");
  const confused = `${part({ alg: "HS256", kid })}.${body}`;
  const forged = [
    `${part({ alg: "none" })}.${body}.`,
    `${part({ alg: "none", kid })}.${body}.${signature}`,
    `${confused}.${hmac(confused)}`,
    `${part({ alg: alg === "RS256" ? "ES256" : "RS256", kid })}.${body}.${signature}`,
    `${part({ alg, kid: "../../etc/passwd" })}.${body}.${signature}`,
    `${part({ alg, kid, crit: ["exp"] })}.${body}.${signature}`,
    `${head}.${body}`,
    `${head}.${body}.${signature}.${signature}`,
    "..",
    "",
  ];
  for (const one of forged) expect(await tokens.verify(one)).toBeUndefined();
  const otherKey = keyToPem(await generateRsaKey());
  const stranger = createServiceAccountTokens({ ...common, keyPem: otherKey });
  const { token: strange } = await stranger.sign({ claims, audiences: [], expirationSeconds: 600 });
  expect(await tokens.verify(strange)).toBeUndefined();
});

test("createServiceAccountTokens() believes tokens of an earlier issuer too", async () => {
  const { clock, random } = createSimulatedRuntime(9);
  const keyPem = await pki.serviceKeyPem;
  const claims = { namespace: "a", serviceAccount: { name: "b", uid: "1" } };
  const by = (issuer: string, ...otherIssuers: readonly string[]) =>
    createServiceAccountTokens({ clock, random, keyPem, issuer, otherIssuers, audiences: ["own"] });
  const sign = async (issuer: string) =>
    (await by(issuer).sign({ claims, audiences: [], expirationSeconds: 600 })).token;
  const tokens = by("https://new", "https://old");
  expect(await tokens.verify(await sign("https://new"))).toMatchObject(claims);
  expect(await tokens.verify(await sign("https://old"))).toMatchObject(claims);
  expect(await tokens.verify(await sign("https://other"))).toBeUndefined();
});
