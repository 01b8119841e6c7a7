/** Bound service account tokens for pods, asked of the API and renewed before they expire. */
import type { Client } from "../../client/client.ts";
import { serviceAccounts } from "../../client/resources.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Pod } from "./types.ts";

const limits = {
  /** Upstream renews at 80 % of the lifetime, and at the latest after a day. */
  lifetimeShare: 0.8,
  ageMsMax: 24 * 60 * 60 * 1000,
} as const;

interface TokenAnswer {
  readonly status?: { readonly token: string; readonly expirationTimestamp: string };
}

/** A token as drivers of volumes are given it. */
export interface IssuedToken {
  readonly token: string;
  readonly expirationTimestamp: string;
}

interface Held extends IssuedToken {
  readonly renewAtMs: number;
  readonly expiresAtMs: number;
}

export class ServiceAccountTokens {
  readonly #client: Client;
  readonly #runtime: Runtime;
  readonly #held = new Map<string, Held>();

  constructor(client: Client, runtime: Runtime) {
    this.#client = client;
    this.#runtime = runtime;
  }

  async token(pod: Pod, audience: string, expirationSeconds: number): Promise<string> {
    return (await this.issued(pod, audience, expirationSeconds)).token;
  }

  async issued(pod: Pod, audience: string, expirationSeconds: number): Promise<IssuedToken> {
    const { token, expirationTimestamp } = await this.#hold(pod, audience, expirationSeconds);
    return { token, expirationTimestamp };
  }

  async #hold(pod: Pod, audience: string, expirationSeconds: number): Promise<Held> {
    const key = `${pod.metadata.uid} ${audience} ${expirationSeconds}`;
    const held = this.#held.get(key);
    const nowMs = this.#runtime.clock.now().getTime();
    if (held !== undefined && nowMs < held.renewAtMs) return held;
    try {
      const fresh = await this.#request(pod, audience, expirationSeconds);
      this.#held.set(key, fresh);
      return fresh;
    } catch (error) {
      // The old one still serves until it really expires.
      if (held !== undefined && nowMs < held.expiresAtMs) return held;
      throw error;
    }
  }

  forgetPod(uid: string): void {
    for (const key of this.#held.keys()) if (key.startsWith(`${uid} `)) this.#held.delete(key);
  }

  async #request(pod: Pod, audience: string, expirationSeconds: number): Promise<Held> {
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    const answer = await this.#client.createSubresource<TokenAnswer>(
      serviceAccounts,
      namespace,
      pod.spec.serviceAccountName ?? "default",
      "token",
      {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        metadata: {},
        spec: {
          audiences: audience === "" ? [] : [audience],
          expirationSeconds,
          boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid },
        },
      },
    );
    const { token = "", expirationTimestamp = "" } = answer.status ?? {};
    const nowMs = this.#runtime.clock.now().getTime();
    const expiresAtMs = new Date(expirationTimestamp).getTime();
    const lifetime = (expiresAtMs - nowMs) * limits.lifetimeShare;
    const renewAtMs = nowMs + Math.min(lifetime, limits.ageMsMax);
    return { token, expirationTimestamp, expiresAtMs, renewAtMs };
  }
}
