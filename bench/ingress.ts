/**
 * Ingress beside Debian's nginx and haproxy: kept connections on both sides, one small answer. All
 * share the machine with the load tool, so what counts is the processor time of each.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IngressOrder } from "../src/agent/ingress/route-table.ts";
import type { Bench, Measure } from "./main.ts";
import { binary, usageOf } from "./server.ts";

const runs = 5;
const clients = 32;
const requestsPerRun = 30_000;
const answer = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n${"x".repeat(100)}`;
const ports = { k3: 18_080, nginx: 18_081, haproxy: 18_082 } as const;
type ProxyName = keyof typeof ports;

export const ingressBench: Bench = {
  name: "ingress",
  async run(): Promise<readonly Measure[]> {
    const dir = mkdtempSync(join(tmpdir(), "k3-bench-ingress-"));
    const backend = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.write(answer) },
    });
    const proxies = new Map<ProxyName, Bun.Subprocess>();
    try {
      for (const name of ["k3", "nginx", "haproxy"] as const) {
        const child = await start(name, dir, backend.port);
        if (child === undefined) console.log(`left out: ${name} is not on the PATH`);
        else proxies.set(name, child);
      }
      return await compare(proxies);
    } finally {
      for (const child of proxies.values()) child.kill("SIGKILL");
      backend.stop(true);
      rmSync(dir, { recursive: true, force: true });
    }
  },
};

/** In turns, so that a busy minute of the machine is everybody's. */
async function compare(proxies: ReadonlyMap<ProxyName, Bun.Subprocess>): Promise<Measure[]> {
  const perCore = new Map<ProxyName, number[]>();
  for (let run = 0; run <= runs; run++) {
    for (const [name, { pid }] of proxies) {
      const before = usageOf(pid).cpuSeconds;
      await load(ports[name]);
      const speed = requestsPerRun / (usageOf(pid).cpuSeconds - before);
      if (run > 0) perCore.set(name, [...(perCore.get(name) ?? []), speed]);
    }
  }
  const measures: Measure[] = [...perCore].map(([name, speeds]) => ({
    name: `${name}: requests per second of its processor`,
    unit: "/s",
    runs: speeds,
  }));
  const [own, nginx] = [perCore.get("k3") ?? [], perCore.get("nginx")];
  if (nginx !== undefined) {
    const ratios = own.map((speed, at) => speed / (nginx[at] ?? Number.NaN));
    measures.push({ name: "k3 by nginx", unit: "x", runs: ratios, budget: "≥ 0.5" });
  }
  return measures;
}

async function start(
  name: ProxyName,
  dir: string,
  backendPort: number,
): Promise<Bun.Subprocess | undefined> {
  const program = name === "k3" ? binary : Bun.which(name);
  if (program === null) return undefined;
  const argv = await arrange(name, dir, backendPort);
  const child = Bun.spawn([program, ...argv], { stdout: "ignore", stderr: "inherit" });
  if (name === "k3") await order(join(dir, "k3.sock"), backendPort);
  for (;;) {
    const status = await fetch(`http://127.0.0.1:${ports[name]}/`).then(
      (response) => response.status,
      () => 0,
    );
    if (status === 200) return child;
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
    await Bun.sleep(50);
  }
}

/** Writes what the proxy is configured by; its arguments. */
async function arrange(name: ProxyName, dir: string, backendPort: number): Promise<string[]> {
  const file = join(dir, name);
  const server = `127.0.0.1:${backendPort}`;
  switch (name) {
    case "k3":
      return ["ingress", `--data-dir=${dir}`, `--socket=${join(dir, "k3.sock")}`];
    case "nginx": {
      const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map((one) => `${one}_temp_path ${dir}/nginx-${one};`)
        .join(" ");
      const headers = ["X-Forwarded-For $remote_addr", "X-Real-Ip $remote_addr", "Host $host"]
        .map((one) => `proxy_set_header ${one};`)
        .join(" ");
      writeFileSync(
        file,
        `daemon off; master_process off; pid ${dir}/nginx.pid; error_log stderr crit;
         events { worker_connections 1024; }
         http { access_log off; ${temporary}
           upstream b { server ${server}; keepalive 64; keepalive_requests 100000000; }
           server { listen 127.0.0.1:${ports.nginx}; keepalive_requests 100000000;
             location / { proxy_http_version 1.1; proxy_set_header Connection ""; ${headers}
               proxy_pass http://b; } } }`,
      );
      return ["-c", file, "-e", "stderr"];
    }
    case "haproxy":
      writeFileSync(
        file,
        `global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:${ports.haproxy}
  default_backend b
backend b
  server s ${server}
`,
      );
      return ["-db", "-f", file];
  }
}

/** Tells the ingress process what the agent would tell it. */
async function order(socketPath: string, backendPort: number): Promise<void> {
  const route = {
    ingress: "default/bench",
    host: "bench.test",
    path: "/",
    match: "prefix",
    isDefault: false,
    entryPoints: ["web"],
    backend: "b",
    rules: {},
  } as const;
  const orders: readonly IngressOrder[] = [
    {
      type: "start",
      settings: {
        version: "bench",
        host: "127.0.0.1",
        ports: { web: ports.k3, websecure: 0 },
        accessLog: "/dev/null",
      },
    },
    {
      type: "backends",
      backends: [{ name: "b", protocol: "http", endpoints: [`127.0.0.1:${backendPort}`] }],
    },
    { type: "routes", routes: [route, { ...route, host: "" }] },
  ];
  for (;;) {
    const socket = connect({ path: socketPath });
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.on("connect", () => resolve(true));
      socket.on("error", () => resolve(false));
    });
    if (isOpen) return void socket.write(orders.map((one) => `${JSON.stringify(one)}\n`).join(""));
    await Bun.sleep(50);
  }
}

const request =
  "GET /some/path?query=1 HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench\r\nAccept: */*\r\n" +
  "Accept-Encoding: gzip\r\nCookie: session=0123456789abcdef\r\n\r\n";

/** Each client asks again as soon as it is answered. */
async function load(port: number): Promise<void> {
  let left = requestsPerRun;
  const body = "x".repeat(100);
  const ask = async (): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let text = "";
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data(own, bytes) {
          text += bytes.toString("latin1");
          if (!text.endsWith(body)) return;
          if (!text.startsWith("HTTP/1.1 200")) reject(new Error(text));
          text = "";
          if (left-- > 0) own.write(request);
          else resolve();
        },
        close: () => reject(new Error("The connection was closed")),
      },
    });
    socket.write(request);
    await promise;
    socket.end();
  };
  await Promise.all(Array.from({ length: clients }, ask));
}
