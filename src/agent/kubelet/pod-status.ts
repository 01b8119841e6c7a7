/**
 * The status the kubelet reports of a pod: container states, phase and conditions out of what the
 * runtime runs, as upstream's `generateAPIPodStatus` decides. Pure.
 */

import type * as core from "../../gen/core-v1.ts";
import {
  type ContainerState,
  type ContainerUser,
  latestOf,
  previousOf,
  readySandbox,
} from "./cri-state.ts";
import { hasEnded, type PodFacts, type Waiting } from "./plan-pod.ts";
import { podConditions } from "./pod-conditions.ts";
import { sortedPodIps } from "./pod-ips.ts";
import { containerResourceStatus, podResourceStatus } from "./resource-status.ts";
import { qosClassOf } from "./resources.ts";
import { isAlive, restarts } from "./restarts.ts";
import {
  type ContainerKind,
  type ContainerStatus,
  containersOf,
  isSidecar,
  type NamedContainer,
  type PodStatus,
} from "./types.ts";

export interface StatusFacts extends PodFacts {
  readonly waiting: ReadonlyMap<string, Waiting>;
  /** Container ids whose readiness probe succeeds (or that have none). */
  readonly ready: ReadonlySet<string>;
  readonly nodeIps: readonly string[];
  readonly startedMs: number;
  /** Conditions of a resize that is under way. */
  readonly resizes: readonly core.PodCondition[];
  /** What a container was given, and how that is. */
  readonly allocated: (named: NamedContainer) => readonly core.ResourceStatus[];
  /** True when nothing of the pod runs or will run: deleted and stopped, failed and stopped. */
  readonly stopped: boolean;
}

const idScheme = "containerd://";

/** RFC 3339 with whole seconds, the form of meta/v1 Time. */
export function timeOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, "Z");
}

export function podStatus(facts: StatusFacts): core.PodStatus {
  const { pod } = facts;
  const statuses = new Map(
    containersOf(pod).map((named) => [named.container.name, containerStatus(facts, named)]),
  );
  const listOf = (kind: ContainerKind): core.ContainerStatus[] =>
    containersOf(pod)
      .filter((named) => named.kind === kind)
      .map((named) => statuses.get(named.container.name))
      .filter((status) => status !== undefined)
      // Init containers stay in the order they run in, the others stand by name.
      .toSorted((a, b) => (kind === "init" || a.name === b.name ? 0 : a.name < b.name ? -1 : 1));
  const phase = podPhase(facts, statuses);
  const ips = podIps(facts);
  const [init, ephemeral] = [listOf("init"), listOf("ephemeral")];
  return {
    observedGeneration: pod.metadata.generation ?? 0,
    phase,
    ...(phase === "Failed" ? reasonOf(facts) : undefined),
    conditions: podConditions(facts, phase, statuses),
    hostIP: facts.nodeIps[0] ?? "",
    hostIPs: facts.nodeIps.map((ip) => ({ ip })),
    ...(ips.length === 0 ? {} : { podIP: ips[0] ?? "", podIPs: ips.map((ip) => ({ ip })) }),
    startTime: timeOf(facts.startedMs),
    qosClass: pod.status?.qosClass ?? qosClassOf(pod),
    containerStatuses: listOf("app"),
    ...(init.length === 0 ? {} : { initContainerStatuses: init }),
    ...(ephemeral.length === 0 ? {} : { ephemeralContainerStatuses: ephemeral }),
    ...podResourceStatus(pod, phase, facts.cgroup),
  };
}

/** Why the kubelet ended the pod, now or before it was started anew. */
function reasonOf({ failed, pod }: StatusFacts): Pick<core.PodStatus, "reason" | "message"> {
  const before = hasEnded(pod) ? pod.status : undefined;
  const { reason, message } = failed ?? before ?? {};
  return {
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  };
}

function podIps(facts: StatusFacts): readonly string[] {
  if (facts.pod.spec.hostNetwork === true) return facts.nodeIps;
  const ips = (readySandbox(facts.cri) ?? facts.cri.sandboxes[0])?.ips ?? [];
  // A pod that ended keeps the address it had.
  return ips.length > 0
    ? sortedPodIps(ips, facts.nodeIps)
    : (facts.pod.status?.podIPs ?? []).map((entry) => entry.ip);
}

function listed(status: PodStatus | undefined): readonly ContainerStatus[] {
  return [
    ...(status?.initContainerStatuses ?? []),
    ...(status?.containerStatuses ?? []),
    ...(status?.ephemeralContainerStatuses ?? []),
  ];
}

