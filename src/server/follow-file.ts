/** Reads a configuration file at the start, and again whenever its content has changed. */
import { dirname } from "node:path";
import type { Metrics } from "../runtime/metrics.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";
import { StartError } from "./start-error.ts";

/** Upstream looks as often, beside being told of changes. */
const lookEveryMs = 60_000;

/** How often a file was read anew, and when last: under upstream's names in `/metrics`. */
export class Reloads {
  readonly #counts = new Map<string, { count: number; atSeconds: number }>();

  /** `kind` is authentication or authorization. */
  constructor(private readonly kind: string) {}

  note(status: "success" | "failure", at: Date): void {
    const count = (this.#counts.get(status)?.count ?? 0) + 1;
    this.#counts.set(status, { count, atSeconds: at.getTime() / 1000 });
  }

  countIn(metrics: Metrics): void {
    const prefix = `apiserver_${this.kind}_config_controller_automatic_reload`;
    metrics.collect(
      `${prefix}s_total`,
      `Total number of automatic reloads of ${this.kind} configuration split by status.`,
      () => [...this.#counts].map(([status, { count }]) => [{ status }, count] as const),
      "counter",
    );
    metrics.collect(
      `${prefix}_last_timestamp_seconds`,
      `Timestamp of the last automatic reload of ${this.kind} configuration split by status.`,
      () => [...this.#counts].map(([status, { atSeconds }]) => [{ status }, atSeconds] as const),
    );
  }
}

export interface FollowOptions {
  readonly runtime: Runtime;
  readonly scope: Scope;
  readonly reloads: Reloads;
  /** What the file holds, for messages. */
  readonly what: string;
  /** Throws for what cannot be used; what was in force before stays then. */
  readonly load: (bytes: Uint8Array) => Promise<void>;
}

/** Resolves once the file is loaded; throws StartError when it cannot be. */
export async function followFile(file: string, options: FollowOptions): Promise<void> {
  const { reloads, runtime, scope, what, load } = options;
  const first = await runtime.files.read(file);
  if (first === undefined) throw new StartError(`Cannot read ${file}: it does not exist`);
  try {
    await load(first);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(`Cannot use ${file} as ${what}: ${why}`);
  }
  let last = Buffer.from(first);
  const look = async (): Promise<void> => {
    try {
      const bytes = await runtime.files.read(file);
      if (bytes === undefined || last.equals(bytes)) return;
      last = Buffer.from(bytes);
      await load(bytes);
      reloads.note("success", runtime.clock.now());
      runtime.log.info(`Loaded ${what} anew`, { file });
    } catch (error) {
      reloads.note("failure", runtime.clock.now());
      runtime.log.error(`Cannot use ${what}; what was loaded before stays in force`, {
        file,
        error,
      });
    }
  };
  scope.task(`watch ${file}`, (signal) => watchFile(file, runtime, signal, look));
}

async function watchFile(
  file: string,
  { clock, files, log }: Runtime,
  signal: AbortSignal,
  look: () => Promise<void>,
): Promise<void> {
  let queue = Promise.resolve();
  const lookInTurn = (): void => {
    queue = queue.then(look);
  };
  clock.every(lookEveryMs, signal, lookInTurn);
  try {
    // The directory, as editors and mounted ConfigMaps put another file in place of the old one.
    for await (const _name of files.watch(dirname(file), signal)) lookInTurn();
  } catch (error) {
    log.warn("Cannot watch a file; looking at it once a minute", { file, error });
  }
}
