/** Issuers of tokens, webhooks and their files, with the real binary and servers on loopback. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { Cluster, reasonToSkip } from "./cluster.ts";
import { servingCertificate } from "./serving-certificate.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: configured authentication: ${skip}`);

interface Review {
  readonly kind: string;
  readonly apiVersion: string;
  readonly spec: {
    readonly token?: string;
    readonly user?: string;
    readonly resourceAttributes?: { readonly verb: string; readonly namespace?: string };
  };
}

describe.skipIf(skip !== undefined)("configured authentication", () => {
  let cluster: Cluster;
  let issuer: Bun.Server<undefined>;
  let hook: Bun.Server<undefined>;
  let pair: Awaited<ReturnType<typeof servingCertificate>>;
  let keys: Awaited<ReturnType<typeof generateKeyPair>>;
  let [server, ca] = ["", ""];
  const asked: Review[] = [];
  const file = (name: string) => join(cluster.dataDir, name);

  beforeAll(async () => {
    cluster = new Cluster();
    [pair, keys] = await Promise.all([servingCertificate("localhost"), generateKeyPair("RS256")]);
    const jwk = { ...(await exportJWK(keys.publicKey)), kid: "1", alg: "RS256", use: "sig" };
    issuer = Bun.serve({
      port: 0,
      hostname: "localhost",
      tls: pair,
      fetch: (request) => {
        const { pathname, origin } = new URL(request.url);
        if (pathname === "/keys") return Response.json({ keys: [jwk] });
        return Response.json({ issuer: origin, jwks_uri: `${origin}/keys` });
      },
    });
    hook = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answerReview });
    const config = {
      "current-context": "it",
      contexts: [{ name: "it", context: { cluster: "it" } }],
      clusters: [{ name: "it", cluster: { server: hook.url.href } }],
    };
    writeFileSync(file("hook.kubeconfig"), JSON.stringify(config));
    writeAuthentication("it:");
    writeAuthorization(["Webhook", "Node", "RBAC"]);
    const args = [
      `authentication-config=${file("authentication.json")}`,
      `authentication-token-webhook-config-file=${file("hook.kubeconfig")}`,
      `authorization-config=${file("authorization.json")}`,
    ];
    await cluster.startWithoutAgent(...args.map((arg) => `--kube-apiserver-arg=${arg}`));
    const kubeconfig = readFileSync(cluster.kubeconfig, "utf8");
    server = /server: (\S+)/.exec(kubeconfig)?.[1] ?? "";
    const data = /certificate-authority-data: (\S+)/.exec(kubeconfig)?.[1] ?? "";
    ca = Buffer.from(data, "base64").toString();
  }, 60_000);
  afterAll(async () => {
    await cluster.destroy();
    await Promise.all([issuer.stop(true), hook.stop(true)]);
  });

  /** Knows one token, allows Jane to list and Bob nothing. */
  async function answerReview(request: Request): Promise<Response> {
    const review = (await request.json()) as Review;
    asked.push(review);
    const { kind, apiVersion, spec } = review;
    const status =
      kind === "TokenReview"
        ? { authenticated: spec.token === "opaque", user: { username: "bob", groups: ["ops"] } }
        : {
            allowed: spec.user === "it:jane" && spec.resourceAttributes?.verb === "list",
            denied: spec.user === "bob",
            reason: spec.user === "bob" ? "bob is on leave" : "",
          };
    return Response.json({ kind, apiVersion, status });
  }

  function writeAuthentication(prefix: string): void {
    const jwt = {
      issuer: {
        url: issuer.url.origin,
        audiences: ["k3"],
        certificateAuthority: pair.cert,
      },
      claimMappings: {
        username: { claim: "sub", prefix },
        groups: { expression: "claims.roles.map(r, 'role:' + r)" },
        extra: [{ key: "example.com/team", valueExpression: "claims.?team.orValue('')" }],
      },
      userValidationRules: [
        { expression: "!user.username.startsWith('system:')", message: "not for the system" },
      ],
    };
    writeConfig("authentication.json", "AuthenticationConfiguration", {
      jwt: [jwt],
      anonymous: { enabled: true, conditions: [{ path: "/livez" }] },
    });
  }

  function writeAuthorization(types: readonly string[]): void {
    const webhook = {
      timeout: "3s",
      authorizedTTL: "1s",
      unauthorizedTTL: "1s",
      subjectAccessReviewVersion: "v1",
      matchConditionSubjectAccessReviewVersion: "v1",
      failurePolicy: "Deny",
      connectionInfo: { type: "KubeConfigFile", kubeConfigFile: file("hook.kubeconfig") },
      matchConditions: [
        { expression: "has(request.resourceAttributes)" },
        { expression: "!('system:masters' in request.groups)" },
      ],
    };
    const authorizers = types.map((type) => ({
      type,
      name: type.toLowerCase(),
      ...(type === "Webhook" && { webhook }),
    }));
    writeConfig("authorization.json", "AuthorizationConfiguration", { authorizers });
  }

  function writeConfig(name: string, kind: string, config: object): void {
    const apiVersion = "apiserver.config.k8s.io/v1";
    writeFileSync(file(name), JSON.stringify({ apiVersion, kind, ...config }));
  }

  function sign(claims: Record<string, unknown> = {}): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const all = { iss: issuer.url.origin, aud: "k3", exp: now + 600, roles: ["dev"], sub: "jane" };
    return new SignJWT({ ...all, ...claims })
      .setProtectedHeader({ alg: "RS256", kid: "1" })
      .sign(keys.privateKey);
  }

  async function ask(path: string, token?: string, body?: object) {
    const answer = await fetch(`${server}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        "content-type": "application/json",
        connection: "close",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      tls: { ca },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { code: answer.status, body: text.startsWith("{") ? JSON.parse(text) : text };
  }

  async function whoIs(token: string) {
    const [apiVersion, kind] = ["authentication.k8s.io/v1", "SelfSubjectReview"];
    const { code, body } = await ask(`/apis/${apiVersion}/selfsubjectreviews`, token, {
      apiVersion,
      kind,
    });
    return code === 201 ? body.status.userInfo : code;
  }

  const podsPath = "/api/v1/namespaces/default/pods";

  test("a token of the issuer names a user, and nobody else's does", async () => {
    expect(await whoIs(await sign({ team: "web" }))).toEqual({
      username: "it:jane",
      groups: ["role:dev", "system:authenticated"],
      extra: { "example.com/team": ["web"] },
    });
    const now = Math.floor(Date.now() / 1000);
    const wrong = [{ aud: "other" }, { exp: now - 10 }, { iss: "https://a" }, { roles: "dev" }];
    for (const claims of wrong) expect(await whoIs(await sign(claims))).toBe(401);
    const forged = (await sign()).replace(/\.[^.]*\./, `.${btoa('{"sub":"root"}')}.`);
    expect(await whoIs(forged)).toBe(401);
  });

  test("TokenReview believes what logins believe", async () => {
    const review = async (token: string) => {
      const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } };
      return JSON.parse(await cluster.run("create -o json -f -", JSON.stringify(body))).status;
    };
    expect(await review(await sign())).toMatchObject({
      authenticated: true,
      user: { username: "it:jane" },
    });
    expect(await review("opaque")).toMatchObject({
      user: { username: "bob", groups: ["ops", "system:authenticated"] },
    });
    const { authenticated, error } = await review(await sign({ aud: "other" }));
    expect(authenticated).toBeUndefined();
    expect(error).toContain("expected audience");
  });

  test("the webhook allows, denies for good, and leaves the rest to roles", async () => {
    const jane = await sign();
    expect((await ask(podsPath, jane)).code).toBe(200);
    expect(await ask(`${podsPath}/a`, jane)).toMatchObject({ code: 403 });
    await cluster.run("create clusterrolebinding ops --clusterrole=cluster-admin --group=ops");
    expect(await ask(podsPath, "opaque")).toMatchObject({
      code: 403,
      body: { message: expect.stringContaining("bob is on leave") },
    });
    expect(asked.some(({ spec }) => spec.user === "system:admin")).toBe(false);
    expect(await cluster.run(["auth", "can-i", "list", "pods", "--as=it:jane"])).toContain("yes");
  });

  test("a new chain is in force without a restart, a broken one is not", async () => {
    const jane = await sign();
    writeAuthorization(["Node", "RBAC"]);
    await cluster.until("Jane may no longer", async () => (await ask(podsPath, jane)).code === 403);
    expect((await ask(podsPath, "opaque")).code).toBe(200);
    writeAuthorization(["RBAC", "RBAC"]);
    await cluster.until("it is refused", async () => cluster.log().includes("Duplicate value"));
    expect((await ask(podsPath, "opaque")).code).toBe(200);
    const metrics = await cluster.run("get --raw /metrics");
    for (const status of ["success", "failure"]) {
      const name = "apiserver_authorization_config_controller_automatic_reloads_total";
      expect(metrics).toContain(`${name}{status="${status}"} 1`);
    }
  });

  test("a new mapping of claims is in force without a restart", async () => {
    const jane = await sign();
    writeAuthentication("new:");
    await cluster.until("Jane is called anew", async () => {
      const user = await whoIs(jane);
      return typeof user === "object" && user.username === "new:jane";
    });
    writeAuthentication("system:");
    await cluster.until("the rule on users holds", async () => (await whoIs(jane)) === 401);
  });

  test("nobody in particular sees the one path of the file", async () => {
    expect((await ask("/livez")).code).toBe(200);
    for (const path of ["/readyz", "/version", podsPath]) expect((await ask(path)).code).toBe(401);
  });
});
