/**
 * The service proxy with 5,000 services in a network namespace of its own: all of them at once, a
 * change until packets go by it, and what their number costs a connection.
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
const otherIp = "10.42.0.3";
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
      await node.addPod(otherIp);
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

function sliceOf(i: number): EndpointSlice {
  const ips = [0, 1, 2].map((k) => i * 3 + k);
  return slice(
    `s${i}`,
    ips.map((n) => endpoint(`10.42.${128 + ((n >> 8) % 128)}.${n & 255}`)),
  );
}

async function measure(node: NodeNamespace): Promise<readonly Measure[]> {
  const live = new MemoryLive();
  const echoes = [await startEcho(node, 0, "one"), await startEcho(node, 1, "two")];
  const probe = service("probe", { clusterIP: probeIp, clusterIPs: [probeIp] });
  const probeSlice = slice("probe", [endpoint(podIp)]);
  live.fill(services, [probe]);
  live.fill(endpointSlices, [probeSlice]);
  const writer = new Writer(node.runtime);
  const executor = createExecutor(writer.runtime);
  const start = async (scope: Scope): Promise<void> =>
    startProxy({
      runtime: writer.runtime,
      live,
      scope,
      nodeName: "here",
      networks: networks.slice(0, 1),
      servesDns: false,
      masqueradesIpv6: false,
    });
  try {
    await executor.start([{ name: "proxy", needs: [], start, health: () => ({ ok: true }) }]);
    await writer.written();
    const few = await connectMicros(node);
    const filling = writer.written();
    const began = performance.now();
    const numbers = Array.from({ length: count }, (_, i) => i);
    live.fill(services, [probe, ...numbers.map(serviceOf)]);
    live.fill(endpointSlices, [probeSlice, ...numbers.map(sliceOf)]);
    live.put(services, probe); // a list alone wakes nobody: followers read it when they start
    for (const i of numbers) live.put(services, serviceOf(i));
    await filling;
    const whole = performance.now() - began;
    const spans = await changeSpans(node, live);
    const many = await connectMicros(node);
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
    for (const echo of echoes) echo.kill();
  }
}

/** How long changes of one service take until packets are answered by its new endpoint. */
async function changeSpans(node: NodeNamespace, live: MemoryLive): Promise<readonly number[]> {
  const prober = new Prober(node);
  const spans: number[] = [];
  try {
    await prober.reached("one");
    for (let turn = 1; turn <= changes; turn++) {
      const [name, ip] = turn % 2 === 1 ? (["two", otherIp] as const) : (["one", podIp] as const);
      const changedMs = performance.timeOrigin + performance.now();
      live.put(endpointSlices, slice("probe", [endpoint(ip)]));
      spans.push((await prober.reached(name)) - changedMs);
    }
  } finally {
    prober.close();
  }
  return spans.sort((a, b) => a - b);
}

/** Tells when nft has written a table, which is after the kernel has it. */
class Writer {
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

/** Connects again and again, and tells when another endpoint answers. */
class Prober {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "inherit">;
  readonly #answers: AsyncIterator<readonly [name: string, atMs: number]>;

  constructor(node: NodeNamespace) {
    const script = `
      let last = "";
      for (;;) {
        const atMs = performance.timeOrigin + performance.now();
        const { promise, resolve } = Promise.withResolvers();
        Bun.connect({ hostname: "${probeIp}", port: 80, socket: {
          data: (_, data) => resolve(data.toString().split(" ")[0]),
          close: () => resolve(last) } }).catch(() => resolve(last));
        const name = await promise;
        if (name !== last) console.log(JSON.stringify([name, atMs]));
        last = name;
        await Bun.sleep(1);
      }`;
    const argv = ["ip", "netns", "exec", node.name, process.execPath, "-e", script];
    this.#child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    this.#answers = this.#read();
  }

  async *#read(): AsyncGenerator<readonly [string, number]> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.#child.stdout) {
      const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) yield JSON.parse(line);
    }
  }

  /** When the first connection began that `name` answered, in milliseconds since 1970. */
  async reached(name: string): Promise<number> {
    const { value } = await this.#answers.next();
    if (value?.[0] !== name) throw new Error(`${value?.[0]} answers, not ${name}`);
    return value[1];
  }

  close(): void {
    this.#child.kill();
  }
}

async function startEcho(node: NodeNamespace, pod: number, name: string): Promise<Bun.Subprocess> {
  const script = join(import.meta.dir, "../src/agent/net/testing/echo.ts");
  const argv = [
    "ip",
    "netns",
    "exec",
    `${node.name}p${pod}`,
    process.execPath,
    script,
    name,
    "8080",
  ];
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
