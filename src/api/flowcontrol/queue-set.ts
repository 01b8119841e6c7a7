/**
 * Fair queuing for one priority level (KEP-1040): requests of one flow go to one of a few queues,
 * and seats are given to the queue that has had the least work done, in virtual time. Only queues
 * in use exist; an idle one would start anew from the present virtual time anyway.
 */
import { deal, hashFlow } from "./shuffle-sharding.ts";

/** What a level does with those it has no seat for. */
export type Limiting =
  | { readonly type: "exempt" }
  | { readonly type: "reject" }
  | {
      readonly type: "queue";
      readonly queues: number;
      readonly handSize: number;
      readonly queueLengthLimit: number;
    };

/** How many seats a request takes while it is served, and how many for a while after that. */
export interface WorkEstimate {
  readonly initialSeats: number;
  readonly finalSeats: number;
  readonly additionalLatencyMs: number;
}

/** Why a request is turned away, in the words of upstream's metric. */
export type RejectReason = "concurrency-limit" | "queue-full" | "time-out";

/** What is counted for the requests of one flow schema. */
export interface FlowTally {
  readonly schema: string;
  inQueueRequests: number;
  inQueueSeats: number;
  executingRequests: number;
  executingSeats: number;
  dispatched: number;
  notAccommodated: number;
  readonly rejected: Record<RejectReason, number>;
}

export interface Arrival {
  readonly tally: FlowTally;
  readonly work: WorkEstimate;
  readonly distinguisher: string;
  /** Who asks for what, for dumps. */
  readonly about: unknown;
}

/** A request that was let in: it waits for its seats, has them, or is gone. */
export interface SeatedRequest extends Arrival {
  state: "waiting" | "executing" | "gone";
  /** The most that it takes at any time. */
  seats: number;
  readonly totalWork: number;
  readonly arrivedMs: number;
  readonly arrivalR: number;
  readonly queue: Queue | undefined;
  finalSeats: number;
  additionalLatencyMs: number;
  startedMs: number;
  /** Called once when the wait is over; true when it may be served. */
  decided: ((execute: boolean) => void) | undefined;
}

export interface Queue {
  readonly index: number;
  readonly waiting: SeatedRequest[];
  readonly executing: Set<SeatedRequest>;
  seatsInUse: number;
  /** The reading of the progress meter at which the next one is dispatched. */
  nextDispatchR: number;
}

export interface QueueSetOptions {
  readonly limiting: Limiting;
  readonly concurrencyLimit: number;
  readonly nowMs: () => number;
  /** Runs `then` after `ms`. */
  readonly after: (ms: number, then: () => void) => void;
  /** Told whenever the number of seats in use or asked for changes. */
  readonly onDemand: (seats: number, nowMs: number) => void;
}

/** What a request is thought to take before anything is known of it. */
const estimatedServiceSeconds = 0.003;
/** Larger than the index of any queue. */
const indexesMax = 2 ** 30;
const limits = { handsMax: 1024 } as const;

export class QueueSet {
  readonly #queues = new Map<number, Queue>();
  readonly #queueless = new Set<SeatedRequest>();
  /** The hands of flows seen lately: dealing takes longer than all the rest. */
  readonly #hands = new Map<string, readonly number[]>();
  #limiting: Limiting;
  #concurrencyLimit: number;
  /** Seat-seconds given to each queue so far: the virtual time. */
  #currentR = 0;
  #lastMs: number;
  #robin = -1;
  #activeQueues = 0;
  #waiting = 0;
  #executing = 0;
  #seatsInUse = 0;
  #seatsWaiting = 0;
  #enqueued = 0;
  #rejected = 0;
  #cancelled = 0;
  #dispatched = 0;

  constructor(private readonly options: QueueSetOptions) {
    this.#limiting = options.limiting;
    this.#concurrencyLimit = options.concurrencyLimit;
    this.#lastMs = options.nowMs();
  }

  get isIdle(): boolean {
    return this.#waiting === 0 && this.#executing === 0;
  }

  /** The state as the debugging dumps show it. */
  dump() {
    return {
      queues: this.#queues as ReadonlyMap<number, Queue>,
      queueless: this.#queueless as ReadonlySet<SeatedRequest>,
      waiting: this.#waiting,
      executing: this.#executing,
      dispatched: this.#dispatched,
      rejected: this.#rejected,
      cancelled: this.#cancelled,
      currentR: this.#currentR,
    };
  }

  configure(limiting: Limiting, concurrencyLimit: number): void {
    this.#syncTime();
    this.#hands.clear();
    this.#limiting = limiting;
    this.#concurrencyLimit = concurrencyLimit;
    this.#dispatchAll();
  }

