/**
 * Without priority and fairness two numbers bound what is served at once: reads and writes
 * (`--max-requests-inflight`, `--max-mutating-requests-inflight`); 0 is no bound.
 */
import type { Metrics } from "../../runtime/metrics.ts";
import type { Admittance, Knock, RequestGate } from "./gate.ts";

export interface InFlightLimits {
  readonly maxRequestsInFlight: number;
  readonly maxMutatingRequestsInFlight: number;
}

const reading: ReadonlySet<string> = new Set(["get", "list", "watch"]);
const refused: Admittance = { admitted: false, headers: [], retryAfterSeconds: 1 };
const help =
  "Maximal number of currently used inflight request limit of this apiserver per request kind in " +
  "last second.";

/** How many requests are being served. */
export class InFlight {
  reads = 0;
  writes = 0;

  constructor(metrics: Metrics) {
    metrics.collect("apiserver_current_inflight_requests", help, () => [
      [{ request_kind: "mutating" }, this.writes],
      [{ request_kind: "readOnly" }, this.reads],
    ]);
  }

  count(verb: string, by: 1 | -1): void {
    if (reading.has(verb)) this.reads += by;
    else this.writes += by;
  }
}

export class InFlightGate implements RequestGate {
  readonly #now: InFlight;

  constructor(
    private readonly limits: InFlightLimits,
    metrics: Metrics,
  ) {
    this.#now = new InFlight(metrics);
  }

  enter({ digest }: Knock): Admittance {
    const { maxRequestsInFlight, maxMutatingRequestsInFlight } = this.limits;
    const { verb, user } = digest;
    // As upstream, watches are not counted: they would fill the house for good.
    if (verb === "watch") return { admitted: true, headers: [], leave: () => {} };
    const isRead = reading.has(verb);
    const most = isRead ? maxRequestsInFlight : maxMutatingRequestsInFlight;
    const isFull = most > 0 && (isRead ? this.#now.reads : this.#now.writes) >= most;
    // Administrators get in even then, or nobody could help.
    if (isFull && !user.groups.includes("system:masters")) return refused;
    this.#now.count(verb, 1);
    return { admitted: true, headers: [], leave: () => this.#now.count(verb, -1) };
  }
}
