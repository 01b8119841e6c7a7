import { expect, test } from "bun:test";
import { dialErrorText } from "./dial-error.ts";

test("dialErrorText() says what Go's net package says", async () => {
  const closed = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = closed;
  closed.stop(true);
  const failure = await fetch(`http://127.0.0.1:${port}/`).catch((error: unknown) => error);
  const refused = `dial tcp 127.0.0.1:${port}: connect: connection refused`;
  expect(dialErrorText(failure, "127.0.0.1", port)).toBe(refused);
  const dialed = Object.assign(new Error("connect failed"), { code: "EHOSTUNREACH" });
  expect(dialErrorText(dialed, "fd00::1", 80)).toBe(
    "dial tcp [fd00::1]:80: connect: no route to host",
  );
  expect(dialErrorText(new Error("certificate expired"), "a", 1)).toBe("certificate expired");
});

test("dialErrorText() tells a server that hangs up from one that is not there", async () => {
  const rude = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => void socket.end() },
  });
  const failure = await fetch(`http://127.0.0.1:${rude.port}/`).catch((error: unknown) => error);
  rude.stop(true);
  const text = dialErrorText(failure, "127.0.0.1", rude.port);
  expect(text).toMatch(/^(EOF|read: connection reset by peer)$/);
});
