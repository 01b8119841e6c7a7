/** A webhook that a kubeconfig names: for audit, for tokens, and for authorization. */
import { type Kubeconfig, loadKubeconfig } from "../../client/kubeconfig.ts";
import type { Runtime, TlsOptions } from "../../runtime/runtime.ts";
import { callReason } from "./call-webhook.ts";

const limits = { triesMax: 5, answerBytesMax: 3 * 1024 * 1024 } as const;
const backoff = { factor: 1.5, jitter: 0.2 } as const;

export interface FileWebhookOptions {
  readonly configFile: string;
  readonly runtime: Runtime;
  /** Before the second try; each further one waits half as long again. */
  readonly initialBackoffMs: number;
  readonly timeoutMs: number;
  /** Which failures are worth another try; by default those that pass by themselves. */
  readonly shouldRetry?: (error: WebhookFailure) => boolean;
}

export class WebhookFailure extends Error {
  override readonly name = "WebhookFailure";
  /** The code of an answer; undefined when there was none. */
  readonly code: number | undefined;
  readonly hasRetryAfter: boolean;

  constructor(message: string, answer?: Response, cause?: unknown) {
    super(message, { cause });
    this.code = answer?.status;
    this.hasRetryAfter = answer?.headers.has("retry-after") ?? false;
  }
}

export interface FileWebhook {
  /** Posts JSON; answers the body of the answer. Throws WebhookFailure after the last try. */
  post(body: string, signal: AbortSignal): Promise<string>;
}

/** Throws when the file cannot be used. */
export async function openFileWebhook(options: FileWebhookOptions): Promise<FileWebhook> {
  const config = await loadKubeconfig(options.runtime.files, options.configFile);
  return { post: (body, signal) => postWithRetries(options, config, body, signal) };
}

async function postWithRetries(
  options: FileWebhookOptions,
  config: Kubeconfig,
  body: string,
  signal: AbortSignal,
): Promise<string> {
  const { shouldRetry = isPassing, runtime } = options;
  let waitMs = options.initialBackoffMs;
  for (let tries = 1; ; tries += 1) {
    try {
      return await post(options, config, body, signal);
    } catch (error) {
      if (!(error instanceof WebhookFailure)) throw error;
      if (tries === limits.triesMax || signal.aborted || !shouldRetry(error)) throw error;
    }
    const jitter = 1 + (backoff.jitter * runtime.random.int(1000)) / 1000;
    await runtime.clock.sleep(waitMs * jitter, signal);
    waitMs *= backoff.factor;
  }
}

/** The receiver is overloaded or restarting; or it says itself that one may come again. */
function isPassing({ code, hasRetryAfter, cause }: WebhookFailure): boolean {
  const { code: why } = (cause ?? {}) as { readonly code?: string };
  return code === 500 || code === 504 || code === 429 || hasRetryAfter || why === "ECONNRESET";
}

async function post(
  { runtime, timeoutMs }: FileWebhookOptions,
  config: Kubeconfig,
  body: string,
  signal: AbortSignal,
): Promise<string> {
  const timeout = new AbortController();
  const done = new AbortController();
  void runtime.clock.sleep(timeoutMs, done.signal).then(() => timeout.abort());
  let response: Response | undefined;
  try {
    const request = new Request(config.server, {
      method: "POST",
      body,
      redirect: "manual",
      headers: headersOf(config),
      signal: AbortSignal.any([signal, timeout.signal]),
    });
    response = await runtime.net.fetch(request, { tls: tlsOf(config) });
    const text = await response.text();
    if (response.ok && text.length <= limits.answerBytesMax) return text;
  } catch (error) {
    const why = timeout.signal.aborted
      ? "context deadline exceeded"
      : callReason(error, config.server);
    throw new WebhookFailure(`Post ${JSON.stringify(config.server)}: ${why}`, undefined, error);
  } finally {
    done.abort();
  }
  // What it says in the body stays out of logs and answers: it may be anything.
  const why = response.ok ? "the answer is too long" : `the server answered ${response.status}`;
  throw new WebhookFailure(`Post ${JSON.stringify(config.server)}: ${why}`, response);
}

function headersOf({ token, basic }: Kubeconfig): Record<string, string> {
  const common = { "content-type": "application/json", accept: "application/json" };
  if (token !== undefined) return { ...common, authorization: `Bearer ${token}` };
  if (basic === undefined) return common;
  const text = Buffer.from(`${basic.username}:${basic.password}`).toString("base64");
  return { ...common, authorization: `Basic ${text}` };
}

function tlsOf({ ca, cert, key, serverName, skipsVerify }: Kubeconfig): TlsOptions {
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(serverName !== undefined && { serverName }),
    ...(skipsVerify && { rejectUnauthorized: false }),
  };
}
