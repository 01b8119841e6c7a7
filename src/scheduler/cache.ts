/** The nodes and what runs on them, kept up to date change by change, assumed pods included. */
import type { LivePod } from "./amounts.ts";
import {
  emptyNodeInfo,
  type LiveNode,
  type NodeInfo,
  type Snapshot,
  snapshotOf,
  withNode,
  withoutPod,
  withPod,
} from "./node-info.ts";

export class NodeCache {
  /** In name order; `#indexes` tells where each stands. */
  readonly #nodes: NodeInfo[] = [];
  readonly #indexes = new Map<string, number>();
  /** Pods by uid with the node each counts for; the node may not be known yet. */
  readonly #pods = new Map<string, { readonly pod: LivePod; readonly nodeName: string }>();
  #snapshot: Snapshot | undefined;
  /** Counting images is worth keeping: pods come and go far more often than images. */
  #imageHolders: Snapshot["imageHolders"] | undefined;
  #antiAffinityPods = 0;
  #affinityPods = 0;

  snapshot(): Snapshot {
    if (this.#snapshot === undefined) {
      this.#imageHolders ??= snapshotOf(this.#nodes).imageHolders;
      this.#snapshot = {
        nodes: this.#nodes.slice(),
        imageHolders: this.#imageHolders,
        antiAffinityPods: this.#antiAffinityPods,
        affinityPods: this.#affinityPods,
      };
    }
    return this.#snapshot;
  }

  setNode(node: LiveNode): void {
    const name = node.metadata.name ?? "";
    this.#imageHolders = undefined;
    const present = this.#get(name);
    if (present !== undefined) {
      this.#set(withNode(present, node));
      return;
    }
    let info = emptyNodeInfo(node);
    for (const { pod, nodeName } of this.#pods.values()) {
      if (nodeName === name) info = withPod(info, pod);
    }
    this.#insert(info);
  }

  removeNode(name: string): void {
    this.#imageHolders = undefined;
    const index = this.#indexes.get(name);
    if (index === undefined) return;
    this.#count(this.#nodes[index], -1);
    this.#nodes.splice(index, 1);
    this.#indexes.delete(name);
    this.#reindex(index);
  }

  /** Counts `pod` for a node, from the API or assumed while its binding is under way. */
  setPod(pod: LivePod, nodeName: string): void {
    const uid = pod.metadata.uid ?? "";
    const before = this.#pods.get(uid);
    if (before !== undefined && before.nodeName !== nodeName) this.removePod(uid);
    this.#pods.set(uid, { pod, nodeName });
    const info = this.#get(nodeName);
    if (info !== undefined) this.#set(withPod(info, pod));
  }

  /** Returns true when the pod was counted. */
  removePod(uid: string): boolean {
    const before = this.#pods.get(uid);
    if (before === undefined) return false;
    this.#pods.delete(uid);
    const info = this.#get(before.nodeName);
    if (info !== undefined) this.#set(withoutPod(info, before.pod));
    return true;
  }

  #get(name: string): NodeInfo | undefined {
    const index = this.#indexes.get(name);
    return index === undefined ? undefined : this.#nodes[index];
  }

  #set(info: NodeInfo): void {
    const index = this.#indexes.get(info.name);
    if (index !== undefined) {
      this.#count(this.#nodes[index], -1);
      this.#count(info, 1);
      this.#nodes[index] = info;
    }
    this.#snapshot = undefined;
  }

  #count(info: NodeInfo | undefined, sign: 1 | -1): void {
    this.#antiAffinityPods += sign * (info?.antiAffinityPods ?? 0);
    this.#affinityPods += sign * (info?.affinityPods ?? 0);
  }

  #insert(info: NodeInfo): void {
    let low = 0;
    let high = this.#nodes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#nodes[middle]?.name ?? "") < info.name) low = middle + 1;
      else high = middle;
    }
    this.#count(info, 1);
    this.#nodes.splice(low, 0, info);
    this.#reindex(low);
  }

  #reindex(from: number): void {
    for (let index = from; index < this.#nodes.length; index++) {
      this.#indexes.set(this.#nodes[index]?.name ?? "", index);
    }
    this.#snapshot = undefined;
  }
}
