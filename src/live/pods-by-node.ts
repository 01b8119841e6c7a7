/** The pods of a node, for everyone who asks for them. */
import type { Pod } from "../gen/core-v1.ts";
import type { LiveSet } from "./live-set.ts";

/** The index is called as the field is, so that lists selecting by it find it. */
export const podsByNode = "spec.nodeName";

/** Declares `podsByNode`. */
export function indexPodsByNode(pods: LiveSet<Pod>): void {
  pods.addIndex(podsByNode, ({ spec }) => (spec.nodeName ? [spec.nodeName] : []));
}
