/**
 * The last known runtime state of every pod. Runtime events and a slow relist say which pods to
 * read again, as a whole, so that missed events only cost time. What starts is taken over from the
 * event or the answer itself: nothing of it needs to be read.
 */
import {
  type Container,
  type ContainerEventResponse,
  ContainerEventType,
} from "../../gen/cri/api_pb.ts";
import type { Host } from "../../runtime/host.ts";
import type { Logger } from "../../runtime/runtime.ts";
import { type CriClient, isCriNotFound } from "../cri/client.ts";
import {
  type ContainerState,
  containerFrom,
  emptyPodCri,
  type PodCri,
  type SandboxState,
  sandboxFrom,
  stateNameOf,
} from "./cri-state.ts";
import { readTerminationMessage } from "./termination-message.ts";
import { criNames } from "./types.ts";

/** Who a pod found in the runtime is. */
export interface CriPodIdentity {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/** How often a pod is read again when it changes during the reading. */
const readsMax = 3;

export class CriCache {
  readonly #cri: CriClient;
  readonly #host: Host;
  readonly #log: Logger;
  readonly #pods = new Map<string, PodCri>();
  readonly #dirty = new Set<string>();
  readonly #loading = new Set<string>();
  /** Containers whose end is read once more. */
  readonly #unsure = new Set<string>();
  /** What the last relist saw of each pod, to notice what changed since. */
  #marks = new Map<string, string>();

  constructor(cri: CriClient, host: Host, log: Logger) {
    this.#cri = cri;
    this.#host = host;
    this.#log = log;
  }

  markDirty(uid: string): void {
    this.#dirty.add(uid);
  }

  /** The runtime may learn why a container ended after it told that it did. */
  doubt(uid: string, containerId: string): void {
    this.#unsure.add(containerId);
    this.markDirty(uid);
  }

  forget(uid: string): void {
    this.#pods.delete(uid);
    this.#dirty.delete(uid);
  }

  peek(uid: string): PodCri {
    return this.#pods.get(uid) ?? emptyPodCri;
  }

  /** The pod's state, read from the runtime when it may have changed. */
  async read(uid: string): Promise<PodCri> {
    for (let reads = 1; ; reads++) {
      const known = this.#pods.get(uid);
      if (known !== undefined && (!this.#dirty.has(uid) || reads > readsMax)) return known;
      // Cleared first: a change that comes while we read marks the pod again.
      this.#dirty.delete(uid);
      this.#loading.add(uid);
      try {
        this.#pods.set(uid, await this.#load(uid, known ?? emptyPodCri));
      } catch (error) {
        this.#dirty.add(uid);
        throw error;
      } finally {
        this.#loading.delete(uid);
      }
    }
  }

  /** Takes over what an event says; false when that is nothing new. */
  apply(uid: string, event: ContainerEventResponse): boolean {
    const { containerEventType: type, podSandboxStatus, containersStatuses } = event;
    const isStart =
      type === ContainerEventType.CONTAINER_CREATED_EVENT ||
      type === ContainerEventType.CONTAINER_STARTED_EVENT;
    if (!isStart || podSandboxStatus === undefined) {
      this.markDirty(uid);
      return true;
    }
    const containers = containersStatuses
      .filter(({ state }) => stateNameOf(state) !== "exited")
      .map((status) => containerFrom(podSandboxStatus.id, status, ""));
    return this.#merge(uid, { sandboxes: [sandboxFrom(podSandboxStatus)], containers });
  }

  /** Looks at the sandbox that was just made, unless an event has told of it. */
  async sandboxMade(uid: string, podSandboxId: string): Promise<void> {
    if (this.peek(uid).sandboxes.some(({ id }) => id === podSandboxId)) return;
    const { status } = await this.#cri.runtime.podSandboxStatus({ podSandboxId });
    if (status === undefined) this.markDirty(uid);
    else this.#merge(uid, { sandboxes: [sandboxFrom(status)], containers: [] });
  }

  /** Looks at the container that was just started, unless an event has told of it. */
  async containerStarted(uid: string, sandboxId: string, containerId: string): Promise<void> {
    const before = this.peek(uid).containers.find(({ id }) => id === containerId);
    if (before !== undefined && before.state !== "created") return;
    const { status } = await this.#cri.runtime.containerStatus({ containerId });
    if (status === undefined || stateNameOf(status.state) === "exited") this.markDirty(uid);
    else {
      const containers = [containerFrom(sandboxId, status, "")];
      this.#merge(uid, { sandboxes: [], containers });
    }
  }

  /** Adds what is new; nothing goes back to a state it has left, whatever the order of news. */
  #merge(uid: string, news: PodCri): boolean {
    const known = this.#pods.get(uid);
    if (known === undefined || this.#loading.has(uid) || this.#dirty.has(uid)) {
      this.markDirty(uid);
      return true;
    }
    const sandboxes = news.sandboxes.filter((sandbox) => {
      const before = known.sandboxes.find(({ id }) => id === sandbox.id);
      return before === undefined || (before.ips.length === 0 && sandbox.ips.length > 0);
    });
    const containers = news.containers.filter((container) => {
      const before = known.containers.find(({ id }) => id === container.id);
      return before === undefined || (before.state === "created" && container.state === "running");
    });
    if (sandboxes.length + containers.length === 0) return false;
    this.#pods.set(uid, {
      sandboxes: renewed(known.sandboxes, sandboxes).toSorted(newestFirst),
      containers: renewed(known.containers, containers).toSorted(latestFirst),
    });
    return true;
  }

