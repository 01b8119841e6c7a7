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
  {
    reason: "the server's own parts have the server's name",
    fits: ({ path, upstream, k3 }) =>
      path.endsWith(".manager") && upstream === "kube-apiserver-1.36.4" && k3 === "k3",
  },
  {
    reason: "a required list that nobody gave is empty, not null",
    fits: ({ upstream, k3 }) => upstream === null && JSON.stringify(k3) === "[]",
  },
  {
    reason: "upstream's internal form of a daemon set holds its template generation elsewhere",
    fits: ({ path, upstream }) =>
      upstream === undefined && /\.metadata\.annotations(\.deprecated\.daemonset|$)/.test(path),
  },
];

/** Why this difference is no failure; undefined when it is one. */
export function allowedFor(difference: Difference, exchange: Exchange): string | undefined {
  return allowed.find((one) => one.fits(difference, exchange))?.reason;
}
