/** What must hold at every moment, whatever goes wrong; broken ones are gathered as they are seen. */

import type { Deployment, ReplicaSet } from "../../src/gen/apps-v1.ts";
import type { Job } from "../../src/gen/batch-v1.ts";
import type { Pod } from "../../src/gen/core-v1.ts";
import type { NetworkPolicy } from "../../src/gen/networking-v1.ts";
import type { KubeObject } from "../../src/schema/object.ts";
import type { Change, Store } from "../../src/store/store.ts";
import { type Container, isRunning, type Sandbox, type Witness } from "./fake-cri.ts";

interface Placed<T> {
  readonly node: string;
  readonly what: T;
}

export class Invariants {
  readonly broken: string[] = [];
  /** One line per change and per start and end of a container: equal for equal seeds. */
  readonly trace: string[] = [];
  readonly #now: () => number;
  readonly #pods = new Map<string, Pod>();
  readonly #goneUids = new Set<string>();
  readonly #replicaSets = new Map<string, ReplicaSet>();
  /** The most replicas each Deployment was ever to have. */
  readonly #mostReplicas = new Map<string, number>();
  /** The same of each ReplicaSet. */
  readonly #mostOfSet = new Map<string, number>();
  readonly #jobs = new Map<string, Job>();
  readonly #sandboxes: Placed<Sandbox>[] = [];
  readonly #containers: Placed<Container>[] = [];
  readonly #starts = new Map<string, number>();
  readonly #forced = new Set<string>();

  readonly #isExact: boolean;
  #succeeded = 0;
  #mostParallel = 0;

  /**
   * `now` tells the simulated time in ms. `isExact` holds where controllers see every write at once
   * and lose no answer: then they never make more pods than they may.
   */
  constructor(now: () => number, isExact: boolean) {
    this.#now = now;
    this.#isExact = isExact;
  }

  /** This pod was deleted by force: it may run on, beside another of its name. */
  force(name: string): void {
    this.#forced.add(name);
  }

  follow(store: Store): void {
    store.onCommit((changes) => {
      for (const change of changes) this.#commit(change);
    });
  }

  witness(node: string): Witness {
    return {
      sandboxRuns: (sandbox) => this.#sandboxRuns(node, sandbox),
      containerStarts: (container) => this.#containerStarts(node, container),
      containerStopped: (container) => this.#containerStopped(node, container),
      containerEnds: (container) => {
        const isTask = container.config.args[0] === "task";
        if (isTask && container.exitCode === 0) this.#succeeded += 1;
        this.trace.push(`${this.#now()} ${node} ends ${nameOf(container.sandbox)}`);
      },
    };
  }

