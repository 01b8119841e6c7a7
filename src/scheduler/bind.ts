/** The scheduler's writes: bindings, conditions of waiting pods, the end of preempted ones. */
import { persistentVolumeClaims, persistentVolumes, pods } from "../client/resources.ts";
import { ApiError, isReason } from "../lib/api-error.ts";
import type { ControllerContext } from "../live/controller.ts";
import { isReservedFor } from "../schema/volume-match.ts";
import type { LivePod } from "./amounts.ts";
import type { DeviceBinder, Promised } from "./devices/binder.ts";
import type { ClusterView, LiveClaim, LiveVolume } from "./view.ts";
import { isBound, selectedNode, type VolumeChoice } from "./volumes.ts";

export type BindResult = "bound" | "failed" | "gone";

const volumesReadyMsMax = 10 * 60_000;
const volumesPollMs = 250;

export interface BindOrder {
  readonly pod: LivePod;
  readonly node: string;
  readonly volumes: VolumeChoice | undefined;
  readonly devices: Promised | undefined;
  /** An extender's way to bind; undefined where the scheduler does it. */
  readonly bindBy: ((node: string) => Promise<void>) | undefined;
}

export class Binder {
  readonly #context: ControllerContext;
  readonly #view: ClusterView;
  readonly #devices: DeviceBinder;

  constructor(context: ControllerContext, view: ClusterView, devices: DeviceBinder) {
    this.#context = context;
    this.#view = view;
    this.#devices = devices;
  }