/** Restart counts the API holds of containers that have run at least once. */
export function reportedRestarts(status: PodStatus | undefined): ReadonlyMap<string, number> {
  return new Map(
    listed(status)
      .filter((entry) => (entry.containerID ?? "") !== "")
      .map((entry) => [entry.name, entry.restartCount]),
  );
}

/** Told of the containers proper only. */
function allocatedOf(
  { allocated }: StatusFacts,
  named: NamedContainer,
): Pick<core.ContainerStatus, "allocatedResourcesStatus"> {
  const found = named.kind === "app" ? allocated(named) : [];
  return found.length === 0 ? {} : { allocatedResourcesStatus: [...found] };
}

function containerStatus(facts: StatusFacts, named: NamedContainer): core.ContainerStatus {
  const { name, image = "" } = named.container;
  const latest = latestOf(facts.cri, name);
  if (latest === undefined) return absentStatus(facts, named);
  const previous = previousOf(facts.cri, name);
  const waiting = facts.waiting.get(name);
  const ended = latest.state === "exited" || latest.state === "unknown";
  const base = {
    name,
    image: latest.image === "" ? image : latest.image,
    imageID: latest.imageId,
    containerID: `${idScheme}${latest.id}`,
    restartCount: latest.restartCount,
    ...containerResourceStatus(named.container, latest, facts.actuated),
    ...mountsOf(named, latest),
    ...allocatedOf(facts, named),
    ...(latest.user === undefined ? {} : { user: userStatus(latest.user) }),
  };
  // What will not be started again waits for nothing: it has ended, however it came to that.
  const willRestart = ended && restarts(facts, named, latest);
  if (willRestart && waiting !== undefined) {
    const lastState = { terminated: terminated(latest) };
    return { ...base, state: { waiting: { ...waiting } }, lastState, ready: false, started: false };
  }
  const lastState =
    previous === undefined || !["exited", "unknown"].includes(previous.state)
      ? {}
      : { terminated: terminated(previous) };
  if (ended) {
    const ready = named.kind === "init" && !isSidecar(named) && latest.exitCode === 0;
    return { ...base, state: { terminated: terminated(latest) }, lastState, ready, started: false };
  }
  if (latest.state === "created") {
    const state = { waiting: waiting ?? { reason: "ContainerCreating" } };
    return { ...base, state, lastState, ready: false, started: false };
  }
  const started = facts.started.has(latest.id);
  return {
    ...base,
    state: { running: { startedAt: timeOf(latest.startedMs) } },
    lastState,
    ready: isReady(facts, named, latest),
    started,
  };
}

function isReady(facts: StatusFacts, named: NamedContainer, latest: ContainerState): boolean {
  if (named.kind === "ephemeral") return false;
  if (named.kind === "init" && !isSidecar(named)) return false;
  return facts.started.has(latest.id) && facts.ready.has(latest.id);
}

function mountsOf(
  { container }: NamedContainer,
  latest: ContainerState,
): Partial<core.ContainerStatus> {
  const mounts = (container.volumeMounts ?? []).map((mount): core.VolumeMountStatus => {
    const { name, mountPath, readOnly } = mount;
    if (readOnly !== true) return { name, mountPath };
    const tree = latest.readOnlyTrees.includes(mountPath);
    return { name, mountPath, readOnly, recursiveReadOnly: tree ? "Enabled" : "Disabled" };
  });
  return mounts.length === 0 ? {} : { volumeMounts: mounts };
}

function userStatus({ uid, gid, supplementalGroups }: ContainerUser): core.ContainerUser {
  return { linux: { uid, gid, supplementalGroups: [...supplementalGroups] } };
}

function terminated(state: ContainerState): core.ContainerStateTerminated {
  const lost = state.state === "unknown";
  return {
    exitCode: lost ? 137 : state.exitCode,
    reason: lost ? "ContainerStatusUnknown" : state.reason,
    ...(state.message === "" ? {} : { message: state.message }),
    startedAt: timeOf(state.startedMs),
    finishedAt: timeOf(state.finishedMs),
    containerID: `${idScheme}${state.id}`,
  };
}

/** A container that the runtime does not know: not yet started, or forgotten. */
function absentStatus(facts: StatusFacts, named: NamedContainer): core.ContainerStatus {
  const { name, image = "" } = named.container;
  const before = listed(facts.pod.status).find((status) => status.name === name);
  const ran = before !== undefined && (before.containerID ?? "") !== "";
  const over = facts.stopped || hasEnded(facts.pod);
  if (ran && before.state?.terminated !== undefined && over) {
    return { ...(before as core.ContainerStatus), ready: before.ready && named.kind === "init" };
  }
  const waiting = facts.waiting.get(name) ?? { reason: startReason(facts) };
  const base = { name, image, imageID: "", ready: false, started: false };
  if (!ran) return { ...base, restartCount: 0, state: { waiting: { ...waiting } }, lastState: {} };
  const state = over ? { terminated: lostState(before) } : { waiting: { ...waiting } };
  const last = before.state?.terminated ?? before.lastState?.terminated;
  const lastState = last === undefined ? {} : { terminated: { ...last } };
  return {
    ...base,
    imageID: before.imageID,
    containerID: before.containerID ?? "",
    restartCount: before.restartCount,
    state,
    lastState,
  };
}

