/** A name queue and a level-triggered reconcile: the shape of every controller in k3. */
import type { Client, Resource } from "../client/client.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { KubeObject } from "../schema/object.ts";
import type { EventRecorder } from "./events.ts";
import type { LiveChange, LiveSets } from "./live-set.ts";
import type { QueueMetrics } from "./queue-metrics.ts";
import type { WorkWatch } from "./work-watch.ts";

/** "done", or reconcile again later; a thrown Error means again, with backoff. */
export type Outcome = "done" | { readonly againInMs: number };

/** Which changes of a resource wake which keys of the controller. */
export interface WatchRule {
  readonly resource: Resource<KubeObject>;
  readonly keys: (change: LiveChange<never>) => Iterable<string>;
}

/** A typed way to write a WatchRule. */
export function watchRule<T extends KubeObject>(
  resource: Resource<T>,
  keys: (change: LiveChange<T>) => Iterable<string>,
): WatchRule {
  return { resource, keys: keys as WatchRule["keys"] } as WatchRule;
}

export interface Controller {
  readonly name: string;
  readonly watches: readonly WatchRule[];
  /** How many keys are reconciled at once; one key is never reconciled twice at the same time. */
  readonly concurrent: number;
  reconcile(key: string, signal: AbortSignal): Promise<Outcome>;
  /** Keys to reconcile at start besides those the initial list yields; for periodic controllers. */
  readonly initialKeys?: readonly string[];
}

/** What a controller gets to see of the cluster. */
export interface ControllerContext {
  readonly client: Client;
  readonly live: LiveSets;
  readonly runtime: Runtime;
  readonly events: EventRecorder;
  readonly queueMetrics?: QueueMetrics;
  /** Told of work that begins and ends, where someone looks after it. */
  readonly watch?: WorkWatch;
}
