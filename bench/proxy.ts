/**
 * The service proxy with 5,000 services in a network namespace of its own: all of them at once, a
 * change until the kernel has it, and what their number costs a connection.
 */
import { join } from "node:path";
import { startProxy } from "../src/agent/net/proxy.ts";
import { NodeNamespace, networks } from "../src/agent/net/testing/node-namespace.ts";
import { endpoint, service, slice } from "../src/agent/net/testing/objects.ts";
import { endpointSlices, services } from "../src/client/resources.ts";
import type { Service } from "../src/gen/core-v1.ts";
import type { EndpointSlice } from "../src/gen/discovery-v1.ts";
import { createExecutor } from "../src/runtime/executor.ts";
import type { Runtime } from "../src/runtime/runtime.ts";
import type { Scope } from "../src/runtime/scope.ts";
import { type Bench, type Measure, median } from "./main.ts";
import { MemoryLive } from "./memory-live.ts";

const count = 5000;
const changes = 100;
const podIp = "10.42.0.2";
const probeIp = "10.43.0.5";

export const proxyBench: Bench = {
  name: "proxy",
  run: async () => {
    const reason = NodeNamespace.reasonToSkip();
    if (reason !== undefined) throw new Error(reason);
    const node = new NodeNamespace("k3b");
    await node.create();
    try {
      await node.addPod(podIp);
      return await measure(node);
    } finally {
      await node.destroy();
    }
  },
};

/** Service `i` has three endpoints, which nobody asks. */
function serviceOf(i: number): Service {
  const ip = `10.43.${(i >> 8) + 1}.${i & 255}`;
  return service(`s${i}`, { clusterIP: ip, clusterIPs: [ip] });
}

function sliceOf(i: number, turn = 0): EndpointSlice {
  const ips = [0, 1, 2].map((k) => i * 3 + k + turn * 7);
  return slice(
    `s${i}`,
    ips.map((n) => endpoint(`10.42.${128 + ((n >> 8) % 128)}.${n & 255}`)),
  );
}

async function measure(node: NodeNamespace): Promise<readonly Measure[]> {
  const live = new MemoryLive();
  const echo = await startEcho(node);
  const probe = service("probe", { clusterIP: probeIp, clusterIPs: [probeIp] });
  const probeSlice = slice("probe", [endpoint(podIp)]);
  live.fill(services, [probe]);
  live.fill(endpointSlices, [probeSlice]);
  const kernel = new Kernel(node.runtime);
  const executor = createExecutor(kernel.runtime);
  const start = async (scope: Scope): Promise<void> =>
    startProxy({
      runtime: kernel.runtime,
      live,
      scope,
      nodeName: "here",
      networks: networks.slice(0, 1),
      servesDns: false,
      masqueradesIpv6: false,
    });
  try {
    await executor.start([{ name: "proxy", needs: [], start, health: () => ({ ok: true }) }]);
    await kernel.written();
    const few = await connectMicros(node);
    const filling = kernel.written();
    const began = performance.now();
    const numbers = Array.from({ length: count }, (_, i) => i);
    live.fill(services, [probe, ...numbers.map(serviceOf)]);
    live.fill(endpointSlices, [probeSlice, ...numbers.map((i) => sliceOf(i))]);
    live.put(services, probe); // a list alone wakes nobody: followers read it when they start
    for (const i of numbers) live.put(services, serviceOf(i));
    await filling;
    const whole = performance.now() - began;
    const spans: number[] = [];
    for (let turn = 1; turn <= changes; turn++) {
      const written = kernel.written();
      const before = performance.now();
      live.put(endpointSlices, sliceOf((turn * 37) % count, turn));
      await written;
      spans.push(performance.now() - before);
    }
    const many = await connectMicros(node);
    spans.sort((a, b) => a - b);
    return [
      { name: `${count} services at once`, unit: "ms", runs: [whole], budget: "≤ 1000" },
      { name: "a change, p50", unit: "ms", runs: [median(spans)] },
      {
        name: "a change, p99",
        unit: "ms",
        runs: [spans[Math.floor(spans.length * 0.99)] ?? Number.NaN],
        budget: "≤ 60",
      },
      { name: "a connection through 1 service", unit: "µs", runs: few },
      { name: `a connection through one of ${count}`, unit: "µs", runs: many },
    ];
  } finally {
    await executor[Symbol.asyncDispose]();
    echo.kill();
  }
}

/** Tells when the kernel has taken a table: nft has ended by then. */
class Kernel {
  readonly runtime: Runtime;
  #waiting: (() => void)[] = [];

  constructor(runtime: Runtime) {
    const run: Runtime["exec"]["run"] = async (command, signal) => {
      const result = await runtime.exec.run(command, signal);
      if (command.argv[0] === "nft" && command.argv[1] === "-f") {
        for (const resolve of this.#waiting.splice(0)) resolve();
      }
      return result;
    };
    this.runtime = { ...runtime, exec: { ...runtime.exec, run } };
  }

  /** Resolves after the next table. */
  written(): Promise<void> {
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }
}

async function startEcho(node: NodeNamespace): Promise<Bun.Subprocess> {
  const script = join(import.meta.dir, "../src/agent/net/testing/echo.ts");
  const argv = ["ip", "netns", "exec", `${node.name}p0`, process.execPath, script, "one", "8080"];
  const child = Bun.spawn(argv, { stdout: "pipe" });
  await child.stdout.getReader().read(); // it is ready
  return child;
}

/** Median time of a connection from the node, several times. */
async function connectMicros(node: NodeNamespace): Promise<readonly number[]> {
  const script = `
    const times = [];
    for (let i = 0; i < 200; i++) {
      const start = performance.now();
      const { promise, resolve } = Promise.withResolvers();
      const socket = await Bun.connect({ hostname: "${probeIp}", port: 80, socket: {
        open: () => { times.push((performance.now() - start) * 1000); resolve(); }, data() {} } });
      await promise;
      socket.end();
    }
    times.sort((a, b) => a - b);
    console.log(times[100]);`;
  const runs: number[] = [];
  for (let round = 0; round < 3; round++) {
    const argv = ["ip", "netns", "exec", node.name, process.execPath, "-e", script];
    runs.push(Number(await new Response(Bun.spawn(argv).stdout).text()));
  }
  return runs;
}
