import { expect, test } from "bun:test";
import { createRuntime } from "./real.ts";
import { createStreams, isOwnRange, type StreamSocket } from "./stream-sockets.ts";

const streams = createStreams(createRuntime({ logLevel: "error" }).log);

function dial(host: string, port: number): Promise<StreamSocket | string> {
  return new Promise((resolve) => streams.connect({ host, port, tls: false }, resolve, resolve));
}

test("isOwnRange() knows addresses that lead to this machine only", () => {
  const own = ["127.0.0.1", "127.9.9.9", "::1", "::", "0.0.0.0", "169.254.169.254", "fe80::1"];
  expect(own.filter(isOwnRange)).toEqual(own);
  expect(isOwnRange("::ffff:127.0.0.1")).toBe(true);
  expect(["10.0.0.1", "1.127.0.1", "fd00::1", "2001:db8::1"].filter(isOwnRange)).toEqual([]);
});

test("connect() refuses names of this machine, though its addresses may be dialled", async () => {
  const listener = streams.listen("127.0.0.1", 0, () => {});
  expect(await dial("localhost", listener.port)).toBe("EFAILED");
  const socket = await dial("127.0.0.1", listener.port);
  expect(typeof socket).toBe("object");
  if (typeof socket === "object") socket.destroy();
  listener.close();
});

test("text is written byte by byte, and what the kernel does not take follows", async () => {
  const text = `\xe9${"x".repeat(5_000_000)}\xff`;
  const { promise: whole, resolve } = Promise.withResolvers<string>();
  let received = "";
  const listener = streams.listen("127.0.0.1", 0, (socket) => {
    socket.owner = {
      data: (bytes) => {
        received += bytes.toString("latin1");
      },
      drained() {},
      ended: () => resolve(received),
      closed() {},
    };
  });
  const socket = await dial("127.0.0.1", listener.port);
  if (typeof socket === "string") throw new Error(socket);
  expect(socket.write(text)).toBe(false);
  socket.end();
  expect((await whole) === text).toBe(true);
  socket.destroy();
  listener.close();
});