  /** Lists everything; answers the pods whose containers or sandboxes changed since last time. */
  async relist(): Promise<{
    readonly changed: readonly string[];
    readonly pods: ReadonlyMap<string, CriPodIdentity>;
  }> {
    const [sandboxes, containers] = await Promise.all([
      this.#cri.runtime.listPodSandbox({}),
      this.#cri.runtime.listContainers({}),
    ]);
    const pods = new Map<string, CriPodIdentity>();
    const parts = new Map<string, string[]>();
    const add = (labels: Readonly<Record<string, string>>, mark: string): void => {
      const uid = labels[criNames.podUid];
      if (uid === undefined) return;
      const namespace = labels[criNames.podNamespace] ?? "";
      pods.set(uid, { uid, namespace, name: labels[criNames.podName] ?? "" });
      parts.set(uid, [...(parts.get(uid) ?? []), mark]);
    };
    for (const sandbox of sandboxes.items) add(sandbox.labels, `${sandbox.id} ${sandbox.state}`);
    for (const container of containers.containers) {
      add(container.labels, `${container.id} ${container.state}`);
    }
    const marks = new Map([...parts].map(([uid, list]) => [uid, list.toSorted().join(",")]));
    const all = new Set([...marks.keys(), ...this.#marks.keys()]);
    const changed = [...all].filter((uid) => marks.get(uid) !== this.#marks.get(uid));
    for (const uid of changed) this.#dirty.add(uid);
    this.#marks = marks;
    return { changed, pods };
  }

  async #load(uid: string, known: PodCri): Promise<PodCri> {
    const labelSelector = { [criNames.podUid]: uid };
    const [sandboxes, containers] = await Promise.all([
      this.#cri.runtime.listPodSandbox({ filter: { labelSelector } }),
      this.#cri.runtime.listContainers({ filter: { labelSelector } }),
    ]);
    const [sandboxStates, containerStates] = await Promise.all([
      Promise.all(sandboxes.items.map((item) => this.#sandbox(item.id, known))),
      Promise.all(containers.containers.map((item) => this.#container(item, known))),
    ]);
    return {
      sandboxes: sandboxStates.filter((state) => state !== undefined).toSorted(newestFirst),
      containers: containerStates.filter((state) => state !== undefined).toSorted(latestFirst),
    };
  }

  async #sandbox(id: string, known: PodCri): Promise<SandboxState | undefined> {
    const before = known.sandboxes.find((sandbox) => sandbox.id === id);
    if (before !== undefined && !before.ready) return before;
    try {
      const answer = await this.#cri.runtime.podSandboxStatus({ podSandboxId: id });
      return answer.status === undefined ? undefined : sandboxFrom(answer.status);
    } catch (error) {
      if (isCriNotFound(error)) return undefined;
      throw error;
    }
  }

  async #container(listed: Container, known: PodCri): Promise<ContainerState | undefined> {
    const before = known.containers.find((container) => container.id === listed.id);
    // Only what is created or runs can still change.
    const same = before !== undefined && before.state === stateNameOf(listed.state);
    const isSure = !this.#unsure.delete(listed.id);
    if (same && before.state !== "created" && isSure) return before;
    try {
      const answer = await this.#cri.runtime.containerStatus({ containerId: listed.id });
      if (answer.status === undefined) return undefined;
      const exited = stateNameOf(answer.status.state) === "exited";
      const message = exited ? await this.#message(answer.status) : "";
      return containerFrom(listed.podSandboxId, answer.status, message);
    } catch (error) {
      if (isCriNotFound(error)) return undefined;
      throw error;
    }
  }

  async #message(status: Parameters<typeof readTerminationMessage>[1]): Promise<string> {
    try {
      return await readTerminationMessage(this.#host, status);
    } catch (error) {
      this.#log.warn("Cannot read the termination message", { id: status.id, error: `${error}` });
      return "";
    }
  }
}

function renewed<T extends { readonly id: string }>(old: readonly T[], fresh: readonly T[]): T[] {
  const ids = new Set(fresh.map(({ id }) => id));
  return [...fresh, ...old.filter(({ id }) => !ids.has(id))];
}

function newestFirst(a: { readonly createdMs: number }, b: { readonly createdMs: number }): number {
  return b.createdMs - a.createdMs;
}

function latestFirst(a: ContainerState, b: ContainerState): number {
  return b.restartCount - a.restartCount || newestFirst(a, b);
}
