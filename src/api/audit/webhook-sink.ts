/** Sends events to a receiver as an EventList, and again when it does not answer well. */
import type { Runtime } from "../../runtime/runtime.ts";
import { type FileWebhook, openFileWebhook } from "../webhooks/file-webhook.ts";
import type { AuditWebhookOptions } from "./audit-options.ts";
import type { AuditEvent, AuditSink, OnLost } from "./event.ts";

const limits = {
  timeoutMs: 30_000,
  /** A stop waits so long for a receiver that is slow or gone. */
  closeGraceMs: 5000,
} as const;

/** Throws when the kubeconfig cannot be used. */
export async function openWebhookSink(
  { configFile, initialBackoffMs }: AuditWebhookOptions,
  runtime: Runtime,
  onLost: OnLost,
): Promise<AuditSink> {
  const webhook = await openFileWebhook({
    configFile,
    runtime,
    initialBackoffMs,
    timeoutMs: limits.timeoutMs,
    // Whatever the receiver said, its next answer may be better than a lost event.
    shouldRetry: () => true,
  });
  return new WebhookSink(webhook, runtime, onLost);
}

class WebhookSink implements AuditSink {
  readonly #stop = new AbortController();
  readonly #underWay = new Set<Promise<boolean>>();

  constructor(
    private readonly webhook: FileWebhook,
    private readonly runtime: Runtime,
    private readonly onLost: OnLost,
  ) {}

  async process(events: readonly AuditEvent[]): Promise<boolean> {
    const sent = this.#send(events);
    this.#underWay.add(sent);
    try {
      return await sent;
    } finally {
      this.#underWay.delete(sent);
    }
  }

  async close(): Promise<void> {
    const done = new AbortController();
    const grace = this.runtime.clock.sleep(limits.closeGraceMs, done.signal);
    await Promise.race([Promise.all(this.#underWay), grace]);
    done.abort();
    this.#stop.abort();
  }

  async #send(events: readonly AuditEvent[]): Promise<boolean> {
    const list = { kind: "EventList", apiVersion: "audit.k8s.io/v1", metadata: {}, items: events };
    try {
      await this.webhook.post(JSON.stringify(list), this.#stop.signal);
      return true;
    } catch (error) {
      this.onLost("webhook", error, events);
      return false;
    }
  }
}
