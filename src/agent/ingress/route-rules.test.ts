import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { routerSettings } from "./annotations.ts";
import type { RouteRules } from "./route-table.ts";
import { type IngressWorld, rawBackend, serve, startWorld } from "./testing/ingress-world.ts";

let world: IngressWorld;
let seen = "";
const backend = rawBackend((socket, text) => {
  seen = text;
  socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: x\r\n\r\nok");
});

beforeAll(async () => {
  world = await startWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  backend[Symbol.dispose]();
});
beforeEach(() => {
  seen = "";
});

/** The rules that annotations of nginx make; names without their prefix. */
function rulesOf(annotations: Readonly<Record<string, string>>, hasTls = false): RouteRules {
  const entries = Object.entries(annotations).map(([name, value]) => [
    name.includes("/") ? name : `nginx.ingress.kubernetes.io/${name}`,
    value,
  ]);
  return routerSettings(Object.fromEntries(entries), hasTls).rules;
}

function ask(rules: RouteRules, path = "/", init: RequestInit = {}, given: object = {}) {
  serve(world, [backend.endpoint], { rules, ...given });
  return fetch(`http://127.0.0.1:${world.web}${path}`, { redirect: "manual", ...init });
}

const redirects: readonly (readonly [
  annotations: Readonly<Record<string, string>>,
  path: string,
  status: number,
  location: string | null,
])[] = [
  [{ "force-ssl-redirect": "true" }, "/a?b", 308, "https://127.0.0.1/a?b"],
  [{ "ssl-redirect": "true" }, "/", 200, null],
  [{ "permanent-redirect": "https://x.test/y" }, "/", 301, "https://x.test/y"],
  [
    { "permanent-redirect": "https://x.test", "permanent-redirect-code": "308" },
    "/",
    308,
    "https://x.test",
  ],
  [{ "temporal-redirect": "https://x.test" }, "/", 302, "https://x.test"],
  [{ "permanent-redirect": "https://x.test\r\nX: y" }, "/", 200, null],
  [{ "app-root": "/app" }, "/", 302, "/app"],
  [{ "app-root": "/app" }, "/other", 200, null],
];

for (const [annotations, path, status, location] of redirects) {
  test(`${JSON.stringify(annotations)} answers ${path} with ${status}`, async () => {
    const answer = await ask(rulesOf(annotations), path);
    expect([answer.status, answer.headers.get("location")]).toEqual([status, location]);
  });
}

test("ssl-redirect counts where the Ingress has TLS", async () => {
  expect((await ask(rulesOf({ "ssl-redirect": "true" }, true))).status).toBe(308);
});

test("source ranges let in and keep out; what is no range keeps everybody out", async () => {
  const status = async (name: string, value: string): Promise<number> =>
    (await ask(rulesOf({ [`${name}-source-range`]: value }))).status;
  expect(await status("whitelist", "10.0.0.0/8, 127.0.0.0/8")).toBe(200);
  expect(await status("whitelist", "127.0.0.1")).toBe(200);
  expect(await status("whitelist", "10.0.0.0/8,::/0")).toBe(403);
  expect(await status("denylist", "127.0.0.0/8")).toBe(403);
  expect(await status("whitelist", "127.0.0.0/8, nonsense")).toBe(503);
});

test("the path is written anew with what its groups caught", async () => {
  const rules = rulesOf({ "rewrite-target": "/new/$2" });
  await ask(rules, "/old/a/b?q=1", {}, { path: "/old(/|$)(.*)", match: "regexp" });
  expect(seen).toStartWith("GET /new/a/b?q=1 HTTP/1.1\r\n");
});

test("values that would end a line or a word of a request are left out", () => {
  const wrong = "/a HTTP/1.1\r\nX: y";
  const names = ["rewrite-target", "app-root", "upstream-vhost", "x-forwarded-prefix"];
  expect(rulesOf(Object.fromEntries(names.map((name) => [name, wrong])))).toEqual({});
});

test("a backend gets the host and the prefix that the Ingress names", async () => {
  await ask(rulesOf({ "upstream-vhost": "inner.test", "x-forwarded-prefix": "/p" }));
  expect(seen).toContain("\r\nHost: inner.test\r\n");
  expect(seen).toContain("\r\nX-Forwarded-Prefix: /p\r\n");
});

