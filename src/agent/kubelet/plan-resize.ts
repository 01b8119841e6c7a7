/** Which running containers of a pod are to get other resources than they have. Pure. */
import {
  type Actuated,
  noSizes,
  podSizesOf,
  type Sizes,
  sameSizes,
  sizesOf,
} from "./allocation.ts";
import { latestOf, type PodCri } from "./cri-state.ts";
import { type Container, containersOf, type NamedContainer, type Pod } from "./types.ts";

export interface ContainerResize {
  readonly id: string;
  readonly container: Container;
  readonly from: Sizes;
  readonly to: Sizes;
}

export interface ResizePlan {
  /** Running containers that have to start anew, by id, with the name of each. */
  readonly restarts: ReadonlyMap<string, string>;
  /** In the order they are to be done: what gives memory back comes first. */
  readonly memory: readonly ContainerResize[];
  readonly cpu: readonly ContainerResize[];
  /** The pod's own level changes. */
  readonly pod: boolean;
}

type Resource = "cpu" | "memory";

/** Undefined when everything that runs has what it was granted. */
export function planResize(pod: Pod, cri: PodCri, actuated: Actuated): ResizePlan | undefined {
  const restarts = new Map<string, string>();
  const memory: ContainerResize[] = [];
  const cpu: ContainerResize[] = [];
  for (const named of containersOf(pod)) {
    const resize = resizeOf(pod, named, cri, actuated);
    if (resize === undefined) continue;
    const changed = (["cpu", "memory"] as const).filter((name) => changes(resize, name));
    if (changed.some((name) => wantsRestart(named.container, name))) {
      restarts.set(resize.id, named.container.name);
      continue;
    }
    if (changed.includes("memory")) insert(memory, resize, "memory");
    if (changed.includes("cpu")) insert(cpu, resize, "cpu");
  }
  const whole = !sameSizes(actuated.pod, podSizesOf(pod));
  if (restarts.size + memory.length + cpu.length === 0 && !whole) return undefined;
  return { restarts, memory, cpu, pod: whole };
}

function resizeOf(
  pod: Pod,
  { kind, container }: NamedContainer,
  cri: PodCri,
  actuated: Actuated,
): ContainerResize | undefined {
  const latest = latestOf(cri, container.name);
  if (kind === "ephemeral" || latest?.state !== "running") return undefined;
  const to = sizesOf(pod, container);
  const from = actuated.containers[container.name] ?? noSizes;
  return sameSizes(from, to) ? undefined : { id: latest.id, container, from, to };
}

/** Whether a container that is about to start has other resources than its last run had. */
export function startsResized(pod: Pod, container: Container, actuated: Actuated): boolean {
  const before = actuated.containers[container.name];
  return before !== undefined && !sameSizes(before, sizesOf(pod, container));
}

function changes({ from, to }: ContainerResize, resource: Resource): boolean {
  return from[`${resource}Limit`] !== to[`${resource}Limit`] || requests(from, to, resource);
}

function requests(from: Sizes, to: Sizes, resource: Resource): boolean {
  return from[`${resource}Request`] !== to[`${resource}Request`];
}

function wantsRestart({ resizePolicy = [] }: Container, resource: Resource): boolean {
  const policy = resizePolicy.find(({ resourceName }) => resourceName === resource);
  return policy?.restartPolicy === "RestartContainer";
}

/** The limit decides whether a container grows; where it stays, the request does. */
function insert(list: ContainerResize[], resize: ContainerResize, resource: Resource): void {
  const { from, to } = resize;
  const limit = to[`${resource}Limit`] - from[`${resource}Limit`];
  const growth = limit === 0 ? to[`${resource}Request`] - from[`${resource}Request`] : limit;
  if (growth > 0) list.push(resize);
  else list.unshift(resize);
}