function lostState(before: ContainerStatus): core.ContainerStateTerminated {
  return {
    exitCode: 137,
    reason: "ContainerStatusUnknown",
    message: "The container could not be located when the pod was terminated",
    ...(before.containerID === undefined ? {} : { containerID: before.containerID }),
  };
}

function startReason(facts: StatusFacts): string {
  return (facts.pod.spec.initContainers ?? []).length > 0 ? "PodInitializing" : "ContainerCreating";
}

/** Whether every init container has done its part in what the runtime knows. */
export function initDone(facts: PodFacts): boolean {
  return containersOf(facts.pod)
    .filter((named) => named.kind === "init")
    .every((named) => {
      const latest = latestOf(facts.cri, named.container.name);
      if (latest === undefined) return false;
      if (isSidecar(named)) return facts.started.has(latest.id) || latest.state === "exited";
      return latest.state === "exited" && latest.exitCode === 0;
    });
}

type Statuses = ReadonlyMap<string, core.ContainerStatus>;

/** What the API has seen end stays so; no end is told while a container, say a sidecar, runs. */
export function podPhase(facts: StatusFacts, statuses: Statuses): string {
  const before = facts.pod.status?.phase;
  if (before === "Succeeded" || before === "Failed") return before;
  const phase = phaseOf(facts, statuses);
  const isOver = phase === "Succeeded" || phase === "Failed";
  return isOver && facts.cri.containers.some(isAlive) ? (before ?? "Running") : phase;
}

/** Upstream's `getPhase`: what init containers and containers together amount to. */
function phaseOf(facts: StatusFacts, statuses: Statuses): string {
  const { pod } = facts;
  // What may still run holds on to what it has: the pod fails when all has ended.
  if (facts.failed !== undefined && facts.stopped) return "Failed";
  const of = (named: NamedContainer): core.ContainerState =>
    statuses.get(named.container.name)?.state ?? {};
  const inits = containersOf(pod).filter((named) => named.kind === "init");
  const apps = containersOf(pod).filter((named) => named.kind === "app");
  const states = apps.map((named) => ({ named, state: of(named) }));
  const ended = states.filter(({ state }) => state.terminated !== undefined);
  const succeeded = ended.filter(({ state }) => state.terminated?.exitCode === 0);
  if (facts.stopped && ended.length === apps.length) {
    return succeeded.length === apps.length ? "Succeeded" : "Failed";
  }
  const initFailed = inits.some((named) => failedForGood(facts, named, of(named)));
  if (facts.stopped || initFailed) return "Failed";
  const begun = states.some(
    ({ named, state }) =>
      state.running !== undefined ||
      state.terminated !== undefined ||
      latestOf(facts.cri, named.container.name) !== undefined,
  );
  const pendingInit = inits.some((named) => isInitPending(facts, named));
  if (pendingInit && !begun) return "Pending";
  const neverRan = ({ named, state }: (typeof states)[number]): boolean =>
    state.waiting !== undefined &&
    statuses.get(named.container.name)?.lastState?.terminated === undefined;
  if (states.some(neverRan)) return "Pending";
  if (states.some(({ state }) => state.running !== undefined)) return "Running";
  const again = ended.some(({ named, state }) => restarts(facts, named, endOf(state)));
  if (again || ended.length < apps.length) return "Running";
  return succeeded.length === apps.length ? "Succeeded" : "Failed";
}

function failedForGood(
  facts: PodFacts,
  named: NamedContainer,
  state: core.ContainerState,
): boolean {
  const code = state.terminated?.exitCode;
  if (code === undefined || code === 0 || isSidecar(named)) return false;
  return !restarts(facts, named, endOf(state));
}

function endOf({ terminated: end }: core.ContainerState): {
  readonly id: string;
  readonly exitCode: number;
} {
  return { id: (end?.containerID ?? "").replace(idScheme, ""), exitCode: end?.exitCode ?? 0 };
}

function isInitPending(facts: PodFacts, named: NamedContainer): boolean {
  const latest = latestOf(facts.cri, named.container.name);
  if (latest === undefined) return true;
  if (isSidecar(named)) return !facts.started.has(latest.id);
  return latest.state !== "exited" || latest.exitCode !== 0;
}
