/** Bound service account tokens for pods, asked of the API and renewed before they expire. */
import type { Client } from "../../client/client.ts";
import { serviceAccounts } from "../../client/resources.ts";
import type { Clock, Runtime } from "../../runtime/runtime.ts";
import type { Pod } from "./types.ts";

const limits = {
  /** Upstream renews at 80 % of the lifetime, and at the latest after a day. */
  lifetimeShare: 0.8,
  ageMsMax: 24 * 60 * 60 * 1000,
  /** The API believes tokens that its clock says are from so little ahead. */
  aheadMsMax: 60_000,
  clockPollMs: 2_000,
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
  readonly issuedAtMs: number;
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
    // Where the clock was set back, the token is of a time to come: nobody believes it.
    const isOfNow = held !== undefined && nowMs > held.issuedAtMs - limits.aheadMsMax;
    if (isOfNow && nowMs < held.renewAtMs) return held;
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
    return { token, expirationTimestamp, issuedAtMs: nowMs, expiresAtMs, renewAtMs };
  }
}

/** Sleeps, but not on when the clock on the wall has been set back: tokens are to be renewed. */
export async function sleepUntilRenewal(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  const origin = (): number => clock.now().getTime() - clock.monotonicMs();
  let latest = origin();
  const end = clock.monotonicMs() + ms;
  while (!signal.aborted && clock.monotonicMs() < end) {
    await clock.sleep(Math.min(limits.clockPollMs, end - clock.monotonicMs()), signal);
    if (origin() < latest - limits.aheadMsMax) return;
    latest = Math.max(latest, origin());
  }
}
