/** Decides on which nodes a DaemonSet's pods run, and which give way to a new template. Pure. */
import type { DaemonSet, DaemonSetStatus } from "../../gen/apps-v1.ts";
import type { Node, Pod, Toleration } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { matchesRequiredAffinity, untoleratedTaints } from "../../schema/placement.ts";
import { scaledValue } from "../deployment/replica-sets.ts";
import { byCreation, isDeleting, mutable, omitEmpty } from "../objects.ts";
import { podFromTemplate } from "../pod-control.ts";
import { isPodAvailable, isPodReady, type LivePod } from "../pod-state.ts";
import { hashOf, revisionHashLabel } from "../revisions.ts";

export type LiveDaemonSet = DeepReadonly<DaemonSet>;
export type LiveNode = DeepReadonly<Node>;

const nodePrefix = "node.kubernetes.io/";
const generationLabel = "pod-template-generation";

/** What every daemon pod tolerates, so that it stays on a troubled node. */
function daemonTolerations(hostNetwork: boolean): Toleration[] {
  const rows: readonly (readonly [string, string])[] = [
    ["not-ready", "NoExecute"],
    ["unreachable", "NoExecute"],
    ["disk-pressure", "NoSchedule"],
    ["memory-pressure", "NoSchedule"],
    ["pid-pressure", "NoSchedule"],
    ["unschedulable", "NoSchedule"],
    ...(hostNetwork ? ([["network-unavailable", "NoSchedule"]] as const) : []),
  ];
  return rows.map(([key, effect]) => ({ key: nodePrefix + key, operator: "Exists", effect }));
}

/** The pod for one node: the scheduler places it by the node's name, its own way. */
export function daemonPod(daemonSet: LiveDaemonSet, nodeName: string, hash: string): Pod {
  const pod = podFromTemplate(daemonSet.spec.template, daemonSet);
  const generation =
    daemonSet.metadata.annotations?.["deprecated.daemonset.template.generation"] ?? "";
  pod.metadata.labels = {
    ...pod.metadata.labels,
    ...(generation === "" ? {} : { [generationLabel]: generation }),
    [revisionHashLabel]: hash,
  };
  const affinity = pod.spec.affinity ?? {};
  const nodeAffinity = affinity.nodeAffinity ?? {};
  const required = nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution;
  const matchFields = [{ key: "metadata.name", operator: "In", values: [nodeName] }];
  const terms = required?.nodeSelectorTerms ?? [];
  pod.spec.affinity = {
    ...affinity,
    nodeAffinity: {
      ...nodeAffinity,
      // Alternatives stay alternatives; each is tied to the node.
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms:
          terms.length === 0 ? [{ matchFields }] : terms.map((term) => ({ ...term, matchFields })),
      },
    },
  };
  pod.spec.tolerations = withTolerations(pod.spec.tolerations ?? [], pod.spec.hostNetwork === true);
  return pod;
}

function withTolerations(present: readonly Toleration[], hostNetwork: boolean): Toleration[] {
  const added = daemonTolerations(hostNetwork).filter(
    ({ key, effect }) =>
      !present.some((t) => t.key === key && t.effect === effect && t.operator === "Exists"),
  );
  return [...present, ...added];
}

/** The node a daemon pod is for, placed or not. */
export function targetNode(pod: LivePod): string {
  if (pod.spec.nodeName) return pod.spec.nodeName;
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  for (const term of required?.nodeSelectorTerms ?? []) {
    for (const { key, values } of term.matchFields ?? []) {
      if (key === "metadata.name" && values?.[0] !== undefined) return values[0];
    }
  }
  return "";
}

/** May a pod be placed there, and may one that is there stay? */
export function placement(
  daemonSet: LiveDaemonSet,
  node: LiveNode,
): { readonly shouldRun: boolean; readonly mayStay: boolean } {
  const { spec } = daemonSet.spec.template;
  const tolerations = withTolerations(
    mutable<Toleration[]>(spec.tolerations ?? []),
    spec.hostNetwork === true,
  );
  const pod = { spec: { ...spec, tolerations } };
  const isOther =
    spec.nodeName !== undefined && spec.nodeName !== "" && spec.nodeName !== node.metadata.name;
  if (isOther || !matchesRequiredAffinity(pod, node)) return { shouldRun: false, mayStay: false };
  const taints = untoleratedTaints(pod, node);
  if (taints.length === 0) return { shouldRun: true, mayStay: true };
  return { shouldRun: false, mayStay: !taints.some(({ effect }) => effect === "NoExecute") };
}

export interface DaemonInput {
  readonly daemonSet: LiveDaemonSet;
  readonly nodes: readonly LiveNode[];
  /** All pods of the DaemonSet, those on their way out too. */
  readonly pods: readonly LivePod[];
  /** The label value of pods of the present template. */
  readonly hash: string;
  readonly nowMs: number;
}

export interface DaemonPlan {
  readonly create: readonly string[];
  readonly delete: readonly LivePod[];
  /** Failed or succeeded pods among the deleted ones, for the events. */
  readonly over: readonly LivePod[];
}

export function planDaemons(input: DaemonInput): DaemonPlan {
  const create: string[] = [];
  const doomed: LivePod[] = [];
  const over: LivePod[] = [];
  const byNode = groupByNode(input.pods);
  const maxSurge = daemonFenceposts(input).maxSurge;
  for (const node of input.nodes) {
    const name = node.metadata.name ?? "";
    const present = byNode.get(name) ?? [];
    byNode.delete(name);
    const { shouldRun, mayStay } = placement(input.daemonSet, node);
    if (shouldRun && present.length === 0) create.push(name);
    const staying = present.filter((pod) => !isDeleting(pod));
    if (!mayStay) {
      doomed.push(...staying);
      continue;
    }
    const ended = staying.filter(({ status }) =>
      ["Failed", "Succeeded"].includes(status?.phase ?? ""),
    );
    over.push(...ended);
    doomed.push(
      ...ended,
      ...surplus(
        staying.filter((pod) => !ended.includes(pod)),
        maxSurge,
        input,
      ),
    );
  }
  return { create, delete: doomed, over };
}

