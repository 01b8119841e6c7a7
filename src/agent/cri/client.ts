/** The CRI over containerd's unix socket: the generated services are the interface. */

import { createConnection } from "node:net";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { Http2SessionManager } from "@connectrpc/connect-node";
import { ImageService, RuntimeService } from "../../gen/cri/api_pb.ts";
import { streamOver, unaryOver } from "./grpc-transport.ts";

export interface CriClient {
  readonly runtime: Client<typeof RuntimeService>;
  readonly images: Client<typeof ImageService>;
  close(): void;
}

export function openCri(socketPath: string): CriClient {
  const { transport, close } = openSocket(socketPath);
  return {
    runtime: createClient(RuntimeService, transport),
    images: createClient(ImageService, transport),
    close,
  };
}

/**
 * gRPC over a unix socket. Nothing is dialed before the first call; a broken session is dialed anew
 * by the next one.
 */
export function openSocket(socketPath: string): {
  readonly transport: Transport;
  readonly close: () => void;
} {
  const baseUrl = "http://localhost";
  const sessionManager = new Http2SessionManager(baseUrl, undefined, {
    createConnection: () => createConnection(socketPath),
  });
  const transport = { unary: unaryOver(sessionManager), stream: streamOver(sessionManager) };
  return { transport, close: () => sessionManager.abort() };
}

/** True when containerd says that the sandbox, container or image does not exist. */
export function isCriNotFound(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.NotFound;
}

/** True when the runtime cannot be reached: it restarts, or has not started yet. */
export function isCriUnavailable(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.Unavailable;
}

/** The runtime's message alone: what upstream tells of a container that cannot start. */
export function criText(error: unknown): string {
  return error instanceof ConnectError ? error.rawMessage : criMessage(error);
}

/** Of a pull that failed upstream tells the code only when it says more than Unknown. */
export function criPullMessage(error: unknown): string {
  const isUnknown = error instanceof ConnectError && error.code === Code.Unknown;
  return isUnknown ? error.rawMessage : criMessage(error);
}

/** The runtime's own message, as upstream's gRPC client prints it. */
export function criMessage(error: unknown): string {
  if (!(error instanceof ConnectError)) return error instanceof Error ? error.message : `${error}`;
  const name = Code[error.code] ?? "Unknown";
  return `rpc error: code = ${name} desc = ${error.rawMessage}`;
}
