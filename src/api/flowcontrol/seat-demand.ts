/** How many seats a priority level could use over time: mean, spread and peak of each period. */

export interface DemandStats {
  readonly average: number;
  readonly deviation: number;
  readonly highWatermark: number;
  /** Falls slowly after a burst, so that seats do not swing with every lull. */
  readonly smoothed: number;
}

export const noDemand: DemandStats = { average: 0, deviation: 0, highWatermark: 0, smoothed: 0 };

/** With a period of 10 s half of a peak is forgotten after 5 minutes. */
const smoothingCoefficient = 0.977;

/** Integrates a number that changes in steps. */
export class SeatDemand {
  #value = 0;
  #max = 0;
  #lastMs: number;
  #elapsedMs = 0;
  #area = 0;
  #squareArea = 0;

  constructor(nowMs: number) {
    this.#lastMs = nowMs;
  }

  set(value: number, nowMs: number): void {
    this.#pass(nowMs);
    this.#value = value;
    if (value > this.#max) this.#max = value;
  }

  /** Ends the period; the next one begins with the present value. */
  endPeriod(before: DemandStats, nowMs: number): DemandStats {
    this.#pass(nowMs);
    const highWatermark = Math.round(this.#max);
    const elapsedMs = this.#elapsedMs;
    const average = this.#area / elapsedMs;
    const variance = this.#squareArea / elapsedMs - average * average;
    this.#max = this.#value;
    this.#elapsedMs = this.#area = this.#squareArea = 0;
    if (elapsedMs <= 0) return { ...before, highWatermark };
    const deviation = Math.sqrt(Math.max(0, variance));
    const envelope = average + deviation;
    const fading = smoothingCoefficient * before.smoothed + (1 - smoothingCoefficient) * envelope;
    return { average, deviation, highWatermark, smoothed: Math.max(envelope, fading) };
  }

  #pass(nowMs: number): void {
    const passedMs = nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    this.#elapsedMs += passedMs;
    this.#area += this.#value * passedMs;
    this.#squareArea += this.#value * this.#value * passedMs;
  }
}
