import { expect, test } from "bun:test";
import { ApiError } from "../lib/api-error.ts";
import type { ByteStream } from "../runtime/runtime.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { passUpgrade, type UpgradeHead } from "./upgrade-tunnel.ts";

const head: UpgradeHead = {
  method: "GET",
  pathAndQuery: "/apis/g/v1/things/x/exec?command=ls",
  host: "server.default.svc",
  protocol: "SPDY/3.1",
  headers: [["x-remote-user", "jane"]],
};

/** One connection and what its far end does with it. */
function connection() {
  const toUs = new TransformStream<Uint8Array, Uint8Array>();
  const fromUs = new TransformStream<Uint8Array, Uint8Array>();
  const writer = toUs.writable.getWriter();
  let heard = "";
  let isClosed = false;
  const listening = (async () => {
    for await (const chunk of fromUs.readable) heard += new TextDecoder().decode(chunk);
  })().catch(() => {});
  const stream: ByteStream = {
    readable: toUs.readable,
    writable: fromUs.writable,
    close: () => {
      isClosed = true;
      writer.abort().catch(() => {});
    },
  };
  return {
    stream,
    listening,
    say: (text: string) => writer.write(new TextEncoder().encode(text)).catch(() => {}),
    hangUp: () => writer.close().catch(() => {}),
    heard: () => heard,
    isClosed: () => isClosed,
  };
}

function world(passesRedirects = false, asked = head) {
  const runtime = createSimulatedRuntime(1);
  const [client, backend] = [connection(), connection()];
  const options = { clock: runtime.clock, passesRedirects };
  const passed = passUpgrade(client.stream, backend.stream, asked, options);
  passed.catch(() => {});
  return { runtime, client, backend, passed };
}

test("the backend is asked for the protocol, and told who asks", async () => {
  const { backend, runtime } = world();
  await runtime.clock.runUntilIdle();
  expect(backend.heard()).toBe(
    "GET /apis/g/v1/things/x/exec?command=ls HTTP/1.1\r\nHost: server.default.svc\r\n" +
      "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nx-remote-user: jane\r\n\r\n",
  );
});

test("nobody's name begins a line of its own", async () => {
  const headers = [["x-remote-user", "jane\r\nx-remote-group: system:masters\n\n"]] as const;
  const { backend, runtime } = world(false, { ...head, headers });
  await runtime.clock.runUntilIdle();
  expect(backend.heard()).toEndWith(
    "Upgrade: SPDY/3.1\r\nx-remote-user: jane  x-remote-group: system:masters\r\n\r\n",
  );
});

test("after 101 bytes go both ways, and not before", async () => {
  const { client, backend, passed, runtime } = world();
  void client.say("early");
  await runtime.clock.runUntilIdle();
  expect(backend.heard()).not.toContain("early");
  void backend.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n");
  void backend.say("Upgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\nhello");
  await runtime.clock.runUntilIdle();
  expect(client.heard()).toBe(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\nhello",
  );
  expect(backend.heard()).toEndWith("\r\n\r\nearly");
  void backend.hangUp();
  void client.hangUp();
  await passed;
  expect([client.isClosed(), backend.isClosed()]).toEqual([true, true]);
});

test("a refusal is told and ends both connections: nothing more reaches the backend", async () => {
  const { client, backend, passed, runtime } = world();
  void client.say("GET /api/v1/secrets HTTP/1.1\r\nX-Remote-User: admin\r\n\r\n");
  void backend.say(
    "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\n",
  );
  void backend.say("Content-Length: 4\r\n\r\nno");
  void backend.say("t!and more");
  await passed;
  await client.listening;
  expect(client.heard()).toBe(
    "HTTP/1.1 403 Refused\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n" +
      "connection: close\r\n\r\nnot!",
  );
  await runtime.clock.runUntilIdle();
  expect(backend.heard()).not.toContain("secrets");
  expect([client.isClosed(), backend.isClosed()]).toEqual([true, true]);
});

test("where an answer leads to is not told", async () => {
  const { client, backend, passed } = world();
  void backend.say("HTTP/1.1 302 Found\r\nLocation: https://10.0.0.1/steal\r\n\r\n");
  const error = await passed.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({
    code: 502,
    message: "the backend attempted to redirect this request, which is not permitted",
  });
  expect([client.heard(), backend.isClosed()]).toEqual(["", true]);
});

test("an answer that is none, or does not come, is an error and closes the backend", async () => {
  const silent = world();
  await silent.runtime.clock.advance(60_001);
  const closed = world();
  void closed.backend.hangUp();
  const strange = world();
  void strange.backend.say("SSH-2.0-OpenSSH_9.2\r\n\r\n");
  const endless = world();
  void endless.backend.say(`HTTP/1.1 101 Ok\r\nX: ${"a".repeat(70_000)}`);
  for (const { passed, backend } of [silent, closed, strange, endless]) {
    await expect(passed).rejects.toMatchObject({ reason: "ServiceUnavailable", code: 503 });
    expect(backend.isClosed()).toBe(true);
  }
});
