/**
 * The decision of the pod worker: from the pod, what the runtime runs and what probes say, to the
 * next steps. Pure; doing a step changes the runtime state, and then the plan is made again.
 */

import type { Actuated } from "./allocation.ts";
import { type ContainerState, latestOf, type PodCri, type SandboxState } from "./cri-state.ts";
import type { ResizePlan } from "./plan-resize.ts";
import { planRun } from "./plan-run.ts";
import type { PodResources } from "./resources.ts";
import { isAlive, restarts, stopped } from "./restarts.ts";
import { containersOf, isSidecar, type NamedContainer, type Pod } from "./types.ts";

export type Step =
  | { readonly do: "prepareVolumes" }
  | { readonly do: "createSandbox"; readonly attempt: number }
  | {
      readonly do: "startContainer";
      readonly named: NamedContainer;
      readonly sandbox: SandboxState;
      readonly restartCount: number;
      readonly after: ContainerState | undefined;
    }
  | {
      readonly do: "killContainer";
      readonly id: string;
      readonly name: string;
      readonly message: string;
      /** Undefined: the pod's own grace period. */
      readonly graceSeconds: number | undefined;
      /** It is to run again, whatever its restart policy says. */
      readonly restart: boolean;
    }
  | { readonly do: "resizePod"; readonly resize: ResizePlan }
  | { readonly do: "stopSandbox"; readonly id: string }
  | { readonly do: "removeContainer"; readonly id: string; readonly name: string }
  | { readonly do: "removeSandbox"; readonly id: string }
  | { readonly do: "cleanUp" }
  | { readonly do: "finalDelete" }
  | { readonly do: "forget" };

export interface Waiting {
  readonly reason: string;
  readonly message: string;
}

/** Why the kubelet itself ends a pod. */
export interface Failure {
  /** DeadlineExceeded, Evicted, or why the pod was rejected. */
  readonly reason: string;
  readonly message: string;
  /** Undefined: the pod's own grace period. */
  readonly graceSeconds?: number;
  /** It did nothing wrong: the node needs the room. */
  readonly disrupts?: true;
}

export interface CrashBackoff {
  readonly delayMs: number;
  readonly sinceMs: number;
}

export interface PodFacts {
  readonly pod: Pod;
  /** True once the API object is gone (or is another pod of the same name). */
  readonly removed: boolean;
  /** Set when the kubelet itself ends the pod: deadline, eviction. */
  readonly failed: Failure | undefined;
  readonly cri: PodCri;
  readonly nowMs: number;
  readonly volumes: "none" | "ready" | "gone";
  /** Container ids that a failed liveness or startup probe or hook condemned, with the message. */
  readonly condemned: ReadonlyMap<string, string>;
  /** Container ids whose startup probe and postStart hook are done. */
  readonly started: ReadonlySet<string>;
  /** Names of containers whose start is under way. */
  readonly starting: ReadonlySet<string>;
  readonly backoffs: ReadonlyMap<string, CrashBackoff>;
  /** Restart counts that the API knows, for containers that the runtime has forgotten. */
  readonly restartCounts: ReadonlyMap<string, number>;
  /** What the pod's containers have been given. */
  readonly actuated: Actuated;
  /** What its own cgroup holds; undefined while nobody has looked. */
  readonly cgroup: PodResources | undefined;
  /** What of it has to change. */
  readonly resize: ResizePlan | undefined;
  /** What is left of the pod once it has ended may be cleared away. */
  readonly dispensable: boolean;
  /** Ids of containers that were ended to run again. */
  readonly restarting: ReadonlySet<string>;
  /** Container name to the hash of its current spec. */
  readonly hashes: ReadonlyMap<string, string>;
}

export interface PodPlan {
  readonly steps: readonly Step[];
  /** Containers that wait although their turn has come. */
  readonly waiting: ReadonlyMap<string, Waiting>;
  readonly againInMs: number | undefined;
}

