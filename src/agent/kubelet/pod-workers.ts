/**
 * One worker per pod, keyed by its uid: reads what runs, plans, starts the steps without waiting
 * for them, and reports the status. Whatever ends or changes wakes the worker again.
 */
import type { pods } from "../../client/resources.ts";
import type { LiveSet } from "../../live/live-set.ts";
import { WorkQueue } from "../../live/work-queue.ts";
import { isCriUnavailable } from "../cri/client.ts";
import { enforceDeadline } from "./active-deadline.ts";
import { rejectPod } from "./admit-pod.ts";
import { containerHash } from "./container-config.ts";
import type { CriPodIdentity } from "./cri-cache.ts";
import { type ContainerState, latestOf, type PodCri } from "./cri-state.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import type { RotatedLog } from "./log-rotation.ts";
import { objectRefs } from "./object-refs.ts";
import { hasEnded, isEnding, type PodFacts, type PodPlan, planPod } from "./plan-pod.ts";
import { planResize } from "./plan-resize.ts";
import { PodEvictions } from "./pod-evictions.ts";
import { newRecord, orphanPod, type PodRecord } from "./pod-record.ts";
import { othersOf, PodResizes } from "./pod-resizes.ts";
import { reportedRestarts } from "./pod-status.ts";
import { placeOf } from "./start-container.ts";
import { StaticPods } from "./static-pods.ts";
import { sameJson } from "./status-patch.ts";
import { StatusReporter } from "./status-reporter.ts";
import { StepRunner } from "./step-runner.ts";
import {
  containersOf,
  fieldPathOf,
  isNewer,
  isSidecar,
  type Pod,
  podLogDir,
  uidOf,
} from "./types.ts";

const limits = {
  workers: 16,
  rereadMs: 500,
  resizeRetryMs: 180_000,
} as const;

type CorePod = typeof pods extends { readonly type?: infer T } ? T : never;

export class PodWorkers {
  readonly #context: KubeletContext;
  readonly #signal: AbortSignal;
  readonly #queue: WorkQueue;
  readonly #records = new Map<string, PodRecord>();
  readonly #reporter: StatusReporter;
  readonly #steps: StepRunner;
  readonly #resizes: PodResizes;
  readonly staticPods: StaticPods;
  readonly evictions: PodEvictions;

  constructor(context: KubeletContext, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
    this.#queue = new WorkQueue(context.runtime.clock, signal);
    const { runtime, client, nodeName } = context;
    const wake = (uid: string, ms: number): void => this.#queue.addAfter(uid, ms);
    this.#reporter = new StatusReporter(context, wake);
    const records = this.#records;
    this.staticPods = new StaticPods({ runtime, client, nodeName, records, wake });
    const { staticPods } = this;
    const forget = (record: PodRecord): Promise<void> => this.#forget(record);
    this.#resizes = new PodResizes(context, records, wake);
    const resizes = this.#resizes;
    this.evictions = new PodEvictions(context, records, wake);
    this.#steps = new StepRunner({ context, signal, records, staticPods, resizes, wake, forget });
  }

