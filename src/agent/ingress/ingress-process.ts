/**
 * The process that serves ingress: apart from the rest of k3, so that a flood of requests stalls
 * nothing else, and so that it serves on while k3 restarts. It knows of the cluster only what it
 * is told over its socket.
 */
import { createPublicKey } from "node:crypto";
import { generateEcKey, issueCertificate, keyToPem } from "../../pki/x509.ts";
import { LogFile } from "../../runtime/log-file.ts";
import type { ByteStream, Clock, Runtime } from "../../runtime/runtime.ts";
import type { Streams, TlsPair } from "../../runtime/stream-sockets.ts";
import { LinesOut, linesIn } from "./ingress-lines.ts";
import { IngressServer } from "./ingress-server.ts";
import type { IngressOrder, IngressReport, IngressSettings } from "./route-table.ts";

export interface IngressProcessOptions {
  readonly runtime: Runtime;
  readonly streams: Streams;
  /** Where orders come in. */
  readonly socketPath: string;
}

/** Serves until the signal aborts or an order says so. */
export async function runIngressProcess(
  { runtime, streams, socketPath }: IngressProcessOptions,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  signal.addEventListener("abort", () => stop.abort(), { once: true });
  const worker = new Worker({ runtime, streams, stop, fallback: await ownPair(runtime.clock) });
  await runtime.files.remove(socketPath);
  const listener = await runtime.net.listen({ type: "unix", path: socketPath }, (stream) => {
    void worker.follow(stream);
  });
  await new Promise<void>((resolve) => {
    if (stop.signal.aborted) resolve();
    stop.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  // Whoever comes next listens at the same place: this one must be gone from it.
  listener.close();
  await worker.served;
}

interface WorkerOptions {
  readonly runtime: Runtime;
  readonly streams: Streams;
  readonly stop: AbortController;
  readonly fallback: TlsPair;
}

class Worker {
  #settings: IngressSettings | undefined;
  #server: IngressServer | undefined;
  /** Who gave orders last. */
  #out: LinesOut | undefined;
  served: Promise<void> = Promise.resolve();

  constructor(private readonly options: WorkerOptions) {}

  async follow(stream: ByteStream): Promise<void> {
    const { runtime, stop } = this.options;
    this.#out = new LinesOut(stream);
    try {
      for await (const order of linesIn<IngressOrder>(stream)) this.#take(order);
    } catch (error) {
      if (!stop.signal.aborted) runtime.log.info("The connection of the agent broke", { error });
    } finally {
      stream.close();
    }
  }

  #take(order: IngressOrder): void {
    switch (order.type) {
      case "start":
        this.#start(order.settings);
        break;
      case "stop":
        this.options.stop.abort();
        break;
      default:
        this.#server?.take(order);
    }
  }

  #start(settings: IngressSettings): void {
    const { runtime, streams, stop, fallback } = this.options;
    if (this.#settings !== undefined) {
      if (JSON.stringify(settings) !== JSON.stringify(this.#settings)) stop.abort();
      else if (this.#server?.isListening)
        this.#report({ type: "listening", ports: this.#server.ports() });
      return;
    }
    this.#settings = settings;
    let log: LogFile | undefined;
    const server = new IngressServer({
      runtime,
      streams,
      host: settings.host,
      ports: settings.ports,
      fallback,
      report: (report) => this.#report(report),
      logAccess: (line) => {
        log ??= new LogFile({ path: settings.accessLog });
        log.write(line);
      },
    });
    this.#server = server;
    this.served = server.run(stop.signal);
  }

  #report(report: IngressReport): void {
    this.#out?.send(report);
  }
}

const yearMs = 365 * 24 * 60 * 60 * 1000;

/** What Traefik shows where no certificate was given: nobody's, signed by itself. */
async function ownPair(clock: Clock): Promise<TlsPair> {
  const key = await generateEcKey();
  const nowMs = clock.now().getTime();
  const cert = issueCertificate(
    {
      subject: { commonName: "TRAEFIK DEFAULT CERT", organizations: [] },
      usage: "server",
      sans: { dnsNames: ["traefik.default"], ips: [] },
      publicKey: createPublicKey(key),
      notBefore: new Date(nowMs - 60_000),
      notAfter: new Date(nowMs + yearMs),
    },
    key,
  );
  return { cert, key: keyToPem(key) };
}
