/** Reaches the kubelet of this process by a call, those of other machines through `elsewhere`. */
import type { KubeletApp } from "../agent/kubelet-api.ts";
import { refuse } from "../agent/streaming/streams.ts";
import type { NodeConnector, RequestHead } from "../groups/node-connector.ts";
import type { ByteStream, Clock } from "../runtime/runtime.ts";

const limits = {
  /** Who asks for logs right after a start waits this long for the node. */
  waitMs: 10_000,
  /** From then on a node that is not there is gone, and nobody waits for it. */
  startMs: 60_000,
} as const;

export class LocalNodes implements NodeConnector {
  readonly #apps = new Map<string, KubeletApp>();
  readonly #clock: Clock;
  readonly #startedMs: number;
  readonly #elsewhere: NodeConnector | undefined;
  readonly #ownName: string;
  #added = Promise.withResolvers<void>();

  /** Only the node of this process, `ownName`, is waited for. */
  constructor(clock: Clock, ownName: string, elsewhere?: NodeConnector) {
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
    this.#ownName = ownName;
    this.#elsewhere = elsewhere;
  }

  add(nodeName: string, app: KubeletApp): void {
    this.#apps.set(nodeName, app);
    this.#added.resolve();
    this.#added = Promise.withResolvers<void>();
  }

  async nodeFetch(nodeName: string, request: Request): Promise<Response> {
    const app = await this.#appOf(nodeName);
    if (app !== undefined) return app.fetch(request);
    if (this.#elsewhere !== undefined && nodeName !== this.#ownName)
      return await this.#elsewhere.nodeFetch(nodeName, request);
    return new Response(`no tunnel to node ${JSON.stringify(nodeName)} is open`, { status: 503 });
  }

  async nodeStream(nodeName: string, head: RequestHead, stream: ByteStream): Promise<void> {
    const app = await this.#appOf(nodeName);
    if (app !== undefined) {
      const { method, path, headers } = head;
      // The caller's own Host was dropped on the way; HTTP/1.1 wants one.
      const named = [["host", "localhost"] as const, ...headers];
      return app.upgrade({ method, url: path, headers: named }, stream);
    }
    if (this.#elsewhere !== undefined && nodeName !== this.#ownName)
      return await this.#elsewhere.nodeStream(nodeName, head, stream);
    await refuse(stream, 503, "");
  }

  async #appOf(nodeName: string): Promise<KubeletApp | undefined> {
    const known = this.#apps.get(nodeName);
    if (known !== undefined || nodeName !== this.#ownName) return known;
    if (this.#clock.monotonicMs() - this.#startedMs > limits.startMs) return undefined;
    const over = new AbortController();
    const late = this.#clock.sleep(limits.waitMs, over.signal);
    while (!this.#apps.has(nodeName)) {
      const came = await Promise.race([this.#added.promise.then(() => true), late]);
      if (came !== true) break;
    }
    over.abort();
    return this.#apps.get(nodeName);
  }
}
