/** The scheduler as its configuration file says, with an extender beside it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Cluster, reasonToSkip } from "./cluster.ts";
import { FakeKubelet } from "./fake-kubelet.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: scheduler configuration: ${skip}`);

interface Asked {
  readonly Pod: { readonly metadata: { readonly name: string } };
  readonly NodeNames: readonly string[];
}

/** Lets only `n2` and `n3` pass, likes `n3`, and fails for the pod of that name. */
function answer(path: string, asked: Asked): Response {
  if (asked.Pod.metadata.name === "cursed") return new Response("", { status: 500 });
  if (path === "/filter") {
    const NodeNames = asked.NodeNames.filter((name) => name !== "n1");
    const isShut = asked.Pod.metadata.name === "shut";
    return Response.json({
      NodeNames: isShut ? [] : NodeNames,
      FailedNodes: Object.fromEntries(
        asked.NodeNames.filter((name) => isShut || name === "n1").map((name) => [
          name,
          "not liked",
        ]),
      ),
    });
  }
  return Response.json([
    { Host: "n2", Score: 0 },
    { Host: "n3", Score: 10 },
  ]);
}

describe.skipIf(skip !== undefined)("scheduler configuration", () => {
  const cluster = new Cluster();
  let kubelet: FakeKubelet | undefined;
  const extender = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) =>
      answer(new URL(request.url).pathname, (await request.json()) as Asked),
  });
  const extenders = [
    {
      urlPrefix: `http://127.0.0.1:${extender.port}`,
      filterVerb: "filter",
      prioritizeVerb: "prioritize",
      weight: 100,
      nodeCacheCapable: true,
    },
  ];

  beforeAll(async () => {
    const file = `${cluster.dataDir}/scheduler.yaml`;
    const head = {
      apiVersion: "kubescheduler.config.k8s.io/v1",
      kind: "KubeSchedulerConfiguration",
    };
    writeFileSync(file, JSON.stringify({ ...head, extenders }));
    await cluster.startWithoutAgent(`--kube-scheduler-arg=config=${file}`);
    kubelet = await FakeKubelet.start(cluster.kubeconfig, ["n1", "n2", "n3"]);
  }, 60_000);
  afterAll(async () => {
    await kubelet?.stop();
    await extender.stop(true);
    await cluster.destroy();
  });

  const create = (name: string) => cluster.run(`run ${name} --image=app:1`);
  const told = (name: string) =>
    cluster.run(
      `get pod ${name} -o jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}`,
    );

  test("the extender's favourite gets every pod", async () => {
    for (const name of ["one", "two", "three"]) await create(name);
    await cluster.run("wait --for=condition=PodScheduled pod one two three --timeout=30s");
    const nodes = await cluster.run("get pods -o jsonpath={.items[*].spec.nodeName}");
    expect(nodes).toBe("n3 n3 n3");
  });

  test("a pod that it lets nowhere is told why", async () => {
    await create("shut");
    await cluster.until("the pod is refused", async () => (await told("shut")) !== "");
    expect(await told("shut")).toStartWith("0/3 nodes are available: 3 not liked.");
  });

  test("its failure is the pod's reason to wait", async () => {
    await create("cursed");
    await cluster.until("the pod waits", async () => (await told("cursed")) !== "");
    expect(await told("cursed")).toContain("failed filter with extender at URL");
    const path = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}";
    expect(await cluster.run(["get", "pod", "cursed", "-o", path])).toBe("SchedulerError");
  });
});
