/** The scheduler against an API in memory: pods get nodes, or are told why not. */
import { expect, test } from "bun:test";
import { nodes, pods } from "../src/client/resources.ts";
import { World } from "../src/controllers/testing/world.ts";
import type { Node, Pod } from "../src/gen/core-v1.ts";
import { createScheduler } from "../src/scheduler/scheduler.ts";

function node(name: string, cpu = "1"): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    spec: {},
    status: { allocatable: { cpu, memory: "4Gi", pods: "10" } },
  };
}

function pod(name: string, cpu: string, priority = 0): Pod {
  const resources = { requests: { cpu } };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: { priority, containers: [{ name: "c", image: "i", resources }] },
  };
}

/** Lets the scheduler's turns pass until `done` holds. */
async function until(done: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2000 && !done(); turn++) await Bun.sleep(0);
  expect(done()).toBe(true);
}

test("createScheduler() binds, explains, preempts and retries when room appears", async () => {
  const world = new World();
  const stop = new AbortController();
  const ended = createScheduler(world.context).run(stop.signal);
  const nodeOf = (name: string) => world.get(pods, `default/${name}`).spec.nodeName;
  const scheduled = (name: string) =>
    world
      .get(pods, `default/${name}`)
      .status?.conditions?.find(({ type }) => type === "PodScheduled");

  await world.client.create(pods, pod("first", "600m"));
  await until(() => scheduled("first")?.reason === "Unschedulable");
  expect(scheduled("first")?.message).toBe("no nodes available to schedule pods");

  await world.client.create(nodes, node("n1"));
  world.nowMs += 1_000;
  await until(() => nodeOf("first") === "n1");
  expect(world.messages("Scheduled")).toEqual(["Successfully assigned default/first to n1"]);

  await world.client.create(pods, pod("second", "600m"));
  await until(() => scheduled("second")?.reason === "Unschedulable");
  expect(scheduled("second")?.message).toBe(
    "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: " +
      "0/1 nodes are available: 1 No preemption victims found for incoming pod.",
  );

  await world.client.create(pods, pod("urgent", "600m", 100));
  await until(() => world.get(pods, "default/first").metadata.deletionTimestamp !== undefined);
  await until(() => world.messages("Preempted").length === 1);
  expect(world.get(pods, "default/urgent").status?.nominatedNodeName).toBe("n1");
  expect(world.get(pods, "default/first").status?.conditions).toContainEqual(
    expect.objectContaining({ type: "DisruptionTarget", reason: "PreemptionByScheduler" }),
  );
  await world.client.delete(pods, "default", "first", { gracePeriodSeconds: 0 });
  world.nowMs += 10_000;
  await until(() => nodeOf("urgent") === "n1");
  expect(nodeOf("second")).toBeUndefined();

  stop.abort();
  await ended;
});
