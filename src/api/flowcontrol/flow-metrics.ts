/** Priority and fairness in upstream's metrics, read from the levels when they are asked for. */
import type { Histogram, Labels, Metrics } from "../../runtime/metrics.ts";
import type { PriorityLevel } from "./priority-level.ts";
import type { Classified, PriorityLevels } from "./priority-levels.ts";
import type { FlowTally, RejectReason } from "./queue-set.ts";

const prefix = "apiserver_flowcontrol_";
const secondBuckets = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30] as const;
const seatBuckets = [1, 2, 4, 8, 16, 32, 64, 100] as const;

/** Gauges of a level: name, help, value. */
const levelGauges: readonly (readonly [string, string, (level: PriorityLevel) => number])[] = [
  [
    "nominal_limit_seats",
    "Nominal number of execution seats configured for each priority level",
    ({ limits }) => limits.nominal,
  ],
  [
    "lower_limit_seats",
    "Configured lower bound on number of execution seats available to each priority level",
    ({ limits }) => limits.lower,
  ],
  [
    "upper_limit_seats",
    "Configured upper bound on number of execution seats available to each priority level",
    ({ limits }) => limits.upper,
  ],
  [
    "current_limit_seats",
    "current derived number of execution seats available to each priority level",
    ({ current }) => current,
  ],
  [
    "demand_seats_high_watermark",
    "High watermark, over last adjustment period, of demand_seats",
    ({ demand }) => demand.highWatermark,
  ],
  [
    "demand_seats_average",
    "Time-weighted average, over last adjustment period, of demand_seats",
    ({ demand }) => demand.average,
  ],
  [
    "demand_seats_stdev",
    "Time-weighted standard deviation, over last adjustment period, of demand_seats",
    ({ demand }) => demand.deviation,
  ],
  ["demand_seats_smoothed", "Smoothed seat demands", ({ demand }) => demand.smoothed],
  ["target_seats", "Seat allocation targets", ({ target }) => target],
  ["current_r", "R(time of last change)", ({ queues }) => queues.dump().currentR],
];

type FlowRow = readonly [
  name: string,
  help: string,
  type: "gauge" | "counter",
  value: (tally: FlowTally) => number,
];

const flowRows: readonly FlowRow[] = [
  [
    "dispatched_requests_total",
    "Number of requests executed by API Priority and Fairness subsystem",
    "counter",
    ({ dispatched }) => dispatched,
  ],
  [
    "request_dispatch_no_accommodation_total",
    "Number of times a dispatch attempt resulted in a non accommodation due to lack of " +
      "available seats",
    "counter",
    ({ notAccommodated }) => notAccommodated,
  ],
  [
    "current_inqueue_requests",
    "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
    "gauge",
    ({ inQueueRequests }) => inQueueRequests,
  ],
  [
    "current_inqueue_seats",
    "Number of seats currently pending in queues of the API Priority and Fairness subsystem",
    "gauge",
    ({ inQueueSeats }) => inQueueSeats,
  ],
  [
    "current_executing_requests",
    "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the " +
      "API Priority and Fairness subsystem",
    "gauge",
    ({ executingRequests }) => executingRequests,
  ],
  [
    "current_executing_seats",
    "Concurrency (number of seats) occupied by the currently executing (initial stage for a " +
      "WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem",
    "gauge",
    ({ executingSeats }) => executingSeats,
  ],
];

type Observers = Readonly<
  Record<"estimated" | "served" | "turnedAway" | "regular" | "watch", (value: number) => void>
>;

export class FlowMetrics {
  readonly #waited: Histogram;
  readonly #executed: Histogram;
  readonly #estimated: Histogram;
  readonly #observers = new WeakMap<Classified, Observers>();

  constructor(metrics: Metrics, levels: PriorityLevels) {
    for (const [name, help, value] of levelGauges) {
      metrics.collect(`${prefix}${name}`, help, () =>
        [...levels.all].map((level) => [{ priority_level: level.name }, value(level)] as const),
      );
    }
    for (const [name, help, type, value] of flowRows) {
      const read = () => tallies(levels, (labels, tally) => [[labels, value(tally)]]);
      metrics.collect(`${prefix}${name}`, help, read, type);
    }
    const rejected = () =>
      tallies(levels, (labels, tally) =>
        (Object.entries(tally.rejected) as [RejectReason, number][])
          .filter(([, times]) => times > 0)
          .map(([reason, times]) => [{ ...labels, reason }, times]),
      );
    const rejectedHelp = "Number of requests rejected by API Priority and Fairness subsystem";
    metrics.collect(`${prefix}rejected_requests_total`, rejectedHelp, rejected, "counter");
    const fairHelp =
      "Fair fraction of server's concurrency to allocate to each priority level that can use it";
    metrics.collect(`${prefix}seat_fair_frac`, fairHelp, () => [[{}, levels.fairFraction]]);
    this.#waited = metrics.histogram(
      `${prefix}request_wait_duration_seconds`,
      "Length of time a request spent waiting in its queue",
      secondBuckets,
    );
    this.#executed = metrics.histogram(
      `${prefix}request_execution_seconds`,
      "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request " +
        "execution in the API Priority and Fairness subsystem",
      secondBuckets,
    );
    this.#estimated = metrics.histogram(
      `${prefix}work_estimated_seats`,
      "Number of estimated seats (maximum of initial and final seats) associated with requests " +
        "in API Priority and Fairness",
      seatBuckets,
    );
  }

  /** Of requests that found a seat or a place in a queue. */
  estimated(found: Classified, seats: number): void {
    this.#of(found).estimated(seats);
  }

  waited(found: Classified, execute: boolean, ms: number): void {
    const { served, turnedAway } = this.#of(found);
    (execute ? served : turnedAway)(ms / 1000);
  }

  executed(found: Classified, verb: string, ms: number): void {
    const { regular, watch } = this.#of(found);
    (verb === "watch" ? watch : regular)(ms / 1000);
  }

  /** Made once for each flow: finding a series by its labels costs more than counting. */
  #of(found: Classified): Observers {
    const known = this.#observers.get(found);
    if (known !== undefined) return known;
    const flow_schema = found.schema.metadata.name ?? "";
    const labels = { flow_schema, priority_level: found.level.name };
    const observers: Observers = {
      estimated: this.#estimated.bound(labels),
      served: this.#waited.bound({ ...labels, execute: "true" }),
      turnedAway: this.#waited.bound({ ...labels, execute: "false" }),
      regular: this.#executed.bound({ ...labels, type: "regular" }),
      watch: this.#executed.bound({ ...labels, type: "watch" }),
    };
    this.#observers.set(found, observers);
    return observers;
  }
}

function tallies(
  levels: PriorityLevels,
  rows: (labels: Labels, tally: FlowTally) => readonly (readonly [Labels, number])[],
): readonly (readonly [Labels, number])[] {
  return [...levels.all].flatMap(({ name, tallies: all }) =>
    [...all.values()].flatMap((tally) =>
      rows({ flow_schema: tally.schema, priority_level: name }, tally),
    ),
  );
}
