/** The proxy against a registry that wants tokens. */
import { afterAll, expect, test } from "bun:test";
import { createRuntime } from "../../runtime/real.ts";
import type { ProxiedEndpoint } from "./hosts-files.ts";
import { RegistryProxy } from "./registry-proxy.ts";

const asked: string[] = [];
const registry = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request) => {
    const url = new URL(request.url);
    const authorization = request.headers.get("authorization") ?? "";
    asked.push(`${request.method} ${url.pathname} ${authorization.split(" ")[0]}`);
    if (url.pathname === "/token") return token(url, authorization);
    if (url.pathname.startsWith("/v2/odd/")) return challenge('Digest realm="x"');
    if (url.pathname.startsWith("/v2/basic/")) {
      return authorization === basic
        ? new Response("basic")
        : challenge('Basic realm="the registry"');
    }
    if (authorization !== "Bearer pass-hub/app") {
      const scope = 'scope="repository:hub/app:pull"';
      return challenge(`Bearer realm="${url.origin}/token",service="s",${scope}`);
    }
    if (url.pathname.endsWith("/blobs/here")) return Response.redirect("/v2/hub/app/blobs/b", 307);
    if (url.pathname.endsWith("/blobs/there")) return Response.redirect("http://cdn.test/b", 307);
    return new Response("manifest", { headers: { "docker-content-digest": "sha256:1" } });
  },
});
const basic = `Basic ${btoa("user:pass")}`;

function challenge(text: string): Response {
  return new Response("who are you?", { status: 401, headers: { "www-authenticate": text } });
}

function token(url: URL, authorization: string): Response {
  if (authorization !== basic) return new Response("", { status: 403 });
  const name = url.searchParams.get("scope")?.split(":")[1];
  return Response.json({ token: `pass-${name}`, expires_in: 300 });
}

const endpoint: ProxiedEndpoint = {
  url: `http://127.0.0.1:${registry.port}/v2`,
  auth: { username: "user", password: "pass", identityToken: "" },
  tls: undefined,
  rewrites: [{ pattern: /^library\/(.*)/, replacement: "hub/$1" }],
};
const proxy = new RegistryProxy(createRuntime({ logLevel: "error" }), "secret");

afterAll(() => registry.stop(true));

const get = (path: string, method = "GET") => {
  asked.length = 0;
  proxy.use(new Map([["docker.io/0", endpoint]]));
  return proxy.handle(new Request(`http://127.0.0.1/${path}`, { method }));
};

test("the repository is rewritten and a token is fetched for it", async () => {
  const answer = await get("secret/docker.io/0/library/app/manifests/1.0");
  expect(await answer.text()).toBe("manifest");
  expect(answer.headers.get("docker-content-digest")).toBe("sha256:1");
  expect(asked).toEqual([
    "GET /v2/hub/app/manifests/1.0 ",
    "GET /token Basic",
    "GET /v2/hub/app/manifests/1.0 Bearer",
  ]);
});

test("a token is used again for the same repository", async () => {
  await get("secret/docker.io/0/library/app/manifests/1.0");
  asked.length = 0;
  await proxy.handle(new Request("http://127.0.0.1/secret/docker.io/0/library/app/blobs/b"));
  expect(asked).toEqual(["GET /v2/hub/app/blobs/b Bearer"]);
});

test("Basic is answered by Basic, and other names are left alone", async () => {
  expect(await (await get("secret/docker.io/0/basic/app/manifests/1")).text()).toBe("basic");
});

test("a challenge of another kind is handed on as it is", async () => {
  const answer = await get("secret/docker.io/0/odd/app/manifests/1");
  expect(answer.status).toBe(401);
  expect(answer.headers.get("www-authenticate")).toBe('Digest realm="x"');
  expect(await answer.text()).toBe("who are you?");
});

test("a redirect is followed within the registry and handed on to elsewhere", async () => {
  expect((await get("secret/docker.io/0/library/app/blobs/here")).status).toBe(200);
  const away = await get("secret/docker.io/0/library/app/blobs/there");
  expect([away.status, away.headers.get("location")]).toEqual([307, "http://cdn.test/b"]);
});

const refused: readonly (readonly [string, string, number])[] = [
  ["guess/docker.io/0/library/app/manifests/1", "GET", 404],
  ["secret/docker.io/7/library/app/manifests/1", "GET", 404],
  ["secret/docker.io/0/library/app/blobs/uploads/", "POST", 405],
];
test.each(refused)("%s by %s is refused", async (path, method, status) => {
  expect((await get(path, method)).status).toBe(status);
  expect(asked).toEqual([]);
});

test("a registry that is away is a bad gateway", async () => {
  proxy.use(new Map([["gone/0", { ...endpoint, url: "http://127.0.0.1:1/v2" }]]));
  const request = new Request("http://127.0.0.1/secret/gone/0/a/manifests/1");
  expect((await proxy.handle(request)).status).toBe(502);
});
