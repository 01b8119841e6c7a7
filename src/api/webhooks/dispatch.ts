/** Calls one webhook: who is asked, over what connection, and what its silence means. */
import { ApiError } from "../../lib/api-error.ts";
import type { AdmissionType } from "../admission-metrics.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import { callWebhook } from "./call-webhook.ts";
import type { Webhook } from "./match.ts";
import {
  AnswerError,
  type ReviewRequest,
  type ReviewVersion,
  readVerdict,
  reviewBody,
  reviewVersions,
  type Verdict,
} from "./review.ts";

const defaults = { timeoutSeconds: 10 } as const;

/** Asks `webhook`; undefined when it failed and its policy is to ignore that. */
export function ask(
  webhook: Webhook,
  request: Omit<ReviewRequest, "uid" | "version">,
  context: AdmissionContext,
  { type, failedOpen }: { readonly type: AdmissionType; readonly failedOpen: () => void },
): Promise<Verdict | undefined> {
  const asked = () => askUntimed(webhook, request, context, failedOpen);
  const { metrics, verb: operation } = context;
  if (metrics === undefined) return asked();
  const work = { of: "webhook", name: webhook.name, type, operation } as const;
  return metrics.timed(work, asked, (verdict) => verdict?.allowed === false);
}

async function askUntimed(
  webhook: Webhook,
  request: Omit<ReviewRequest, "uid" | "version">,
  context: AdmissionContext,
  onFailedOpen: () => void,
): Promise<Verdict | undefined> {
  if (context.dryRun && !["None", "NoneOnDryRun"].includes(webhook.sideEffects)) {
    const name = JSON.stringify(webhook.name);
    throw new ApiError("BadRequest", `admission webhook ${name} does not support dry run`);
  }
  try {
    const version = versionOf(webhook);
    const asked = { ...request, uid: context.runtime.random.uuid(), version };
    const answer = await callWebhook({
      clientConfig: webhook.clientConfig,
      seconds: webhook.timeoutSeconds ?? defaults.timeoutSeconds,
      body: reviewBody(asked, context),
      live: context.live,
      runtime: context.runtime,
      signal: context.request.signal,
    });
    return readVerdict(answer, asked);
  } catch (error) {
    failed(webhook, error, context);
    onFailedOpen();
    return undefined;
  }
}

/** A webhook that cannot be asked is passed over or, by default, refuses the request. */
export function failed(webhook: Webhook, error: unknown, context: AdmissionContext): void {
  const reason = error instanceof Error ? error.message : String(error);
  const message = `failed calling webhook ${JSON.stringify(webhook.name)}: ${reason}`;
  if (webhook.failurePolicy !== "Ignore") {
    throw new ApiError("InternalError", `Internal error occurred: ${message}`, {
      details: { causes: [{ reason: "", message }] },
    });
  }
  // Who configures webhooks must not read other servers' answers in our log (CVE-2020-8561).
  const told = error instanceof AnswerError ? "its answer is of no use" : reason;
  const { log } = context.runtime;
  log.warn("A webhook failed and is ignored", { webhook: webhook.name, error: told });
}

function versionOf({ admissionReviewVersions }: Webhook): ReviewVersion {
  const version = admissionReviewVersions.find((one): one is ReviewVersion =>
    (reviewVersions as readonly string[]).includes(one),
  );
  if (version !== undefined) return version;
  throw new Error("webhook does not accept known AdmissionReview versions (v1, v1beta1)");
}
