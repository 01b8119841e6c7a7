/** The five conditions a kubelet owns, with upstream's reasons and messages. Pure. */
import type * as core from "../../gen/core-v1.ts";
import { readySandbox } from "./cri-state.ts";
import { initDone, type StatusFacts, timeOf } from "./pod-status.ts";
import { containersOf, isSidecar } from "./types.ts";

interface Verdict {
  readonly status: "True" | "False";
  readonly reason?: string;
  readonly message?: string;
}

const yes: Verdict = { status: "True" };

const kubeletConditions = [
  "PodReadyToStartContainers",
  "Initialized",
  "Ready",
  "ContainersReady",
  "PodScheduled",
] as const;

/** Said of a pod that was ended for the node's sake. */
const disrupted = "DisruptionTarget";

/** There only while a resize is under way. */
export const passingConditions: ReadonlySet<string> = new Set([
  "PodResizePending",
  "PodResizeInProgress",
]);

/** True for the conditions that a kubelet writes. */
export function isKubeletCondition(type: string): boolean {
  if (passingConditions.has(type)) return true;
  return type === disrupted || (kubeletConditions as readonly string[]).includes(type);
}

type Statuses = ReadonlyMap<string, core.ContainerStatus>;

/** The kubelet's conditions, keeping the transition time of those that did not change. */
export function podConditions(
  facts: StatusFacts,
  phase: string,
  statuses: Statuses,
): core.PodCondition[] {
  const containersReady = containersReadyOf(facts, phase, statuses);
  const evicted: Verdict = {
    status: "True",
    reason: "TerminationByKubelet",
    message: facts.failed?.message ?? "",
  };
  const verdicts: Readonly<Record<string, Verdict>> = {
    PodReadyToStartContainers: { status: hasNetwork(facts) ? "True" : "False" },
    Initialized: initializedOf(facts, phase, statuses),
    Ready: readyOf(facts, containersReady),
    ContainersReady: containersReady,
    PodScheduled: yes,
    ...(facts.failed?.disrupts ? { [disrupted]: evicted } : {}),
  };
  const before = facts.pod.status?.conditions ?? [];
  const standing = Object.entries(verdicts).map(([type, verdict]) => {
    const old = before.find((condition) => condition.type === type);
    const since =
      old?.status === verdict.status && old.lastTransitionTime
        ? old.lastTransitionTime
        : timeOf(facts.nowMs);
    return {
      type,
      ...verdict,
      observedGeneration: facts.pod.metadata.generation ?? 0,
      lastTransitionTime: since,
    };
  });
  const isOver = phase === "Succeeded" || phase === "Failed";
  return isOver ? standing : [...standing, ...facts.resizes];
}

function hasNetwork(facts: StatusFacts): boolean {
  const sandbox = readySandbox(facts.cri);
  if (sandbox === undefined) return false;
  return facts.pod.spec.hostNetwork === true || sandbox.ips.length > 0;
}

function initializedOf(facts: StatusFacts, phase: string, statuses: Statuses): Verdict {
  const inits = containersOf(facts.pod).filter((named) => named.kind === "init");
  if (inits.length === 0) return yes;
  if (phase === "Succeeded") return { status: "True", reason: "PodCompleted" };
  const begun = containersOf(facts.pod).some(
    (named) =>
      named.kind === "app" && (statuses.get(named.container.name)?.containerID ?? "") !== "",
  );
  if (begun || initDone(facts)) return yes;
  const open = inits.filter((named) => {
    const status = statuses.get(named.container.name);
    if (isSidecar(named)) return status?.started !== true;
    return status?.state?.terminated?.exitCode !== 0;
  });
  const names = open.map((named) => named.container.name).join(" ");
  return {
    status: "False",
    reason: "ContainersNotInitialized",
    message: `containers with incomplete status: [${names}]`,
  };
}

function containersReadyOf(facts: StatusFacts, phase: string, statuses: Statuses): Verdict {
  if (phase === "Succeeded") return { status: "False", reason: "PodCompleted" };
  if (phase === "Failed") return { status: "False", reason: "PodFailed" };
  const needed = containersOf(facts.pod).filter(
    (named) => named.kind === "app" || isSidecar(named),
  );
  const unready = needed.filter((named) => statuses.get(named.container.name)?.ready !== true);
  if (unready.length === 0) return yes;
  const names = unready.map((named) => named.container.name).join(" ");
  return {
    status: "False",
    reason: "ContainersNotReady",
    message: `containers with unready status: [${names}]`,
  };
}

function readyOf(facts: StatusFacts, containersReady: Verdict): Verdict {
  if (containersReady.status === "False") return containersReady;
  const conditions = facts.pod.status?.conditions ?? [];
  const problems = (facts.pod.spec.readinessGates ?? []).flatMap(({ conditionType }) => {
    const found = conditions.find((condition) => condition.type === conditionType);
    if (found === undefined) {
      return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    }
    if (found.status === "True") return [];
    return [
      `the status of pod readiness gate "${conditionType}" is not "True", but ${found.status}`,
    ];
  });
  if (problems.length === 0) return yes;
  return {
    status: "False",
    reason: "ReadinessGatesNotReady",
    message: problems.join(", "),
  };
}
