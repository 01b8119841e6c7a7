/** UDP sockets and listening TCP or unix sockets behind `Net`. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { byteStreamOf } from "./net.ts";
import type { Address, ByteStream, Listener, UdpFrom, UdpSocket } from "./runtime.ts";

export function udp(
  host: string,
  port: number,
  onMessage: (data: Uint8Array, from: UdpFrom) => void,
): Promise<UdpSocket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    socket.once("error", reject);
    socket.on("message", (data, from) => onMessage(data, { host: from.address, port: from.port }));
    socket.bind(port, host, () => {
      socket.off("error", reject);
      socket.on("error", () => {}); // an unreachable client is no concern of the server
      let open = true;
      resolve({
        port: socket.address().port,
        send: (data, to) => {
          if (open) socket.send(data, to.port, to.host);
        },
        close: () => {
          if (open) socket.close();
          open = false;
        },
      });
    });
  });
}

export function listen(
  address: Address,
  onConnection: (stream: ByteStream) => void,
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const open = new Set<ByteStream>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const stream = byteStreamOf(socket);
      open.add(stream);
      socket.on("close", () => open.delete(stream));
      onConnection(stream);
    });
    server.once("error", reject);
    const listening = (): void => {
      const bound = server.address();
      resolve({
        port: bound === null || typeof bound === "string" ? 0 : bound.port,
        close: () => {
          server.close();
          for (const stream of open) stream.close();
        },
      });
    };
    if (address.type === "unix") server.listen(address.path, listening);
    else server.listen(address.port, address.host, listening);
  });
}
