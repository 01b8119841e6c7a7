/** What the status tells of a pod's resources: those it runs with, not those it asks for. Pure. */
import type * as core from "../../gen/core-v1.ts";
import { compareQuantity, formatQuantity } from "../../lib/quantity.ts";
import { podLimits, podRequests } from "../../schema/pod-resources.ts";
import type { Actuated } from "./allocation.ts";
import type { ContainerState } from "./cri-state.ts";
import { milliCpu, type PodResources, quotaPeriodUs } from "./resources.ts";
import type { Container, Pod } from "./types.ts";

type List = Record<string, string>;
type ReadList = Readonly<List>;

const limits = {
  /** Below these the kernel has one value for all. */
  requestMilliMin: 2,
  limitMilliMin: 10,
  sharesPerCpu: 1024,
} as const;
const nanosPerMilli = 1_000_000n;
const nanosPerUnit = 1_000_000_000n;

export function containerResourceStatus(
  container: Container,
  latest: ContainerState,
  actuated: Actuated,
): Partial<core.ContainerStatus> {
  const { requests, limits: asked } = container.resources ?? {};
  return {
    ...(requests === undefined ? {} : { allocatedResources: { ...requests } }),
    // There even when empty: what runs has been given what it asked for.
    resources: {
      ...(requests === undefined ? {} : { requests: given(container, latest, actuated) }),
      ...(asked === undefined ? {} : { limits: held(asked, latest) }),
    },
  };
}

function given({ name, resources }: Container, latest: ContainerState, actuated: Actuated): List {
  const { requests = {} } = resources ?? {};
  if (latest.state !== "running") return { ...requests };
  const shares = latest.resources?.cpuShares ?? 0;
  const memory = actuated.containers[name]?.memoryRequest ?? 0;
  const withCpu = shares === 0 ? requests : withRequest(requests, shares);
  return memory === 0 ? { ...withCpu } : put(withCpu, "memory", bytes(memory));
}

function held(asked: ReadList, { state, resources }: ContainerState): List {
  if (state !== "running" || resources === undefined) return { ...asked };
  const { cpuQuotaUs, cpuPeriodUs, memoryLimitBytes } = resources;
  const cpu = withLimit(asked, cpuQuotaUs, cpuPeriodUs);
  return memoryLimitBytes > 0 ? put(cpu, "memory", bytes(memoryLimitBytes)) : cpu;
}

/** Status of the pod as a whole. */
export function podResourceStatus(
  pod: Pod,
  phase: string,
  cgroup: PodResources | undefined,
): Pick<core.PodStatus, "resources" | "allocatedResources"> {
  const requests = podRequests(pod);
  const effective = { requests: { ...requests }, limits: { ...podLimits(pod) } };
  const runs = phase === "Running" && cgroup !== undefined;
  return {
    resources: runs ? running(pod, requests, cgroup) : effective,
    // The API keeps no empty map: one that is told would be told again and again.
    ...(Object.keys(requests).length === 0 ? {} : { allocatedResources: { ...requests } }),
  };
}

function running(pod: Pod, summed: ReadList, cgroup: PodResources): core.ResourceRequirements {
  const { requests = {}, limits: asked = {} } = pod.spec.resources ?? {};
  const cpu = withRequest(requests, cgroup.cpuShares);
  const { memory = summed.memory } = requests;
  const limited = withLimit(asked, cgroup.cpuQuotaUs, quotaPeriodUs);
  const { memoryLimitBytes } = cgroup;
  return {
    requests: memory === undefined ? cpu : put(cpu, "memory", memory),
    limits: memoryLimitBytes > 0 ? put(limited, "memory", bytes(memoryLimitBytes)) : limited,
  };
}

function withRequest(requests: ReadList, shares: number): List {
  const milli = Math.ceil((shares * 1000) / limits.sharesPerCpu);
  const isSmall = Math.max(milli, milliCpu(requests.cpu)) <= limits.requestMilliMin;
  return isSmall ? { ...requests } : put(requests, "cpu", cores(milli));
}

function withLimit(list: ReadList, quotaUs: number, periodUs: number): List {
  if (quotaUs <= 0 || periodUs <= 0) return { ...list };
  const milli = Math.floor((quotaUs * 1000) / periodUs);
  const isSmall = Math.max(milli, milliCpu(list.cpu)) <= limits.limitMilliMin;
  return isSmall ? { ...list } : put(list, "cpu", cores(milli));
}

/** An amount that means the same stays as it was written. */
function put(list: ReadList, name: string, amount: string): List {
  const before = list[name];
  if (before !== undefined && compareQuantity(before, amount) === 0) return { ...list };
  return { ...list, [name]: amount };
}

function cores(milli: number): string {
  return formatQuantity({ nano: BigInt(milli) * nanosPerMilli, format: "DecimalSI" });
}

function bytes(amount: number): string {
  return formatQuantity({ nano: BigInt(amount) * nanosPerUnit, format: "BinarySI" });
}
