/** Usage as Prometheus reads it: the pages `/metrics/resource` and `/metrics/cadvisor`. Pure. */
import type { Machine } from "./machine.ts";
import type { ContainerUse, NodeUse, PodUse } from "./stats.ts";
import type { Pod } from "./types.ts";
import type { VolumeUses } from "./volume-stats.ts";

type Labels = Readonly<Record<string, string>>;

/** Families of one page, in the order they were begun. */
class Page {
  readonly #families = new Map<string, string[]>();

  add(
    family: { readonly name: string; readonly help: string; readonly type: "counter" | "gauge" },
    labels: Labels,
    value: number | undefined,
    timeMs?: number,
  ): void {
    if (value === undefined) return;
    const { name, help, type } = family;
    const lines = this.#families.get(name) ?? [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
    this.#families.set(name, lines);
    const pairs = Object.entries(labels).map(([key, text]) => `${key}=${JSON.stringify(text)}`);
    const series = pairs.length === 0 ? name : `${name}{${pairs.join(",")}}`;
    lines.push(`${series} ${value}${timeMs === undefined ? "" : ` ${Math.round(timeMs)}`}`);
  }

  text(): string {
    return `${[...this.#families.values()].flat().join("\n")}\n`;
  }
}

const counter = (name: string, help: string) => ({ name, help, type: "counter" as const });
const gauge = (name: string, help: string) => ({ name, help, type: "gauge" as const });
const seconds = (nanos: number | undefined): number | undefined =>
  nanos === undefined ? undefined : nanos / 1e9;

const resource = {
  containerCpu: counter(
    "container_cpu_usage_seconds_total",
    "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
  ),
  containerMemory: gauge(
    "container_memory_working_set_bytes",
    "[STABLE] Current working set of the container in bytes",
  ),
  containerStart: gauge(
    "container_start_time_seconds",
    "[STABLE] Start time of the container since unix epoch in seconds",
  ),
  nodeCpu: counter(
    "node_cpu_usage_seconds_total",
    "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
  ),
  nodeMemory: gauge(
    "node_memory_working_set_bytes",
    "[STABLE] Current working set of the node in bytes",
  ),
  podCpu: counter(
    "pod_cpu_usage_seconds_total",
    "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
  ),
  podMemory: gauge(
    "pod_memory_working_set_bytes",
    "[STABLE] Current working set of the pod in bytes",
  ),
  error: gauge(
    "resource_scrape_error",
    "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
  ),
} as const;

/** What metrics-server asks for. */
export function resourceMetrics(use: NodeUse, pods: readonly Pod[]): string {
  const page = new Page();
  for (const pod of use.pods) {
    for (const one of pod.containers) {
      const labels = { container: one.name, namespace: pod.namespace, pod: pod.name };
      const { cpu, memory } = one;
      page.add(resource.containerCpu, labels, seconds(cpu?.usageCoreNanoSeconds), cpu?.timeMs);
      page.add(resource.containerMemory, labels, memory?.workingSetBytes, memory?.timeMs);
      page.add(resource.containerStart, labels, startOf(pods, pod.uid, one.id));
    }
    const labels = { namespace: pod.namespace, pod: pod.name };
    const { cpu, memory } = pod;
    page.add(resource.podCpu, labels, seconds(cpu?.usageCoreNanoSeconds), cpu?.timeMs);
    page.add(resource.podMemory, labels, memory?.workingSetBytes, memory?.timeMs);
  }
  const { cpu, memory } = use;
  page.add(resource.nodeCpu, {}, seconds(cpu.usageCoreNanoSeconds), cpu.timeMs);
  page.add(resource.nodeMemory, {}, memory.workingSetBytes, memory.timeMs);
  page.add(resource.error, {}, 0);
  return page.text();
}

function startOf(pods: readonly Pod[], uid: string, id: string): number | undefined {
  const status = pods.find(({ metadata }) => metadata.uid === uid)?.status;
  const all = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  const found = all.find((one) => one.containerID === `containerd://${id}`);
  const startedAt = found?.state?.running?.startedAt;
  return !startedAt ? undefined : new Date(startedAt).getTime() / 1000;
}

const cadvisor = {
  cpu: counter("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds."),
  memory: gauge(
    "container_memory_usage_bytes",
    "Current memory usage in bytes, including all memory regardless of when it was accessed",
  ),
  workingSet: gauge("container_memory_working_set_bytes", "Current working set in bytes."),
  rss: gauge("container_memory_rss", "Size of RSS in bytes."),
  fs: gauge("container_fs_usage_bytes", "Number of bytes that are consumed by the container."),
  rxBytes: counter("container_network_receive_bytes_total", "Cumulative count of bytes received"),
  rxErrors: counter(
    "container_network_receive_errors_total",
    "Cumulative count of errors encountered while receiving",
  ),
  txBytes: counter(
    "container_network_transmit_bytes_total",
    "Cumulative count of bytes transmitted",
  ),
  txErrors: counter(
    "container_network_transmit_errors_total",
    "Cumulative count of errors encountered while transmitting",
  ),
  processes: gauge("container_processes", "Number of processes running inside the container."),
  cores: gauge("machine_cpu_cores", "Number of logical CPU cores."),
  machineMemory: gauge("machine_memory_bytes", "Amount of memory installed on the machine."),
} as const;

