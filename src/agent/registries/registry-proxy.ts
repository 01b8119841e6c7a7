/** Asks registries on containerd's behalf: rewrites repositories and logs in. */
import { sameSecret } from "../../lib/same-secret.ts";
import type { Runtime, TlsOptions } from "../../runtime/runtime.ts";
import type { ProxiedEndpoint } from "./hosts-files.ts";

const limits = { tokenSecondsDefault: 60, tokenSpareMs: 10_000, redirectsMax: 5 } as const;

/** Headers that containerd and a registry need of each other. */
const passedOn = {
  request: ["accept", "range", "if-none-match", "user-agent"],
  response: [
    "content-type",
    "content-length",
    "content-range",
    "accept-ranges",
    "docker-content-digest",
    "etag",
    "location",
    "www-authenticate",
  ],
} as const;

interface Token {
  readonly text: string;
  readonly untilMs: number;
}

export class RegistryProxy {
  readonly #runtime: Runtime;
  readonly #secret: string;
  readonly #tokens = new Map<string, Token>();
  #endpoints: ReadonlyMap<string, ProxiedEndpoint> = new Map();

  /** Only who knows `secret`, the first part of the path, may use the credentials. */
  constructor(runtime: Runtime, secret: string) {
    this.#runtime = runtime;
    this.#secret = secret;
  }

  use(endpoints: ReadonlyMap<string, ProxiedEndpoint>): void {
    this.#endpoints = endpoints;
    this.#tokens.clear();
  }

  /** `/<secret>/<registry>/<index>/<repository>/(manifests|blobs|…)/<reference>`. */
  async handle(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const [, secret = "", registry = "", index = "", ...rest] = pathname.split("/");
    const key = `${decodeURIComponent(registry)}/${index}`;
    const endpoint = sameSecret(secret, this.#secret) ? this.#endpoints.get(key) : undefined;
    if (endpoint === undefined) return new Response("not found", { status: 404 });
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("only reading is allowed", { status: 405 });
    }
    const url = `${endpoint.url}/${rewritten(rest.join("/"), endpoint)}`;
    try {
      return answerOf(await this.#ask(endpoint, url, request));
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#runtime.log.warn("A registry does not answer", { url, error: text });
      return new Response(text, { status: 502 });
    }
  }

  async #ask(endpoint: ProxiedEndpoint, url: string, request: Request): Promise<Response> {
    const tls = await this.#tlsOf(endpoint);
    const known = this.#tokens.get(tokenKey(url));
    const isFresh = known !== undefined && known.untilMs > this.#nowMs;
    const first = await this.#send(url, request, tls, isFresh ? known.text : undefined);
    const challenge = first.headers.get("www-authenticate");
    if (first.status !== 401 || challenge === null || endpoint.auth === undefined) return first;
    const login = await this.#login(endpoint, challenge, tls);
    if (login === undefined) return first;
    await first.body?.cancel();
    this.#tokens.set(tokenKey(url), login);
    return await this.#send(url, request, tls, login.text);
  }

