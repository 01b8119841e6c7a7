/** What `kubectl get pods` shows: upstream's status logic over init and main containers. */
import type { Column } from "../../api/resource-definition.ts";
import type { Container, ContainerStatus, Pod } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { ageOf } from "../../lib/human-duration.ts";
import { column, wide } from "../row.ts";

type ReadPod = DeepReadonly<Pod>;
type ReadStatus = DeepReadonly<ContainerStatus>;

interface Summary {
  reason: string;
  restarts: number;
  restartedAt: string;
}

function isRestartableInit(container: DeepReadonly<Container> | undefined): boolean {
  return container?.restartPolicy === "Always";
}

function later(a: string, b: string | null | undefined): string {
  return b && b > a ? b : a;
}

function exitReason(terminated: {
  readonly reason?: string;
  readonly signal?: number;
  readonly exitCode?: number;
}): string {
  if (terminated.reason) return terminated.reason;
  if (terminated.signal) return `Signal:${terminated.signal}`;
  return `ExitCode:${terminated.exitCode ?? 0}`;
}

function hasCondition(pod: ReadPod, type: string, status = "True"): boolean {
  return (pod.status?.conditions ?? []).some(
    (condition) => condition.type === type && condition.status === status,
  );
}

/** The reason an init container gives while the pod is initializing. */
function initReason(status: ReadStatus, index: number, total: number): string {
  const { terminated, waiting } = status.state ?? {};
  if (terminated) {
    const reason = exitReason(terminated);
    return `Init:${reason}`;
  }
  if (waiting?.reason && waiting.reason !== "PodInitializing") return `Init:${waiting.reason}`;
  return `Init:${index}/${total}`;
}

function summarizeInit(pod: ReadPod, summary: Summary): boolean {
  const containers = pod.spec.initContainers ?? [];
  let initializing = false;
  for (const [index, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const container = containers.find((one) => one.name === status.name);
    summary.restarts += status.restartCount ?? 0;
    summary.restartedAt = later(summary.restartedAt, status.lastState?.terminated?.finishedAt);
    if (initializing) continue;
    const done = status.state?.terminated !== undefined && status.state.terminated.exitCode === 0;
    if (done) continue;
    if (isRestartableInit(container) && status.started === true) continue;
    summary.reason = initReason(status, index, containers.length);
    initializing = true;
  }
  return initializing;
}

/** Restarts of sidecars count also once the pod runs. */
function sidecarRestarts(pod: ReadPod): Summary {
  const summary: Summary = { reason: "", restarts: 0, restartedAt: "" };
  for (const status of pod.status?.initContainerStatuses ?? []) {
    const container = (pod.spec.initContainers ?? []).find((one) => one.name === status.name);
    if (!isRestartableInit(container)) continue;
    summary.restarts += status.restartCount ?? 0;
    summary.restartedAt = later(summary.restartedAt, status.lastState?.terminated?.finishedAt);
  }
  return summary;
}

function summarizeMain(pod: ReadPod, summary: Summary): void {
  const sidecars = sidecarRestarts(pod);
  summary.restarts = sidecars.restarts;
  summary.restartedAt = sidecars.restartedAt;
  let hasRunning = false;
  let failure = "";
  for (const status of (pod.status?.containerStatuses ?? []).toReversed()) {
    summary.restarts += status.restartCount ?? 0;
    summary.restartedAt = later(summary.restartedAt, status.lastState?.terminated?.finishedAt);
    const { waiting, terminated, running } = status.state ?? {};
    if (waiting?.reason) summary.reason = waiting.reason;
    else if (terminated) {
      summary.reason = exitReason(terminated);
      if (terminated.exitCode !== 0) failure = summary.reason;
    } else if (status.ready && running) hasRunning = true;
  }
  // Who comes first decides, unless it ended well while others run or failed.
  if (summary.reason !== "Completed") return;
  if (hasRunning && hasCondition(pod, "Ready")) summary.reason = "Running";
  else if (failure !== "") summary.reason = failure;
  else if (hasRunning) summary.reason = "NotReady";
}

/** The Status and Restarts cells. */
export function summarizePod(pod: ReadPod): Readonly<Summary> {
  const phase = pod.status?.phase ?? "";
  const summary: Summary = { reason: pod.status?.reason || phase, restarts: 0, restartedAt: "" };
  if (
    (pod.status?.conditions ?? []).some(
      (one) => one.type === "PodScheduled" && one.reason === "SchedulingGated",
    )
  )
    summary.reason = "SchedulingGated";
  const initializing = summarizeInit(pod, summary);
  if (!initializing || hasCondition(pod, "Initialized")) summarizeMain(pod, summary);
  if (pod.metadata.deletionTimestamp) {
    if (pod.status?.reason === "NodeLost") summary.reason = "Unknown";
    else if (phase !== "Succeeded" && phase !== "Failed") summary.reason = "Terminating";
  }
  return summary;
}

function readyCell(pod: ReadPod): string {
  const sidecars = (pod.spec.initContainers ?? []).filter(isRestartableInit);
  const total = (pod.spec.containers ?? []).length + sidecars.length;
  const main = (pod.status?.containerStatuses ?? []).filter(
    (status) => status.ready && status.state?.running,
  );
  const side = (pod.status?.initContainerStatuses ?? []).filter(
    (status) => status.ready && sidecars.some((one) => one.name === status.name),
  );
  return `${main.length + side.length}/${total}`;
}

function restartsCell(pod: ReadPod, now: Date): string {
  const { restarts, restartedAt } = summarizePod(pod);
  if (restarts === 0 || restartedAt === "") return String(restarts);
  return `${restarts} (${ageOf(restartedAt, now)} ago)`;
}

function gatesCell(pod: ReadPod): string {
  const gates = pod.spec.readinessGates ?? [];
  if (gates.length === 0) return "<none>";
  const met = gates.filter((gate) => hasCondition(pod, gate.conditionType ?? ""));
  return `${met.length}/${gates.length}`;
}

export const podColumns: readonly Column<Pod>[] = [
  column("Ready", readyCell, "The aggregate readiness state of this pod for accepting traffic."),
  column(
    "Status",
    (pod) => summarizePod(pod).reason,
    "The aggregate status of the containers in this pod.",
  ),
  column(
    "Restarts",
    restartsCell,
    "The number of times the containers in this pod have been restarted and when the last " +
      "container in this pod has restarted.",
  ),
  wide("IP", (pod) => pod.status?.podIPs?.[0]?.ip || pod.status?.podIP || "<none>"),
  wide("Node", (pod) => pod.spec.nodeName || "<none>"),
  wide("Nominated Node", (pod) => pod.status?.nominatedNodeName || "<none>"),
  wide("Readiness Gates", gatesCell),
];
