/** An OpenID issuer: its keys by discovery, and whether a token is one that it signed for us. */
import { compactVerify, createLocalJWKSet, decodeJwt, errors, type JSONWebKeySet } from "jose";
import type { Runtime } from "../runtime/runtime.ts";

const limits = {
  discoverEveryMs: 10_000,
  requestMsMax: 30_000,
  documentBytesMax: 1024 * 1024,
  /** An unknown key makes us ask for the keys anew, not more often than this. */
  keysEveryMs: 1000,
  notBeforeLeewaySeconds: 300,
} as const;

const allAlgorithms: readonly string[] = [
  "RS256",
  "RS384",
  "RS512",
  "ES256",
  "ES384",
  "ES512",
  "PS256",
  "PS384",
  "PS512",
  "EdDSA",
];

export interface JwtIssuerOptions {
  readonly url: string;
  readonly discoveryUrl: string;
  readonly ca: string;
  readonly audiences: readonly string[];
  readonly algorithms?: readonly string[];
  readonly runtime: Runtime;
}

export type Claims = Readonly<Record<string, unknown>>;

type KeySet = ReturnType<typeof createLocalJWKSet>;

export class JwtIssuer {
  readonly #options: JwtIssuerOptions;
  #keysUrl: string | undefined;
  #keys: KeySet | undefined;
  #loading: Promise<void> | undefined;
  #loadedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: JwtIssuerOptions) {
    this.#options = options;
  }

  /** Whether the token says that it comes from here; nothing is checked yet. */
  issued(token: string): boolean {
    try {
      const { iss } = decodeJwt(token);
      const issuer = iss === "accounts.google.com" ? "https://accounts.google.com" : iss;
      return issuer === this.#options.url;
    } catch {
      return false; // no JSON Web Token at all
    }
  }

  /** Looks for the discovery document until there is one; tokens are refused before. */
  async discover(signal: AbortSignal): Promise<void> {
    const { runtime, url, discoveryUrl } = this.#options;
    const place = discoveryUrl || `${url.replace(/\/$/, "")}/.well-known/openid-configuration`;
    while (!signal.aborted) {
      try {
        const document = await this.#fetch(place, signal);
        if (document.issuer !== url) {
          throw new Error(`the document is of the issuer ${JSON.stringify(document.issuer)}`);
        }
        if (typeof document.jwks_uri !== "string") throw new Error("it names no jwks_uri");
        this.#keysUrl = document.jwks_uri;
        return;
      } catch (error) {
        if (signal.aborted) return;
        runtime.log.error("Cannot discover an issuer of tokens", { issuer: url, error });
      }
      await runtime.clock.sleep(limits.discoverEveryMs, signal);
    }
  }

  /** The claims of a token that is right, for us, and in its time; throws Error otherwise. */
  async verify(token: string): Promise<Claims> {
    if (this.#keysUrl === undefined) throw new Error("oidc: authenticator not initialized");
    const first = this.#keys;
    try {
      return await this.#verifyBy(first ?? (await this.#freshKeys()), token);
    } catch (error) {
      const isUnknownKey =
        error instanceof errors.JWKSNoMatchingKey ||
        error instanceof errors.JWSSignatureVerificationFailed;
      if (first === undefined || !isUnknownKey) throw error;
    }
    return await this.#verifyBy(await this.#freshKeys(), token);
  }

  async #verifyBy(keys: KeySet, token: string): Promise<Claims> {
    const { algorithms = allAlgorithms, runtime } = this.#options;
    const { payload } = await compactVerify(token, keys, { algorithms: [...algorithms] });
    const claims: unknown = JSON.parse(new TextDecoder().decode(payload));
    if (typeof claims !== "object" || claims === null) throw new Error("oidc: no claims");
    this.#check(claims as Claims, runtime.clock.now().getTime() / 1000);
    return claims as Claims;
  }

  #check({ aud, exp, nbf }: Claims, nowSeconds: number): void {
    const { audiences } = this.#options;
    const named: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
    if (!named.some((one) => audiences.some((audience) => audience === one))) {
      const [wanted, got] = [JSON.stringify(audiences), JSON.stringify(aud)];
      throw new Error(`oidc: expected audience in ${wanted} got ${got}`);
    }
    if (typeof exp !== "number" || exp <= nowSeconds) {
      throw new Error(`oidc: token is expired (Token Expiry: ${String(exp)})`);
    }
    // As Go's library has it: who signs may be ahead of us by some minutes.
    if (typeof nbf === "number" && nbf > nowSeconds + limits.notBeforeLeewaySeconds) {
      throw new Error(`oidc: current time is before the nbf (not before) time: ${nbf}`);
    }
  }

  async #freshKeys(): Promise<KeySet> {
    const nowMs = this.#options.runtime.clock.monotonicMs();
    if (nowMs - this.#loadedAtMs >= limits.keysEveryMs || this.#keys === undefined) {
      this.#loading ??= this.#loadKeys().finally(() => {
        this.#loading = undefined;
      });
      await this.#loading;
    }
    if (this.#keys === undefined) throw new Error("oidc: the keys of the issuer are not known");
    return this.#keys;
  }

  async #loadKeys(): Promise<void> {
    const { clock } = this.#options.runtime;
    const set = await this.#fetch(this.#keysUrl ?? "", new AbortController().signal);
    this.#keys = createLocalJWKSet(set as unknown as JSONWebKeySet);
    this.#loadedAtMs = clock.monotonicMs();
  }

  async #fetch(url: string, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>> {
    const { runtime, ca } = this.#options;
    const [timeout, done] = [new AbortController(), new AbortController()];
    void runtime.clock.sleep(limits.requestMsMax, done.signal).then(() => timeout.abort());
    try {
      const both = AbortSignal.any([signal, timeout.signal]);
      const request = new Request(url, { redirect: "error", signal: both });
      const response = await runtime.net.fetch(request, { tls: ca === "" ? {} : { ca } });
      if (!response.ok) throw new Error(`${url} answered ${response.status}`);
      const text = await response.text();
      if (text.length > limits.documentBytesMax) throw new Error(`${url} answered too much`);
      return JSON.parse(text);
    } finally {
      done.abort();
    }
  }
}