  /** Follows the pods of this node until the signal aborts. */
  async follow(live: LiveSet<NonNullable<CorePod>>, signal: AbortSignal): Promise<void> {
    await live.ready(signal);
    using _subscription = live.subscribe((change) => {
      const pod = change.now.object;
      if (change.type === "deleted" && !this.staticPods.removed(pod)) this.#removed(uidOf(pod));
      else if (change.type !== "deleted") this.#seen(pod);
    });
    // What runs already is counted before anything new is taken.
    const found = [...live.list()].map(({ object }) => object);
    const isNew = (pod: Pod): boolean => pod.status?.startTime === undefined;
    for (const pod of found.filter((one) => !isNew(one))) this.#seen(pod);
    for (const pod of found.filter(isNew)) this.#seen(pod);
    const known = new Set(this.#records.keys());
    this.#context.resources.retain(known);
    await this.#context.devices.retain(known);
    this.#resizes.retry();
    await Promise.all(Array.from({ length: limits.workers }, () => this.#work()));
  }

  wake(uid: string): void {
    this.#queue.add(uid);
  }

  /** Ends what the runtime runs of pods that the API does not know. */
  adopt(identities: Iterable<CriPodIdentity>): void {
    const now = this.#context.runtime.clock.now().getTime();
    for (const identity of identities) {
      if (this.#records.has(identity.uid)) continue;
      this.#records.set(identity.uid, newRecord(orphanPod(identity), true, now));
      this.#queue.add(identity.uid);
    }
  }

  record(uid: string): PodRecord | undefined {
    return this.#records.get(uid);
  }

  list(): Iterable<PodRecord> {
    return this.#records.values();
  }

  /** The logs that are written to. */
  *logs(): Iterable<RotatedLog> {
    for (const uid of this.#records.keys()) {
      for (const { id, state, logPath } of this.#context.cache.peek(uid).containers) {
        if (state === "running" && logPath !== "") yield { containerId: id, path: logPath };
      }
    }
  }

  find(namespace: string, name: string): PodRecord | undefined {
    const all = [...this.#records.values()].filter(
      ({ pod }) => pod.metadata.namespace === namespace && pod.metadata.name === name,
    );
    return all.find((record) => !record.removed) ?? all[0];
  }

  /** Resizes that wait are looked at again now and then, besides when something ends. */
  async retryResizes(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#context.runtime.clock.sleep(limits.resizeRetryMs, signal);
      this.#resizes.retry();
    }
  }

  /** Brings the files of every running pod up to date with the objects behind them. */
  async refreshVolumes(): Promise<void> {
    for (const record of this.#records.values()) await this.#refresh(record);
  }

  /** ConfigMaps or Secrets that these pods use have changed. */
  objectsChanged(uids: Iterable<string>): void {
    for (const uid of uids) {
      const record = this.#records.get(uid);
      if (record === undefined) continue;
      void this.#refresh(record);
      // What failed for want of an object is tried again at once.
      record.retries.delete("prepareVolumes");
      for (const [name, { reason }] of record.waiting) {
        if (reason === "CreateContainerConfigError") record.retries.delete(`container ${name}`);
      }
      this.#queue.add(uid);
    }
  }

  #seen(pod: Pod): void {
    const uid = uidOf(pod);
    if (pod.spec.nodeName !== this.#context.nodeName || this.staticPods.seen(pod)) return;
    const record = this.#records.get(uid);
    // The name was given to another pod: this one is gone though no deletion was seen.
    for (const other of this.#records.values()) {
      const { name, namespace } = other.pod.metadata;
      const same = name === pod.metadata.name && namespace === pod.metadata.namespace;
      if (same && other.uid !== uid && !other.removed) this.#removed(other.uid);
    }
    if (record === undefined) {
      const now = this.#context.runtime.clock.now().getTime();
      const fresh = newRecord(pod, false, now);
      this.#resizes.begin(fresh);
      this.#admit(fresh);
      this.#records.set(uid, fresh);
      if (!hasEnded(pod)) this.#context.objects.follow(uid, objectRefs(pod));
    } else if (isNewer(pod, record.pod)) {
      const { generation, labels, annotations } = record.pod.metadata;
      const changed = generation !== pod.metadata.generation;
      const told = [pod.metadata.labels, pod.metadata.annotations];
      const relabeled = !sameJson([labels, annotations], told);
      this.#resizes.seen(record, pod);
      record.removed = false;
      if (changed && record.volumes !== "gone") {
        this.#context.objects.follow(uid, objectRefs(pod));
      }
      if (changed || relabeled) void this.#refresh(record);
    }
    this.#queue.add(uid);
  }

  /** A pod that this node cannot take fails; one that it has started before is taken. */
  #admit(record: PodRecord): void {
    const { pod } = record;
    if (hasEnded(pod)) return;
    const isNew = pod.status?.startTime === undefined;
    const { allocatable, events, settings } = this.#context;
    const rejection =
      isNew && pod.metadata.deletionTimestamp === undefined
        ? rejectPod(pod, {
            others: othersOf(this.#records, record.uid),
            allocatable,
            conditions: this.#context.conditions(),
            allowedSysctls: settings.allowedUnsafeSysctls,
            isShuttingDown: this.#context.isShuttingDown(),
          })
        : undefined;
    if (rejection === undefined) {
      this.#resizes.admitted(record);
      return;
    }
    const { reason, message } = rejection;
    record.failed = { reason, message: `Pod was rejected: ${message}` };
    events.event(pod, "Warning", reason, message);
  }

  async #refresh(record: PodRecord): Promise<void> {
    if (record.volumes !== "ready" || record.removed) return;
    const ips = this.#context.cache.peek(record.uid).sandboxes[0]?.ips ?? [];
    await this.#context.volumes.refresh(record.pod, placeOf(this.#context, record.pod, ips));
  }

  #removed(uid: string): void {
    const record = this.#records.get(uid);
    if (record === undefined) return;
    record.removed = true;
    this.#queue.add(uid);
    this.#resizes.retry();
  }

  async #work(): Promise<void> {
    for (;;) {
      const uid = await this.#queue.take();
      if (uid === undefined) return;
      try {
        await this.#reconcile(uid);
        this.#queue.forget(uid);
      } catch (error) {
        if (!this.#signal.aborted && !isCriUnavailable(error)) {
          this.#context.runtime.log.warn("Cannot sync a pod", { uid, error: `${error}` });
        }
        this.#queue.addFailed(uid);
      } finally {
        this.#queue.done(uid);
      }
    }
  }

  async #reconcile(uid: string): Promise<void> {
    const record = this.#records.get(uid);
    if (record === undefined) return;
    // Before the read: what it shows as created may have been started since.
    const starting = startingIn(record);
    const cri = await this.#context.cache.read(uid);
    for (const { id, ready } of cri.sandboxes) if (ready) record.open.add(id);
    this.#syncProbes(record, cri);
    this.#lookAgain(record, cri);
    const leftMs = enforceDeadline(this.#context, record);
    if (leftMs !== undefined) this.#queue.addAfter(uid, leftMs + 1);
    const facts = this.#factsOf(record, cri, starting);
    const plan = planPod(facts);
    if (isEnding(facts)) record.starting.abort();
    const isRestarting = record.resizing !== undefined && record.restarting.size > 0;
    const isResizing = facts.resize !== undefined || isRestarting;
    this.#resizes.progressed(record, isResizing && !isEnding(facts));
    this.staticPods.reconcile(record);
    this.#tellBackoffs(record, plan);
    // Before the steps: the last status goes out before the object does.
    if (!record.removed) this.#reporter.report(record, facts, plan.waiting);
    for (const step of plan.steps) this.#steps.begin(record, step);
    if (plan.againInMs !== undefined) this.#queue.addAfter(uid, plan.againInMs + 1);
  }

  #factsOf(record: PodRecord, cri: PodCri, starting: ReadonlySet<string>): PodFacts {
    const { prober, runtime } = this.#context;
    const condemned = new Map(record.condemned);
    const started = new Set<string>();
    for (const container of cri.containers) {
      if (container.state !== "running") continue;
      const verdict = prober.verdict(container.id);
      if (verdict?.condemned !== undefined) condemned.set(container.id, verdict.condemned);
      const begun = verdict === undefined || verdict.started;
      if (begun && !record.hooksRunning.has(container.id)) started.add(container.id);
    }
    const actuated = this.#context.resources.actuated(record.pod);
    return {
      pod: record.pod,
      actuated,
      cgroup: record.cgroup,
      resize: planResize(record.pod, cri, actuated),
      restarting: record.restarting,
      dispensable: record.dispensable || isEvicted(record.pod),
      removed: record.removed,
      failed: record.failed,
      cri,
      nowMs: runtime.clock.now().getTime(),
      volumes: record.volumes,
      condemned,
      started,
      starting,
      // A restart under way has waited already.
      backoffs: new Map(
        [...record.backoffs].filter(([name]) => !record.busy.has(`container ${name}`)),
      ),
      restartCounts: reportedRestarts(record.pod.status),
      hashes: new Map(
        containersOf(record.pod).map(({ container }) => [container.name, containerHash(container)]),
      ),
    };
  }

