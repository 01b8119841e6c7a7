/**
 * Graceful node shutdown: when logind says that the machine goes down, the node is told not to be
 * ready, and its pods end by priority while logind waits.
 */
import type { EventRecorder } from "../../live/events.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { tellOfNode } from "../kubelet/node-events.ts";
import type { PodEvictions } from "../kubelet/pod-evictions.ts";
import { Logind, type LogindOptions } from "./logind.ts";
import { type ShutdownGrace, secondsTogether, shutdownGroups } from "./plan-shutdown.ts";

const limits = { againMs: 1_000, pollMs: 100 } as const;

export interface NodeShutdownOptions extends Pick<LogindOptions, "busPath" | "confDir"> {
  readonly runtime: Runtime;
  readonly events: EventRecorder;
  readonly nodeName: string;
  readonly graces: readonly ShutdownGrace[];
  /** Holds upstream's `graceful_node_shutdown_state`. */
  readonly rootDir: string;
  readonly pods: Pick<PodEvictions, "active" | "endForShutdown">;
  /** The node's status has to be told at once. */
  readonly onChange: () => void;
}

export class NodeShutdown {
  readonly #options: NodeShutdownOptions;
  #isBegun = false;

  constructor(options: NodeShutdownOptions) {
    this.#options = options;
  }

  /** While this holds, no pod is taken. */
  isBegun(): boolean {
    return this.#isBegun;
  }

  /** Watches for shutdowns until the signal aborts; a bus that goes away is looked for again. */
  async run(signal: AbortSignal): Promise<void> {
    const { runtime, graces } = this.#options;
    if (secondsTogether(graces) === 0) return;
    let told = "";
    while (!signal.aborted) {
      try {
        await this.#watch(signal);
      } catch (error) {
        const text = `${error}`;
        if (text !== told) runtime.log.warn("Cannot watch for shutdowns", { error: text });
        told = text;
      }
      await runtime.clock.sleep(limits.againMs, signal);
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { runtime, busPath, confDir, graces } = this.#options;
    // What logind says while one of its signals is acted on waits for its turn.
    let turn = Promise.resolve();
    const onShutdown = (isBegun: boolean): void => {
      turn = turn.then(() => this.#react(isBegun, logind, signal));
    };
    const logind = await Logind.open({ runtime, busPath, confDir, onShutdown }, signal);
    const stop = (): void => logind.close();
    signal.addEventListener("abort", stop);
    try {
      await logind.allow(secondsTogether(graces), signal);
      logind.hold();
      await logind.closed;
      await turn;
    } finally {
      signal.removeEventListener("abort", stop);
      logind.close();
    }
  }

  async #react(isBegun: boolean, logind: Logind, signal: AbortSignal): Promise<void> {
    const { events, nodeName, onChange, runtime } = this.#options;
    const message = `Shutdown manager detected shutdown ${isBegun ? "event" : "cancellation"}`;
    tellOfNode(events, nodeName, "NodeShutdown", { message });
    this.#isBegun = isBegun;
    onChange();
    if (!isBegun) return logind.hold();
    try {
      await this.#endPods(signal);
    } catch (error) {
      runtime.log.error("Cannot end the pods before the shutdown", { error: `${error}` });
    } finally {
      logind.release();
    }
  }

  async #endPods(signal: AbortSignal): Promise<void> {
    const { runtime, graces, pods } = this.#options;
    const { clock } = runtime;
    const startTime = clock.now();
    await this.#store({ startTime });
    for (const { seconds, pods: records } of shutdownGroups(graces, pods.active())) {
      for (const record of records) pods.endForShutdown(record, seconds);
      const deadline = clock.monotonicMs() + seconds * 1000;
      const isLeft = (): boolean => records.some(({ volumes }) => volumes !== "gone");
      while (isLeft() && clock.monotonicMs() < deadline && !signal.aborted) {
        await clock.sleep(limits.pollMs, signal);
      }
    }
    await this.#store({ startTime, endTime: clock.now() });
  }

  async #store(state: { readonly startTime: Date; readonly endTime?: Date }): Promise<void> {
    const { runtime, rootDir } = this.#options;
    const path = `${rootDir}/graceful_node_shutdown_state`;
    await runtime.files.writeAtomic(path, JSON.stringify(state), 0o600);
  }
}
