/**
 * Bad input against the real binary: each broken request, flag and configuration file gets the
 * answer that Kubernetes or K3s gives, and the server goes on as if nothing had been.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { badManifests } from "./bad-manifests.ts";
import { type BadRequest, badRequests } from "./bad-requests.ts";
import { binary } from "./cluster.ts";
import { freePort } from "./free-port.ts";

function reasonToSkip(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root: k3 server refuses to start without";
  if (!existsSync(binary)) return `needs ${binary}: run scripts/build first`;
  return undefined;
}

const skip = reasonToSkip();
if (skip !== undefined) console.warn(`Left out test/e2e/bad-input.test.ts: ${skip}`);

interface Answer {
  readonly code: number;
  readonly text: string;
  readonly millis: number;
}

interface Credentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const folder = mkdtempSync(join(tmpdir(), "k3-bad-input-"));
const logFile = join(folder, "k3.log");
let port = 0;
let server: Bun.Subprocess;
let admin: Credentials;

/** A port that was free a moment ago. */ function serverCommand(
  ...flags: readonly string[]
): readonly string[] {
  return [
    binary,
    "server",
    "--disable-agent",
    `--data-dir=${join(folder, "data")}`,
    `--write-kubeconfig=${join(folder, "k3.yaml")}`,
    "--node-name=k3-bad-input",
    ...flags,
  ];
}

const logText = (): string => (existsSync(logFile) ? readFileSync(logFile, "utf8") : "");

async function start(): Promise<void> {
  port = freePort();
  const config = join(folder, "server.yaml");
  writeFileSync(config, "disable-agnet: true\n");
  const log = openSync(logFile, "a");
  server = Bun.spawn([...serverCommand(`--https-listen-port=${port}`, `--config=${config}`)], {
    stdout: log,
    stderr: log,
    stdin: "ignore",
  });
  const end = Date.now() + 15_000;
  while (!logText().includes("up and running")) {
    if (server.exitCode !== null || Date.now() > end)
      throw new Error(`k3 does not come up:\n${logText()}`);
    await Bun.sleep(20);
  }
  admin = credentialsOf(readFileSync(join(folder, "k3.yaml"), "utf8"));
}

function credentialsOf(kubeconfig: string): Credentials {
  const read = (key: string): string => {
    const [, data = ""] = new RegExp(`${key}: (\\S+)`).exec(kubeconfig) ?? [];
    return Buffer.from(data, "base64").toString();
  };
  return {
    ca: read("certificate-authority-data"),
    cert: read("client-certificate-data"),
    key: read("client-key-data"),
  };
}

/** Writes the request byte for byte: a client library would mend its path and headers. */
function send(request: Pick<BadRequest, "line" | "body" | "headers" | "as">): Promise<Answer> {
  const given = request.body?.() ?? "";
  const body = typeof given === "string" ? new TextEncoder().encode(given) : given;
  const headers = {
    Host: `127.0.0.1:${port}`,
    Connection: "close",
    "Content-Type": "application/json",
    "Content-Length": String(body.length),
    ...request.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const head = [`${request.line} HTTP/1.1`, ...lines, "", ""].join("\r\n");
  const identity = request.as === "nobody" ? { ca: admin.ca } : admin;
  const begin = performance.now();
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const socket = connect({ port, host: "127.0.0.1", ...identity }, () => {
      socket.write(head);
      socket.write(body);
    });
    const finish = (error?: Error): void => {
      const text = Buffer.concat(parts).toString();
      const code = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? "0");
      // A refused upload may be reset after its answer; what was answered counts.
      if (code === 0) reject(error ?? new Error("The server closed without an answer"));
      else resolve({ code, text: textOf(text), millis: performance.now() - begin });
    };
    socket.on("data", (part: Buffer) => parts.push(part));
    socket.on("end", () => finish());
    socket.on("error", finish);
    socket.on("close", () => finish());
  });
}

/** The body without the frames of chunked transfer, which stand on lines of their own. */
function textOf(answer: string): string {
  const at = answer.indexOf("\r\n\r\n");
  const body = answer.slice(at + 4);
  if (!/transfer-encoding: chunked/i.test(answer.slice(0, at))) return body;
  return body.replace(/(^|\r\n)[0-9a-f]+\r\n/gi, "").trimEnd();
}

interface Status {
  readonly reason?: string;
  readonly message?: string;
  readonly code?: number;
}

function statusOf(text: string): Status | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

async function make(line: string, value: unknown = {}): Promise<void> {
  const { code, text } = await send({ line, body: () => JSON.stringify(value) });
  if (code >= 300) throw new Error(`${line} answered ${code}: ${text}`);
}

/** `good` is what requests break themselves on; `ending` stays in its deletion. */
async function makeObjects(): Promise<void> {
  const good = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "good" }, data: {} };
  await make("POST /api/v1/namespaces/default/configmaps", good);
  const ending = { apiVersion: "v1", kind: "Namespace", metadata: { name: "ending" } };
  await make("POST /api/v1/namespaces", ending);
  const kept = { ...good, metadata: { name: "kept", finalizers: ["example.com/keep"] } };
  await make("POST /api/v1/namespaces/ending/configmaps", kept);
  await make("DELETE /api/v1/namespaces/ending");
}

