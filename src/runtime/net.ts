/** Sockets behind `Net`. */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { goTrust } from "./go-trust.ts";
import { fetchWithLines } from "./header-lines.ts";
import { readableOf } from "./readable.ts";
import type { Address, ByteStream, Net, TlsOptions } from "./runtime.ts";

const keepAliveMs = 30_000;

export function createNet(): Pick<Net, "fetch" | "dial" | "serve"> {
  return {
    fetch: (request, { tls, unix, headerLines } = {}) =>
      headerLines !== undefined
        ? fetchWithLines(request, headerLines, tls)
        : fetch(request, {
            ...(tls === undefined ? {} : { tls: { ...tls, ...goTrust } }),
            ...(unix === undefined ? {} : { unix }),
            // Bodies are followed for hours (watch, logs): only `request.signal` ends them.
            timeout: false,
          } as RequestInit),
    dial,
    serve: async (host, port, handle) => {
      const server = Bun.serve({ hostname: host, port, idleTimeout: 0, fetch: handle });
      return { port: server.port ?? 0, close: () => void server.stop(true) };
    },
  };
}

function dial(address: Address, signal: AbortSignal, tls?: TlsOptions): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const place =
      address.type === "unix"
        ? { path: address.path, allowHalfOpen: true }
        : { host: address.host, port: address.port, allowHalfOpen: true };
    const socket = tls === undefined ? connect(place) : connectByTls(place, tls);
    const settle = (): void => {
      signal.removeEventListener("abort", onAbort);
      socket.off("error", onError);
    };
    const onAbort = (): void => {
      settle();
      socket.on("error", () => {}); // told by the abort already
      socket.destroy();
      reject(signal.reason);
    };
    const onError = (error: Error): void => {
      settle();
      reject(error);
    };
    signal.addEventListener("abort", onAbort);
    socket.once("error", onError);
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      settle();
      socket.setNoDelay(true);
      // A machine that lost its power sends no farewell: its connections must not wait for hours.
      socket.setKeepAlive(true, keepAliveMs);
      resolve(byteStreamOf(socket));
    });
  });
}

function connectByTls(place: object, { serverName, ...secrets }: TlsOptions): Socket {
  const names = serverName === undefined ? {} : { servername: serverName };
  return connectTls({ ...place, ...secrets, ...names, ...goTrust });
}

/** Web streams over a connected socket; reading pauses and writing waits when the other is slow. */
export function byteStreamOf(socket: Socket): ByteStream {
  const readable = readableOf(socket, { cancel: () => socket.destroy() });
  const writable = new WritableStream<Uint8Array>({
    start: (controller) => {
      socket.on("error", (error) => controller.error(error));
    },
    write: (chunk) =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) return reject(new Error("The connection is closed"));
        socket.write(chunk, (error) => (error ? reject(error) : resolve()));
      }),
    close: () => new Promise<void>((resolve) => socket.end(() => resolve())),
    abort: () => {
      socket.destroy();
    },
  });
  return { readable, writable, close: () => void socket.destroy() };
}
