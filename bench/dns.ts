/**
 * The cluster's DNS beside dnsmasq with the same names, both asked by dnsperf. What counts is the
 * processor time a server takes for its answers, so that a busy machine changes little.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bench, type Measure, median } from "./main.ts";

const services = 5000;
const seconds = 3;
const ticksPerSecond = 100;
const rounds = 3;
const suffix = "default.svc.cluster.local";

export const dnsBench: Bench = {
  name: "dns",
  run: async () => {
    const missing = ["dnsperf", "dnsmasq"].filter((name) => !Bun.which(name));
    if (missing.length > 0) throw new Error(`install first: ${missing.join(", ")} (Debian)`);
    const dir = await mkdtemp(join(tmpdir(), "k3-bench-dns-"));
    try {
      return await measure(dir);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  },
};

interface Served {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

async function startOwn(): Promise<Served> {
  const script = join(import.meta.dir, "dns-server.ts");
  const child = Bun.spawn(["bun", script, String(services)], {
    stdout: "pipe",
  });
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    return { pid: child.pid, port: Number(text), stop: () => end(child) };
  }
  throw new Error("the DNS server did not start");
}

async function startDnsmasq(dir: string): Promise<Served> {
  const hosts = Array.from(
    { length: services },
    (_, i) => `10.43.${i >> 8}.${i & 255} ${nameOf(i)}`,
  );
  await Bun.write(join(dir, "hosts"), `${hosts.join("\n")}\n`);
  const port = 20_053;
  const options = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null"];
  const listening = [`--port=${port}`, "--listen-address=127.0.0.1", "--bind-interfaces"];
  const own = [`--addn-hosts=${join(dir, "hosts")}`, "--pid-file=", "--local=/cluster.local/"];
  const argv = ["dnsmasq", ...options, ...listening, ...own];
  const child = Bun.spawn(argv, { stdout: "ignore", stderr: "inherit" });
  return { pid: child.pid, port, stop: () => end(child) };
}

async function end(child: Bun.Subprocess): Promise<void> {
  child.kill();
  await child.exited;
}

function nameOf(i: number): string {
  return `s${i}.${suffix}`;
}

/** Names that exist of one kind or do not; as clients with search lists ask for them. */
const questions = {
  "service address": (i: number) => `${nameOf(i * 10 + 1)} A`,
  "service address, IPv6": (i: number) => `${nameOf(i * 10 + 1)} AAAA`,
  "no such name": (i: number) => `s${i}.example.com.${suffix} A`,
  "headless service": (i: number) => `${nameOf(i * 10)} A`,
} as const;

async function measure(dir: string): Promise<readonly Measure[]> {
  const measures: Measure[] = [];
  const results = new Map<string, number[]>();
  const note = (name: string, value: number): void => {
    results.set(name, [...(results.get(name) ?? []), value]);
  };
  for (let round = 0; round < rounds; round++) {
    for (const [kind, question] of Object.entries(questions)) {
      const file = join(dir, "questions");
      const lines = Array.from({ length: services / 10 }, (_, i) => question(i));
      await Bun.write(file, `${lines.join("\n")}\n`);
      for (const [who, start] of [
        ["k3", startOwn],
        ["dnsmasq", () => startDnsmasq(dir)],
      ] as const) {
        const server = await start();
        try {
          note(`${kind}, ${who}`, await rate(server, file));
        } finally {
          await server.stop();
        }
      }
    }
  }
  for (const [name, runs] of results) {
    const budget = name === "service address, k3" ? { budget: "≥ 20000" } : {};
    measures.push({ name, unit: "1/s per core", runs, ...budget });
  }
  const ratio = (kind: string): number =>
    median(results.get(`${kind}, k3`) ?? []) / median(results.get(`${kind}, dnsmasq`) ?? []);
  measures.push({ name: "k3 / dnsmasq", unit: "", runs: Object.keys(questions).map(ratio) });
  return measures;
}

/** Seconds of processor time that a process has taken. */
async function processorSeconds(pid: number): Promise<number> {
  const fields = (await Bun.file(`/proc/${pid}/stat`).text()).split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Answers per second of processor time; throws when more than a few were lost. */
async function rate({ pid, port }: Served, file: string): Promise<number> {
  const before = await processorSeconds(pid);
  const where = ["-s", "127.0.0.1", "-p", String(port), "-d", file];
  const how = ["-l", String(seconds), "-c", "8", "-T", "1", "-q", "100"];
  const child = Bun.spawn(["dnsperf", ...where, ...how], { stdout: "pipe", stderr: "pipe" });
  const text = await new Response(child.stdout).text();
  const taken = (await processorSeconds(pid)) - before;
  const [answered = 0, lost = 0] = ["completed", "lost"].map((what) =>
    Number(new RegExp(`Queries ${what}:\\s+(\\d+)`).exec(text)?.[1] ?? 0),
  );
  if (answered === 0 || lost > answered / 1000) {
    throw new Error(`dnsperf: ${lost} questions had no answer, ${answered} had: ${text}`);
  }
  return answered / taken;
}