  /** Undefined when the request is turned away. It may have its seats at once. */
  start(arrival: Arrival): SeatedRequest | undefined {
    const nowMs = this.#syncTime();
    const seats = Math.max(arrival.work.initialSeats, arrival.work.finalSeats);
    if (this.#limiting.type !== "queue") {
      if (!this.#canSeat(seats)) return this.#reject(arrival, "concurrency-limit");
      const request = this.#requestOf(arrival, seats, nowMs, undefined);
      this.#queueless.add(request);
      this.#execute(request, nowMs);
      return request;
    }
    const queue = this.#chooseQueue(arrival, this.#limiting);
    const isFull = queue.waiting.length >= this.#limiting.queueLengthLimit;
    if (isFull && this.#seatsInUse >= this.#concurrencyLimit) {
      return this.#reject(arrival, "queue-full");
    }
    const request = this.#requestOf(arrival, seats, nowMs, queue);
    this.#enqueue(queue, request);
    this.#dispatchAll();
    return request;
  }

  /** Takes a request that still waits out of its queue. */
  cancel(request: SeatedRequest): void {
    const { queue } = request;
    if (request.state !== "waiting" || queue === undefined) return;
    this.#syncTime();
    queue.waiting.splice(queue.waiting.indexOf(request), 1);
    this.#leaveQueue(request);
    request.state = "gone";
    this.#rejected += 1;
    this.#cancelled += 1;
    request.tally.rejected["time-out"] += 1;
    this.#bound(queue);
    this.#rest(queue);
    this.#tellDemand();
    request.decided?.(false);
  }

  /** The request was served; its seats go to others, some of them a little later. */
  finish(request: SeatedRequest): void {
    if (request.state !== "executing") return;
    const nowMs = this.#syncTime();
    request.state = "gone";
    this.#executing -= 1;
    request.tally.executingRequests -= 1;
    const { queue, additionalLatencyMs } = request;
    if (queue === undefined) this.#queueless.delete(request);
    else {
      queue.executing.delete(request);
      const serviceSeconds = (nowMs - request.startedMs) / 1000;
      const early = estimatedServiceSeconds - serviceSeconds;
      queue.nextDispatchR -= request.work.initialSeats * early;
      this.#bound(queue);
      if (!isActive(queue)) this.#activeQueues -= 1;
    }
    if (additionalLatencyMs <= 0) this.#release(request);
    else {
      this.options.after(additionalLatencyMs, () => {
        this.#syncTime();
        this.#release(request);
        this.#dispatchAll();
      });
    }
    this.#dispatchAll();
  }

  #reject(arrival: Arrival, reason: RejectReason): undefined {
    this.#rejected += 1;
    arrival.tally.rejected[reason] += 1;
  }