/** One pod per node, the oldest; during a surge an old and a new one. */
function surplus(pods: readonly LivePod[], maxSurge: number, { hash }: DaemonInput): LivePod[] {
  const oldest = pods.toSorted(
    (a, b) => (a.spec.nodeName ? 0 : 1) - (b.spec.nodeName ? 0 : 1) || byCreation(a, b),
  );
  if (maxSurge === 0) return oldest.slice(1);
  const isNew = (pod: LivePod) => hashOf(pod) === hash;
  return [...oldest.filter(isNew).slice(1), ...oldest.filter((pod) => !isNew(pod)).slice(1)];
}

export function groupByNode(pods: readonly LivePod[]): Map<string, LivePod[]> {
  const byNode = new Map<string, LivePod[]>();
  for (const pod of pods) {
    const name = targetNode(pod);
    byNode.set(name, [...(byNode.get(name) ?? []), pod]);
  }
  return byNode;
}

export function daemonFenceposts({ daemonSet, nodes }: DaemonInput): {
  readonly maxSurge: number;
  readonly maxUnavailable: number;
} {
  const strategy = daemonSet.spec.updateStrategy;
  if ((strategy?.type ?? "RollingUpdate") !== "RollingUpdate") {
    return { maxSurge: 0, maxUnavailable: 0 };
  }
  const desired = nodes.filter((node) => placement(daemonSet, node).shouldRun).length;
  const maxSurge = scaledValue(strategy?.rollingUpdate?.maxSurge, desired, "up");
  const unavailable = scaledValue(strategy?.rollingUpdate?.maxUnavailable ?? 1, desired, "up");
  const maxUnavailable = desired > 0 && maxSurge === 0 ? Math.max(1, unavailable) : unavailable;
  return { maxSurge, maxUnavailable };
}

/** Which pods of old templates go now, and where a new one may start beside an old one. */
export function planDaemonRollout(input: DaemonInput): {
  readonly create: readonly string[];
  readonly delete: readonly LivePod[];
} {
  const { daemonSet, hash, nowMs } = input;
  if ((daemonSet.spec.updateStrategy?.type ?? "RollingUpdate") !== "RollingUpdate") {
    return { create: [], delete: [] };
  }
  const { maxSurge, maxUnavailable } = daemonFenceposts(input);
  const minReady = daemonSet.spec.minReadySeconds ?? 0;
  const isAvailable = (pod: LivePod) => isPodAvailable(pod, minReady, nowMs);
  const byNode = groupByNode(input.pods);
  let unavailable = 0;
  let surging = 0;
  const free: LivePod[] = [];
  const candidates: LivePod[] = [];
  const freeStarts: string[] = [];
  const starts: string[] = [];
  for (const node of input.nodes) {
    const name = node.metadata.name ?? "";
    if (!placement(daemonSet, node).shouldRun) continue;
    const living = (byNode.get(name) ?? []).filter((pod) => !isDeleting(pod));
    const fresh = living.find((pod) => hashOf(pod) === hash);
    const old = living.find((pod) => hashOf(pod) !== hash);
    if (maxSurge > 0) {
      if (old === undefined) continue;
      if (fresh === undefined) (isAvailable(old) ? starts : freeStarts).push(name);
      else if (isAvailable(fresh) || !isAvailable(old)) free.push(old);
      else surging++;
      continue;
    }
    if (fresh !== undefined || old === undefined) {
      if (fresh === undefined || !isAvailable(fresh)) unavailable++;
    } else if (isAvailable(old)) candidates.push(old);
    else {
      unavailable++;
      free.push(old);
    }
  }
  const mayGo = Math.max(0, maxUnavailable - unavailable);
  const mayStart = Math.max(0, maxSurge - surging);
  return {
    create: [...freeStarts, ...starts.slice(0, mayStart)],
    delete: [...free, ...candidates.slice(0, mayGo)],
  };
}

export function planDaemonStatus(input: DaemonInput): DaemonSetStatus {
  const { daemonSet, nodes, hash, nowMs } = input;
  const minReady = daemonSet.spec.minReadySeconds ?? 0;
  const byNode = groupByNode(input.pods);
  const counts = { desired: 0, current: 0, misscheduled: 0, ready: 0, available: 0, updated: 0 };
  for (const node of nodes) {
    const present = byNode.get(node.metadata.name ?? "") ?? [];
    if (!placement(daemonSet, node).shouldRun) {
      if (present.length > 0) counts.misscheduled++;
      continue;
    }
    counts.desired++;
    const [first] = present.toSorted((a, b) => byCreation(b, a));
    if (first === undefined) continue;
    counts.current++;
    if (isPodReady(first) && !isDeleting(first)) {
      counts.ready++;
      if (isPodAvailable(first, minReady, nowMs)) counts.available++;
    }
    if (hashOf(first) === hash) counts.updated++;
  }
  return {
    currentNumberScheduled: counts.current,
    numberMisscheduled: counts.misscheduled,
    desiredNumberScheduled: counts.desired,
    numberReady: counts.ready,
    ...omitEmpty({
      observedGeneration: daemonSet.metadata.generation,
      updatedNumberScheduled: counts.updated,
      numberAvailable: counts.available,
      numberUnavailable: counts.desired - counts.available,
      collisionCount: daemonSet.status?.collisionCount,
    }),
  };
}
