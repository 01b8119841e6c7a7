/** Calls one webhook: who is asked, over what connection, and what its silence means. */
import type { WebhookClientConfig } from "../../gen/admissionregistration-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { TlsOptions } from "../../runtime/runtime.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import { addressOfService, urlHost } from "../service-address.ts";
import type { Webhook } from "./match.ts";
import {
  type ReviewRequest,
  type ReviewVersion,
  readVerdict,
  reviewBody,
  reviewVersions,
  type Verdict,
} from "./review.ts";

const defaults = { timeoutSeconds: 10, port: 443 } as const;
const limits = { answerBytesMax: 3 * 1024 * 1024 } as const;

interface Place {
  /** What the call is named by in errors. */
  readonly url: string;
  /** Where it goes. */
  readonly target: string;
  readonly tls: TlsOptions;
  readonly host: string;
}

/** Asks `webhook`; undefined when it failed and its policy is to ignore that. */
export async function ask(
  webhook: Webhook,
  request: Omit<ReviewRequest, "uid" | "version">,
  context: AdmissionContext,
): Promise<Verdict | undefined> {
  if (context.dryRun && !["None", "NoneOnDryRun"].includes(webhook.sideEffects)) {
    const name = JSON.stringify(webhook.name);
    throw new ApiError("BadRequest", `admission webhook ${name} does not support dry run`);
  }
  try {
    const version = versionOf(webhook);
    const asked = { ...request, uid: context.runtime.random.uuid(), version };
    return readVerdict(await post(webhook, reviewBody(asked, context), context), asked);
  } catch (error) {
    return failed(webhook, error, context);
  }
}

/** A webhook that cannot be asked is passed over or, by default, refuses the request. */
export function failed(webhook: Webhook, error: unknown, context: AdmissionContext): undefined {
  const reason = error instanceof Error ? error.message : String(error);
  const message = `failed calling webhook ${JSON.stringify(webhook.name)}: ${reason}`;
  if (webhook.failurePolicy !== "Ignore") {
    throw new ApiError("InternalError", `Internal error occurred: ${message}`, {
      details: { causes: [{ reason: "", message }] },
    });
  }
  context.runtime.log.warn("A webhook failed and is ignored", { webhook: webhook.name, error });
  return undefined;
}

function versionOf({ admissionReviewVersions }: Webhook): ReviewVersion {
  const version = admissionReviewVersions.find((one): one is ReviewVersion =>
    (reviewVersions as readonly string[]).includes(one),
  );
  if (version !== undefined) return version;
  throw new Error("webhook does not accept known AdmissionReview versions (v1, v1beta1)");
}

async function post(webhook: Webhook, body: string, context: AdmissionContext): Promise<string> {
  const seconds = webhook.timeoutSeconds ?? defaults.timeoutSeconds;
  const timeout = new AbortController();
  const signal = AbortSignal.any([context.request.signal, timeout.signal]);
  const done = new AbortController();
  const { clock, net } = context.runtime;
  void clock.sleep(seconds * 1000, done.signal).then(() => timeout.abort());
  const place = await placeOf(webhook.clientConfig, seconds, context);
  try {
    const request = new Request(place.target, {
      method: "POST",
      body,
      redirect: "error",
      headers: { "content-type": "application/json", host: place.host, accept: "application/json" },
      signal,
    });
    const response = await net.fetch(request, { tls: place.tls });
    const text = await response.text();
    if (text.length > limits.answerBytesMax) throw new Error("the answer is too long");
    if (response.status < 200 || response.status > 299) {
      throw new Error(text.trim() || `the server answered ${response.status}`);
    }
    return text;
  } catch (error) {
    const why = timeout.signal.aborted ? "context deadline exceeded" : reasonOf(error, place);
    throw new Error(`failed to call webhook: Post ${JSON.stringify(place.url)}: ${why}`, {
      cause: error,
    });
  } finally {
    done.abort();
  }
}

/** What Go's client would say, for the failures that people meet. */
function reasonOf(error: unknown, { target }: Place): string {
  const { code, message } = error as { readonly code?: string; readonly message?: string };
  switch (code) {
    case "ECONNREFUSED":
    case "ConnectionRefused":
      return `dial tcp ${new URL(target).host}: connect: connection refused`;
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
      return "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "tls: failed to verify certificate: x509: certificate is not valid for this name";
    default:
      return message ?? String(error);
  }
}

async function placeOf(
  config: DeepReadonly<WebhookClientConfig>,
  seconds: number,
  { live, runtime }: AdmissionContext,
): Promise<Place> {
  const ca = config.caBundle ? Buffer.from(config.caBundle, "base64").toString("utf8") : undefined;
  const trust = ca === undefined ? {} : { ca };
  if (config.service === undefined) {
    const url = new URL(config.url ?? "");
    url.searchParams.set("timeout", `${seconds}s`);
    return { url: url.href, target: url.href, host: url.host, tls: trust };
  }
  const { name, namespace, path = "", port = defaults.port } = config.service;
  const host = `${name}.${namespace}.svc`;
  const rest = `${path.startsWith("/") || path === "" ? path : `/${path}`}?timeout=${seconds}s`;
  const address = await addressOfService(
    { live, random: runtime.random },
    { namespace, name, port },
  );
  return {
    url: `https://${host}:${port}${rest}`,
    target: `https://${urlHost(address.host)}:${address.port}${rest}`,
    host: `${host}:${port}`,
    tls: { ...trust, serverName: host },
  };
}
