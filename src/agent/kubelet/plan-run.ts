/** The plan of a pod that is to run: what to start, start again, resize and tidy up. Pure. */
import { type ContainerState, latestOf, readySandbox, type SandboxState } from "./cri-state.ts";
import type { PodFacts, PodPlan, Step, Waiting } from "./plan-pod.ts";
import { type ResizePlan, startsResized } from "./plan-resize.ts";
import { podResources, samePodResources } from "./resources.ts";
import { isAlive, restarts, stopped } from "./restarts.ts";
import { containersOf, isSidecar, type NamedContainer } from "./types.ts";

export const crashBackoffLimits = { msMin: 10_000, msMax: 300_000 } as const;

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
    // Where the clock was set back, the container has ended in times to come.
    const passedMs = Math.max(0, this.facts.nowMs - latest.finishedMs);
    return Math.max(0, backoff.delayMs - passedMs);
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

export function planRun(facts: PodFacts): PodPlan {
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
