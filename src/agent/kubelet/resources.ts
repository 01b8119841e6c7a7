/** Requests and limits as cgroup numbers, and the quality-of-service class they amount to. Pure. */
import { type Container, containersOf, isSidecar, type NamedContainer, type Pod } from "./types.ts";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

const suffixes: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** The value of a quantity that validation let through; 0 for none. */
export function quantityValue(quantity: string | undefined): number {
  const parts = quantity?.match(/^([+-]?[0-9.]+)(?:[eE]([+-]?[0-9]+))?([KMGTPE]i|[numkMGTPE]?)$/);
  if (parts === null || parts === undefined) return 0;
  const [, number = "0", exponent = "0", suffix = ""] = parts;
  return Number(number) * 10 ** Number(exponent) * (suffixes[suffix] ?? 1);
}

/** Thousandths of a core, rounded up. */
export function milliCpu(quantity: string | undefined): number {
  // 1e-9 forgives what binary fractions add to a whole number of thousandths.
  return Math.ceil(quantityValue(quantity) * 1000 - 1e-9);
}

export function wholeValue(quantity: string | undefined): number {
  return Math.ceil(quantityValue(quantity) - 1e-9);
}

type Resource = "cpu" | "memory";

function requestOf(container: Container, resource: string): string | undefined {
  const { requests, limits } = container.resources ?? {};
  return requests?.[resource] ?? limits?.[resource];
}

