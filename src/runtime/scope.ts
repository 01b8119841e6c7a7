/** What can be started, is healthy or not, and stops with all it began. */
export type Health = { readonly ok: true } | { readonly ok: false; readonly reason: string };

export interface Scope {
  readonly signal: AbortSignal;
  /** Runs until done or `signal` aborts; a failure makes the component unhealthy. */
  task(name: string, run: (signal: AbortSignal) => Promise<void>): void;
  /** Called in reverse order once all tasks have ended. */
  defer(cleanup: () => Promise<void> | void): void;
}

export interface Component {
  readonly name: string;
  /** Names of components that must have started before. */
  readonly needs: readonly string[];
  start(scope: Scope): Promise<void>;
  health(): Health;
}

/** Starts components in order of `needs`, restarts failed ones with backoff; dispose stops all. */
export interface Executor extends AsyncDisposable {
  start(components: readonly Component[]): Promise<void>;
  health(): ReadonlyMap<string, Health>;
}
