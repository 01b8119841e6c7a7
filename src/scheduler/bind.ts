/** The scheduler's writes: bindings, conditions of waiting pods, the end of preempted ones. */
import { persistentVolumeClaims, pods } from "../client/resources.ts";
import { ApiError, isReason } from "../lib/api-error.ts";
import type { ControllerContext } from "../live/controller.ts";
import type { LivePod } from "./amounts.ts";
import type { ClusterView } from "./filters.ts";
import { claimsToBind, selectedNode } from "./volumes.ts";

export type BindResult = "bound" | "failed" | "gone";

const volumesReadyMsMax = 10 * 60_000;
const volumesPollMs = 250;

export class Binder {
  readonly #context: ControllerContext;
  readonly #view: ClusterView;

  constructor(context: ControllerContext, view: ClusterView) {
    this.#context = context;
    this.#view = view;
  }

  async bind(pod: LivePod, node: string, signal: AbortSignal): Promise<BindResult> {
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    try {
      await this.#bindVolumes(pod, node, signal);
      await this.#context.client.createSubresource(pods, namespace, name, "binding", {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { name, namespace, uid },
        target: { apiVersion: "v1", kind: "Node", name: node },
      });
    } catch (error) {
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

  /** Tells the provisioners of waiting claims which node was chosen, and waits for them. */
  async #bindVolumes(pod: LivePod, node: string, signal: AbortSignal): Promise<void> {
    const claims = claimsToBind(pod, this.#view.volumes);
    if (claims.length === 0) return;
    const { client, runtime } = this.#context;
    for (const { metadata } of claims) {
      if (metadata.annotations?.[selectedNode] === node) continue;
      await client.patch(
        persistentVolumeClaims,
        metadata.namespace ?? "",
        metadata.name ?? "",
        "merge",
        { metadata: { annotations: { [selectedNode]: node } } },
      );
    }
    const deadlineMs = runtime.clock.monotonicMs() + volumesReadyMsMax;
    while (claimsToBind(pod, this.#view.volumes).length > 0) {
      if (signal.aborted || runtime.clock.monotonicMs() > deadlineMs) {
        throw new Error("binding volumes: context deadline exceeded");
      }
      await runtime.clock.sleep(volumesPollMs, signal);
    }
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
