import { expect, test } from "bun:test";
import { createExecutor } from "../../runtime/executor.ts";
import { createRuntime } from "../../runtime/real.ts";
import type { Listener } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import { createMemoryFiles } from "../../runtime/simulated.ts";
import { addressOf, type LoadBalancer, startLoadBalancer } from "./load-balancer.ts";

const real = createRuntime({ logLevel: "error" });
const files = createMemoryFiles();
const runtime = { ...real, files };
const stateFile = "/data/agent/etc/k3s-agent-load-balancer.json";

/** A server that says its name to everyone who calls. */
async function serve(name: string): Promise<Listener> {
  const place = { type: "tcp", host: "127.0.0.1", port: 0 } as const;
  return await real.net.listen(place, async (stream) => {
    const writer = stream.writable.getWriter();
    await writer.write(new TextEncoder().encode(name));
    await writer.close();
  });
}

async function call(url: string): Promise<string> {
  const place = { type: "tcp", host: "127.0.0.1", port: Number(new URL(url).port) } as const;
  const stream = await real.net.dial(place, new AbortController().signal);
  const text = await new Response(stream.readable).text();
  stream.close();
  return text;
}

async function withBalancer(
  serverUrl: string,
  run: (balancer: LoadBalancer) => Promise<void>,
): Promise<void> {
  let balancer: LoadBalancer | undefined;
  await using executor = createExecutor(real);
  const start = async (scope: Scope): Promise<void> => {
    balancer = await startLoadBalancer({ runtime, scope, port: 0, serverUrl, stateFile });
  };
  await executor.start([{ name: "b", needs: [], start, health: () => ({ ok: true }) }]);
  if (balancer !== undefined) await run(balancer);
}

test("a load balancer stays with a server until it is gone, and remembers the others", async () => {
  const [first, second] = [await serve("first"), await serve("second")];
  const serverUrl = `https://127.0.0.1:${first.port}`;
  await withBalancer(serverUrl, async (balancer) => {
    await balancer.update([addressOf(serverUrl), `127.0.0.1:${second.port}`]);
    expect([await call(balancer.url), await call(balancer.url)]).toEqual(["first", "first"]);
    first.close();
    expect(await call(balancer.url)).toBe("second");
  });
  await withBalancer(serverUrl, async (balancer) => {
    expect(await call(balancer.url)).toBe("second");
    second.close();
    expect(await call(balancer.url)).toBe("");
  });
  expect(JSON.parse((await files.readText(stateFile)) ?? "")).toEqual({
    ServerURL: serverUrl,
    ServerAddresses: [addressOf(serverUrl), `127.0.0.1:${second.port}`].sort(),
  });
});