  /** Follows within the registry only: elsewhere containerd goes by itself, without credentials. */
  async #send(
    url: string,
    request: Request,
    tls: TlsOptions,
    authorization: string | undefined,
  ): Promise<Response> {
    const headers = new Headers({ "accept-encoding": "identity" });
    for (const name of passedOn.request) {
      const value = request.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    const own = authorization ?? request.headers.get("authorization");
    if (own !== null) headers.set("authorization", own);
    const { method, signal } = request;
    let at = url;
    for (let redirects = 0; ; redirects += 1) {
      const asked = new Request(at, { method, headers, signal, redirect: "manual" });
      const response = await this.#runtime.net.fetch(asked, { tls });
      const location = response.headers.get("location");
      const isRedirect = response.status >= 300 && response.status < 400 && location !== null;
      if (!isRedirect || redirects >= limits.redirectsMax) return response;
      const next = new URL(location, at);
      if (next.origin !== new URL(url).origin) return response;
      at = next.href;
    }
  }

  /** What to send as `authorization`; undefined for a challenge nobody here can meet. */
  async #login(
    { auth, url }: ProxiedEndpoint,
    challenge: string,
    tls: TlsOptions,
  ): Promise<Token | undefined> {
    if (auth === undefined) return undefined;
    const basic = `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString("base64")}`;
    if (/^basic\b/i.test(challenge)) return { text: basic, untilMs: Number.POSITIVE_INFINITY };
    if (!/^bearer\b/i.test(challenge)) return undefined;
    const asked = new Map(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = "", value = ""]) => [name, value]),
    );
    const realm = new URL(asked.get("realm") ?? "", url);
    const [service = "", scope = ""] = [asked.get("service"), asked.get("scope")];
    const request =
      auth.identityToken === ""
        ? basicTokenRequest(realm, { service, scope }, basic)
        : refreshRequest(realm, { service, scope }, auth.identityToken);
    const sameHost = realm.host === new URL(url).host;
    const response = await this.#runtime.net.fetch(request, sameHost ? { tls } : {});
    if (!response.ok) throw new Error(`${realm.origin} gives no token: ${response.status}`);
    const body = (await response.json()) as Readonly<Record<string, unknown>>;
    const token = body.token ?? body.access_token;
    if (typeof token !== "string") throw new Error(`${realm.origin} gives no token`);
    const seconds = Number(body.expires_in) || limits.tokenSecondsDefault;
    const untilMs = this.#nowMs + seconds * 1000 - limits.tokenSpareMs;
    return { text: `Bearer ${token}`, untilMs };
  }

  async #tlsOf({ tls }: ProxiedEndpoint): Promise<TlsOptions> {
    const read = async (name: "ca" | "cert" | "key", file: string | undefined) => {
      if (file === undefined) return {};
      const text = await this.#runtime.files.readText(file);
      if (text === undefined) throw new Error(`${file} does not exist`);
      return { [name]: text };
    };
    return {
      ...(await read("ca", tls?.caFile)),
      ...(await read("cert", tls?.certFile)),
      ...(await read("key", tls?.keyFile)),
      ...(tls?.insecureSkipVerify === true ? { rejectUnauthorized: false } : {}),
    };
  }

  get #nowMs(): number {
    return this.#runtime.clock.now().getTime();
  }
}

interface Wanted {
  readonly service: string;
  readonly scope: string;
}

function basicTokenRequest(realm: URL, { service, scope }: Wanted, authorization: string): Request {
  const url = new URL(realm);
  if (service !== "") url.searchParams.set("service", service);
  if (scope !== "") url.searchParams.set("scope", scope);
  return new Request(url, { headers: { authorization } });
}

function refreshRequest(realm: URL, { service, scope }: Wanted, token: string): Request {
  const form = { grant_type: "refresh_token", client_id: "k3", refresh_token: token };
  const body = new URLSearchParams({ ...form, service, scope });
  return new Request(realm, { method: "POST", body });
}

/** A token is for one repository. */
function tokenKey(url: string): string {
  return url.replace(/\/(manifests|blobs|tags|referrers)\/[^/]*$/, "");
}

function rewritten(path: string, { rewrites }: ProxiedEndpoint): string {
  const [, name, rest = ""] = /^(.+?)(\/(?:manifests|blobs|tags|referrers)\/.*)$/.exec(path) ?? [];
  if (name === undefined) return path;
  const rewrite = rewrites.find(({ pattern }) => pattern.test(name));
  if (rewrite === undefined) return path;
  return name.replace(rewrite.pattern, rewrite.replacement) + rest;
}

function answerOf(response: Response): Response {
  const headers = new Headers();
  for (const name of passedOn.response) {
    const value = response.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  return new Response(response.body, { status: response.status, headers });
}
