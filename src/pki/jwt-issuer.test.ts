import { beforeAll, expect, test } from "bun:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { JwtIssuer } from "./jwt-issuer.ts";

const url = "https://issuer.test";
const seconds = Date.UTC(2026, 0, 1) / 1000;
const never = new AbortController().signal;
type Pair = Awaited<ReturnType<typeof generateKeyPair>>;
let [first, second]: [Pair, Pair] = [undefined as never, undefined as never];

beforeAll(async () => {
  [first, second] = [await generateKeyPair("ES256"), await generateKeyPair("ES256")];
});

/** An issuer on a network where `documents` are to be had. */
async function open(documents: Record<string, unknown> = {}) {
  const asked: string[] = [];
  const jwk = { ...(await exportJWK(first.publicKey)), kid: "1", alg: "ES256" };
  const all: Record<string, unknown> = {
    "/.well-known/openid-configuration": { issuer: url, jwks_uri: `${url}/keys` },
    "/keys": { keys: [jwk] },
    ...documents,
  };
  const runtime = createSimulatedRuntime(1, {
    startAt: new Date(seconds * 1000),
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      asked.push(pathname);
      const found = all[pathname];
      return found === undefined ? new Response("", { status: 404 }) : Response.json(found);
    },
  });
  const issuer = new JwtIssuer({ url, discoveryUrl: "", ca: "", audiences: ["a", "b"], runtime });
  return { issuer, asked, runtime, all };
}

function sign(claims: Record<string, unknown>, pair = first, kid = "1"): Promise<string> {
  const all = { iss: url, aud: "b", exp: seconds + 60, sub: "jane", ...claims };
  return new SignJWT(all).setProtectedHeader({ alg: "ES256", kid }).sign(pair.privateKey);
}

test("JwtIssuer believes what its keys have signed, for us and in time", async () => {
  const { issuer } = await open();
  await issuer.discover(never);
  expect(await issuer.verify(await sign({ nbf: seconds + 200 }))).toMatchObject({ sub: "jane" });
  const wrong: readonly (readonly [claims: Record<string, unknown>, why: string])[] = [
    [{ aud: "c" }, 'oidc: expected audience in ["a","b"] got "c"'],
    [{ aud: [] }, "oidc: expected audience"],
    [{ exp: seconds - 1 }, "oidc: token is expired"],
    [{ exp: "tomorrow" }, "oidc: token is expired"],
    [{ exp: undefined }, "oidc: token is expired"],
    [{ nbf: seconds + 400 }, "before the nbf"],
  ];
  for (const [claims, why] of wrong) {
    await expect(issuer.verify(await sign(claims))).rejects.toThrow(why);
  }
});

test("JwtIssuer.issued() goes by the issuer that the token names", async () => {
  const { issuer } = await open();
  expect(issuer.issued(await sign({}))).toBe(true);
  expect(issuer.issued(await sign({ iss: `${url}/` }))).toBe(false);
  expect(issuer.issued("no token")).toBe(false);
});

test("JwtIssuer refuses tricks with algorithms and keys", async () => {
  const { issuer } = await open();
  await issuer.discover(never);
  const [, payload = "", signature = ""] = (await sign({})).split(".");
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const heads = [
    { alg: "none" },
    { alg: "HS256", kid: "1" },
    { alg: "RS256", kid: "1" },
    { alg: "ES256", kid: "../../1" },
    { alg: "ES256", kid: "1", crit: ["b64"], b64: false },
    { alg: "ES256", jwk: await exportJWK(second.publicKey) },
  ];
  for (const head of heads) {
    for (const tail of ["", signature]) {
      const token = `${part(head)}.${payload}.${tail}`;
      await expect(issuer.verify(token)).rejects.toThrow();
    }
  }
  await expect(issuer.verify(await sign({}, second))).rejects.toThrow();
  const forged = part({ iss: url, aud: "a", exp: seconds + 60, sub: "root" });
  await expect(issuer.verify(`${part(heads[0] ?? {})}.${forged}.`)).rejects.toThrow();
});

test("JwtIssuer takes up new keys, but is not made to ask all the time", async () => {
  const { issuer, asked, runtime, all } = await open();
  await issuer.discover(never);
  await issuer.verify(await sign({}));
  const jwk = { ...(await exportJWK(second.publicKey)), kid: "2", alg: "ES256" };
  all["/keys"] = { keys: [jwk] };
  const token = await sign({}, second, "2");
  await expect(issuer.verify(token)).rejects.toThrow();
  await runtime.clock.advance(1001);
  expect(await issuer.verify(token)).toMatchObject({ sub: "jane" });
  expect(asked.filter((path) => path === "/keys")).toHaveLength(2);
});

test("JwtIssuer looks for its discovery document until it is there and right", async () => {
  const { issuer, all, runtime } = await open({ "/.well-known/openid-configuration": undefined });
  const found = issuer.discover(never);
  await runtime.clock.advance(1);
  await expect(issuer.verify(await sign({}))).rejects.toThrow("authenticator not initialized");
  all["/.well-known/openid-configuration"] = { issuer: "https://other", jwks_uri: `${url}/keys` };
  await runtime.clock.advance(10_000);
  all["/.well-known/openid-configuration"] = { issuer: url, jwks_uri: `${url}/keys` };
  await runtime.clock.advance(10_000);
  await found;
  expect(await issuer.verify(await sign({}))).toMatchObject({ sub: "jane" });
  expect(runtime.logged.join("\n")).toContain("the document is of the issuer");
});
