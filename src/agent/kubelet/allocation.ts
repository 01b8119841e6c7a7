/**
 * What this node has granted a pod of cpu and memory, as opposed to what its spec asks for by now:
 * the two differ while a resize waits. Pure.
 */
import { compareQuantity } from "../../lib/quantity.ts";
import { milliCpu, wholeValue } from "./resources.ts";
import { type Container, containersOf, type Pod } from "./types.ts";

type Requirements = NonNullable<Container["resources"]>;
type List = Readonly<Record<string, string>>;

export interface Allocation {
  readonly containers: Readonly<Record<string, Requirements>>;
  /** Absent where the pod as a whole asks for nothing. */
  readonly pod?: Requirements;
}

/** Requests and limits that a resize may change, in thousandths of a core and bytes. */
export interface Sizes {
  readonly cpuRequest: number;
  readonly cpuLimit: number;
  readonly memoryRequest: number;
  readonly memoryLimit: number;
}

export const noSizes: Sizes = { cpuRequest: 0, cpuLimit: 0, memoryRequest: 0, memoryLimit: 0 };

/** What containers and pod cgroup have been given, by container name. */
export interface Actuated {
  readonly containers: Readonly<Record<string, Sizes>>;
  readonly pod: Sizes;
}

export function allocationOf(pod: Pod): Allocation {
  const resizable = containersOf(pod).filter(({ kind }) => kind !== "ephemeral");
  return {
    containers: Object.fromEntries(
      resizable.map(({ container }) => [container.name, container.resources ?? {}]),
    ),
    ...(pod.spec.resources === undefined ? {} : { pod: pod.spec.resources }),
  };
}

/** The pod with the resources it was granted; the same object when it asks for nothing else. */
export function withAllocation(pod: Pod, { containers, pod: whole }: Allocation): Pod {
  const granted = <T extends Container>(list: readonly T[]): readonly T[] =>
    list.map((container) => {
      const resources = containers[container.name];
      if (resources === undefined || sameRequirements(container.resources, resources)) {
        return container;
      }
      return { ...container, resources };
    });
  const { spec } = pod;
  const apps = granted(spec.containers);
  const inits = granted(spec.initContainers ?? []);
  const isSame =
    apps.every((one, index) => one === spec.containers[index]) &&
    inits.every((one, index) => one === spec.initContainers?.[index]) &&
    sameRequirements(spec.resources, whole);
  if (isSame) return pod;
  const { resources: _asked, ...rest } = spec;
  return {
    ...pod,
    spec: {
      ...rest,
      containers: apps,
      ...(inits.length === 0 ? {} : { initContainers: inits }),
      ...(whole === undefined ? {} : { resources: whole }),
    },
  };
}

function sameRequirements(a: Requirements | undefined, b: Requirements | undefined): boolean {
  return sameList(a?.requests, b?.requests) && sameList(a?.limits, b?.limits);
}

function sameList(a: List = {}, b: List = {}): boolean {
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => {
    const [left = "0", right] = [a[name], b[name]];
    return right !== undefined && compareQuantity(left, right) === 0;
  });
}

/** The sizes of a container: what has no limit of its own is held by the pod's. */
export function sizesOf(pod: Pod, container: Container): Sizes {
  const { requests, limits } = container.resources ?? {};
  const whole = pod.spec.resources?.limits;
  return {
    cpuRequest: milliCpu(requests?.cpu),
    cpuLimit: milliCpu(limits?.cpu) || milliCpu(whole?.cpu),
    memoryRequest: wholeValue(requests?.memory),
    memoryLimit: wholeValue(limits?.memory) || wholeValue(whole?.memory),
  };
}

/** The sizes that the pod as a whole asks for; zero where it leaves that to its containers. */
export function podSizesOf({ spec }: Pod): Sizes {
  const { requests, limits } = spec.resources ?? {};
  return {
    cpuRequest: milliCpu(requests?.cpu),
    cpuLimit: milliCpu(limits?.cpu),
    memoryRequest: wholeValue(requests?.memory),
    memoryLimit: wholeValue(limits?.memory),
  };
}

export function sameSizes(a: Sizes, b: Sizes): boolean {
  const names = ["cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit"] as const;
  return names.every((name) => a[name] === b[name]);
}

/** Everything of the pod as if it had been started with what it is granted. */
export function actuatedOf(pod: Pod): Actuated {
  const all = containersOf(pod).filter(({ kind }) => kind !== "ephemeral");
  return {
    containers: Object.fromEntries(
      all.map(({ container }) => [container.name, sizesOf(pod, container)]),
    ),
    pod: podSizesOf(pod),
  };
}
