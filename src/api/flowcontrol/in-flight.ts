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

export class InFlightGate implements RequestGate {
  #reads = 0;
  #writes = 0;

  constructor(
    private readonly limits: InFlightLimits,
    metrics: Metrics,
  ) {
    metrics.collect("apiserver_current_inflight_requests", inFlightHelp, () => [
      [{ request_kind: "mutating" }, this.#writes],
      [{ request_kind: "readOnly" }, this.#reads],
    ]);
  }

  enter({ digest }: Knock): Admittance {
    const { maxRequestsInFlight, maxMutatingRequestsInFlight } = this.limits;
    // As upstream, watches are not counted: they would fill the house for good.
    if (digest.verb === "watch") return { admitted: true, headers: [], leave: () => {} };
    const isRead = reading.has(digest.verb);
    const most = isRead ? maxRequestsInFlight : maxMutatingRequestsInFlight;
    const isFull = most > 0 && (isRead ? this.#reads : this.#writes) >= most;
    // Administrators get in even then, or nobody could help.
    if (isFull && !digest.user.groups.includes("system:masters")) return refused;
    this.#count(isRead, 1);
    return { admitted: true, headers: [], leave: () => this.#count(isRead, -1) };
  }

  #count(isRead: boolean, by: number): void {
    if (isRead) this.#reads += by;
    else this.#writes += by;
  }
}

export const inFlightHelp =
  "Maximal number of currently used inflight request limit of this apiserver per request kind in " +
  "last second.";
