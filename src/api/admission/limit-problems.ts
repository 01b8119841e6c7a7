/** What is wrong with requests and limits under one item of a LimitRange, in upstream's words. */
import type { LimitRangeItem } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { canonicalQuantity, compareQuantity, parseQuantity } from "../../lib/quantity.ts";

type Item = DeepReadonly<LimitRangeItem>;
type Quantities = Readonly<Record<string, string>>;

export interface Amounts {
  readonly requests: Quantities;
  readonly limits: Quantities;
}

/** Minimum, maximum and ratio for containers and pods. */
export function rangeProblems(item: Item, amounts: Amounts): readonly string[] {
  const one = (name: string) => ({
    request: amounts.requests[name],
    limit: amounts.limits[name],
  });
  const entries = (map: Quantities | undefined) => Object.entries(map ?? {});
  return [
    ...entries(item.min).flatMap(([name, min]) => {
      const { request, limit } = one(name);
      const head = `minimum ${name} usage per ${item.type} is ${canonicalQuantity(min)}`;
      if (request === undefined) return [`${head}.  No request is specified`];
      if (isLess(request, min)) return [`${head}, but request is ${canonicalQuantity(request)}`];
      if (limit === undefined || !isLess(limit, min)) return [];
      return [`${head}, but limit is ${canonicalQuantity(limit)}`];
    }),
    ...entries(item.max).flatMap(([name, max]) => {
      const { request, limit } = one(name);
      const head = `maximum ${name} usage per ${item.type} is ${canonicalQuantity(max)}`;
      if (limit === undefined) return [`${head}.  No limit is specified`];
      if (isLess(max, limit)) return [`${head}, but limit is ${canonicalQuantity(limit)}`];
      if (request === undefined || !isLess(max, request)) return [];
      return [`${head}, but request is ${canonicalQuantity(request)}`];
    }),
    ...entries(item.maxLimitRequestRatio).flatMap(([name, ratio]) =>
      ratioProblems(item, name, ratio, one(name)),
    ),
  ];
}

function ratioProblems(
  item: Item,
  name: string,
  ratio: string,
  {
    request,
    limit,
  }: { readonly request?: string | undefined; readonly limit?: string | undefined },
): readonly string[] {
  const allowed = canonicalQuantity(ratio);
  const head = `${name} max limit to request ratio per ${item.type} is ${allowed}`;
  if (request === undefined || isZero(request)) {
    return [`${head}, but no request is specified or request is 0`];
  }
  if (limit === undefined || isZero(limit)) {
    return [`${head}, but no limit is specified or limit is 0`];
  }
  const observed = Number(parseQuantity(limit).nano) / Number(parseQuantity(request).nano);
  if (observed <= Number(parseQuantity(ratio).nano) / 1e9) return [];
  return [`${head}, but provided ratio is ${observed.toFixed(6)}`];
}

/** Minimum and maximum for claims, which have requests only. */
export function claimProblems(item: Item, requests: Quantities): readonly string[] {
  const head = (word: string, name: string, amount: string): string =>
    `${word} ${name} usage per ${item.type} is ${canonicalQuantity(amount)}`;
  return [
    ...Object.entries(item.min ?? {}).flatMap(([name, min]) => {
      const request = requests[name];
      const start = head("minimum", name, min);
      if (request === undefined) return [`${start}.  No request is specified`];
      if (!isLess(request, min)) return [];
      return [`${start}, but request is ${canonicalQuantity(request)}`];
    }),
    ...Object.entries(item.max ?? {}).flatMap(([name, max]) => {
      const request = requests[name];
      const start = head("maximum", name, max);
      if (request === undefined) return [`${start}.  No request is specified`];
      if (!isLess(max, request)) return [];
      return [`${start}, but request is ${canonicalQuantity(request)}`];
    }),
  ];
}

function isLess(a: string, b: string): boolean {
  return compareQuantity(a, b) < 0;
}

function isZero(text: string): boolean {
  return parseQuantity(text).nano === 0n;
}