export function planPod(facts: PodFacts): PodPlan {
  const { pod, cri, starting } = facts;
  // Created by a kubelet that ended before the start: nobody will start it any more.
  const stale = cri.containers.filter(
    ({ name, state }) => state === "created" && !starting.has(name),
  );
  if (stale.length > 0) return removalOf(stale);
  const deleted = facts.removed || pod.metadata.deletionTimestamp !== undefined;
  if (deleted || facts.failed !== undefined) return planEnd(facts, deleted);
  if (hasEnded(pod) || isFinished(facts)) return planEnd(facts, false);
  return planRun(facts);
}

/** The API has seen the pod end: it never runs again, whatever the runtime has forgotten. */
export function hasEnded(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** Whether the pod is to end, whatever its containers do. */
export function isEnding(facts: PodFacts): boolean {
  const deleted = facts.pod.metadata.deletionTimestamp !== undefined;
  return facts.removed || facts.failed !== undefined || deleted;
}

/** Whether every container has ended for good under its restart policy. */
function isFinished(facts: PodFacts): boolean {
  const { pod } = facts;
  const failedInit = containersOf(pod).some(
    (named) => named.kind === "init" && !isSidecar(named) && endedForGood(facts, named, true),
  );
  if (failedInit) return true;
  const apps = containersOf(pod).filter((named) => named.kind === "app");
  return apps.every((named) => endedForGood(facts, named, false));
}

function endedForGood(facts: PodFacts, named: NamedContainer, failure: boolean): boolean {
  const latest = latestOf(facts.cri, named.container.name);
  if (latest === undefined || !stopped.includes(latest.state)) return false;
  if (failure && latest.exitCode === 0) return false;
  return !restarts(facts, named, latest);
}

function planEnd(facts: PodFacts, deleted: boolean): PodPlan {
  const { pod, cri, removed } = facts;
  const waiting = new Map<string, Waiting>();
  const alive = cri.containers.filter(isAlive);
  if (alive.length > 0) {
    return { steps: killsInOrder(pod, alive), waiting, againInMs: undefined };
  }
  const open = cri.sandboxes.filter((sandbox) => sandbox.ready);
  if (open.length > 0) {
    const steps = open.map((sandbox) => ({ do: "stopSandbox" as const, id: sandbox.id }));
    return { steps, waiting, againInMs: undefined };
  }
  if (facts.volumes !== "gone") return only({ do: "cleanUp" });
  if (deleted && !removed) return only({ do: "finalDelete" });
  if (!removed && !facts.dispensable) return { steps: [], waiting, againInMs: undefined };
  if (cri.containers.length > 0) return removalOf(cri.containers);
  if (cri.sandboxes.length > 0) {
    const steps = cri.sandboxes.map(({ id }) => ({ do: "removeSandbox" as const, id }));
    return { steps, waiting, againInMs: undefined };
  }
  return removed ? only({ do: "forget" }) : { steps: [], waiting, againInMs: undefined };
}

function removalOf(containers: readonly ContainerState[]): PodPlan {
  const steps = containers.map(({ id, name }) => ({ do: "removeContainer" as const, id, name }));
  return { steps, waiting: new Map(), againInMs: undefined };
}

function only(step: Step): PodPlan {
  return { steps: [step], waiting: new Map(), againInMs: undefined };
}

/** App containers end together; then sidecars one by one, the last started first. */
function killsInOrder(pod: Pod, alive: readonly ContainerState[]): readonly Step[] {
  const sidecars = containersOf(pod)
    .filter(isSidecar)
    .map((named) => named.container.name);
  const others = alive.filter((container) => !sidecars.includes(container.name));
  const last = sidecars.findLast((name) => alive.some((container) => container.name === name));
  const victims = others.length > 0 ? others : alive.filter((container) => container.name === last);
  return victims.map(({ id, name }) => ({
    do: "killContainer",
    id,
    name,
    message: `Stopping container ${name}`,
    graceSeconds: undefined,
    restart: false,
  }));
}