/** Upstream's `ComputePodQOS`, over init containers and containers. */
export function qosClassOf(pod: Pod): QosClass {
  const whole = pod.spec.resources;
  const holders = containersOf(pod).filter((named) => named.kind !== "ephemeral");
  const all =
    whole?.requests !== undefined || whole?.limits !== undefined
      ? [{ resources: whole }]
      : holders.map((named) => named.container);
  const names: readonly Resource[] = ["cpu", "memory"];
  const isSet = (value: string | undefined): boolean => quantityValue(value) > 0;
  const any = all.some(({ resources }) =>
    names.some((name) => isSet(resources?.requests?.[name]) || isSet(resources?.limits?.[name])),
  );
  if (!any) return "BestEffort";
  const guaranteed = all.every(({ resources }) =>
    names.every((name) => {
      const limit = resources?.limits?.[name];
      const request = resources?.requests?.[name] ?? limit;
      return isSet(limit) && quantityValue(request) === quantityValue(limit);
    }),
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}

const sharesPerCpu = 1024;
const sharesMin = 2;
const sharesMax = 262_144;
export const quotaPeriodUs = 100_000;
const quotaUsMin = 1_000;

export function cpuShares(milli: number): number {
  if (milli === 0) return sharesMin;
  return Math.min(sharesMax, Math.max(sharesMin, Math.floor((milli * sharesPerCpu) / 1000)));
}

/** 0 means no quota. */
export function cpuQuotaUs(milli: number): number {
  return milli === 0 ? 0 : Math.max(quotaUsMin, Math.floor((milli * quotaPeriodUs) / 1000));
}

/** The kernel picks victims by this: upstream's table of the three classes. */
export function oomScore(pod: Pod, container: Container, memoryCapacityBytes: number): number {
  const critical = (pod.spec.priority ?? 0) >= 2_000_000_000;
  if (critical) return -997;
  const qos = qosClassOf(pod);
  if (qos === "Guaranteed") return -997;
  if (qos === "BestEffort") return 1000;
  const request = wholeValue(requestOf(container, "memory"));
  const score = 1000 - Math.floor((1000 * request) / memoryCapacityBytes);
  return Math.min(999, Math.max(3, score));
}

export interface ContainerResources {
  readonly cpuShares: number;
  readonly cpuQuotaUs: number;
  readonly memoryLimitBytes: number;
  readonly hugepageLimits: readonly { readonly pageSize: string; readonly limitBytes: number }[];
}

export function containerResources(pod: Pod, container: Container): ContainerResources {
  const limits = container.resources?.limits ?? {};
  const whole = pod.spec.resources?.limits ?? {};
  // What has no limit of its own is held by the pod's.
  const limitOf = (name: Resource): string | undefined =>
    quantityValue(limits[name]) > 0 ? limits[name] : whole[name];
  const huge = Object.entries(limits).filter(([name]) => name.startsWith("hugepages-"));
  return {
    cpuShares: cpuShares(milliCpu(container.resources?.requests?.cpu ?? limitOf("cpu"))),
    cpuQuotaUs: cpuQuotaUs(milliCpu(limitOf("cpu"))),
    memoryLimitBytes: wholeValue(limitOf("memory")),
    hugepageLimits: huge.map(([name, value]) => ({
      // The kernel says 2MB where Kubernetes says 2Mi.
      pageSize: name.replace("hugepages-", "").replace(/i$/, "B"),
      limitBytes: wholeValue(value),
    })),
  };
}

export interface PodResources {
  readonly cpuShares: number;
  /** 0 where a container has no limit: then the pod has none either. */
  readonly cpuQuotaUs: number;
  readonly memoryLimitBytes: number;
}

/** Whether a pod cgroup that holds `now` is as `wanted`; a limit that is gone is not taken back. */
export function samePodResources(now: PodResources, wanted: PodResources): boolean {
  const isKept = (before: number, after: number): boolean => after === 0 || before === after;
  return (
    now.cpuShares === wanted.cpuShares &&
    isKept(now.cpuQuotaUs, wanted.cpuQuotaUs) &&
    isKept(now.memoryLimitBytes, wanted.memoryLimitBytes)
  );
}

/** The sum over what runs together, or the largest init container where that is more. */
function podSum(pod: Pod, value: (container: Container) => number): number {
  const together = containersOf(pod).filter((named) => named.kind === "app" || isSidecar(named));
  const total = together.reduce((all, named) => all + value(named.container), 0);
  // An init container runs beside the sidecars that were started before it.
  let [before, most] = [0, total];
  for (const named of containersOf(pod).filter(({ kind }) => kind === "init")) {
    if (isSidecar(named)) before += value(named.container);
    else most = Math.max(most, before + value(named.container));
  }
  return most;
}

/** What the pod asks of the processors, in thousandths of a core. */
export function podCpuRequest(pod: Pod): number {
  const whole = pod.spec.resources;
  const own = whole?.requests?.cpu ?? whole?.limits?.cpu;
  const sum = podSum(pod, (container) => milliCpu(requestOf(container, "cpu")));
  return (own === undefined ? sum : milliCpu(own)) + milliCpu(pod.spec.overhead?.cpu);
}

/** What the pod asks of a resource that is counted whole, memory for example. */
export function podRequest(pod: Pod, resource: string): number {
  const whole = pod.spec.resources;
  const own = whole?.requests?.[resource] ?? whole?.limits?.[resource];
  const sum = podSum(pod, (container) => wholeValue(requestOf(container, resource)));
  return (own === undefined ? sum : wholeValue(own)) + wholeValue(pod.spec.overhead?.[resource]);
}

/** What the pod's own cgroup allows: limits of the pod, else those of its containers. */
export function podResources(pod: Pod): PodResources {
  const limitOf = (resource: Resource, value: (quantity: string | undefined) => number): number => {
    const own = pod.spec.resources?.limits?.[resource];
    const isLimited = ({ kind, container }: NamedContainer): boolean =>
      kind === "ephemeral" || quantityValue(container.resources?.limits?.[resource]) > 0;
    if (own === undefined && !containersOf(pod).every(isLimited)) return 0;
    const sum = podSum(pod, (container) => value(container.resources?.limits?.[resource]));
    return (own === undefined ? sum : value(own)) + value(pod.spec.overhead?.[resource]);
  };
  const quota = limitOf("cpu", milliCpu);
  return {
    cpuShares: cpuShares(podCpuRequest(pod)),
    cpuQuotaUs: quota === 0 ? 0 : cpuQuotaUs(quota),
    memoryLimitBytes: limitOf("memory", wholeValue),
  };
}

/** The pod's cgroup below the cgroup file system's root, as the cgroupfs driver names it. */
export function podCgroup(pod: Pod): string {
  const leaf = `pod${pod.metadata.uid ?? ""}`;
  const qos = qosClassOf(pod);
  return qos === "Guaranteed" ? `/kubepods/${leaf}` : `/kubepods/${qos.toLowerCase()}/${leaf}`;
}

/** The same cgroup in the nesting of slices that systemd wants. */
export function podSlice(pod: Pod): string {
  const leaf = `pod${(pod.metadata.uid ?? "").replaceAll("-", "_")}`;
  const qos = qosClassOf(pod);
  if (qos === "Guaranteed") return `/kubepods.slice/kubepods-${leaf}.slice`;
  const middle = `kubepods-${qos.toLowerCase()}`;
  return `/kubepods.slice/${middle}.slice/${middle}-${leaf}.slice`;
}
