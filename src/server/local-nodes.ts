/** Reaches the kubelet of this process by a call; nodes elsewhere come with the tunnel. */
import type { KubeletApp } from "../agent/kubelet-api.ts";
import type { NodeConnector, RequestHead } from "../groups/node-connector.ts";
import type { ByteStream } from "../runtime/runtime.ts";

export class LocalNodes implements NodeConnector {
  readonly #apps = new Map<string, KubeletApp>();

  add(nodeName: string, app: KubeletApp): void {
    this.#apps.set(nodeName, app);
  }

  async nodeFetch(nodeName: string, request: Request): Promise<Response> {
    const app = this.#apps.get(nodeName);
    if (app !== undefined) return app.fetch(request);
    return new Response(`no tunnel to node ${JSON.stringify(nodeName)} is open`, { status: 503 });
  }

  async nodeStream(nodeName: string, head: RequestHead, stream: ByteStream): Promise<void> {
    const app = this.#apps.get(nodeName);
    if (app !== undefined) {
      const { method, path, headers } = head;
      // The caller's own Host was dropped on the way; HTTP/1.1 wants one.
      const named = [["host", "localhost"] as const, ...headers];
      return app.upgrade({ method, url: path, headers: named }, stream);
    }
    const writer = stream.writable.getWriter();
    await writer.write(
      new TextEncoder().encode(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
      ),
    );
    await writer.close();
    stream.close();
  }
}