  /** That the kernel killed a container for its memory is told after its end. */
  #lookAgain(record: PodRecord, cri: PodCri): void {
    const { clock } = this.#context.runtime;
    for (const { id, exitCode, reason, finishedMs } of cri.containers) {
      const isFresh = clock.now().getTime() - finishedMs < limits.rereadMs * 4;
      if (exitCode !== 137 || reason !== "Error" || !isFresh || record.reread.has(id)) continue;
      record.reread.add(id);
      void clock.sleep(limits.rereadMs, this.#signal).then(() => {
        this.#context.cache.doubt(record.uid, id);
        this.#queue.add(record.uid);
      });
    }
  }

  #syncProbes(record: PodRecord, cri: PodCri): void {
    const { prober } = this.#context;
    for (const named of containersOf(record.pod)) {
      const latest = latestOf(cri, named.container.name);
      if (latest?.state !== "running") continue;
      if (named.kind === "ephemeral" || (named.kind === "init" && !isSidecar(named))) continue;
      const sandbox = cri.sandboxes.find(({ id }) => id === latest.sandboxId);
      prober.add(
        {
          pod: record.pod,
          named,
          containerId: latest.id,
          podIp: placeOf(this.#context, record.pod, sandbox?.ips ?? []).podIps[0] ?? "",
          startedMs: latest.startedMs,
        },
        reportedVerdict(record.pod, latest),
      );
    }
    for (const container of cri.containers) {
      if (container.state !== "running") prober.remove(container.id);
    }
  }

  #tellBackoffs(record: PodRecord, plan: PodPlan): void {
    for (const [name, waiting] of plan.waiting) {
      if (record.waiting.get(name)?.message === waiting.message) continue;
      record.waiting.set(name, waiting);
      const named = containersOf(record.pod).find((entry) => entry.container.name === name);
      if (named === undefined) continue;
      const { name: podName, namespace, uid } = record.pod.metadata;
      const where = `${name} in pod ${podName}_${namespace}(${uid})`;
      const message = `Back-off restarting failed container ${where}`;
      const fieldPath = fieldPathOf(named);
      this.#context.events.event(record.pod, "Warning", "BackOff", message, { fieldPath });
    }
    for (const [name, waiting] of record.waiting) {
      if (waiting.reason === "CrashLoopBackOff" && !plan.waiting.has(name)) {
        record.waiting.delete(name);
      }
    }
  }

  async #forget(record: PodRecord): Promise<void> {
    this.#records.delete(record.uid);
    this.#context.cache.forget(record.uid);
    this.#context.resources.forget(record.uid);
    await this.#context.host.remove(podLogDir(this.#context.logRoot, record.pod));
    this.staticPods.forgotten();
  }
}

/** Nobody looks for what an evicted pod has left: the node needs the room. */
function isEvicted({ status }: Pod): boolean {
  return status?.phase === "Failed" && status.reason === "Evicted";
}

/** Names of the containers whose start is under way. */
function startingIn(record: PodRecord): ReadonlySet<string> {
  const prefix = "container ";
  const keys = [...record.busy].filter((key) => key.startsWith(prefix));
  return new Set(keys.map((key) => key.slice(prefix.length)));
}

/** What the API was told of this very container: probes of an adopted one go on from there. */
function reportedVerdict(
  pod: Pod,
  container: ContainerState,
): { readonly started: boolean; readonly ready: boolean } {
  const all = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
  ];
  const status = all.find((entry) => entry.containerID === `containerd://${container.id}`);
  return { started: status?.started === true, ready: status?.ready === true };
}
