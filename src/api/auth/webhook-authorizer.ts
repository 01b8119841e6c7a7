/** An authorizer behind a webhook: asked by SubjectAccessReviews, its answers remembered. */
import { ExpiringCache } from "../../lib/expiring-cache.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Attributes, Authorizer, Decision, UserRules } from "../authorizer.ts";
import { type FileWebhook, openFileWebhook } from "../webhooks/file-webhook.ts";
import { accessReviewSpec } from "./access-review.ts";
import type { WebhookSettings } from "./authorization-config.ts";
import { unknownRules } from "./node-authorizer.ts";

const limits = {
  answersMax: 8192,
  /** Longer questions are not worth remembering: whoever makes them up would push out others. */
  rememberedCharactersMax: 10_000,
} as const;
const initialBackoffMs = 500;
const never = new AbortController().signal;

/** Throws when the kubeconfig cannot be used. */
export async function openWebhookAuthorizer(
  settings: WebhookSettings,
  runtime: Runtime,
): Promise<Authorizer> {
  const { kubeconfigFile: configFile, timeoutMs } = settings;
  const options = { configFile, runtime, initialBackoffMs, timeoutMs };
  return new WebhookAuthorizer(settings, await openFileWebhook(options), runtime);
}

interface Status {
  readonly allowed?: boolean;
  readonly denied?: boolean;
  readonly reason?: string;
}

class WebhookAuthorizer implements Authorizer {
  readonly #answers: ExpiringCache<Status>;

  constructor(
    private readonly settings: WebhookSettings,
    private readonly webhook: FileWebhook,
    private readonly runtime: Runtime,
  ) {
    this.#answers = new ExpiringCache(limits.answersMax, () => runtime.clock.monotonicMs());
  }

  async authorize(attributes: Attributes): Promise<Decision> {
    const { matchConditions } = this.settings;
    if (matchConditions.length > 0) {
      const { matchesReview } = await import("../cel/review-cel.ts");
      const outcome = await matchesReview(matchConditions, attributes);
      if (outcome.type === "error") return this.#failed(outcome.error);
      if (outcome.type === "no-match") return { allowed: false, reason: "" };
    }
    try {
      return decisionOf(await this.#statusOf(attributes));
    } catch (error) {
      this.runtime.log.error("Cannot ask the authorization webhook", { error });
      return this.#failed(error);
    }
  }

  rulesFor(): UserRules {
    return unknownRules("webhook authorizer does not support user rule resolution");
  }

  #failed(error: unknown): Decision {
    const isFinal = this.settings.failurePolicy === "Deny";
    const why = error instanceof Error ? error.message : String(error);
    return { allowed: false, reason: "", isFinal, error: why };
  }

  async #statusOf(attributes: Attributes): Promise<Status> {
    const { reviewVersion, authorizedTtlMs, unauthorizedTtlMs } = this.settings;
    const spec = accessReviewSpec(attributes, reviewVersion);
    const key = JSON.stringify(spec);
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const apiVersion = `authorization.k8s.io/${reviewVersion}`;
    const review = {
      kind: "SubjectAccessReview",
      apiVersion,
      metadata: {},
      spec,
      status: { allowed: false },
    };
    const status = readStatus(await this.webhook.post(JSON.stringify(review), never));
    const ttlMs = status.allowed === true ? authorizedTtlMs : unauthorizedTtlMs;
    if (key.length <= limits.rememberedCharactersMax) this.#answers.set(key, status, ttlMs);
    return status;
  }
}

function readStatus(text: string): Status {
  const review = JSON.parse(text) as { readonly kind?: unknown; readonly status?: Status | null };
  if (review.kind !== "SubjectAccessReview" || typeof review.status !== "object") {
    throw new Error("the authorization webhook did not answer with a SubjectAccessReview");
  }
  const { allowed, denied, reason } = review.status ?? {};
  return {
    allowed: allowed === true,
    denied: denied === true,
    reason: typeof reason === "string" ? reason : "",
  };
}

function decisionOf({ allowed = false, denied = false, reason = "" }: Status): Decision {
  if (allowed && denied) {
    const error = "webhook subject access review returned both allow and deny response";
    return { allowed: false, isFinal: true, reason, error };
  }
  return denied ? { allowed: false, isFinal: true, reason } : { allowed, reason };
}
