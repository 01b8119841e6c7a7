import { expect, test } from "bun:test";
import { nodeMetrics, nodes, podMetrics, pods } from "../../client/resources.ts";
import { createSimulatedRuntime } from "../../runtime/simulated.ts";
import { noNodes } from "../node-connector.ts";
import { openWorld } from "../test-world.ts";
import { samplesOf, UsageCollector, usagesOf } from "./usage.ts";

function text(cpu: number, container: number, atMs: number): string {
  const of = (name: string) => `{container="${name}",namespace="default",pod="web"}`;
  return `# HELP node_cpu_usage_seconds_total Cumulative cpu time consumed by the node
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total ${cpu} ${atMs}
node_memory_working_set_bytes 1.048576e+06 ${atMs}
container_cpu_usage_seconds_total${of("a")} ${container} ${atMs}
container_memory_working_set_bytes${of("a")} 2048 ${atMs}
container_cpu_usage_seconds_total${of("b")} 7 ${atMs}
container_start_time_seconds${of("a")} 1 ${atMs}
`;
}

test("usage is what lies between two looks", () => {
  const usages = usagesOf(samplesOf(text(10, 1, 1000), 0), samplesOf(text(11, 1.5, 3000), 0));
  expect(usages.get("")).toEqual({
    cpuNanoCores: 500_000_000,
    memoryBytes: 1_048_576,
    atMs: 3000,
    windowMs: 2000,
  });
  expect(usages.get("default/web/a")?.cpuNanoCores).toBe(250_000_000);
  // A container whose memory is not told is not told at all; one started anew has no past.
  expect(usages.has("default/web/b")).toBe(false);
  const restarted = usagesOf(samplesOf(text(10, 5, 1000), 0), samplesOf(text(11, 1, 3000), 0));
  expect(restarted.has("default/web/a")).toBe(false);
});

test("metrics are served of what was seen twice, by name, namespace and label", async () => {
  const signal = new AbortController().signal;
  const answers = [text(10, 1, 1000), text(11, 2, 3000)];
  const connector = { ...noNodes, nodeFetch: async () => new Response(answers.shift()) };
  const usage = new UsageCollector(connector, createSimulatedRuntime(1));
  await using world = await openWorld({ usage });
  await world.client.create(nodes, {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "n", labels: { zone: "a" } },
    spec: {},
  });
  await world.client.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "default", labels: { app: "web" } },
    spec: { containers: [{ name: "a", image: "i" }] },
  });
  const list = async (labelSelector = "") => {
    return (await world.client.list(podMetrics, "default", { labelSelector })).items;
  };
  await usage.look("n", signal);
  expect(await list()).toEqual([]);
  answers.unshift(text(11, 2, 3000).replaceAll(/container_cpu.*"b".*\n/g, ""));
  await usage.look("n", signal);
  const node = await world.client.get(nodeMetrics, "", "n");
  expect(node).toMatchObject({
    kind: "NodeMetrics",
    metadata: { name: "n", labels: { zone: "a" } },
    window: "2s",
    usage: { cpu: "500000000n", memory: "1024Ki" },
  });
  expect(await list("app=web")).toMatchObject([
    { metadata: { name: "web" }, containers: [{ name: "a", usage: { memory: "2Ki" } }] },
  ]);
  expect(await list("app=other")).toEqual([]);
  expect(world.client.get(podMetrics, "default", "absent")).rejects.toThrow("not found");
});
