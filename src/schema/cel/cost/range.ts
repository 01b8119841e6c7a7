/** Estimates: from the least to the most; infinity where nobody knows. */

export interface Estimate {
  readonly min: number;
  readonly max: number;
}

/** Upstream counts in 64 bits and stops at the largest number. */
export const unlimited = 2 ** 64;

export const unknownSize: Estimate = { min: 0, max: unlimited };
export const none: Estimate = { min: 0, max: 0 };

export function exactly(value: number): Estimate {
  return { min: value, max: value };
}

function capped(value: number): number {
  return Math.min(value, unlimited);
}

export function add(...all: readonly Estimate[]): Estimate {
  return all.reduce((a, b) => ({ min: capped(a.min + b.min), max: capped(a.max + b.max) }), none);
}

export function multiply(a: Estimate, b: Estimate): Estimate {
  return { min: capped(a.min * b.min), max: capped(a.max * b.max) };
}

/** Every unit of `size` costs `factor`. */
export function scaled(size: Estimate, factor: number): Estimate {
  return { min: capped(Math.ceil(size.min * factor)), max: capped(Math.ceil(size.max * factor)) };
}

export function union(a: Estimate, b: Estimate): Estimate {
  return { min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) };
}
