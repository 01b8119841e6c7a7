/** How much of each resource pods ask for and nodes have: whole numbers, cpu in thousandths. */
import type { Container, Pod } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { quantityMilliValue, quantityValue } from "../lib/quantity.ts";

export type Amounts = Readonly<Record<string, number>>;
export type LivePod = DeepReadonly<Pod>;

/** What a container is taken to use when it asks for nothing; for scores only. */
const presumed = { cpu: 100, memory: 200 * 1024 * 1024 } as const;

/** Rounded up: half a byte asked for is a byte. */
export function amountOf(resource: string, quantity: string | number): number {
  const text = String(quantity);
  return resource === "cpu" ? quantityMilliValue(text) : quantityValue(text);
}

export function amountsOf(quantities: Readonly<Record<string, string>> | undefined): Amounts {
  const amounts: Record<string, number> = {};
  for (const [resource, quantity] of Object.entries(quantities ?? {})) {
    amounts[resource] = amountOf(resource, quantity);
  }
  return amounts;
}

export function add(a: Amounts, b: Amounts): Amounts {
  const total: Record<string, number> = { ...a };
  for (const [resource, amount] of Object.entries(b)) {
    total[resource] = (total[resource] ?? 0) + amount;
  }
  return total;
}

export function subtract(a: Amounts, b: Amounts): Amounts {
  const rest: Record<string, number> = { ...a };
  for (const [resource, amount] of Object.entries(b)) {
    rest[resource] = (rest[resource] ?? 0) - amount;
  }
  return rest;
}

function max(a: Amounts, b: Amounts): Amounts {
  const most: Record<string, number> = { ...a };
  for (const [resource, amount] of Object.entries(b)) {
    most[resource] = Math.max(most[resource] ?? 0, amount);
  }
  return most;
}

type RequestsOf = (container: DeepReadonly<Container>) => Amounts;

const asked: RequestsOf = (container) => amountsOf(container.resources?.requests);
const askedOrPresumed: RequestsOf = (container) => ({ ...presumed, ...asked(container) });

/**
 * What the pod needs at its peak: all containers with the sidecars, or one init container with
 * the sidecars started before it; plus overhead. Pod-level requests replace the sums.
 */
function podNeeds(pod: LivePod, requestsOf: RequestsOf): Amounts {
  let running: Amounts = {};
  for (const container of pod.spec.containers) running = add(running, requestsOf(container));
  let sidecars: Amounts = {};
  let initPeak: Amounts = {};
  for (const container of pod.spec.initContainers ?? []) {
    const requests = requestsOf(container);
    if (container.restartPolicy === "Always") {
      running = add(running, requests);
      sidecars = add(sidecars, requests);
      initPeak = max(initPeak, sidecars);
    } else {
      initPeak = max(initPeak, add(requests, sidecars));
    }
  }
  const podLevel = amountsOf(pod.spec.resources?.requests);
  return add({ ...max(running, initPeak), ...podLevel }, amountsOf(pod.spec.overhead));
}

/** Pods are asked for again and again while they are placed and counted. */
const known = new WeakMap<LivePod, Amounts>();
const knownPresumed = new WeakMap<LivePod, Amounts>();

export function podRequests(pod: LivePod): Amounts {
  let amounts = known.get(pod);
  if (amounts === undefined) {
    amounts = podNeeds(pod, asked);
    known.set(pod, amounts);
  }
  return amounts;
}

/** Requests with presumed ones for containers without, so that scores tell such pods apart. */
export function podPresumedRequests(pod: LivePod): Amounts {
  let amounts = knownPresumed.get(pod);
  if (amounts === undefined) {
    amounts = podNeeds(pod, askedOrPresumed);
    knownPresumed.set(pod, amounts);
  }
  return amounts;
}