async function runToEnd(
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number; readonly output: string }> {
  const child = Bun.spawn([...command], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 10_000,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, output: stdout + stderr };
}

interface BadStart {
  readonly title: string;
  readonly flags?: readonly string[];
  /** The text of the configuration file. */
  readonly config?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly says: readonly string[];
}

const badStarts: readonly BadStart[] = [
  {
    title: "a flag that is misspelt",
    flags: ["--disable-agnet"],
    says: ["--disable-agnet", "did you mean --disable-agent?"],
  },
  {
    title: "a flag without its value",
    flags: ["--token"],
    says: ["Cannot use --token: its value is missing"],
  },
  {
    title: "a flag of K3s that comes later",
    flags: ["--cluster-init"],
    says: ["Cannot use --cluster-init yet: embedded etcd"],
  },
  {
    title: "a word that is no flag",
    flags: ["now"],
    says: ['Cannot use "now": k3 server takes flags only'],
  },
  {
    title: "a CIDR that is none",
    flags: ["--cluster-cidr=10.42.0.0/99"],
    says: ["Cannot use --cluster-cidr=10.42.0.0/99: it is not a CIDR"],
  },
  {
    title: "ranges that overlap",
    flags: ["--service-cidr=10.42.128.0/17"],
    says: ["it overlaps with --cluster-cidr=10.42.0.0/16"],
  },
  {
    title: "a port out of range",
    flags: ["--https-listen-port=65536"],
    says: ["Cannot use --https-listen-port=65536: a port must be between 1 and 65535"],
  },
  {
    title: "a component that cannot be disabled",
    flags: ["--disable=kubelet"],
    says: ["Cannot use --disable=kubelet: it must be one of coredns"],
  },
  {
    title: "an environment variable that is no boolean",
    env: { K3S_DEBUG: "perhaps" },
    says: ["K3S_DEBUG", '"perhaps" is neither true nor false'],
  },
  {
    title: "a configuration file that is not YAML",
    config: "token: [a, b\ndebug: true\n",
    says: ["Cannot read the configuration file"],
  },
  {
    title: "a configuration file that is a list",
    config: "- debug\n",
    says: ["it must hold keys and values"],
  },
  {
    title: "a configuration file with a map for a value",
    config: "token:\n  secret: hidden\n",
    says: ["Cannot use token", "its value must be a scalar or a list of scalars"],
  },
  {
    title: "a configuration file with a bad value",
    config: "https-listen-port: high\n",
    says: ["https-listen-port of the configuration file", '"high" is not a whole number'],
  },
];

describe.skipIf(skip !== undefined)("bad input", () => {
  beforeAll(async () => {
    await start();
    await makeObjects();
  }, 20_000);

  afterAll(async () => {
    server.kill("SIGTERM");
    await server.exited;
    rmSync(folder, { recursive: true, force: true });
  });

  for (const request of [...badRequests, ...badManifests]) {
    test(request.title, async () => {
      const { code, text, millis } = await send(request);
      const status = statusOf(text);
      expect({ code, text: text.slice(0, 2000) }).toMatchObject({ code: request.code });
      if (request.reason !== undefined)
        expect(status).toMatchObject({ code: request.code, reason: request.reason });
      for (const part of request.says) expect(status?.message ?? text).toContain(part);
      expect(millis).toBeLessThan(4000);
    });
  }

  for (const { title, flags = [], config, env = {}, says } of badStarts) {
    test(title, async () => {
      const file = join(folder, "config.yaml");
      writeFileSync(file, config ?? "");
      // A free port, or else a start that is wrongly allowed would meet the running server.
      const own = [`--https-listen-port=${freePort()}`, `--data-dir=${join(folder, "other")}`];
      const command = serverCommand(...own, `--config=${file}`, ...flags);
      const { code, output } = await runToEnd(command, env);
      expect({ code, output }).toMatchObject({ code: 1 });
      for (const part of says) expect(output).toContain(part);
      // A sentence for people: no stack.
      expect(output).not.toMatch(/^\s+at /m);
    }, 15_000);
  }

  test("an unknown key of the configuration file is warned of and left out", () => {
    expect(logText()).toContain("Cannot use disable-agnet of");
    expect(logText()).toContain("did you mean disable-agent?");
  });

  test.skipIf(Bun.which("setpriv") === null)("a user who is not root", async () => {
    const nobody = ["setpriv", "--reuid=65534", "--clear-groups"];
    const { code, output } = await runToEnd([
      ...[...nobody, ...serverCommand()],
      "--config=/nowhere/config.yaml",
    ]);
    expect({ code, output }).toEqual({
      code: 1,
      output: "Cannot run k3 server: it needs root\n",
    });
  });

  test("a port that is taken", async () => {
    const other = join(folder, "taken");
    const command = serverCommand(`--https-listen-port=${port}`, `--data-dir=${other}`);
    const { code, output } = await runToEnd(command);
    expect({ code, output }).toMatchObject({ code: 1 });
    expect(output).toContain(String(port));
  });

  test("after all of it the same process answers at once", async () => {
    const { code, text, millis } = await send({ line: "GET /readyz" });
    expect({ code, text }).toEqual({ code: 200, text: "ok" });
    expect(millis).toBeLessThan(500);
    expect(server.exitCode).toBe(null);
    expect(server.signalCode).toBe(null);
  });
});
