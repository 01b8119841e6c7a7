/** One priority level at work: its limits, its queues, and what is counted of its requests. */
import type { PriorityLevelConfiguration } from "../../gen/flowcontrol-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { Clock } from "../../runtime/runtime.ts";
import { type FlowTally, type Limiting, QueueSet } from "./queue-set.ts";
import { RetryAfter } from "./retry-after.ts";
import { type DemandStats, noDemand, SeatDemand } from "./seat-demand.ts";

export type LiveLevel = DeepReadonly<PriorityLevelConfiguration>;

/** Seats of a level: what it has by its shares, and how far lending and borrowing may go. */
export interface SeatLimits {
  readonly nominal: number;
  readonly lower: number;
  readonly upper: number;
}

/** Undefined for a broken object, which is treated as if it did not exist. */
export function limitingOf({ metadata, spec }: LiveLevel): Limiting | undefined {
  const isExempt = spec.type === "Exempt";
  if (isExempt !== (spec.exempt !== undefined) || isExempt !== (metadata.name === "exempt")) {
    return undefined;
  }
  if (isExempt) return { type: "exempt" };
  const response = spec.limited?.limitResponse;
  if (spec.type !== "Limited" || response === undefined) return undefined;
  if ((response.type === "Reject") !== (response.queuing === undefined)) return undefined;
  if (response.queuing === undefined) return { type: "reject" };
  const { queues = 64, handSize = 8, queueLengthLimit = 50 } = response.queuing;
  return { type: "queue", queues, handSize, queueLengthLimit };
}

/** In what proportion a level shares in the server's seats. */
export function sharesOf({ spec }: LiveLevel): number {
  return spec.limited?.nominalConcurrencyShares ?? spec.exempt?.nominalConcurrencyShares ?? 0;
}

/** The seats of a level among levels that have `sharesSum` shares of `serverLimit` seats. */
export function seatLimitsOf(level: LiveLevel, serverLimit: number, sharesSum: number): SeatLimits {
  const { limited, exempt } = level.spec;
  const nominal = sharesSum === 0 ? 0 : Math.ceil((serverLimit * sharesOf(level)) / sharesSum);
  const lendable = (limited ?? exempt)?.lendablePercent ?? 0;
  const borrowing = limited?.borrowingLimitPercent;
  const part = (percent: number): number => Math.round((nominal * percent) / 100);
  return {
    nominal,
    lower: nominal - part(lendable),
    upper: nominal + (borrowing === undefined ? serverLimit : part(borrowing)),
  };
}

export class PriorityLevel {
  readonly queues: QueueSet;
  readonly retryAfter = new RetryAfter();
  readonly tallies = new Map<string, FlowTally>();
  readonly #demand: SeatDemand;
  demand: DemandStats = noDemand;
  limits: SeatLimits;
  /** Seats at present, with what is lent and borrowed. */
  current: number;
  /** What the last adjustment aimed at. */
  target = 0;
  /** No object wants it any more, but requests of it are still under way. */
  quiescing = false;

  constructor(
    public object: LiveLevel,
    public limiting: Limiting,
    limits: SeatLimits,
    private readonly clock: Clock,
  ) {
    this.limits = limits;
    this.current = limits.nominal - Math.trunc((limits.nominal - limits.lower) / 2);
    this.#demand = new SeatDemand(clock.monotonicMs());
    this.queues = new QueueSet({
      limiting,
      concurrencyLimit: this.current,
      nowMs: () => clock.monotonicMs(),
      after: (ms, then) => void clock.sleep(ms, neverAborted).then(then),
      onDemand: (seats, nowMs) => this.#demand.set(seats, nowMs),
    });
  }

  get name(): string {
    return this.object.metadata.name ?? "";
  }

  get isExempt(): boolean {
    return this.limiting.type === "exempt";
  }

  /** The most seats that one request may take; 0 when the level does not say. */
  get seatsPerRequestMax(): number {
    if (this.limiting.type !== "queue") return 0;
    const { nominal } = this.limits;
    const byHand = Math.trunc(nominal / this.limiting.handSize);
    return Math.max(1, Math.min(Math.ceil(nominal * 0.15), byHand));
  }

  tallyOf(schema: string): FlowTally {
    let tally = this.tallies.get(schema);
    if (tally === undefined) {
      tally = {
        schema,
        inQueueRequests: 0,
        inQueueSeats: 0,
        executingRequests: 0,
        executingSeats: 0,
        dispatched: 0,
        notAccommodated: 0,
        rejected: { "concurrency-limit": 0, "queue-full": 0, "time-out": 0 },
      };
      this.tallies.set(schema, tally);
    }
    return tally;
  }

  /** Of schemas that are gone nothing is told any more, once their requests are done. */
  forgetTallies(schemas: ReadonlySet<string>): void {
    for (const [schema, { executingSeats, inQueueSeats }] of this.tallies) {
      const isIdle = executingSeats === 0 && inQueueSeats === 0;
      if (isIdle && !schemas.has(schema)) this.tallies.delete(schema);
    }
  }

  /** Ends a period of measuring how many seats are wanted. */
  endPeriod(): void {
    this.demand = this.#demand.endPeriod(this.demand, this.clock.monotonicMs());
  }

  /** Changes limits or queues; those who wait move up at once. */
  apply(current: number): void {
    this.current = current;
    this.queues.configure(this.limiting, current);
  }
}

const neverAborted = new AbortController().signal;
