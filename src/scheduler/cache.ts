/** The nodes and what runs on them, kept up to date change by change, assumed pods included. */
import type { LivePod } from "./amounts.ts";
import {
  emptyNodeInfo,
  type LiveNode,
  type NodeInfo,
  type Snapshot,
  withNode,
  withoutPod,
  withPod,
} from "./node-info.ts";

export class NodeCache {
  readonly #nodes = new Map<string, NodeInfo>();
  /** Pods by uid with the node each counts for; the node may not be known yet. */
  readonly #pods = new Map<string, { readonly pod: LivePod; readonly nodeName: string }>();
  #snapshot: Snapshot | undefined;

  snapshot(): Snapshot {
    this.#snapshot ??= {
      nodes: [...this.#nodes.keys()].sort().map((name) => this.#nodes.get(name) as NodeInfo),
    };
    return this.#snapshot;
  }

  setNode(node: LiveNode): void {
    const name = node.metadata.name ?? "";
    const present = this.#nodes.get(name);
    let info = present === undefined ? emptyNodeInfo(node) : withNode(present, node);
    if (present === undefined) {
      for (const { pod, nodeName } of this.#pods.values()) {
        if (nodeName === name) info = withPod(info, pod);
      }
    }
    this.#change(name, info);
  }

  removeNode(name: string): void {
    this.#nodes.delete(name);
    this.#snapshot = undefined;
  }

  /** Counts `pod` for a node, from the API or assumed while its binding is under way. */
  setPod(pod: LivePod, nodeName: string): void {
    const uid = pod.metadata.uid ?? "";
    const before = this.#pods.get(uid);
    if (before !== undefined && before.nodeName !== nodeName) this.removePod(uid);
    this.#pods.set(uid, { pod, nodeName });
    const info = this.#nodes.get(nodeName);
    if (info !== undefined) this.#change(nodeName, withPod(info, pod));
  }

  /** Returns true when the pod was counted. */
  removePod(uid: string): boolean {
    const before = this.#pods.get(uid);
    if (before === undefined) return false;
    this.#pods.delete(uid);
    const info = this.#nodes.get(before.nodeName);
    if (info !== undefined) this.#change(before.nodeName, withoutPod(info, before.pod));
    return true;
  }

  #change(name: string, info: NodeInfo): void {
    this.#nodes.set(name, info);
    this.#snapshot = undefined;
  }
}
