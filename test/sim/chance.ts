/** What goes wrong by the seed, until it is switched off. */
import type { Random } from "../../src/runtime/runtime.ts";

export class Chance {
  #on = true;

  constructor(private readonly random: Random) {}

  /** Nothing goes wrong any more. */
  off(): void {
    this.#on = false;
  }

  percent(likely: number): boolean {
    return this.#on && this.random.int(100) < likely;
  }
}