  async bind(order: BindOrder, signal: AbortSignal): Promise<BindResult> {
    const { pod, node, volumes, devices, bindBy } = order;
    const { namespace = "", name = "" } = pod.metadata;
    try {
      if (volumes !== undefined) await this.#bindVolumes(volumes, node, signal);
      if (devices !== undefined) await this.#devices.bind(devices, pod, node, signal);
      await (bindBy === undefined ? this.#write(pod, node) : bindBy(node));
    } catch (error) {
      if (devices !== undefined) await this.#devices.release(devices, pod);
      if (isReason(error, "NotFound")) return "gone";
      if (signal.aborted) return "failed";
      const text = error instanceof Error ? error.message : String(error);
      this.#context.events.event(pod, "Warning", "FailedScheduling", `binding rejected: ${text}`);
      return "failed";
    }
    const message = `Successfully assigned ${namespace}/${name} to ${node}`;
    this.#context.events.event(pod, "Normal", "Scheduled", message);
    return "bound";
  }

  async #write({ metadata }: LivePod, node: string): Promise<void> {
    const { namespace = "", name = "", uid = "" } = metadata;
    await this.#context.client.createSubresource(pods, namespace, name, "binding", {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name, namespace, uid },
      target: { apiVersion: "v1", kind: "Node", name: node },
    });
  }

  /** Reserves the chosen volumes, tells provisioners which node it is, and waits for them all. */
  async #bindVolumes(
    { bind, provision }: VolumeChoice,
    node: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, runtime } = this.#context;
    for (const { claim, volume } of bind) {
      if (!isReservedFor(volume, claim)) await this.#reserve(volume, claim);
    }
    const told = new Map<string, number>();
    for (const { metadata } of provision) {
      const { namespace = "", name = "", annotations } = metadata;
      if (annotations?.[selectedNode] === node) continue;
      const body = { metadata: { annotations: { [selectedNode]: node } } };
      const made = await client.patch(persistentVolumeClaims, namespace, name, "merge", body);
      told.set(name, Number(made.metadata.resourceVersion ?? 0));
    }
    const deadlineMs = runtime.clock.monotonicMs() + volumesReadyMsMax;
    const all = [...bind.map(({ claim }) => claim), ...provision];
    while (all.some((claim) => !this.#isBound(claim, node, told))) {
      if (signal.aborted || runtime.clock.monotonicMs() > deadlineMs) {
        throw new Error("binding volumes: context deadline exceeded");
      }
      await runtime.clock.sleep(volumesPollMs, signal);
    }
  }

  async #reserve(volume: LiveVolume, claim: LiveClaim): Promise<void> {
    const { name = "", namespace = "", uid = "", resourceVersion = "" } = claim.metadata;
    const kind = "PersistentVolumeClaim";
    const claimRef = { apiVersion: "v1", kind, name, namespace, uid, resourceVersion };
    const { resourceVersion: seen } = volume.metadata;
    const annotations = { "pv.kubernetes.io/bound-by-controller": "yes" };
    const metadata = { annotations, ...(seen === undefined ? {} : { resourceVersion: seen }) };
    await this.#context.client.patch(persistentVolumes, "", volume.metadata.name ?? "", "merge", {
      metadata,
      spec: { claimRef },
    });
  }

  /** Throws when the provisioner gave the node back: another one must be chosen. */
  #isBound({ metadata }: LiveClaim, node: string, told: ReadonlyMap<string, number>): boolean {
    const { namespace = "", name = "" } = metadata;
    const claim = this.#view.volumes.claim(namespace, name);
    if (claim === undefined) throw new Error(`persistentvolumeclaim "${name}" not found`);
    if (isBound(claim)) return true;
    const since = told.get(name);
    const isSeen = since !== undefined && Number(claim.metadata.resourceVersion ?? 0) >= since;
    if (isSeen && claim.metadata.annotations?.[selectedNode] !== node) {
      throw new Error(`provisioning failed for PVC "${name}"`);
    }
    return false;
  }

  /** The event and the condition of a pod that no node can take; `nominated` was promised. */
  async tellUnschedulable(
    pod: LivePod,
    message: string,
    nominated: string | undefined,
  ): Promise<void> {
    this.#context.events.event(pod, "Warning", "FailedScheduling", message);
    const status = nominated === undefined ? {} : { nominatedNodeName: nominated };
    await this.#setScheduled(pod, { status: "False", reason: "Unschedulable", message }, status);
  }

  /** The pod could not even be looked at, as an extender failed; it is tried again. */
  async tellError(pod: LivePod, message: string): Promise<void> {
    this.#context.events.event(pod, "Warning", "FailedScheduling", message);
    await this.#setScheduled(pod, { status: "False", reason: "SchedulerError", message }, {});
  }

  /** A pod with scheduling gates is told to wait for them. */
  async tellGated(pod: LivePod): Promise<void> {
    const message = "Scheduling is blocked due to non-empty scheduling gates";
    await this.#setScheduled(pod, { status: "False", reason: "SchedulingGated", message }, {});
  }

  async #setScheduled(
    pod: LivePod,
    wanted: { readonly status: string; readonly reason: string; readonly message: string },
    more: object,
  ): Promise<void> {
    const current = pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
    const isSame =
      current?.status === wanted.status &&
      current.reason === wanted.reason &&
      current.message === wanted.message;
    if (isSame && Object.keys(more).length === 0) return;
    const lastTransitionTime =
      current?.status === wanted.status ? current.lastTransitionTime : this.#now();
    const { generation } = pod.metadata;
    const condition = {
      type: "PodScheduled",
      lastProbeTime: null,
      lastTransitionTime,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      ...wanted,
    };
    await this.#patchStatus(pod, { ...more, conditions: [condition] });
  }

  /** Marks the victims, deletes them, and says for whom. */
  async preempt(pod: LivePod, node: string, victims: readonly LivePod[]): Promise<void> {
    await Promise.all(
      victims.map(async (victim) => {
        if (victim.metadata.deletionTimestamp !== undefined) return;
        const condition = {
          type: "DisruptionTarget",
          status: "True",
          reason: "PreemptionByScheduler",
          message: "default-scheduler: preempting to accommodate a higher priority pod",
          lastTransitionTime: this.#now(),
        };
        await this.#patchStatus(victim, { conditions: [condition] });
        const { namespace = "", name = "", uid = "" } = victim.metadata;
        try {
          await this.#context.client.delete(pods, namespace, name, { preconditions: { uid } });
        } catch (error) {
          this.#warn(victim, error);
          return;
        }
        const message = `Preempted by pod ${pod.metadata.uid} on node ${node}`;
        this.#context.events.event(victim, "Normal", "Preempted", message);
      }),
    );
  }

  /** The pod may vanish or change hands meanwhile: the next round looks at it afresh. */
  async #patchStatus(pod: LivePod, status: object): Promise<void> {
    const { namespace = "", name = "", uid } = pod.metadata;
    const body = { metadata: { uid }, status };
    try {
      await this.#context.client.patch(pods, namespace, name, "strategic", body, {
        subresource: "status",
      });
    } catch (error) {
      this.#warn(pod, error);
    }
  }

  #warn(pod: LivePod, error: unknown): void {
    if (error instanceof ApiError && (error.reason === "NotFound" || error.reason === "Conflict")) {
      return;
    }
    this.#context.runtime.log.warn("Cannot write the pod", { pod: pod.metadata.name, error });
  }

  #now(): string {
    return `${this.#context.runtime.clock.now().toISOString().slice(0, 19)}Z`;
  }
}
