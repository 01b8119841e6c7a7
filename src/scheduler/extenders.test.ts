/** What extenders are asked, and what becomes of their answers. */
import { describe, expect, test } from "bun:test";
import type { Pod } from "../gen/core-v1.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { type ExtenderSettings, Extenders } from "./extenders.ts";
import { emptyNodeInfo, withPod } from "./node-info.ts";

const plain: ExtenderSettings = {
  urlPrefix: "http://extender/v1",
  filterVerb: "filter",
  prioritizeVerb: "prioritize",
  preemptVerb: "preempt",
  bindVerb: "bind",
  weight: 2,
  timeoutMs: 5000,
  tls: {},
  nodeCacheCapable: true,
  managedResources: new Set(),
  ignorable: false,
};

const node = (name: string) =>
  emptyNodeInfo({ apiVersion: "v1", kind: "Node", metadata: { name }, spec: {} });
const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "default", uid: "u1" },
  spec: { containers: [{ name: "c", image: "i" }] },
};
const nodes = [node("a"), node("b"), node("c")];

type Answer = object | number | "never";

function open(settings: Partial<ExtenderSettings>, answer: (path: string) => Answer) {
  const asked: { path: string; body: Record<string, unknown> }[] = [];
  const runtime = createSimulatedRuntime(1, {
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      asked.push({ path: pathname, body: (await request.json()) as Record<string, unknown> });
      const given = answer(pathname);
      if (given === "never") {
        return await new Promise((_, reject) => {
          request.signal.addEventListener("abort", () => reject(request.signal.reason));
        });
      }
      if (typeof given === "number") return new Response("", { status: given });
      return Response.json(given);
    },
  });
  return { asked, runtime, extenders: new Extenders([{ ...plain, ...settings }], runtime) };
}

describe("filter()", () => {
  test("keeps the nodes the extender names and tells why the others are out", async () => {
    const { asked, extenders } = open({}, () => ({
      // In another case than Go writes it, which Go would read all the same.
      nodenames: ["a"],
      FailedNodes: { b: "too far", c: "too slow" },
      FailedAndUnresolvableNodes: { c: "gone" },
    }));
    const { feasible, rejections } = await extenders.filter(pod, nodes);
    expect(asked[0]).toMatchObject({
      path: "/v1/filter",
      body: { Pod: pod, Nodes: null, NodeNames: ["a", "b", "c"] },
    });
    expect(feasible.map(({ name }) => name)).toEqual(["a"]);
    expect(rejections.get("b")).toEqual({ filter: "any", reasons: ["too far"], isFinal: false });
    expect(rejections.get("c")).toEqual({ filter: "any", reasons: ["gone"], isFinal: true });
  });

  test("sends whole nodes to one that keeps none", async () => {
    const { asked, extenders } = open({ nodeCacheCapable: false }, () => ({
      Nodes: { items: [{ metadata: { name: "b" } }] },
    }));
    const { feasible } = await extenders.filter(pod, nodes);
    expect(asked[0]?.body).toMatchObject({
      NodeNames: null,
      Nodes: { items: [{ metadata: { name: "a" } }, {}, {}] },
    });
    expect(feasible.map(({ name }) => name)).toEqual(["b"]);
  });

  const failing: readonly (readonly [string, Answer, string])[] = [
    ["an error of its own", { Error: "no idea" }, "no idea"],
    ["a bad status", 500, "failed filter with extender at URL http://extender/v1/filter, code 500"],
    ["a node nobody asked for", { NodeNames: ["z"] }, "is not found in the input node list"],
  ];
  test.each(failing)("throws for %s", async (_what, answer, message) => {
    expect(open({}, () => answer).extenders.filter(pod, nodes)).rejects.toThrow(message);
  });

  test("an ignorable one that fails is skipped", async () => {
    const { extenders } = open({ ignorable: true }, () => 500);
    expect((await extenders.filter(pod, nodes)).feasible).toHaveLength(3);
  });

  test("one that does not answer is given up", async () => {
    const { extenders, runtime } = open({ timeoutMs: 100 }, () => "never");
    const outcome = extenders.filter(pod, nodes).catch((error: Error) => error.message);
    await runtime.clock.advance(101);
    expect(await outcome).toContain("context deadline exceeded");
  });

  test("one that manages a resource sees only the pods that ask for it", () => {
    const { extenders } = open({ managedResources: new Set(["example.com/foo"]) }, () => ({}));
    expect(extenders.concern(pod)).toBe(false);
    const resources = { limits: { "example.com/foo": "1" } };
    const asking = { ...pod, spec: { containers: [{ name: "c", image: "i", resources }] } };
    expect(extenders.concern(asking)).toBe(true);
  });
});

test("prioritize() weighs the scores up to those of plugins", async () => {
  const { extenders } = open({}, () => [
    { Host: "a", Score: 3 },
    { Host: "b", Score: 10 },
  ]);
  const points = await extenders.prioritize(pod, nodes);
  expect([...points]).toEqual([
    ["a", 60],
    ["b", 200],
  ]);
});

test("prioritize() does without an extender that fails", async () => {
  expect((await open({}, () => 503).extenders.prioritize(pod, nodes)).size).toBe(0);
});

test("binderOf() binds through the extender and throws what it says", async () => {
  const { asked, extenders } = open({}, () => ({ Error: "full" }));
  const error = await extenders
    .binderOf(pod)?.("a")
    .catch((refused: Error) => refused.message);
  expect(error).toBe("full");
  const body = { PodName: "p", PodNamespace: "default", PodUID: "u1", Node: "a" };
  expect(asked).toEqual([{ path: "/v1/bind", body }]);
  expect(open({ bindVerb: undefined }, () => ({})).extenders.binderOf(pod)).toBeUndefined();
});

describe("preempt()", () => {
  const victim: Pod = { ...pod, metadata: { name: "v", namespace: "default", uid: "v1" } };
  const full = withPod(node("a"), victim);
  const candidates = [{ node: "a", victims: [victim], violations: 1 }];

  test("answers what the extender leaves", async () => {
    const left = { a: { Pods: [{ UID: "v1" }], NumPDBViolations: 4 } };
    const { asked, extenders } = open({}, () => ({ NodeNameToMetaVictims: left }));
    const kept = await extenders.preempt(pod, candidates, [full]);
    const meta = { a: { Pods: [{ UID: "v1" }], NumPDBViolations: 1 } };
    expect(asked[0]?.body.NodeNameToMetaVictims).toEqual(meta);
    expect(kept).toEqual([{ node: "a", victims: [victim], violations: 4 }]);
  });

  test("refuses victims that are not there, and nodes without any", async () => {
    const unknown = { NodeNameToMetaVictims: { a: { Pods: [{ UID: "x" }] } } };
    const none = { NodeNameToMetaVictims: { a: { Pods: [] } } };
    const preempt = (answer: Answer) =>
      open({}, () => answer).extenders.preempt(pod, candidates, [full]);
    expect(preempt(unknown)).rejects.toThrow("the pod is not found on that node");
    expect(preempt(none)).rejects.toThrow('expected at least one victim pod on node "a"');
  });
});
