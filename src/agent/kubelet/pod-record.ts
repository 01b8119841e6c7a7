/** What a pod worker remembers of its pod between two looks. */
import type * as core from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { CrashBackoff, Failure, Waiting } from "./plan-pod.ts";
import type { PodResources } from "./resources.ts";
import type { Pod } from "./types.ts";

type Condition = DeepReadonly<core.PodCondition>;

export interface PodRecord {
  readonly uid: string;
  /** The newest state of the API object that we know of, with the resources it was granted. */
  pod: Pod;
  /** The same with the resources that it asks for. */
  asked: Pod;
  /** Why a resize is not granted yet. */
  resizePending: Condition | undefined;
  /** A granted resize that is not carried out yet. */
  resizing: Condition | undefined;
  /** What the pod's own cgroup holds; undefined until it was made or looked at. */
  cgroup: PodResources | undefined;
  /** Containers that were ended to run again, whatever their restart policy says. */
  readonly restarting: Set<string>;
  /** Once the pod has ended nobody needs its containers any more. */
  dispensable: boolean;
  /** The API object is gone, or never was: only the runtime knows the pod. */
  removed: boolean;
  failed: Failure | undefined;
  readonly startedMs: number;
  /** A file of this node says that the pod is to run; `mirror` is what the API shows of it. */
  static: boolean;
  mirror: Pod | undefined;
  volumes: "none" | "ready" | "gone";
  /** Steps under way, by key: a step is never done twice at the same time. */
  readonly busy: Set<string>;
  /** Steps that failed: when to try again, and how often they failed in a row. */
  readonly retries: Map<string, { readonly atMs: number; readonly count: number }>;
  /** Why containers wait, told by the last try to start them. */
  readonly waiting: Map<string, Waiting>;
  readonly backoffs: Map<string, CrashBackoff>;
  /** Containers whose postStart hook still runs. */
  readonly hooksRunning: Set<string>;
  /** Containers condemned by a failed postStart hook, with the message. */
  readonly condemned: Map<string, string>;
  /** Grace in seconds of the kills under way, by container id. */
  readonly killGrace: Map<string, number>;
  /** Containers that were killed, whose end was looked at twice. */
  readonly reread: Set<string>;
  /** Sandboxes that were seen up and that nobody has stopped: what one held outlives its shim. */
  readonly open: Set<string>;
  /** The sandbox that the hosts file was written for. */
  hostsFor: string;
  /** Aborts what starts containers once the pod is to end. */
  readonly starting: AbortController;
}

export function newRecord(pod: Pod, removed: boolean, nowMs: number): PodRecord {
  const since = pod.status?.startTime;
  return {
    uid: pod.metadata.uid ?? "",
    pod,
    asked: pod,
    resizePending: undefined,
    resizing: undefined,
    cgroup: undefined,
    restarting: new Set(),
    dispensable: false,
    removed,
    failed: undefined,
    static: false,
    mirror: undefined,
    startedMs: since === undefined ? nowMs : new Date(since).getTime(),
    volumes: "none",
    busy: new Set(),
    retries: new Map(),
    waiting: new Map(),
    backoffs: new Map(),
    hooksRunning: new Set(),
    condemned: new Map(),
    killGrace: new Map(),
    reread: new Set(),
    open: new Set(),
    hostsFor: "",
    starting: new AbortController(),
  };
}

/** The pod as the runtime alone knows it: enough to end it. */
export function orphanPod(identity: {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...identity },
    spec: { containers: [] },
  };
}
