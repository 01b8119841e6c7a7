/** Who asks: certificates, headers of proxies, tokens, and what they are bound to. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createAuthenticate } from "../api/auth/authenticate.ts";
import { frontProxyUser } from "../api/auth/front-proxy.ts";
import type { TokenClaims } from "../api/auth/token-user.ts";
import type { Peer } from "../api/authorizer.ts";
import { secrets, serviceAccounts } from "../client/resources.ts";
import type { Secret } from "../gen/core-v1.ts";
import { openWorld, type World } from "./test-world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const stranger: Peer = { address: "", certificate: undefined };
const base64 = (text: string): string => Buffer.from(text).toString("base64");

describe("credentials", () => {
  const claims: { current: TokenClaims | undefined } = { current: undefined };
  let notes: (readonly [string, string])[] = [];
  const authenticate = createAuthenticate({
    verifyToken: async () => claims.current,
    staticUsers: [{ name: "node", password: "pw", groups: ["k3s:agent"] }],
    get live() {
      return world.live;
    },
    get client() {
      return world.client;
    },
    get clock() {
      return world.runtime.clock;
    },
  });
  const login = (headers: Record<string, string>, peer: Partial<Peer> = {}) => {
    notes = [];
    const note = (key: string, value: string) => void notes.push([key, value]);
    const all = { ...stranger, ...peer };
    return authenticate(new Headers(headers), all, "https://localhost/api", note);
  };

  test("nobody is anonymous, but a wrong credential is refused", async () => {
    expect(await login({})).toMatchObject({ name: "system:anonymous" });
    const wrong: readonly [Record<string, string>, Partial<Peer>?][] = [
      [{ authorization: "Bearer nonsense" }],
      [{ authorization: `Basic ${base64("node:wrong")}` }],
      [{ authorization: "Digest x" }],
      [{}, { certificateError: "expired" }],
      [{}, { frontProxy: "system:auth-proxy" }],
      [{ "x-remote-user": "a" }, { frontProxy: "someone-else" }],
    ];
    for (const [headers, peer] of wrong) {
      await expect(login(headers, peer)).rejects.toMatchObject({ code: 401 });
    }
  });

  test("a certificate names user and groups, and tells which one it was", async () => {
    const certificate = { commonName: "jane", organizations: ["dev"], fingerprint: "ab12" };
    expect(await login({ authorization: "Bearer nonsense" }, { certificate })).toEqual({
      name: "jane",
      uid: "",
      groups: ["dev", "system:authenticated"],
      extra: { "authentication.kubernetes.io/credential-id": ["X509SHA256=ab12"] },
    });
  });

  test("a certificate may name the uid of its user, once", async () => {
    const certificate = { commonName: "jane", organizations: [], fingerprint: "ab12" };
    const by = (...uids: string[]) => login({}, { certificate: { ...certificate, uids } });
    expect(await by("7")).toMatchObject({ name: "jane", uid: "7" });
    for (const uids of [["7", "8"], [""]]) {
      await expect(by(...uids)).rejects.toMatchObject({ code: 401 });
    }
  });

  test("an aggregating proxy vouches for users by headers", async () => {
    const headers = {
      "x-remote-user": "jane",
      "x-remote-group": "dev, ops",
      "x-remote-extra-example.com%2fscope": "all",
    };
    expect(await login(headers, { frontProxy: "system:auth-proxy" })).toEqual({
      name: "jane",
      uid: "",
      groups: ["dev", "ops", "system:authenticated"],
      extra: { "example.com/scope": ["all"] },
    });
    expect(await login(headers)).toMatchObject({ name: "system:anonymous" });
  });

  test("proxies name users by the headers of the arguments", () => {
    const wanted = {
      allowedNames: [],
      usernames: ["X-Remote-Name", "X-Remote-User"],
      uids: ["X-Remote-Uid"],
      groups: ["X-Remote-Group", "X-Remote-Team"],
      extraPrefixes: ["X-Remote-More-"],
    };
    const headers = new Headers({
      "x-remote-user": "jane",
      "x-remote-uid": "7",
      "x-remote-group": "dev",
      "x-remote-team": "web",
      "x-remote-more-scope": "a",
      "x-remote-extra-scope": "b",
    });
    expect(frontProxyUser(headers, { ...stranger, frontProxy: "any" }, wanted)).toEqual({
      name: "jane",
      uid: "7",
      groups: ["dev", "web"],
      extra: { scope: ["a"] },
    });
    expect(frontProxyUser(headers, stranger, wanted)).toBeUndefined();
  });

  test("a service account token dies with what it is bound to", async () => {
    const account = await world.client.get(serviceAccounts, "default", "default");
    const made = await world.client.create<Secret>(secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "bound", namespace: "default" },
      data: { token: base64("the-token") },
    });
    const identity = { name: "default", uid: account.metadata.uid ?? "" };
    const common = { id: "j1", namespace: "default", audiences: ["k3"], serviceAccount: identity };
    const secret = { name: "bound", uid: made.metadata.uid ?? "" };
    const bearer = { authorization: "Bearer the-token" };
    claims.current = { ...common, secret };
    expect(await login(bearer)).toMatchObject({
      name: "system:serviceaccount:default:default",
      extra: { "authentication.kubernetes.io/credential-id": ["JTI=j1"] },
    });
    claims.current = { ...common, legacySecret: "bound" };
    expect(await login(bearer)).toMatchObject({ uid: identity.uid });
    const today = world.runtime.clock.now().toISOString().slice(0, 10);
    const { metadata } = await world.client.get(secrets, "default", "bound");
    expect(metadata.labels).toEqual({ "kubernetes.io/legacy-token-last-used": today });
    expect(notes).toEqual([["authentication.k8s.io/legacy-token-manual-secret", "bound"]]);
    const label = (value: string | null) =>
      world.client.patch(secrets, "default", "bound", "merge", {
        metadata: { labels: { "kubernetes.io/legacy-token-invalid-since": value } },
      });
    await label(today);
    await expect(login(bearer)).rejects.toMatchObject({ code: 401 });
    expect(notes).toEqual([["authentication.k8s.io/legacy-token-invalidated", "bound/default"]]);
    await label(null);
    expect(await login(bearer)).toMatchObject({ uid: identity.uid });
    const warnAfter = new Date(world.runtime.clock.now().getTime() - 61_000);
    claims.current = { ...common, warnAfter };
    await login(bearer);
    const subject = "subject: system:serviceaccount:default:default";
    expect(notes).toEqual([
      ["authentication.k8s.io/stale-token", `${subject}, seconds after warning threshold: 61`],
    ]);
    claims.current = { ...common, legacySecret: "bound" };
    await expect(login({ authorization: "Bearer other" })).rejects.toMatchObject({ code: 401 });
    await world.client.delete(secrets, "default", "bound");
    await expect(login(bearer)).rejects.toMatchObject({ code: 401 });
    claims.current = { ...common, secret };
    await expect(login(bearer)).rejects.toMatchObject({ code: 401 });
    claims.current = { ...common, serviceAccount: { name: "default", uid: "old" } };
    await expect(login(bearer)).rejects.toMatchObject({ code: 401 });
    claims.current = undefined;
  });

  test("a bootstrap token works until it expires", async () => {
    const expiration = new Date(world.runtime.clock.now().getTime() + 60_000).toISOString();
    const data = {
      "token-id": "abcdef",
      "token-secret": "0123456789abcdef",
      "usage-bootstrap-authentication": "true",
      "auth-extra-groups": "system:bootstrappers:k3s:default-node-token",
      expiration,
    };
    await world.client.create<Secret>(secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "bootstrap-token-abcdef", namespace: "kube-system" },
      type: "bootstrap.kubernetes.io/token",
      data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, base64(text)])),
    });
    const right = { authorization: "Bearer abcdef.0123456789abcdef" };
    expect(await login(right)).toMatchObject({
      name: "system:bootstrap:abcdef",
      groups: [
        "system:bootstrappers",
        "system:bootstrappers:k3s:default-node-token",
        "system:authenticated",
      ],
    });
    await expect(login({ authorization: "Bearer abcdef.0123456789abcdee" })).rejects.toMatchObject({
      code: 401,
    });
    await world.runtime.clock.advance(61_000);
    await expect(login(right)).rejects.toMatchObject({ code: 401 });
  });
});
