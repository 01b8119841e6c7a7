/** Keeps an eye on the container runtime: its events as they come, and all it runs now and then. */
import type { Clock } from "../../runtime/runtime.ts";
import { isCriUnavailable } from "../cri/client.ts";
import { Housekeeping } from "./housekeeping.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import type { PodWorkers } from "./pod-workers.ts";

const limits = { relistMs: 10_000, relistAgeMsMax: 180_000, eventsRetryMs: 200 } as const;

/** The runtime's events wake the pods they are about; an ended stream is opened again. */
export async function followEvents(
  { context, workers }: RuntimeWatch,
  signal: AbortSignal,
): Promise<void> {
  const { cri, cache, runtime } = context;
  while (!signal.aborted) {
    try {
      for await (const event of cri.runtime.getContainerEvents({}, { signal })) {
        const uid = event.podSandboxStatus?.metadata?.uid;
        if (uid === undefined) continue;
        // Not waited for: the last words of one container are no matter of another.
        void cache.apply(uid, event).then((isNew) => isNew && workers.wake(uid));
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!isCriUnavailable(error)) {
        runtime.log.debug("The runtime's event stream ended", { error: `${error}` });
      }
    }
    await runtime.clock.sleep(limits.eventsRetryMs, signal);
  }
}

/** Notices when the runtime has not been looked at for long. */
export class Watchdog {
  readonly #clock: Clock;
  #seenMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#seenMs = clock.monotonicMs();
  }

  seen(): void {
    this.#seenMs = this.#clock.monotonicMs();
  }

  problem(): string | undefined {
    const ageMs = this.#clock.monotonicMs() - this.#seenMs;
    if (ageMs < limits.relistAgeMsMax) return undefined;
    const age = `${Math.round(ageMs / 1000)}s`;
    return `PLEG is not healthy: pleg was last seen active ${age} ago; threshold is 3m0s`;
  }
}

/** What looks at the runtime share. */
export interface RuntimeWatch {
  readonly context: KubeletContext;
  readonly workers: PodWorkers;
  readonly watchdog: Watchdog;
}

/** Looks at everything now and then: events may be missed. */
export async function relistLoop(
  { context, workers, watchdog }: RuntimeWatch,
  signal: AbortSignal,
): Promise<void> {
  const { cache, volumes, runtime } = context;
  const housekeeping = new Housekeeping(context);
  while (!signal.aborted) {
    try {
      const { changed, pods: found } = await cache.relist();
      watchdog.seen();
      workers.adopt(found.values());
      for (const uid of changed) workers.wake(uid);
      const isKnown = (uid: string): boolean => workers.record(uid) !== undefined || found.has(uid);
      for (const uid of await volumes.podsOnDisk()) {
        if (isKnown(uid)) continue;
        await volumes.tearDown(uid).catch((error: unknown) => {
          runtime.log.debug("Cannot clear an orphan's volumes", { uid, error: `${error}` });
        });
      }
      await housekeeping.look(isKnown);
    } catch (error) {
      if (signal.aborted) return;
      runtime.log.debug("Cannot list what the runtime runs", { error: `${error}` });
    }
    await runtime.clock.sleep(limits.relistMs, signal);
  }
}
