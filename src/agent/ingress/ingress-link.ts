/** The agent's side of the ingress process: starts or finds it, gives orders, hears reports. */
import type { ByteStream, Runtime } from "../../runtime/runtime.ts";
import { LinesOut, linesIn } from "./ingress-lines.ts";
import type { IngressOrder, IngressReport, IngressSettings } from "./route-table.ts";

export interface IngressLinkOptions {
  readonly runtime: Runtime;
  /** How k3 starts itself. */
  readonly command: readonly [string, ...string[]];
  readonly dataDir: string;
  /** A folder of our own. */
  readonly runDir: string;
  readonly settings: IngressSettings;
  /** All that it has to know, for a process that knows nothing yet. */
  readonly orders: () => readonly IngressOrder[];
  readonly onReport: (report: IngressReport) => void;
}

const limits = { startMsMax: 10_000, stopMsMax: 3000, dialPollMs: 50, againMs: 1000 } as const;

export class IngressLink {
  readonly #options: IngressLinkOptions;
  #out: LinesOut | undefined;

  constructor(options: IngressLinkOptions) {
    this.#options = options;
  }

  /** Nothing happens while there is no process: it is told all when there is one. */
  send(order: IngressOrder): void {
    this.#out?.send(order);
  }

  /** Keeps a process until the signal aborts; it serves on then. */
  async run(signal: AbortSignal): Promise<void> {
    const { runtime } = this.#options;
    await runtime.files.mkdir(this.#options.runDir, 0o700);
    while (!signal.aborted) {
      try {
        const stream = await this.#reach(signal);
        const close = (): void => stream.close();
        signal.addEventListener("abort", close, { once: true });
        try {
          await this.#follow(stream);
        } finally {
          this.#out = undefined;
          signal.removeEventListener("abort", close);
          stream.close();
        }
      } catch (error) {
        if (signal.aborted) return;
        runtime.log.warn("The ingress process cannot be reached", { error });
        await runtime.clock.sleep(limits.againMs, signal);
      }
    }
  }

  /** Ends a process that runs, whoever started it. */
  async stop(signal: AbortSignal): Promise<void> {
    const stream = await this.#dial(signal);
    if (stream === undefined) return;
    new LinesOut(stream).send({ type: "stop" } satisfies IngressOrder);
    // It closes its side when it has understood.
    const heard = stream.readable.pipeTo(new WritableStream()).catch(() => {});
    const done = new AbortController();
    const { clock } = this.#options.runtime;
    await Promise.race([
      heard,
      clock.sleep(limits.stopMsMax, AbortSignal.any([signal, done.signal])),
    ]);
    done.abort();
    stream.close();
  }

  async #follow(stream: ByteStream): Promise<void> {
    const { settings, orders, onReport } = this.#options;
    const out = new LinesOut(stream);
    out.send({ type: "start", settings } satisfies IngressOrder);
    for (const order of orders()) out.send(order);
    this.#out = out;
    for await (const report of linesIn<IngressReport>(stream)) onReport(report);
  }

  /** The process that runs already, else a new one. */
  async #reach(signal: AbortSignal): Promise<ByteStream> {
    const { runtime, command, dataDir } = this.#options;
    const found = await this.#dial(signal);
    if (found !== undefined) return found;
    const child = runtime.exec.spawn({
      argv: [...command, "ingress", `--data-dir=${dataDir}`, `--socket=${this.#socketPath}`],
      logFile: `${dataDir}/agent/logs/ingress.log`,
    });
    const end = new AbortController();
    void child.exited.then(() => end.abort());
    const deadline = runtime.clock.monotonicMs() + limits.startMsMax;
    while (runtime.clock.monotonicMs() < deadline && !end.signal.aborted) {
      const stream = await this.#dial(signal);
      if (stream !== undefined) return stream;
      await runtime.clock.sleep(limits.dialPollMs, AbortSignal.any([signal, end.signal]));
    }
    child.kill("SIGKILL");
    throw new Error(`Cannot start the ingress process, see ${dataDir}/agent/logs/ingress.log`);
  }

  get #socketPath(): string {
    return `${this.#options.runDir}/ingress.sock`;
  }

  async #dial(signal: AbortSignal): Promise<ByteStream | undefined> {
    try {
      return await this.#options.runtime.net.dial({ type: "unix", path: this.#socketPath }, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      return undefined; // nobody listens
    }
  }
}
