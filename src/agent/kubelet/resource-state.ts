/**
 * What pods of this node were granted and what they were given, kept over restarts in the state
 * files that upstream's kubelet has, too.
 */
import type { Runtime } from "../../runtime/runtime.ts";
import { type Actuated, type Allocation, actuatedOf, type Sizes } from "./allocation.ts";
import { type Pod, uidOf } from "./types.ts";

const limits = { writeAfterMs: 200 } as const;

export class ResourceState {
  readonly #allocated: StateFile<Allocation>;
  readonly #actuated: StateFile<Actuated>;

  constructor(runtime: Runtime, rootDir: string, signal: AbortSignal) {
    this.#allocated = new StateFile(runtime, `${rootDir}/allocated_pods_state`, signal);
    this.#actuated = new StateFile(runtime, `${rootDir}/actuated_pods_state`, signal);
  }

  async load(): Promise<void> {
    await Promise.all([this.#allocated.load(), this.#actuated.load()]);
  }

  allocation(uid: string): Allocation | undefined {
    return this.#allocated.entries.get(uid);
  }

  allocate(uid: string, allocation: Allocation): void {
    this.#allocated.set(uid, allocation);
  }

  /** A pod without a record has what it is granted. */
  actuated(pod: Pod): Actuated {
    return this.#actuated.entries.get(uidOf(pod)) ?? actuatedOf(pod);
  }

  /** From now on changes of what the pod is granted are noticed. */
  begin(pod: Pod): void {
    if (!this.#actuated.entries.has(uidOf(pod))) this.#actuated.set(uidOf(pod), actuatedOf(pod));
  }

  containerGiven(pod: Pod, name: string, sizes: Sizes): void {
    const before = this.actuated(pod);
    const containers = { ...before.containers, [name]: sizes };
    this.#actuated.set(uidOf(pod), { ...before, containers });
  }

  podGiven(pod: Pod, sizes: Sizes): void {
    this.#actuated.set(uidOf(pod), { ...this.actuated(pod), pod: sizes });
  }

  forget(uid: string): void {
    this.#allocated.delete(uid);
    this.#actuated.delete(uid);
  }

  /** Drops what is known of other pods than these. */
  retain(uids: ReadonlySet<string>): void {
    for (const file of [this.#allocated, this.#actuated]) {
      for (const uid of file.entries.keys()) if (!uids.has(uid)) file.delete(uid);
    }
  }

  /** Resolves when the files hold what is granted: nothing is given before. */
  async flush(): Promise<void> {
    await this.#allocated.flush();
  }
}

/** One file of entries by uid, written a little after they changed. */
class StateFile<T> {
  readonly entries = new Map<string, T>();
  readonly #runtime: Runtime;
  readonly #path: string;
  readonly #signal: AbortSignal;
  #isDirty = false;
  #isPlanned = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(runtime: Runtime, path: string, signal: AbortSignal) {
    this.#runtime = runtime;
    this.#path = path;
    this.#signal = signal;
  }

  async load(): Promise<void> {
    const text = await this.#runtime.files.readText(this.#path);
    if (text === undefined) return;
    try {
      const found = JSON.parse(text) as { readonly entries: Readonly<Record<string, T>> };
      for (const [uid, entry] of Object.entries(found.entries)) this.entries.set(uid, entry);
    } catch (error) {
      // Pods then count as granted what their specs say.
      this.#runtime.log.warn("Cannot read a state file", { path: this.#path, error: `${error}` });
    }
  }

  set(uid: string, entry: T): void {
    this.entries.set(uid, entry);
    this.#changed();
  }

  delete(uid: string): void {
    if (this.entries.delete(uid)) this.#changed();
  }

  async flush(): Promise<void> {
    await this.#writing;
    if (!this.#isDirty) return;
    this.#isDirty = false;
    const text = JSON.stringify({ entries: Object.fromEntries(this.entries) });
    this.#writing = this.#runtime.files.writeAtomic(this.#path, text, 0o600);
    try {
      await this.#writing;
    } catch (error) {
      this.#isDirty = true;
      this.#writing = Promise.resolve();
      throw error;
    }
  }

  #changed(): void {
    this.#isDirty = true;
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    void this.#writeLater();
  }

  async #writeLater(): Promise<void> {
    const { clock, log } = this.#runtime;
    await clock.sleep(limits.writeAfterMs, this.#signal);
    this.#isPlanned = false;
    await this.flush().catch((error: unknown) => {
      log.warn("Cannot write a state file", { path: this.#path, error: `${error}` });
    });
  }
}
