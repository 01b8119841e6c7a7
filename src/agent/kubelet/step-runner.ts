/**
 * Runs the steps of pod plans: none twice at the same time, what failed again after a while, and
 * each pod's worker is woken when one of its steps is over.
 */
import { burstableShares, weighBurstable } from "./cgroups.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import { Lane, Lull } from "./lane.ts";
import type { Step } from "./plan-pod.ts";
import type { PodRecord } from "./pod-record.ts";
import type { PodResizes } from "./pod-resizes.ts";
import { graceSecondsOf, runStep, stepKey } from "./pod-steps.ts";
import { StartError } from "./start-container.ts";
import type { StaticPods } from "./static-pods.ts";

const limits = {
  finalDeleteAgainMs: 1_000,
  retryMsMin: 500,
  retryMsMax: 10_000,
  /** How many sandboxes are taken down or removed at once: more would only wait for each other. */
  ends: { places: 8, heldMsMax: 5_000 },
  /** How long what is left of deleted pods lies while others are being ended. */
  lull: { pollMs: 100, waitMsMax: 10_000 },
} as const;

export interface StepRunnerOptions {
  readonly context: KubeletContext;
  /** Ends with the kubelet. */
  readonly signal: AbortSignal;
  readonly records: ReadonlyMap<string, PodRecord>;
  readonly staticPods: StaticPods;
  readonly resizes: PodResizes;
  readonly wake: (uid: string, afterMs: number) => void;
  /** Nothing of the pod is left anywhere. */
  readonly forget: (record: PodRecord) => Promise<void>;
}

export class StepRunner {
  readonly #options: StepRunnerOptions;
  readonly #context: KubeletContext;
  readonly #ends: Lane;
  readonly #lull: Lull;
  #burstableShares = 0;

  constructor(options: StepRunnerOptions) {
    this.#options = options;
    this.#context = options.context;
    const { clock } = options.context.runtime;
    this.#ends = new Lane(clock, limits.ends);
    const { records } = options;
    this.#lull = new Lull(clock, limits.lull, () => [...records.values()].some(isAwaited));
  }

  /** Starts the step without waiting for it, unless it runs, waits for another or is to be
   * retried later. */
  begin(record: PodRecord, step: Step): void {
    const key = stepKey(step);
    const { clock } = this.#context.runtime;
    if (record.busy.has(key)) {
      this.#hurryKill(record, step);
      return;
    }
    const isStart = step.do === "startContainer";
    if (step.do === "killContainer" && record.busy.has(`container ${step.name}`)) {
      // A start under way is only interrupted by the end of the pod, and once it has run its hook.
      const hook = record.hooksRunning.has(step.id);
      if (!record.starting.signal.aborted && !hook) return;
    }
    // One app container after the other: the hook of one may prepare what the next needs.
    if (isStart && step.named.kind === "app" && isStartingApp(record)) return;
    if (isStart && [...record.killGrace.keys()].length > 0 && isKilling(record, step)) return;
    // The pod's cgroup grows before the container that needs it.
    if (isStart && record.busy.has("resizePod")) return;
    if (endsPod.has(step.do) && isStarting(record)) return;
    const retry = record.retries.get(key);
    const waitMs = (retry?.atMs ?? 0) - clock.monotonicMs();
    if (waitMs > 0) {
      this.#options.wake(record.uid, waitMs + 1);
      return;
    }
    if (step.do === "forget") {
      void this.#options.forget(record);
      return;
    }
    if (step.do === "finalDelete" && record.busy.has("status")) return;
    record.busy.add(key);
    void this.#run(record, step, key);
  }

