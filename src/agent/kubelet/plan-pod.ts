/**
 * The decision of the pod worker: from the pod, what the runtime runs and what probes say, to the
 * next steps. Pure; doing a step changes the runtime state, and then the plan is made again.
 */

import type { Actuated } from "./allocation.ts";
import {
  type ContainerState,
  latestOf,
  type PodCri,
  readySandbox,
  type SandboxState,
} from "./cri-state.ts";
import { type ResizePlan, startsResized } from "./plan-resize.ts";
import { type PodResources, podResources, samePodResources } from "./resources.ts";
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

export const crashBackoffLimits = { msMin: 10_000, msMax: 300_000 } as const;

const stopped: readonly ContainerState["state"][] = ["exited", "unknown"];

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

/** Whether a container that has ended is to run again. */
export function restarts(
  { pod, restarting }: Pick<PodFacts, "pod" | "restarting">,
  named: NamedContainer,
  { id, exitCode }: Pick<ContainerState, "id" | "exitCode">,
): boolean {
  if (named.kind === "ephemeral") return false;
  if (restarting.has(id)) return true;
  for (const rule of named.container.restartPolicyRules ?? []) {
    const listed = rule.exitCodes?.values?.includes(exitCode) === true;
    const fits = rule.exitCodes?.operator === "NotIn" ? !listed : listed;
    if (fits && rule.action === "Restart") return true;
  }
  const policy = named.container.restartPolicy ?? pod.spec.restartPolicy ?? "Always";
  if (policy === "Never") return false;
  // An init container that succeeded is done, even where app containers run for ever.
  const once = named.kind === "init" && !isSidecar(named);
  if (policy === "OnFailure" || once) return exitCode !== 0;
  return true;
}

function isAlive(container: ContainerState): boolean {
  return container.state === "running" || container.state === "created";
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
  if (!removed) return { steps: [], waiting, againInMs: undefined };
  if (cri.containers.length > 0) return removalOf(cri.containers);
  if (cri.sandboxes.length > 0) {
    const steps = cri.sandboxes.map(({ id }) => ({ do: "removeSandbox" as const, id }));
    return { steps, waiting, againInMs: undefined };
  }
  return only({ do: "forget" });
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

/** Collects the steps of a pod that is to run. */
class RunPlan {
  readonly steps: Step[] = [];
  readonly waiting = new Map<string, Waiting>();
  againInMs: number | undefined;
  readonly facts: PodFacts;
  readonly sandbox: SandboxState;

  constructor(facts: PodFacts, sandbox: SandboxState) {
    this.facts = facts;
    this.sandbox = sandbox;
  }

  /** The latest container of the current sandbox: older ones say nothing about this run. */
  current(name: string): ContainerState | undefined {
    const latest = latestOf(this.facts.cri, name);
    return latest?.sandboxId === this.sandbox.id ? latest : undefined;
  }

  start(named: NamedContainer): void {
    const { name } = named.container;
    const latest = latestOf(this.facts.cri, name);
    const ended = latest !== undefined && stopped.includes(latest.state);
    const isWanted = latest !== undefined && this.facts.restarting.has(latest.id);
    const waitMs = ended && !isWanted ? this.#backoffMs(name, latest) : 0;
    if (waitMs > 0) {
      this.againInMs = Math.min(this.againInMs ?? waitMs, waitMs);
      this.waiting.set(name, this.#crashLoop(name));
      return;
    }
    const known = this.facts.restartCounts.get(name);
    const restartCount = latest !== undefined ? latest.restartCount + 1 : (known ?? -1) + 1;
    const after = ended ? latest : undefined;
    this.steps.push({
      do: "startContainer",
      named,
      sandbox: this.sandbox,
      restartCount,
      after,
    });
  }

  kill(container: ContainerState, message: string, restart = false): void {
    this.steps.push(killOf(container, message, restart));
  }

  #backoffMs(name: string, latest: ContainerState): number {
    const backoff = this.facts.backoffs.get(name);
    if (backoff === undefined) return 0;
    // A container that ran long enough starts over with short delays.
    if (latest.finishedMs - backoff.sinceMs > 2 * crashBackoffLimits.msMax) return 0;
    return Math.max(0, latest.finishedMs + backoff.delayMs - this.facts.nowMs);
  }

  #crashLoop(name: string): Waiting {
    const { pod, backoffs } = this.facts;
    const delay = goSeconds(backoffs.get(name)?.delayMs ?? 0);
    const { name: podName, namespace, uid } = pod.metadata;
    const where = `container=${name} pod=${podName}_${namespace}(${uid})`;
    return {
      reason: "CrashLoopBackOff",
      message: `back-off ${delay} restarting failed ${where}`,
    };
  }
}