  #break(text: string): void {
    this.broken.push(`at ${this.#now()} ms: ${text}`);
  }

  #commit(change: Change): void {
    const isPut = change.type === "put";
    const { key, value } = isPut ? change.entry : change.previous;
    this.trace.push(`${this.#now()} ${change.type} ${key} ${Bun.hash(value)}`);
    const kind = key.split("/")[2];
    if (kind === undefined || !(kind in this.#checks)) return;
    const object = JSON.parse(new TextDecoder().decode(value)) as unknown;
    this.#checks[kind]?.(object as never, isPut);
  }

  readonly #checks: Readonly<Record<string, (object: never, isPut: boolean) => void>> = {
    pods: (pod: Pod, isPut) => this.#pod(pod, isPut),
    replicasets: (set: ReplicaSet, isPut) => this.#replicaSet(set, isPut),
    deployments: ({ metadata, spec }: Deployment) => {
      const uid = metadata.uid ?? "";
      const most = Math.max(this.#mostReplicas.get(uid) ?? 0, spec.replicas ?? 1);
      this.#mostReplicas.set(uid, most);
    },
    jobs: (job: Job, isPut) => this.#job(job, isPut),
    networkpolicies: ({ metadata }: NetworkPolicy, isPut) => {
      if (!isPut) this.#policyGone(metadata.namespace ?? "");
    },
  };

  /** A policy that goes before the pods it guards leaves them open (CVE-2024-7598). */
  #policyGone(namespace: string): void {
    const pods = [...this.#pods.values()].filter(({ metadata }) => {
      return metadata.namespace === namespace;
    });
    const running = this.#containers.filter(
      ({ what }) => isRunning(what) && nameOf(what.sandbox).startsWith(`${namespace}/`),
    );
    const isForced = [...this.#forced].some((name) => name.startsWith(`${namespace}/`));
    if (pods.length > 0 || (running.length > 0 && !isForced)) {
      this.#break(`the policy of ${namespace} went before its pods`);
    }
  }

  /** A pod is bound once, and its end is final. */
  #pod(pod: Pod, isPut: boolean): void {
    const uid = pod.metadata.uid ?? "";
    const before = this.#pods.get(uid);
    if (!isPut) {
      this.#pods.delete(uid);
      this.#goneUids.add(uid);
      const { namespace, name } = pod.metadata;
      if (this.#forced.has(`${namespace}/${name}`)) return;
      const left = this.#containers.filter(({ what }) => uidOf(what.sandbox) === uid);
      if (left.some(({ what }) => isRunning(what))) {
        this.#break(`pod ${pod.metadata.name} is gone while its containers run`);
      }
      return;
    }
    if (this.#goneUids.has(uid)) this.#break(`pod ${pod.metadata.name} came back`);
    this.#pods.set(uid, pod);
    const [from = "", to = ""] = [before?.spec.nodeName, pod.spec.nodeName];
    if (from !== "" && from !== to) {
      this.#break(`pod ${pod.metadata.name} was moved from ${from} to "${to}"`);
    }
    if (this.#isExact) this.#count(pod);
    const [was, is] = [before?.status?.phase, pod.status?.phase];
    if ((was === "Succeeded" || was === "Failed") && is !== was) {
      this.#break(`pod ${pod.metadata.name} went from ${was} to ${is}`);
    }
  }

  /** Of the pods that are to run there are never more than their owner may have. */
  #count(pod: Pod): void {
    const app = pod.metadata.labels?.app;
    const active = [...this.#pods.values()].filter(
      (other) => other.metadata.labels?.app === app && isActive(other),
    );
    // Two sets together may have more for a moment: the old one's deletions may have failed.
    const own = active.filter((other) => ownerOf(other) === ownerOf(pod));
    const most = this.#mostOfSet.get(ownerOf(pod)) ?? 0;
    if (app === "web" && own.length > most) {
      this.#break(`the set of ${pod.metadata.name} has ${own.length} pods, of at most ${most}`);
    }
    if (app === "sum" && active.length > this.#mostParallel) {
      this.#break(`sum has ${active.length} pods, of at most ${this.#mostParallel}`);
    }
    const nodes = active.map(nodeOf);
    if (app === "agent" && new Set(nodes).size < nodes.length) {
      this.#break(`a node has two pods of agent: ${nodes}`);
    }
  }

  /** All sets of a Deployment together never want more than its replicas and its surge. */
  #replicaSet(set: ReplicaSet, isPut: boolean): void {
    const uid = set.metadata.uid ?? "";
    if (isPut) this.#replicaSets.set(uid, set);
    else this.#replicaSets.delete(uid);
    const own = Math.max(this.#mostOfSet.get(uid) ?? 0, set.spec.replicas ?? 1);
    this.#mostOfSet.set(uid, own);
    const owner = ownerOf(set);
    const most = this.#mostReplicas.get(owner);
    if (most === undefined) return;
    const siblings = [...this.#replicaSets.values()].filter((other) => ownerOf(other) === owner);
    const wanted = siblings.reduce((sum, { spec }) => sum + (spec.replicas ?? 1), 0);
    if (wanted > most + maxSurge) {
      this.#break(`the sets of ${set.metadata.name} want ${wanted} of ${most} replicas`);
    }
  }

  /** What has succeeded stays counted, and a Job ends once. */
  #job(job: Job, isPut: boolean): void {
    const uid = job.metadata.uid ?? "";
    const before = this.#jobs.get(uid);
    if (!isPut) return;
    this.#jobs.set(uid, job);
    const [was, is] = [before?.status?.succeeded ?? 0, job.status?.succeeded ?? 0];
    const { completions = 1, parallelism = 1 } = job.spec;
    this.#mostParallel = Math.max(this.#mostParallel, parallelism);
    const noted = is + (job.status?.uncountedTerminatedPods?.succeeded?.length ?? 0);
    if (noted > this.#succeeded) {
      this.#break(`job ${job.metadata.name} counts ${noted} of ${this.#succeeded} successes`);
    }
    if (is < was) this.#break(`job ${job.metadata.name} forgot successes: ${was} to ${is}`);
    if (is > completions) this.#break(`job ${job.metadata.name} counts ${is} of ${completions}`);
    if (isComplete(before) && !isComplete(job)) this.#break(`job ${job.metadata.name} reopened`);
  }

  #sandboxRuns(node: string, sandbox: Sandbox): void {
    this.trace.push(`${this.#now()} ${node} sandbox ${nameOf(sandbox)}`);
    for (const { node: other, what } of this.#sandboxes) {
      if (what.ready && uidOf(what) === uidOf(sandbox)) {
        this.#break(`pod ${nameOf(sandbox)} has a sandbox on ${other} and gets one on ${node}`);
      }
    }
    this.#sandboxes.push({ node, what: sandbox });
  }

  #containerStarts(node: string, container: Container): void {
    const { sandbox, name } = container;
    const uid = uidOf(sandbox);
    this.trace.push(`${this.#now()} ${node} starts ${nameOf(sandbox)}`);
    for (const { node: other, what } of this.#containers) {
      if (!isRunning(what) || what.name !== name || nameOf(what.sandbox) !== nameOf(sandbox)) {
        continue;
      }
      if (this.#forced.has(nameOf(sandbox)) && uidOf(what.sandbox) !== uid) continue;
      if (what !== container) this.#break(`${nameOf(sandbox)} runs twice: ${other} and ${node}`);
    }
    this.#containers.push({ node, what: container });
    const pod = this.#pods.get(uid);
    if (pod === undefined) return;
    if (pod.spec.nodeName !== node) this.#break(`${nameOf(sandbox)} runs on ${node} unbound`);
    const starts = (this.#starts.get(`${uid} ${name}`) ?? 0) + 1;
    this.#starts.set(`${uid} ${name}`, starts);
    if (pod.spec.restartPolicy === "Never" && starts > 1) {
      this.#break(`${nameOf(sandbox)} never restarts, but was started ${starts} times`);
    }
  }

  /** The kubelet ends only what has to end. */
  #containerStopped(node: string, { sandbox }: Container): void {
    const pod = this.#pods.get(uidOf(sandbox));
    const isOver = pod?.status?.phase === "Failed" || pod?.status?.phase === "Succeeded";
    if (pod !== undefined && pod.metadata.deletionTimestamp === undefined && !isOver) {
      this.#break(`${node} stops ${nameOf(sandbox)}, which nobody wants to end`);
    }
  }
}

/** Of every Deployment in the simulation. */
export const maxSurge = 1;

function isComplete(job: Job | undefined): boolean {
  return (job?.status?.conditions ?? []).some(
    ({ type, status }) => type === "Complete" && status === "True",
  );
}

function isActive({ metadata, status }: Pod): boolean {
  const isOver = status?.phase === "Succeeded" || status?.phase === "Failed";
  return metadata.deletionTimestamp === undefined && !isOver;
}

/** The node that a daemon pod is for. */
function nodeOf({ spec }: Pod): string {
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required?.nodeSelectorTerms[0]?.matchFields?.[0]?.values?.[0] ?? "";
}

function ownerOf({ metadata }: KubeObject): string {
  return metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid ?? "";
}

function uidOf({ config }: Sandbox): string {
  return config.metadata?.uid ?? "";
}

function nameOf({ config }: Sandbox): string {
  return `${config.metadata?.namespace}/${config.metadata?.name}`;
}