  #requestOf(
    arrival: Arrival,
    seats: number,
    arrivedMs: number,
    queue: Queue | undefined,
  ): SeatedRequest {
    const { tally, work, distinguisher, about } = arrival;
    const { initialSeats, finalSeats, additionalLatencyMs } = work;
    return {
      tally,
      work,
      distinguisher,
      about,
      state: "waiting",
      seats,
      totalWork: initialSeats * estimatedServiceSeconds + (finalSeats * additionalLatencyMs) / 1000,
      arrivedMs,
      arrivalR: this.#currentR,
      queue,
      finalSeats,
      additionalLatencyMs,
      startedMs: 0,
      decided: undefined,
    };
  }

  /** Of the flow's hand the queue with the least work waiting. */
  #chooseQueue(
    { tally, distinguisher }: Arrival,
    limiting: Limiting & { readonly type: "queue" },
  ): Queue {
    const hand = this.#handOf(tally.schema, distinguisher, limiting);
    // The look at the hand begins elsewhere each time, or overlapping hands would favour a queue.
    const offset = this.#enqueued++ % hand.length;
    let best = -1;
    let leastWork = Number.POSITIVE_INFINITY;
    for (let i = 0; i < hand.length; i++) {
      const index = hand[(offset + i) % hand.length] ?? 0;
      const work = workWaiting(this.#queues.get(index));
      if (work >= leastWork) continue;
      leastWork = work;
      best = index;
    }
    return (
      this.#queues.get(best) ?? {
        index: best,
        waiting: [],
        executing: new Set(),
        seatsInUse: 0,
        nextDispatchR: this.#currentR,
      }
    );
  }

  #handOf(
    schema: string,
    distinguisher: string,
    { queues, handSize }: Limiting & { readonly type: "queue" },
  ): readonly number[] {
    const flow = `${schema}\0${distinguisher}`;
    let hand = this.#hands.get(flow);
    if (hand === undefined) {
      hand = deal(hashFlow(schema, distinguisher), queues, handSize);
      if (this.#hands.size >= limits.handsMax) this.#hands.clear();
      this.#hands.set(flow, hand);
    }
    return hand;
  }

  #enqueue(queue: Queue, request: SeatedRequest): void {
    if (!isActive(queue)) {
      this.#queues.set(queue.index, queue);
      this.#activeQueues += 1;
      queue.nextDispatchR = this.#currentR;
    }
    queue.waiting.push(request);
    this.#waiting += 1;
    this.#seatsWaiting += request.seats;
    request.tally.inQueueRequests += 1;
    request.tally.inQueueSeats += request.seats;
    this.#bound(queue);
    this.#tellDemand();
  }

  #leaveQueue({ seats, tally }: SeatedRequest): void {
    this.#waiting -= 1;
    this.#seatsWaiting -= seats;
    tally.inQueueRequests -= 1;
    tally.inQueueSeats -= seats;
  }

  #dispatchAll(): void {
    while (this.#waiting > 0 && this.#seatsInUse < this.#concurrencyLimit) {
      const queue = this.#nextQueue();
      const request = queue?.waiting[0];
      if (queue === undefined || request === undefined) return;
      if (!this.#canSeat(request.seats)) {
        request.tally.notAccommodated += 1;
        return;
      }
      queue.waiting.shift();
      this.#robin = queue.index;
      this.#leaveQueue(request);
      this.#narrow(request);
      queue.executing.add(request);
      queue.seatsInUse += request.seats;
      queue.nextDispatchR += request.totalWork;
      this.#bound(queue);
      this.#execute(request, this.#lastMs);
      request.decided?.(true);
    }
  }

  /** The queue whose oldest request would be done first in virtual time, in turns among equals. */
  #nextQueue(): Queue | undefined {
    let best: Queue | undefined;
    let bestFinish = Number.POSITIVE_INFINITY;
    let bestTurn = Number.POSITIVE_INFINITY;
    for (const queue of this.#queues.values()) {
      const oldest = queue.waiting[0];
      if (oldest === undefined) continue;
      if (this.#waiting === 1) return queue;
      const finish = queue.nextDispatchR + oldest.totalWork;
      const turn = queue.index > this.#robin ? queue.index : queue.index + indexesMax;
      if (finish > bestFinish || (finish === bestFinish && turn > bestTurn)) continue;
      best = queue;
      bestFinish = finish;
      bestTurn = turn;
    }
    return best;
  }

  /** Nobody lingers on more seats than there are: the same work takes longer instead. */
  #narrow(request: SeatedRequest): void {
    if (request.finalSeats <= this.#concurrencyLimit) return;
    request.additionalLatencyMs *= request.finalSeats / this.#concurrencyLimit;
    request.finalSeats = this.#concurrencyLimit;
    request.seats = Math.max(request.work.initialSeats, request.finalSeats);
  }

  #execute(request: SeatedRequest, nowMs: number): void {
    request.state = "executing";
    request.startedMs = nowMs;
    this.#executing += 1;
    this.#seatsInUse += request.seats;
    this.#dispatched += 1;
    request.tally.dispatched += 1;
    request.tally.executingRequests += 1;
    request.tally.executingSeats += request.seats;
    this.#tellDemand();
  }

  #release(request: SeatedRequest): void {
    const { queue, seats, tally } = request;
    this.#seatsInUse -= seats;
    tally.executingSeats -= seats;
    this.#tellDemand();
    if (queue === undefined) return;
    queue.seatsInUse -= seats;
    this.#forget(queue);
  }

  /** A queue that lost its last waiting request may be of no use any more. */
  #rest(queue: Queue): void {
    if (isActive(queue)) return;
    this.#activeQueues -= 1;
    this.#forget(queue);
  }

  #forget(queue: Queue): void {
    if (!isActive(queue) && queue.seatsInUse === 0) this.#queues.delete(queue.index);
  }

  #canSeat(seats: number): boolean {
    if (this.#limiting.type === "exempt") return true;
    // Who wants more than there is gets everything, once it is free.
    if (seats > this.#concurrencyLimit) return this.#executing === 0;
    return this.#seatsInUse + seats <= this.#concurrencyLimit;
  }

  /** Dispatch in virtual time never comes before arrival, however little a queue has used. */
  #bound(queue: Queue): void {
    const oldest = queue.waiting[0];
    if (oldest !== undefined && queue.nextDispatchR < oldest.arrivalR) {
      queue.nextDispatchR = oldest.arrivalR;
    }
  }

  /** Virtual time runs as fast as each queue in use gets seats. */
  #syncTime(): number {
    const nowMs = this.options.nowMs();
    if (this.#activeQueues > 0) {
      const wanted = Math.min(this.#seatsInUse + this.#seatsWaiting, this.#concurrencyLimit);
      this.#currentR += ((wanted / this.#activeQueues) * (nowMs - this.#lastMs)) / 1000;
    }
    this.#lastMs = nowMs;
    return nowMs;
  }

  #tellDemand(): void {
    this.options.onDemand(this.#seatsInUse + this.#seatsWaiting, this.#lastMs);
  }
}

function isActive(queue: Queue): boolean {
  return queue.waiting.length > 0 || queue.executing.size > 0;
}

function workWaiting(queue: Queue | undefined): number {
  if (queue === undefined) return 0;
  let work = 0;
  for (const request of queue.waiting) work += request.totalWork;
  return work;
}