/** The part of cadvisor's page that dashboards read. */
export function cadvisorMetrics(use: NodeUse, machine: Machine): string {
  const page = new Page();
  const node = { container: "", id: "/", image: "", name: "", namespace: "", pod: "" };
  usage(page, node, use);
  for (const pod of use.pods) {
    const base = { namespace: pod.namespace, pod: pod.name };
    usage(page, { container: "", id: pod.sandboxId, image: "", name: "", ...base }, pod);
    network(page, pod);
    for (const one of pod.containers) {
      const labels = { container: one.name, id: one.id, image: one.image, name: one.id, ...base };
      usage(page, labels, one);
      page.add(cadvisor.fs, labels, one.rootFsUsedBytes, use.timeMs);
    }
  }
  const ids = { machine_id: machine.machineId, system_uuid: machine.systemUuid };
  page.add(cadvisor.cores, { boot_id: machine.bootId, ...ids }, machine.cpus);
  page.add(cadvisor.machineMemory, { boot_id: machine.bootId, ...ids }, machine.memoryBytes);
  return page.text();
}

function usage(page: Page, labels: Labels, use: Pick<ContainerUse, "cpu" | "memory">): void {
  const { cpu, memory } = use;
  const total = { ...labels, cpu: "total" };
  page.add(cadvisor.cpu, total, seconds(cpu?.usageCoreNanoSeconds), cpu?.timeMs);
  page.add(cadvisor.memory, labels, memory?.usageBytes, memory?.timeMs);
  page.add(cadvisor.workingSet, labels, memory?.workingSetBytes, memory?.timeMs);
  page.add(cadvisor.rss, labels, memory?.rssBytes, memory?.timeMs);
}

function network(page: Page, pod: PodUse): void {
  for (const { name, rxBytes, rxErrors, txBytes, txErrors } of pod.interfaces) {
    const labels = {
      container: "POD",
      id: pod.sandboxId,
      interface: name,
      namespace: pod.namespace,
      pod: pod.name,
    };
    page.add(cadvisor.rxBytes, labels, rxBytes);
    page.add(cadvisor.rxErrors, labels, rxErrors);
    page.add(cadvisor.txBytes, labels, txBytes);
    page.add(cadvisor.txErrors, labels, txErrors);
  }
  page.add(
    cadvisor.processes,
    { container: "", id: pod.sandboxId, namespace: pod.namespace, pod: pod.name },
    pod.processes,
  );
}

const claim = {
  capacity: gauge("kubelet_volume_stats_capacity_bytes", "[ALPHA] Capacity in bytes of the volume"),
  available: gauge(
    "kubelet_volume_stats_available_bytes",
    "[ALPHA] Number of available bytes in the volume",
  ),
  used: gauge("kubelet_volume_stats_used_bytes", "[ALPHA] Number of used bytes in the volume"),
  inodes: gauge("kubelet_volume_stats_inodes", "[ALPHA] Maximum number of inodes in the volume"),
  inodesFree: gauge(
    "kubelet_volume_stats_inodes_free",
    "[ALPHA] Number of free inodes in the volume",
  ),
  inodesUsed: gauge(
    "kubelet_volume_stats_inodes_used",
    "[ALPHA] Number of used inodes in the volume",
  ),
};

/** What claims hold, once for each claim; empty where no pod has one. */
export function volumeMetrics(volumes: VolumeUses): string {
  const page = new Page();
  const seen = new Set<string>();
  for (const { claim: reference, used, fs } of [...volumes.values()].flat()) {
    const { name = "", namespace = "" } = reference ?? {};
    const key = `${namespace}/${name}`;
    if (reference === undefined || seen.has(key)) continue;
    seen.add(key);
    const labels = { namespace, persistentvolumeclaim: name };
    page.add(claim.capacity, labels, fs.totalBytes);
    page.add(claim.available, labels, fs.freeBytes);
    page.add(claim.used, labels, used.bytes);
    page.add(claim.inodes, labels, fs.totalInodes);
    page.add(claim.inodesFree, labels, fs.freeInodes);
    page.add(claim.inodesUsed, labels, used.inodes);
  }
  return seen.size === 0 ? "" : page.text();
}
