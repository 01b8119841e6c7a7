/** What the service manager is told: ready, stopping, and signs of life in between. */
import { type Notify, takeNotifier, takeWatchdogMs } from "../runtime/notify.ts";
import type { Runtime } from "../runtime/runtime.ts";

export class ServiceManager {
  readonly #runtime: Runtime;
  readonly #notify: Notify | undefined;
  readonly #watchdogMs: number | undefined;

  /** Takes systemd's variables out of `env`: children must not speak for this process. */
  constructor(runtime: Runtime, env: Record<string, string | undefined>) {
    this.#runtime = runtime;
    this.#notify = takeNotifier(env);
    this.#watchdogMs = takeWatchdogMs(env, process.pid);
  }

  /** From now on also signs of life, as long as the event loop turns and `signal` lasts. */
  ready(signal: AbortSignal): void {
    this.#tell("READY=1");
    if (this.#notify === undefined || this.#watchdogMs === undefined) return;
    this.#runtime.clock.every(this.#watchdogMs, signal, () => this.#tell("WATCHDOG=1"));
  }

  stopping(): void {
    this.#tell("STOPPING=1");
  }

  #tell(state: string): void {
    if (this.#notify === undefined || this.#notify(state)) return;
    this.#runtime.log.debug("The service manager did not take a word", { state });
  }
}