test("CORS answers what browsers ask first, and replaces what the backend says", async () => {
  const rules = rulesOf({ "enable-cors": "true", "cors-allow-origin": "https://*.a.test" });
  const headers = { Origin: "https://x.a.test", "Access-Control-Request-Method": "PUT" };
  const first = await ask(rules, "/", { method: "OPTIONS", headers });
  expect([first.status, seen]).toEqual([204, ""]);
  expect(first.headers.get("access-control-allow-methods")).toContain("PUT");
  const answer = await ask(rules, "/", { headers });
  expect(answer.headers.get("access-control-allow-origin")).toBe("https://x.a.test");
  const strange = await ask(rules, "/", { headers: { Origin: "https://evil.test" } });
  expect(strange.headers.get("access-control-allow-origin")).toBe("x");
});

test("passwords are compared with what htpasswd writes", async () => {
  const bcrypt = await Bun.password.hash("pw", { algorithm: "bcrypt", cost: 4 });
  const users = {
    // openssl passwd -apr1 -salt abcdefgh "secret word"
    apache: "$apr1$abcdefgh$sAT51V/DnRGRtxDJCf7lm/",
    bcrypt: bcrypt.replace("$2b$", "$2y$"),
    sha: "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
    plain: "password",
  };
  const rules = { basicAuth: { realm: 'my "area"', users } };
  const status = async (text: string): Promise<number> => {
    const headers = { Authorization: `Basic ${btoa(text)}` };
    return (await ask(rules, "/", { headers })).status;
  };
  expect(await status("apache:secret word")).toBe(200);
  expect(await status("apache:secret")).toBe(401);
  expect(await status("bcrypt:pw")).toBe(200);
  expect(await status("bcrypt:pw")).toBe(200);
  expect(await status("bcrypt:no")).toBe(401);
  expect(await status("sha:password")).toBe(200);
  expect(await status("plain:password")).toBe(401);
  expect(await status("constructor:x")).toBe(401);
  expect(await status("nobody")).toBe(401);
  const asked = await ask(rules);
  expect([asked.status, asked.headers.get("www-authenticate")]).toEqual([
    401,
    'Basic realm="my area"',
  ]);
});

test("a canary gets those whom a field, a cookie or the lot sends there", async () => {
  const canary = {
    header: "x-canary",
    cookie: "canary",
    backend: "c",
    weight: 0,
    weightTotal: 100,
  };
  using other = rawBackend((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary");
  });
  const text = async (headers: Record<string, string>, weight = 0): Promise<string> => {
    serve(world, [backend.endpoint], { rules: { canary: { ...canary, weight } } });
    world.server.take({
      type: "backends",
      backends: [
        { name: "b", protocol: "http", endpoints: [backend.endpoint] },
        { name: "c", protocol: "http", endpoints: [other.endpoint] },
      ],
    });
    return (await fetch(`http://127.0.0.1:${world.web}/`, { headers })).text();
  };
  expect(await text({})).toBe("ok");
  expect(await text({ "X-Canary": "always" })).toBe("canary");
  expect(await text({ Cookie: "a=b; canary=always" })).toBe("canary");
  expect(await text({ "X-Canary": "never" }, 100)).toBe("ok");
  expect(await text({}, 100)).toBe("canary");
});

test("clients stay with the endpoint that their cookie names", async () => {
  const backends = ["one", "two"].map((name) =>
    rawBackend((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n${name}`);
    }),
  );
  const sticky = { name: "s", attributes: "; Path=/; HttpOnly" };
  serve(
    world,
    backends.map(({ endpoint }) => endpoint),
    {},
    { sticky },
  );
  const url = `http://127.0.0.1:${world.web}/`;
  const first = await fetch(url);
  const name = await first.text();
  const cookie = first.headers.get("set-cookie") ?? "";
  expect(cookie).toMatch(/^s=[0-9a-f]{16}; Path=\/; HttpOnly$/);
  for (let i = 0; i < 4; i++) {
    const answer = await fetch(url, { headers: { Cookie: cookie.split(";")[0] ?? "" } });
    expect([await answer.text(), answer.headers.get("set-cookie")]).toEqual([name, null]);
  }
  for (const one of backends) one[Symbol.dispose]();
});

test("a line is written for each request where the Ingress asks for it", async () => {
  const name = "traefik.ingress.kubernetes.io/router.observability.accesslogs";
  await ask(rulesOf({ [name]: "true" }), '/a"b', { headers: { "User-Agent": 'a"b' } });
  const line = world.accessLog.at(-1) ?? "";
  expect(line).toMatch(/^127\.0\.0\.1 - - \[.*\] "GET .* HTTP\/1\.1" 200 2 "-" /);
  expect(line).toContain(' "a\\"b" "default/web" ');
});
