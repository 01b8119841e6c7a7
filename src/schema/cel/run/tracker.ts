/** What an evaluation has cost so far. */
import { CostExceeded } from "../fault.ts";

export class Tracker {
  cost = 0;

  constructor(private readonly max: number) {}

  /** @throws CostExceeded once the limit is passed. */
  add(cost: number): void {
    this.cost += cost;
    if (this.cost > this.max) throw new CostExceeded();
  }
}
