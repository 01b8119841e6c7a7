/**
 * The last known runtime state of every pod. Runtime events and a slow relist say which pods to
 * read again, as a whole, so that missed events only cost time. What starts or ends is taken over
 * from the event or the answer itself: nothing of it needs to be read.
 */
import {
  type Container,
  type ContainerEventResponse,
  ContainerEventType,
  type ContainerStatus,
  PodSandboxState,
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

/** No container goes back to a stage that it has left. */
const stages: Readonly<Record<ContainerState["state"], number>> = {
  unknown: 0,
  created: 1,
  running: 2,
  exited: 3,
};

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
  /** What each pod had and has no more. */
  readonly #gone = new Map<string, Set<string>>();

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
    this.#gone.delete(uid);
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
  async apply(uid: string, event: ContainerEventResponse): Promise<boolean> {
    const { containerEventType: type, containerId, podSandboxStatus, containersStatuses } = event;
    if (type === ContainerEventType.CONTAINER_DELETED_EVENT) return this.removed(uid, containerId);
    if (podSandboxStatus === undefined) {
      this.markDirty(uid);
      return true;
    }
    const containers = await Promise.all(
      containersStatuses.map((status) => this.#taken(uid, podSandboxStatus.id, status)),
    );
    return this.#merge(uid, { sandboxes: [sandboxFrom(podSandboxStatus)], containers });
  }

  /** The sandbox or container is no more; false when nobody knew of it. */
  removed(uid: string, id: string): boolean {
    const known = this.#pods.get(uid);
    if (known === undefined || this.#loading.has(uid)) {
      this.markDirty(uid);
      return true;
    }
    const sandboxes = known.sandboxes.filter((sandbox) => sandbox.id !== id);
    const containers = known.containers.filter(
      (container) => container.id !== id && container.sandboxId !== id,
    );
    const gone = [...known.sandboxes, ...known.containers].length;
    if (gone === sandboxes.length + containers.length) return false;
    // News of before its end may come after it.
    this.#gone.set(uid, (this.#gone.get(uid) ?? new Set()).add(id));
    this.#pods.set(uid, { sandboxes, containers });
    return true;
  }

  /** The runtime has stopped the sandbox, and with it what ran in there. */
  sandboxStopped(uid: string, podSandboxId: string): void {
    const known = this.#pods.get(uid);
    const isAlone = !known?.containers.some(
      ({ sandboxId, state }) => sandboxId === podSandboxId && state !== "exited",
    );
    const sandbox = known?.sandboxes.find(({ id }) => id === podSandboxId);
    if (sandbox === undefined || !isAlone) this.markDirty(uid);
    else this.#merge(uid, { sandboxes: [{ ...sandbox, ready: false }], containers: [] });
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
    if (before === undefined || before.state === "created") {
      await this.#look(uid, sandboxId, containerId);
    }
  }

  /** Looks at the container that was just stopped, unless an event has told of it. */
  async containerStopped(uid: string, containerId: string): Promise<void> {
    const before = this.peek(uid).containers.find(({ id }) => id === containerId);
    if (before === undefined) this.markDirty(uid);
    else if (before.state !== "exited") await this.#look(uid, before.sandboxId, containerId);
  }

  async #look(uid: string, sandboxId: string, containerId: string): Promise<void> {
    try {
      const { status } = await this.#cri.runtime.containerStatus({ containerId });
      if (status === undefined) throw new Error(`The runtime tells nothing of ${containerId}`);
      const containers = [await this.#taken(uid, sandboxId, status)];
      this.#merge(uid, { sandboxes: [], containers });
    } catch (error) {
      this.markDirty(uid);
      if (!isCriNotFound(error)) throw error;
    }
  }

  /** A container as it is told of, with its last words once it has ended. */
  async #taken(uid: string, sandboxId: string, status: ContainerStatus): Promise<ContainerState> {
    const known = this.peek(uid).containers.find(({ id }) => id === status.id);
    if (known?.state === "exited") return known;
    const hasEnded = stateNameOf(status.state) === "exited";
    return containerFrom(sandboxId, status, hasEnded ? await this.#message(status) : "");
  }

  /** Adds what is new; nothing goes back to a state it has left, whatever the order of news. */
  #merge(uid: string, news: PodCri): boolean {
    const known = this.#pods.get(uid);
    if (known === undefined || this.#loading.has(uid) || this.#dirty.has(uid)) {
      this.markDirty(uid);
      return true;
    }
    const gone = this.#gone.get(uid);
    const isThere = (entry: { readonly id: string }): boolean => gone?.has(entry.id) !== true;
    const sandboxes = news.sandboxes.filter(isThere).flatMap((sandbox) => {
      const before = known.sandboxes.find(({ id }) => id === sandbox.id);
      if (before === undefined) return [sandbox];
      if (!before.ready) return [];
      // A sandbox that has stopped tells no address any more.
      if (!sandbox.ready) return [{ ...before, ready: false }];
      return before.ips.length === 0 && sandbox.ips.length > 0 ? [sandbox] : [];
    });
    const containers = news.containers.filter(isThere).filter((container) => {
      const before = known.containers.find(({ id }) => id === container.id);
      return before === undefined || stages[before.state] < stages[container.state];
    });
    if (sandboxes.length + containers.length === 0) return false;
    this.#pods.set(uid, {
      sandboxes: renewed(known.sandboxes, sandboxes).toSorted(newestFirst),
      containers: renewed(known.containers, containers).toSorted(latestFirst),
    });
    return true;
  }

  /** Lists everything; answers the pods of which the runtime shows other than was known. */
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
    for (const { id, labels, state } of sandboxes.items) {
      add(labels, `${id} ${state === PodSandboxState.SANDBOX_READY}`);
    }
    for (const { id, labels, state } of containers.containers) {
      add(labels, `${id} ${stateNameOf(state)}`);
    }
    const all = new Set([...parts.keys(), ...this.#pods.keys()]);
    const changed = [...all].filter((uid) => {
      const mark = (parts.get(uid) ?? []).toSorted().join(",");
      return mark !== markOf(this.peek(uid));
    });
    for (const uid of changed) this.#dirty.add(uid);
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

  async #message(status: ContainerStatus): Promise<string> {
    try {
      return await readTerminationMessage(this.#host, status);
    } catch (error) {
      this.#log.warn("Cannot read the termination message", { id: status.id, error: `${error}` });
      return "";
    }
  }
}

/** What a relist would show of the pod. */
function markOf({ sandboxes, containers }: PodCri): string {
  const marks = [
    ...sandboxes.map(({ id, ready }) => `${id} ${ready}`),
    ...containers.map(({ id, state }) => `${id} ${state}`),
  ];
  return marks.toSorted().join(",");
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
