/** How requests get from the API server to a kubelet; the server gives the implementation. */
import type { ByteStream } from "../runtime/runtime.ts";

/** The first lines of an HTTP request whose connection is then used as bytes. */
export interface RequestHead {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Headers;
}

export interface NodeConnector {
  /** `request.url` carries the kubelet path; host and port are the connector's business. */
  nodeFetch(nodeName: string, request: Request): Promise<Response>;
  /** Sends the head to the kubelet and pipes both ways until either side ends. */
  nodeStream(nodeName: string, head: RequestHead, socket: ByteStream): Promise<void>;
}

/** Answers for a server that reaches no node. */
export const noNodes: NodeConnector = {
  nodeFetch: async () => Response.json({ message: "no node is reachable" }, { status: 503 }),
  nodeStream: async (_name, _head, socket) => socket.close(),
};
