/** Keeps one nftables table of the kernel equal to what is wanted of it. */
import type { Runtime } from "../../runtime/runtime.ts";
import { type NftTable, replaceScript, updateScript } from "./nft.ts";

export interface TableKeeperOptions {
  readonly runtime: Runtime;
  /** Family and name: `ip k3-proxy`. */
  readonly name: string;
  /** What the table should hold now. */
  readonly plan: () => NftTable;
  /** Called each time after the kernel has taken a plan. */
  readonly onApplied?: (signal: AbortSignal) => Promise<void>;
}

/** Changes come in bursts: the second one waits this long after the first for its companions. */
const gatherMs = 10;
const retryMs = 1000;
/** Other programs flush the ruleset; the table is looked for this often. */
const checkEveryMs = 30_000;

export class TableKeeper {
  readonly #options: TableKeeperOptions;
  /** What the kernel holds; undefined when that is not known. */
  #applied: NftTable | undefined;
  #asked = 0;
  #done = 0;
  #isUrgent = false;
  #wake: (() => void) | undefined;
  readonly #waiting = new Set<{ readonly number: number; readonly resolve: () => void }>();

  constructor(options: TableKeeperOptions) {
    this.#options = options;
  }

  /** Says that the plan may have changed. */
  ring(): void {
    this.#asked++;
    this.#wake?.();
  }

  /** Resolves when the kernel holds a plan made after this call; a failure is tried again. */
  async settled(signal: AbortSignal): Promise<void> {
    this.#isUrgent = true;
    this.ring();
    const number = this.#asked;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = { number, resolve };
    this.#waiting.add(waiting);
    const onAbort = (): void => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    await promise;
    signal.removeEventListener("abort", onAbort);
    this.#waiting.delete(waiting);
    signal.throwIfAborted();
  }

  /** Writes the first plan at once, then one for each burst of changes, until `signal`. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options.runtime;
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
    clock.every(checkEveryMs, signal, () => void this.#check(signal));
    this.#asked++;
    while (!signal.aborted) {
      const number = this.#asked;
      this.#isUrgent = false;
      try {
        await this.#apply(signal);
        this.#done = number;
        for (const waiting of this.#waiting) {
          if (waiting.number <= number) waiting.resolve();
        }
        const appliedMs = clock.monotonicMs();
        await this.#rung(signal);
        const gatheredMs = clock.monotonicMs() - appliedMs;
        if (!this.#isUrgent && gatheredMs < gatherMs)
          await clock.sleep(gatherMs - gatheredMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        const { name } = this.#options;
        log.warn("A packet filter table cannot be written, trying again", { name, error });
        this.#applied = undefined;
        await clock.sleep(retryMs, signal);
      }
    }
  }

  async #rung(signal: AbortSignal): Promise<void> {
    while (this.#asked === this.#done && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = undefined;
  }

  async #apply(signal: AbortSignal): Promise<void> {
    const { runtime, name, plan, onApplied } = this.#options;
    const table = plan();
    const before = this.#applied;
    const script =
      before === undefined ? replaceScript(name, table) : updateScript(name, before, table);
    if (script !== "") await runNft(runtime, script, signal);
    this.#applied = table;
    await onApplied?.(signal);
  }

  async #check(signal: AbortSignal): Promise<void> {
    const { runtime, name } = this.#options;
    try {
      const [family = ""] = name.split(" ");
      const argv = ["nft", "list", "tables", family] as const;
      const { exitCode, stdout } = await runtime.exec.run({ argv }, signal);
      if (exitCode !== 0 || stdout.split("\n").includes(`table ${name}`)) return;
      this.#applied = undefined;
      this.ring();
    } catch {
      // Ended, or nft is missing: nothing that writing again would mend.
    }
  }
}

/** Removes a table; absent is fine. */
export async function removeTable(runtime: Runtime, name: string): Promise<void> {
  const script = `add table ${name}\ndelete table ${name}\n`;
  await runNft(runtime, script, new AbortController().signal);
}

async function runNft(runtime: Runtime, script: string, signal: AbortSignal): Promise<void> {
  const result = await runtime.exec.run({ argv: ["nft", "-f", "-"], stdin: script }, signal);
  if (result.exitCode === 0) return;
  throw new Error(`nft refused the table: ${result.stderr.trim().slice(0, 500)}`);
}
