import { expect, test } from "bun:test";
import type { Node, Pod } from "../gen/core-v1.ts";
import { NodeCache } from "./cache.ts";
import { snapshotOf } from "./node-info.ts";

const node = (name: string): Node => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name },
  spec: {},
});
const terms = [{ topologyKey: "kubernetes.io/hostname", labelSelector: {} }];
const required = { requiredDuringSchedulingIgnoredDuringExecution: terms };

function pod(uid: string, affinity?: NonNullable<Pod["spec"]>["affinity"]): Pod {
  const spec = { containers: [], ...(affinity === undefined ? {} : { affinity }) };
  return { apiVersion: "v1", kind: "Pod", metadata: { name: uid, uid }, spec };
}

test("the snapshot's totals are those of its nodes, whatever comes and goes", () => {
  const cache = new NodeCache();
  const check = (antiAffinityPods: number, affinityPods: number): void => {
    const snapshot = cache.snapshot();
    expect(snapshot).toEqual(snapshotOf(snapshot.nodes));
    expect(snapshot).toMatchObject({ antiAffinityPods, affinityPods });
  };
  for (const name of ["a", "b"]) cache.setNode(node(name));
  cache.setPod(pod("plain"), "a");
  check(0, 0);
  cache.setPod(pod("apart", { podAntiAffinity: required }), "a");
  cache.setPod(pod("together", { podAffinity: required }), "b");
  cache.setPod(pod("early", { podAffinity: required }), "c");
  check(1, 2);
  cache.setNode(node("c"));
  cache.setPod(pod("apart", { podAntiAffinity: required }), "b");
  check(1, 3);
  cache.removePod("together");
  cache.setNode(node("b"));
  check(1, 2);
  cache.removeNode("b");
  check(0, 1);
});
