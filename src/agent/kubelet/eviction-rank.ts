/** Which pod goes first when the node runs out of something, and what it is told. Pure. */
import {
  amountOf,
  type Observations,
  printed,
  type StarvedResource,
  signals,
  type Threshold,
} from "./eviction-thresholds.ts";
import { podRequest, wholeValue } from "./resources.ts";
import { containersOf, type Pod } from "./types.ts";

export interface DiskUse {
  readonly bytes: number;
  readonly inodes: number;
}

export interface ContainerPressure {
  readonly name: string;
  readonly memoryBytes: number | undefined;
  readonly root: DiskUse;
  readonly logs: DiskUse;
}

/** What one pod uses. */
export interface PodPressure {
  readonly memoryBytes: number | undefined;
  readonly processes: number;
  readonly volumes: DiskUse;
  readonly containers: readonly ContainerPressure[];
}

export interface Candidate {
  readonly pod: Pod;
  /** Undefined for a pod that nobody has measured: it goes first. */
  readonly use: PodPressure | undefined;
}

/** Parts of a pod's disk use that lie on the file system in question. */
type DiskPart = "root" | "logs" | "volumes";

function partsOf(signal: Threshold["signal"], hasImageFs: boolean): readonly DiskPart[] {
  if (!hasImageFs) return ["root", "logs", "volumes"];
  return signal.startsWith("nodefs.") ? ["logs", "volumes"] : ["root"];
}

/** The first in the list is the first to go. */
export function ranked(
  candidates: readonly Candidate[],
  signal: Threshold["signal"],
  hasImageFs: boolean,
): readonly Candidate[] {
  const { resource } = signals[signal];
  const parts = partsOf(signal, hasImageFs);
  const priority = ({ pod }: Candidate): number => pod.spec.priority ?? 0;
  const used = ({ use }: Candidate): number =>
    use === undefined ? 0 : useOf(use, resource, parts);
  const asked = ({ pod }: Candidate, name: string): number => podRequest(pod, name);
  // Processes are asked for by nobody; inodes neither, but they count against the disk's request.
  const request = resource === "pids" ? "" : resource === "inodes" ? "ephemeral-storage" : resource;
  const exceeds = (one: Candidate): boolean =>
    resource !== "pids" && used(one) > (resource === "inodes" ? 0 : asked(one, resource));
  const above = (one: Candidate): number => used(one) - (request === "" ? 0 : asked(one, request));
  return candidates.toSorted(
    (a, b) =>
      Number(b.use === undefined) - Number(a.use === undefined) ||
      Number(exceeds(b)) - Number(exceeds(a)) ||
      priority(a) - priority(b) ||
      above(b) - above(a),
  );
}

function useOf(use: PodPressure, resource: StarvedResource, parts: readonly DiskPart[]): number {
  if (resource === "memory") return use.memoryBytes ?? 0;
  if (resource === "pids") return use.processes;
  const unit = resource === "inodes" ? "inodes" : "bytes";
  const held = (part: DiskPart): number =>
    part === "volumes"
      ? use.volumes[unit]
      : use.containers.reduce((sum, container) => sum + container[part][unit], 0);
  return parts.reduce((sum, part) => sum + held(part), 0);
}

export interface EvictionMessage {
  readonly message: string;
  readonly annotations: Readonly<Record<string, string>>;
}

export function evictionMessage(
  { pod, use }: Candidate,
  resource: StarvedResource,
  thresholds: readonly Threshold[],
  observations: Observations,
): EvictionMessage {
  let message = `The node was low on resource: ${resource}. `;
  message += figures(resource, thresholds, observations);
  if (use === undefined) return { message, annotations: {} };
  const offending: Record<string, string> = {};
  const whole = pod.spec.resources?.requests?.[resource];
  if (resource === "memory" && whole !== undefined && use.memoryBytes !== undefined) {
    const usage = printed(resource, use.memoryBytes);
    message += larger(`Pod ${pod.metadata.name}`, usage, whole, resource);
    offending.offending_pod = pod.metadata.name ?? "";
    offending.offending_pod_usage = usage;
  }
  const exceeded = use.containers.flatMap((container) => {
    const named = containersOf(pod).find((one) => one.container.name === container.name);
    const usage = containerUse(container, resource);
    if (named === undefined || named.kind === "ephemeral" || usage === undefined) return [];
    const request = named.container.resources?.requests?.[resource] ?? "0";
    if (usage <= wholeValue(request)) return [];
    return [{ name: container.name, usage: printed(resource, usage), request }];
  });
  for (const { name, usage, request } of exceeded) {
    message += larger(`Container ${name}`, usage, request, resource);
  }
  return {
    message,
    annotations: {
      ...offending,
      offending_containers: exceeded.map(({ name }) => name).join(","),
      offending_containers_usage: exceeded.map(({ usage }) => usage).join(","),
      starved_resource: resource,
    },
  };
}

function figures(
  resource: StarvedResource,
  thresholds: readonly Threshold[],
  observations: Observations,
): string {
  const met = thresholds.find(({ signal }) => signals[signal].resource === resource);
  const seen = met === undefined ? undefined : observations.get(met.signal);
  if (met === undefined || seen === undefined) return "";
  const quantity = printed(resource, amountOf(met.value, seen.capacity));
  return `Threshold quantity: ${quantity}, available: ${printed(resource, seen.available)}. `;
}

function larger(what: string, usage: string, request: string, resource: string): string {
  const figure = `was using ${usage}, request is ${request}`;
  return `${what} ${figure}, has larger consumption of ${resource}. `;
}

function containerUse(use: ContainerPressure, resource: StarvedResource): number | undefined {
  if (resource === "memory") return use.memoryBytes;
  if (resource === "ephemeral-storage") return use.root.bytes + use.logs.bytes;
  return undefined;
}
