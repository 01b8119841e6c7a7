/**
 * Shares seats out among priority levels: each gets what it targets times one common proportion,
 * as far as its bounds allow (KEP-1040, "Seat Borrowing").
 */

export interface Claim {
  readonly target: number;
  readonly lowerBound: number;
  readonly upperBound: number;
}

export interface Allocation {
  readonly seats: readonly number[];
  readonly fairProportion: number;
}

/** Targets below this count as this much: nothing is divided by zero. */
const targetMin = 0.001;

/**
 * Allocations that add up to `total`, or the nearest that the bounds let through. Every claim's
 * bounds must be in order and its target not below the lower one.
 */
export function allocate(total: number, claims: readonly Claim[]): Allocation {
  const at = (proportion: number): readonly number[] =>
    claims.map(({ target, lowerBound, upperBound }) =>
      Math.max(lowerBound, Math.min(upperBound, proportion * Math.max(target, targetMin))),
    );
  const sum = (seats: readonly number[]): number => seats.reduce((all, one) => all + one, 0);
  // The sum grows with the proportion and bends only where a claim reaches one of its bounds.
  const bends = claims
    .flatMap(({ target, lowerBound, upperBound }) => {
      const divisor = Math.max(target, targetMin);
      return [lowerBound / divisor, upperBound / divisor];
    })
    .sort((a, b) => a - b);
  let below = 0;
  let sumBelow = sum(at(0));
  for (const bend of bends) {
    const sumHere = sum(at(bend));
    if (sumHere >= total) {
      const rise = sumHere - sumBelow;
      const part = rise === 0 ? 1 : (total - sumBelow) / rise;
      const fairProportion = below + (bend - below) * Math.max(0, part);
      return { seats: at(fairProportion), fairProportion };
    }
    below = bend;
    sumBelow = sumHere;
  }
  return { seats: at(below), fairProportion: below };
}
