/** Calls a webhook of any kind over HTTPS. */
import type { WebhookClientConfig } from "../../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { Runtime, TlsOptions } from "../../runtime/runtime.ts";
import { addressOfService, urlHost } from "../service-address.ts";
import { AnswerError } from "./review.ts";

const defaults = { port: 443 } as const;
const limits = { answerBytesMax: 3 * 1024 * 1024 } as const;

interface Place {
  /** What the call is named by in errors. */
  readonly url: string;
  /** Where it goes. */
  readonly target: string;
  readonly tls: TlsOptions;
  readonly host: string;
}

export interface WebhookCall {
  readonly clientConfig: DeepReadonly<WebhookClientConfig>;
  readonly seconds: number;
  readonly body: string;
  readonly live: LiveSets;
  readonly runtime: Runtime;
  readonly signal: AbortSignal;
}

/** Posts `body`; answers the body of the answer. Throws Error with the cause in Go's words. */
export async function callWebhook(call: WebhookCall): Promise<string> {
  const { seconds, body } = call;
  const timeout = new AbortController();
  const signal = AbortSignal.any([call.signal, timeout.signal]);
  const done = new AbortController();
  const { clock, net } = call.runtime;
  void clock.sleep(seconds * 1000, done.signal).then(() => timeout.abort());
  const place = await placeOf(call);
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
    if (text.length > limits.answerBytesMax) throw new AnswerError("the answer is too long");
    if (response.status < 200 || response.status > 299) {
      throw new AnswerError(text.trim() || `the server answered ${response.status}`);
    }
    return text;
  } catch (error) {
    const why = timeout.signal.aborted
      ? "context deadline exceeded"
      : callReason(error, place.target);
    const Kind = error instanceof AnswerError ? AnswerError : Error;
    throw new Kind(`failed to call webhook: Post ${JSON.stringify(place.url)}: ${why}`, {
      cause: error,
    });
  } finally {
    done.abort();
  }
}

/** What Go's client would say, for the failures that people meet. */
export function callReason(error: unknown, target: string): string {
  const { code, message } = error as { readonly code?: string; readonly message?: string };
  switch (code) {
    case "ECONNREFUSED":
    case "ConnectionRefused":
      return `dial tcp ${new URL(target).host}: connect: connection refused`;
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
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

async function placeOf({ clientConfig, seconds, live, runtime }: WebhookCall): Promise<Place> {
  const ca = clientConfig.caBundle
    ? Buffer.from(clientConfig.caBundle, "base64").toString("utf8")
    : undefined;
  const trust = ca === undefined ? {} : { ca };
  if (clientConfig.service === undefined) {
    const url = new URL(clientConfig.url ?? "");
    url.searchParams.set("timeout", `${seconds}s`);
    return { url: url.href, target: url.href, host: url.host, tls: trust };
  }
  const { name, namespace, path = "", port = defaults.port } = clientConfig.service;
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