  /** A shorter grace period overtakes the kill that is under way. */
  #hurryKill(record: PodRecord, step: Step): void {
    if (step.do !== "killContainer") return;
    const running = record.killGrace.get(step.id);
    const wanted = Math.max(1, graceSecondsOf(record, step.name));
    if (running === undefined || wanted >= running) return;
    record.killGrace.set(step.id, wanted);
    const request = { containerId: step.id, timeout: BigInt(wanted) };
    void this.#context.cri.runtime.stopContainer(request).catch((error: unknown) => {
      this.#context.runtime.log.debug("Cannot hurry a kill", { id: step.id, error: `${error}` });
    });
  }

  async #run(record: PodRecord, step: Step, key: string): Promise<void> {
    try {
      if (step.do === "createSandbox") await this.#weigh();
      if (step.do === "finalDelete" && record.static) await this.#options.staticPods.finish(record);
      else await this.#inTurn(record, step);
      if (step.do === "cleanUp") await this.#weigh();
      record.retries.delete(key);
      // The deletion comes back as a change; asking again at once would only repeat it.
      if (step.do === "finalDelete") this.#delay(record, key, limits.finalDeleteAgainMs);
      if (step.do === "startContainer") {
        record.waiting.delete(step.named.container.name);
        record.restarting.delete(step.after?.id ?? "");
      }
    } catch (error) {
      this.#context.cache.markDirty(record.uid);
      this.#failed(record, step, key, error);
    } finally {
      record.busy.delete(key);
      this.#options.wake(record.uid, 0);
    }
  }

  /** What is left of ended pods is removed when no pod waits for its end. */
  async #inTurn(record: PodRecord, step: Step): Promise<void> {
    const work = (): Promise<void> => runStep(this.#context, record, step, this.#options.signal);
    const turn = turns[step.do];
    if (turn === "idle" && record.removed) await this.#lull.come(this.#options.signal);
    await (turn === undefined ? work() : this.#ends.run(turn, work));
  }

  /** Keeps the share of the burstable class in step with its pods. */
  async #weigh(): Promise<void> {
    const active = [...this.#options.records.values()].filter(({ volumes }) => volumes !== "gone");
    const shares = burstableShares(active.map(({ pod }) => pod));
    if (shares === this.#burstableShares) return;
    this.#burstableShares = shares;
    await weighBurstable(this.#context.cgroups, shares);
  }

  #delay(record: PodRecord, key: string, ms: number): void {
    record.retries.set(key, { count: 0, atMs: this.#context.runtime.clock.monotonicMs() + ms });
  }

  #failed(record: PodRecord, step: Step, key: string, error: unknown): void {
    const { clock, log } = this.#context.runtime;
    const count = (record.retries.get(key)?.count ?? 0) + 1;
    const usual = Math.min(limits.retryMsMin * 2 ** (count - 1), limits.retryMsMax);
    const asked = error instanceof StartError ? error.retryInMs : undefined;
    record.retries.set(key, { count, atMs: clock.monotonicMs() + (asked ?? usual) });
    if (step.do === "startContainer" && error instanceof StartError) {
      const { reason, message } = error;
      record.waiting.set(step.named.container.name, { reason, message });
    }
    if (step.do === "resizePod") {
      this.#options.resizes.failed(record, error instanceof Error ? error.message : `${error}`);
    }
    if (record.starting.signal.aborted && step.do !== "cleanUp") return;
    const pod = `${record.pod.metadata.namespace}/${record.pod.metadata.name}`;
    log.warn("A step of a pod failed", { pod, step: key, error: `${error}` });
  }
}

const turns: Readonly<Partial<Record<Step["do"], "urgent" | "idle">>> = {
  stopSandbox: "urgent",
  removeContainer: "idle",
  removeSandbox: "idle",
};

/** Whether somebody waits for the pod to be gone. */
function isAwaited({ pod, removed }: PodRecord): boolean {
  return !removed && pod.metadata.deletionTimestamp !== undefined;
}

/** These wait for what is still being started: it would be left behind otherwise. */
const endsPod: ReadonlySet<Step["do"]> = new Set(["cleanUp", "finalDelete", "forget"]);

function isStarting(record: PodRecord): boolean {
  const starts = (key: string): boolean =>
    key === "createSandbox" || key === "prepareVolumes" || key.startsWith("container ");
  return [...record.busy].some(starts);
}

function isStartingApp(record: PodRecord): boolean {
  return record.pod.spec.containers.some(({ name }) => record.busy.has(`container ${name}`));
}

function isKilling(record: PodRecord, step: Extract<Step, { do: "startContainer" }>): boolean {
  return step.after !== undefined && record.killGrace.has(step.after.id);
}
