/** Starts the built binary for a measurement and talks to it over TLS as its admin. */
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";

/**
 * Bytes a server may send ahead on a stream. Bun's client has been seen not to open a window again
 * that was used up, so that a watch stood still after 4 MB; kubectl's went on beside it.
 */
const streamWindow = 2 ** 30;
/** Bytes that it may send ahead on all streams of a wide connection: `transportDefaultConnFlow`. */
const connectionWindow = 2 ** 30;

const root = join(import.meta.dir, "..");
const architecture = process.arch === "arm64" ? "arm64" : "amd64";
export const binary = join(root, `dist/k3-${architecture}`);
export const testImage = "docker.io/library/k3-busybox:test";
const limitMs = 60_000;
const restSamples = 4;
const restSampleMs = 500;
const restShareMax = 0.05;

export interface Answer {
  readonly status: number;
  readonly body: string;
}

const ticksPerSecond = 100;

/** What a process has used so far. */
export interface Usage {
  readonly residentMb: number;
  readonly cpuSeconds: number;
  readonly writtenBytes: number;
}

export function usageOf(pid: number): Usage {
  const field = (file: string, name: string): number =>
    Number(
      new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(
        readFileSync(`/proc/${pid}/${file}`, "utf8"),
      )?.[1],
    );
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    residentMb: field("status", "VmRSS") / 1024,
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    writtenBytes: field("io", "write_bytes"),
  };
}

export interface WatchEvent {
  readonly type: string;
  readonly object: {
    readonly metadata: { readonly name: string };
    readonly status?: { readonly phase?: string };
  };
}

export class BenchServer {
  readonly dataDir = mkdtempSync(join(tmpdir(), "k3-bench-"));
  readonly port = 16_443;
  #child: Bun.Subprocess | undefined;
  #session: ClientHttp2Session | undefined;

  constructor(readonly flags: readonly string[] = []) {
    mkdirSync(join(this.dataDir, "agent/images"), { recursive: true });
  }

  get kubeconfig(): string {
    return join(this.dataDir, "k3.yaml");
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Milliseconds from exec until /readyz says ok. */
  async start(): Promise<number> {
    const log = openSync(join(this.dataDir, "k3.log"), "a");
    const begin = performance.now();
    this.#child = Bun.spawn(
      [
        binary,
        "server",
        `--data-dir=${this.dataDir}`,
        `--write-kubeconfig=${this.kubeconfig}`,
        `--https-listen-port=${this.port}`,
        "--node-name=k3-bench",
        ...this.flags,
      ],
      { stdout: log, stderr: log, stdin: "ignore" },
    );
    await this.until(async () => (await this.get("/readyz")).body === "ok");
    return performance.now() - begin;
  }

  /** Asks in quick succession until `condition` holds; errors count as "not yet". */
  async until(condition: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + limitMs;
    for (;;) {
      try {
        if (await condition()) return;
      } catch {
        // Not listening yet, or not the object yet: asked again below.
      }
      if (this.#child?.exitCode !== null || performance.now() > end) {
        throw new Error(`k3 did not get there:\n${this.logTail()}`);
      }
      await Bun.sleep(2);
    }
  }

  /** What was asked for earlier (pods to be scheduled) is done: it uses next to no processor. */
  async atRest(): Promise<void> {
    for (let quiet = 0; quiet < restSamples; ) {
      const before = usageOf(this.pid).cpuSeconds;
      await Bun.sleep(restSampleMs);
      const used = usageOf(this.pid).cpuSeconds - before;
      quiet = used * 1000 > restSampleMs * restShareMax ? 0 : quiet + 1;
    }
  }

  logTail(): string {
    return readFileSync(join(this.dataDir, "k3.log"), "utf8").slice(-2000);
  }

  get(path: string): Promise<Answer> {
    return this.request("GET", path);
  }

  /**
   * A new connection. A wide one has the window of Go's clients, for large answers: with 64 kB for
   * all streams the server would wait for every third frame. Watches stand still on it after a
   * while in Bun's client, so that they are not to be made there.
   */
  connect({ isWide = false }: { readonly isWide?: boolean } = {}): ClientHttp2Session {
    const { clusters, users } = parse(readFileSync(this.kubeconfig, "utf8"));
    const decode = (text: string): string => Buffer.from(text, "base64").toString();
    const session = connect(`https://127.0.0.1:${this.port}`, {
      ca: decode(clusters[0].cluster["certificate-authority-data"]),
      cert: decode(users[0].user["client-certificate-data"]),
      key: decode(users[0].user["client-key-data"]),
      settings: { initialWindowSize: streamWindow },
    });
    if (isWide) session.once("connect", () => session.setLocalWindowSize(connectionWindow));
    // A refused connection shows as the failure of its requests.
    session.on("error", () => {});
    return session;
  }

  request(
    method: string,
    path: string,
    body?: unknown,
    session: ClientHttp2Session = this.#own(),
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = { ":method": method, ":path": path, "content-type": "application/json" };
      const stream = session.request(headers, { endStream: body === undefined });
      let status = 0;
      let text = "";
      stream.setEncoding("utf8");
      stream.on("response", (answer) => {
        status = Number(answer[":status"]);
      });
      stream.on("data", (chunk: string) => {
        text += chunk;
      });
      stream.on("end", () => resolve({ status, body: text }));
      stream.on("error", reject);
      if (body !== undefined) stream.end(JSON.stringify(body));
    });
  }

  /** Tells of each event of a watch until the session or the returned stream ends. */
  watch(
    path: string,
    onEvent: (event: WatchEvent) => void,
    session: ClientHttp2Session = this.#own(),
  ): ClientHttp2Stream {
    const stream = session.request({ ":path": path });
    let text = "";
    stream.setEncoding("utf8");
    stream.on("error", () => {});
    stream.on("data", (chunk: string) => {
      const lines = (text + chunk).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) onEvent(JSON.parse(line));
    });
    return stream;
  }

  #own(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.destroyed || this.#session.closed) {
      this.#session = this.connect();
    }
    return this.#session;
  }

  async stop(): Promise<void> {
    this.#session?.destroy();
    this.#session = undefined;
    this.#child?.kill("SIGTERM");
    await this.#child?.exited;
  }

  async destroy(): Promise<void> {
    await this.stop();
    const killall = Bun.spawn([binary, "killall", `--data-dir=${this.dataDir}`], {
      stdout: "ignore",
      stderr: "ignore",
    });
    await killall.exited;
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}
