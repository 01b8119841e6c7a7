/**
 * Priority and fairness (KEP-1040): classifies each request by the cluster's flow schemas and
 * seats it in the level they lead to. Requests made inside this process do not come by here.
 */

import type { Client } from "../../client/client.ts";
import { flowSchemas, priorityLevelConfigurations } from "../../client/resources.ts";
import { type Controller, watchRule } from "../../live/controller.ts";
import { runController } from "../../live/run-controller.ts";
import type { StoreLiveSets } from "../../live/store-feed.ts";
import type { Metrics } from "../../runtime/metrics.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import { dumpOf } from "./dumps.ts";
import { type EstimateSources, estimateWork } from "./estimate.ts";
import { FlowMetrics } from "./flow-metrics.ts";
import type { Admittance, Knock, RequestGate } from "./gate.ts";
import { InFlight } from "./in-flight.ts";
import { keepBootstrapObjects } from "./keep-bootstrap.ts";
import { type Classified, PriorityLevels } from "./priority-levels.ts";
import type { SeatedRequest } from "./queue-set.ts";
import { applyDangling } from "./schema-status.ts";
import type { WatchCounts } from "./watch-counts.ts";

const limits = { adjustMs: 10_000, waitMsMax: 60_000, keepMs: 60_000 } as const;

export interface FlowControlOptions {
  readonly runtime: Runtime;
  readonly live: StoreLiveSets;
  /** The server itself. */
  readonly client: Client;
  readonly metrics: Metrics;
  /** The watches under way. */
  readonly watches: WatchCounts;
  /** How many seats there are in all. */
  readonly serverLimit: number;
}

export class FlowControl implements RequestGate {
  readonly levels: PriorityLevels;
  readonly #metrics: FlowMetrics;
  readonly #sources: EstimateSources;
  readonly #inFlight: InFlight;

  constructor(private readonly options: FlowControlOptions) {
    const { runtime, live, serverLimit, metrics, watches } = options;
    this.levels = new PriorityLevels(serverLimit, runtime.clock);
    this.#metrics = new FlowMetrics(metrics, this.levels);
    this.#inFlight = new InFlight(metrics);
    this.#sources = {
      statsOf: (resource) => live.stats(resource),
      watchersOf: (resource) => watches.interestedIn(resource),
    };
  }

  /** Follows the configuration and keeps what the server needs of it, until the scope ends. */
  start(scope: Scope): void {
    const { runtime, live } = this.options;
    for (const controller of [this.#consumer(), this.#producer()]) {
      scope.task(controller.name, (signal) => runController(controller, { live, runtime }, signal));
    }
    runtime.clock.every(limits.adjustMs, scope.signal, () => this.levels.adjust());
  }

  enter(knock: Knock): Admittance | Promise<Admittance> {
    const { digest, query } = knock;
    const found = this.levels.classify(digest);
    const { level } = found;
    const { verb, resource } = digest;
    const tally = level.tallyOf(found.schema.metadata.name ?? "");
    const work = estimateWork(verb, resource, query, level.seatsPerRequestMax, this.#sources);
    const distinguisher = distinguisherOf(found, knock);
    const request = level.queues.start({ tally, work, distinguisher, about: digest });
    if (request === undefined) return this.#refuse(found);
    this.#metrics.estimated(found, request.seats);
    if (request.state === "waiting") return this.#wait(found, request, knock);
    if (!level.isExempt) this.#metrics.waited(found, true, 0);
    return this.#admit(found, request, knock);
  }

  /** The debugging pages; undefined for any other path. */
  dump(url: URL): Response | undefined {
    const text = dumpOf(this.levels, url, this.options.runtime.clock);
    if (text === undefined) return undefined;
    return new Response(text, { headers: { "content-type": "text/plain; charset=utf-8" } });
  }

  async #wait(found: Classified, request: SeatedRequest, knock: Knock): Promise<Admittance> {
    const { clock } = this.options.runtime;
    const { queues } = found.level;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    request.decided = resolve;
    const over = new AbortController();
    const leave = (): void => queues.cancel(request);
    const waitMs = Math.min(knock.timeoutMs / 4, limits.waitMsMax);
    clock.sleep(waitMs, over.signal).then(leave);
    knock.signal.addEventListener("abort", leave, { once: true });
    if (knock.signal.aborted) leave();
    const execute = await promise;
    over.abort();
    knock.signal.removeEventListener("abort", leave);
    this.#metrics.waited(found, execute, clock.monotonicMs() - request.arrivedMs);
    return execute ? this.#admit(found, request, knock) : this.#refuse(found);
  }

  #admit(found: Classified, request: SeatedRequest, { digest }: Knock): Admittance {
    const { clock } = this.options.runtime;
    this.#inFlight.count(digest.verb, 1);
    const leave = (): void => {
      this.#inFlight.count(digest.verb, -1);
      found.level.queues.finish(request);
      this.#metrics.executed(found, digest.verb, clock.monotonicMs() - request.startedMs);
    };
    return { admitted: true, headers: found.headers, leave };
  }

  #refuse({ level, headers }: Classified): Admittance {
    level.retryAfter.record(Math.floor(this.options.runtime.clock.now().getTime() / 1000));
    return { admitted: false, headers, retryAfterSeconds: level.retryAfter.seconds };
  }

  /** Takes over the objects as they are, and tells each schema whether its level exists. */
  #consumer(): Controller {
    const { live, client, runtime } = this.options;
    return {
      name: "priority-and-fairness-config-consumer",
      watches: [
        watchRule(priorityLevelConfigurations, () => ["configuration"]),
        watchRule(flowSchemas, () => ["configuration"]),
      ],
      concurrent: 1,
      reconcile: async () => {
        const levels = [...live.of(priorityLevelConfigurations).list()].map((one) => one.object);
        const schemas = [...live.of(flowSchemas).list()].map((one) => one.object);
        this.levels.configure(levels, schemas);
        const exists = (name: string): boolean => this.levels.has(name);
        await applyDangling(client, schemas, exists, runtime.clock.now());
        // A level that nobody wants goes once its last request is done.
        const isWaiting = [...this.levels.all].some(({ quiescing }) => quiescing);
        return isWaiting ? { againInMs: limits.adjustMs } : "done";
      },
    };
  }

  #producer(): Controller {
    const { live, client } = this.options;
    return {
      name: "priority-and-fairness-config-producer",
      // Listed so that both sets are filled before the first look.
      watches: [watchRule(priorityLevelConfigurations, () => []), watchRule(flowSchemas, () => [])],
      concurrent: 1,
      initialKeys: ["bootstrap"],
      reconcile: async () => {
        await keepBootstrapObjects(client, live);
        return { againInMs: limits.keepMs };
      },
    };
  }
}

function distinguisherOf({ schema, level }: Classified, { digest }: Knock): string {
  if (level.isExempt) return "";
  switch (schema.spec.distinguisherMethod?.type) {
    case "ByUser":
      return digest.user.name;
    case "ByNamespace":
      return digest.resource?.namespace ?? "";
    default:
      return "";
  }
}