function goSeconds(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds % 60}s`;
}

function planRun(facts: PodFacts): PodPlan {
  const { cri, volumes } = facts;
  const steps: Step[] = volumes === "ready" ? [] : [{ do: "prepareVolumes" }];
  const sandbox = readySandbox(cri);
  if (sandbox === undefined) {
    // What still runs belongs to a sandbox that is gone: it ends before the new one starts.
    const alive = cri.containers.filter(isAlive);
    const kills = alive.map((container) => killOf(container, "Pod sandbox changed"));
    const attempt = (cri.sandboxes[0]?.attempt ?? -1) + 1;
    const next: Step[] = alive.length > 0 ? kills : [{ do: "createSandbox", attempt }];
    return { steps: [...steps, ...next], waiting: new Map(), againInMs: undefined };
  }
  if (volumes !== "ready") return { steps, waiting: new Map(), againInMs: undefined };
  const plan = new RunPlan(facts, sandbox);
  for (const container of cri.containers) {
    if (container.sandboxId !== sandbox.id && isAlive(container)) {
      plan.kill(container, "Pod sandbox changed");
    }
  }
  if (planInit(plan)) planApps(plan);
  planEphemeral(plan);
  pruneDead(plan);
  return {
    steps: [...planCgroups(plan), ...plan.steps],
    waiting: plan.waiting,
    againInMs: plan.againInMs,
  };
}

/** The resize comes before the containers that need the room it makes, and after those that end. */
function planCgroups({ facts, steps }: RunPlan): readonly Step[] {
  const { pod, actuated, cgroup, resize } = facts;
  const isEnding = steps.some((step) => step.do === "killContainer" && step.restart);
  if (isEnding) return [];
  const hasGrown = steps.some(
    (step) => step.do === "startContainer" && startsResized(pod, step.named.container, actuated),
  );
  const isOpen = hasGrown && !(cgroup !== undefined && samePodResources(cgroup, podResources(pod)));
  if (resize === undefined && !isOpen) return [];
  const nothing: ResizePlan = { restarts: new Map(), memory: [], cpu: [], pod: true };
  return [
    {
      do: "resizePod",
      resize: isOpen ? { ...nothing, ...resize, pod: true } : (resize ?? nothing),
    },
  ];
}

function killOf(container: ContainerState, message: string, restart = false): Step {
  const { id, name } = container;
  return { do: "killContainer", id, name, message, graceSeconds: undefined, restart };
}

/** Runs init containers in order; true when the app containers may run. */
function planInit(plan: RunPlan): boolean {
  const all = containersOf(plan.facts.pod);
  const begun = all.some(
    (named) => named.kind === "app" && plan.current(named.container.name) !== undefined,
  );
  for (const named of all.filter((entry) => entry.kind === "init")) {
    const current = plan.current(named.container.name);
    if (isSidecar(named)) {
      if (!planSidecar(plan, named, current) && !begun) return false;
      continue;
    }
    if (begun) continue;
    if (current === undefined) {
      plan.start(named);
      return false;
    }
    if (!stopped.includes(current.state)) return false;
    if (current.exitCode === 0) continue;
    if (restarts(plan.facts, named, current)) plan.start(named);
    return false;
  }
  return true;
}

/** Keeps a sidecar running; true when the containers after it may start. */
function planSidecar(
  plan: RunPlan,
  named: NamedContainer,
  current: ContainerState | undefined,
): boolean {
  if (current === undefined || !isAlive(current)) {
    plan.start(named);
    return false;
  }
  return planAlive(plan, named, current) && plan.facts.started.has(current.id);
}

/** Ends a running container that must not go on; true when it stays. */
function planAlive(plan: RunPlan, named: NamedContainer, current: ContainerState): boolean {
  const { name } = named.container;
  const condemned = plan.facts.condemned.get(current.id);
  if (condemned !== undefined) {
    plan.kill(current, condemned);
    return false;
  }
  const hash = plan.facts.hashes.get(name);
  if (hash !== undefined && current.hash !== "" && hash !== current.hash) {
    plan.kill(current, `Container ${name} definition changed, will be restarted`, true);
    return false;
  }
  if (plan.facts.resize?.restarts.has(current.id)) {
    plan.kill(current, `Container ${name} resize requires restart`, true);
    return false;
  }
  return true;
}

function planApps(plan: RunPlan): void {
  for (const named of containersOf(plan.facts.pod)) {
    if (named.kind !== "app") continue;
    const current = plan.current(named.container.name);
    if (current === undefined) {
      const earlier = latestOf(plan.facts.cri, named.container.name);
      const done = earlier !== undefined && stopped.includes(earlier.state);
      if (!done || restarts(plan.facts, named, earlier)) plan.start(named);
      continue;
    }
    if (current.state === "running" || current.state === "created") {
      planAlive(plan, named, current);
      continue;
    }
    if (restarts(plan.facts, named, current)) plan.start(named);
  }
}

function planEphemeral(plan: RunPlan): void {
  for (const named of containersOf(plan.facts.pod)) {
    if (named.kind !== "ephemeral") continue;
    if (latestOf(plan.facts.cri, named.container.name) === undefined) plan.start(named);
  }
}

/** One dead container stays beside the latest for `lastState` and previous logs. */
function pruneDead(plan: RunPlan): void {
  const seen = new Map<string, number>();
  for (const container of plan.facts.cri.containers) {
    const count = (seen.get(container.name) ?? 0) + 1;
    seen.set(container.name, count);
    if (count > 2 && stopped.includes(container.state)) {
      plan.steps.push({ do: "removeContainer", id: container.id, name: container.name });
    }
  }
  const alive = plan.facts.cri.containers.map((container) => container.sandboxId);
  for (const sandbox of plan.facts.cri.sandboxes) {
    const used = alive.includes(sandbox.id) || sandbox.id === plan.sandbox.id;
    if (!sandbox.ready && !used) plan.steps.push({ do: "removeSandbox", id: sandbox.id });
  }
}
