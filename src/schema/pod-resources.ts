/** What a pod asks for and may use at most, over all of its containers. Exact. */
import type { Container, Pod } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { addQuantity, compareQuantity } from "../lib/quantity.ts";

type LivePod = DeepReadonly<Pod>;
export type Quantities = Readonly<Record<string, string>>;

export function addQuantities(a: Quantities, b: Quantities): Quantities {
  const total: Record<string, string> = { ...a };
  for (const [name, amount] of Object.entries(b)) {
    const before = total[name];
    total[name] = before === undefined ? amount : addQuantity(before, amount);
  }
  return total;
}

function largest(a: Quantities, b: Quantities): Quantities {
  const most: Record<string, string> = { ...a };
  for (const [name, amount] of Object.entries(b)) {
    const before = most[name];
    if (before === undefined || compareQuantity(before, amount) < 0) most[name] = amount;
  }
  return most;
}

type Kind = "requests" | "limits";

function ofContainer(container: DeepReadonly<Container>, kind: Kind): Quantities {
  return container.resources?.[kind] ?? {};
}

/**
 * The peak: all containers with the sidecars, or one init container with the sidecars started
 * before it; the pod's own level replaces the sums, overhead comes on top.
 */
function podTotal({ spec }: LivePod, kind: Kind): Quantities {
  let running: Quantities = {};
  for (const container of spec.containers) {
    running = addQuantities(running, ofContainer(container, kind));
  }
  let sidecars: Quantities = {};
  let starting: Quantities = {};
  for (const container of spec.initContainers ?? []) {
    const amounts = ofContainer(container, kind);
    if (container.restartPolicy === "Always") {
      running = addQuantities(running, amounts);
      sidecars = addQuantities(sidecars, amounts);
      starting = largest(starting, sidecars);
    } else {
      starting = largest(starting, addQuantities(sidecars, amounts));
    }
  }
  const total = { ...largest(running, starting), ...spec.resources?.[kind] };
  if (kind === "requests") return addQuantities(total, spec.overhead ?? {});
  // Overhead raises a limit that is there, it makes none.
  const overhead = Object.entries(spec.overhead ?? {}).filter(([name]) => name in total);
  return addQuantities(total, Object.fromEntries(overhead));
}

export function podRequests(pod: LivePod): Quantities {
  return podTotal(pod, "requests");
}

export function podLimits(pod: LivePod): Quantities {
  return podTotal(pod, "limits");
}

/** True when no container asks for or limits cpu or memory. */
export function isBestEffort({ spec }: LivePod): boolean {
  const lists = [...spec.containers, ...(spec.initContainers ?? []), spec]
    .map(({ resources }) => resources)
    .flatMap((resources) => [resources?.requests ?? {}, resources?.limits ?? {}]);
  return lists.every((list) =>
    ["cpu", "memory"].every((name) => compareQuantity(list[name] ?? "0", "0") === 0),
  );
}
