/** Tokens that another server knows: asked by TokenReviews, its answers remembered. */
import { createHmac } from "node:crypto";
import type { UserInfo } from "../../gen/authentication-v1.ts";
import { ExpiringCache } from "../../lib/expiring-cache.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { type FileWebhook, openFileWebhook } from "../webhooks/file-webhook.ts";
import type { OtherTokens, TokenUser } from "./token-user.ts";

const limits = { timeoutMs: 30_000, answersMax: 8192 } as const;
const initialBackoffMs = 500;
const never = new AbortController().signal;

export interface TokenWebhookSettings {
  readonly configFile: string;
  readonly version: "v1" | "v1beta1";
  readonly cacheTtlMs: number;
}

interface Status {
  readonly authenticated?: boolean;
  readonly user?: UserInfo;
  readonly audiences?: readonly string[];
  readonly error?: string;
}

/** `audiences` are those of the API server; throws when the kubeconfig cannot be used. */
export async function openTokenWebhook(
  settings: TokenWebhookSettings,
  runtime: Runtime,
  audiences: () => Promise<readonly string[]>,
): Promise<OtherTokens> {
  const { configFile, cacheTtlMs } = settings;
  const { timeoutMs } = limits;
  const webhook = await openFileWebhook({ configFile, runtime, initialBackoffMs, timeoutMs });
  const answers = new ExpiringCache<Status>(limits.answersMax, () => runtime.clock.monotonicMs());
  // Who reads memory finds no tokens in the cache, only what cannot be turned back into them.
  const secret = runtime.random.bytes(32);
  return async (token, asked) => {
    const own = await audiences();
    const wanted = asked ?? own;
    const key = createHmac("sha256", secret)
      .update(JSON.stringify([token, wanted]))
      .digest("hex");
    const known = answers.get(key);
    const status = known ?? (await askWebhook(webhook, settings, token, wanted));
    if (known === undefined) answers.set(key, status, cacheTtlMs);
    return userOf(status, wanted, own);
  };
}

async function askWebhook(
  webhook: FileWebhook,
  { version }: TokenWebhookSettings,
  token: string,
  audiences: readonly string[],
): Promise<Status> {
  const review = {
    kind: "TokenReview",
    apiVersion: `authentication.k8s.io/${version}`,
    metadata: {},
    spec: { token, audiences },
    status: { user: {} },
  };
  const answer = JSON.parse(await webhook.post(JSON.stringify(review), never)) as {
    readonly kind?: unknown;
    readonly status?: Status | null;
  };
  if (answer.kind === "TokenReview" && typeof answer.status === "object")
    return answer.status ?? {};
  throw new Error("the token webhook did not answer with a TokenReview");
}

/** A webhook that does not tell audiences speaks for those of the API server. */
function userOf(
  { authenticated, user, audiences = [] }: Status,
  wanted: readonly string[],
  own: readonly string[],
): TokenUser | undefined {
  const good = audiences.length === 0 ? own : audiences;
  const shared = wanted.filter((one) => good.includes(one));
  if (authenticated !== true || user === undefined || shared.length === 0) return undefined;
  const { username = "", uid = "", groups = [], extra = {} } = user;
  return { user: { name: username, uid, groups, extra }, audiences: shared };
}
