/** Differences that stay, each with its reason. */
import type { Exchange } from "./client.ts";
import type { Difference } from "./compare.ts";

interface Allowed {
  readonly reason: string;
  fits(difference: Difference, exchange: Exchange): boolean;
}

const allowed: readonly Allowed[] = [
  {
    reason: "k3 does not tell flow schema and priority level yet",
    fits: ({ path }) => path.startsWith(".headers.x-kubernetes-pf-"),
  },
];

/** Why this difference is no failure; undefined when it is one. */
export function allowedFor(difference: Difference, exchange: Exchange): string | undefined {
  return allowed.find((one) => one.fits(difference, exchange))?.reason;
}
