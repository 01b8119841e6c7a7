import { expect, test } from "bun:test";
import { jobs, pods } from "../../client/resources.ts";
import type { Job } from "../../gen/batch-v1.ts";
import { World } from "../testing/world.ts";
import { formatIndexes, parseIndexes } from "./indexes.ts";
import { createJobController, createTtlAfterFinishedController } from "./job.ts";

async function start(spec: Partial<Job["spec"]>) {
  const world = new World();
  world.run(createJobController(world.context), createTtlAfterFinishedController(world.context));
  await world.client.create(jobs, {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "pi", namespace: "default" },
    spec: {
      selector: { matchLabels: { job: "pi" } },
      template: {
        metadata: { labels: { job: "pi" } },
        spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] },
      },
      ...spec,
    },
  });
  await world.settle();
  return world;
}

async function end(world: World, phase: "Succeeded" | "Failed", exitCode = 0) {
  for (const pod of world.list(pods)) {
    if (pod.status?.phase !== "Pending") continue;
    const finishedAt = new Date(world.nowMs).toISOString();
    const state = { terminated: { exitCode, finishedAt } };
    await world.change(pods, `default/${pod.metadata.name}`, (copy) => {
      copy.status = {
        phase,
        containerStatuses: [
          { name: "c", state, ready: false, restartCount: 0, image: "i", imageID: "" },
        ],
      };
    });
  }
  await world.settle();
}

const isTrue = (world: World) =>
  world
    .get(jobs, "default/pi")
    .status?.conditions?.filter(({ status }) => status === "True")
    .map(({ type, reason }) => [type, reason]);

test("a Job runs its completions in parallel and completes", async () => {
  const world = await start({ completions: 3, parallelism: 2, backoffLimit: 6 });
  expect(world.list(pods)).toHaveLength(2);
  expect(world.get(jobs, "default/pi").status).toMatchObject({ active: 2 });
  await end(world, "Succeeded");
  await end(world, "Succeeded");
  const { status } = world.get(jobs, "default/pi");
  expect(status).toMatchObject({ succeeded: 3, uncountedTerminatedPods: {} });
  expect(status?.completionTime).toBeDefined();
  expect(isTrue(world)).toEqual([
    ["SuccessCriteriaMet", "CompletionsReached"],
    ["Complete", "CompletionsReached"],
  ]);
  expect(world.list(pods).every(({ metadata }) => metadata.finalizers?.length === 0)).toBe(true);
  expect(world.messages("Completed")).toEqual(["Job completed"]);
});

test("failures back off and end the Job at the limit", async () => {
  const world = await start({ completions: 1, parallelism: 1, backoffLimit: 1 });
  await end(world, "Failed", 1);
  expect(world.list(pods)).toHaveLength(1);
  await world.advance(11_000);
  expect(world.list(pods)).toHaveLength(2);
  await end(world, "Failed", 1);
  expect(isTrue(world)).toEqual([
    ["FailureTarget", "BackoffLimitExceeded"],
    ["Failed", "BackoffLimitExceeded"],
  ]);
  expect(world.get(jobs, "default/pi").status?.failed).toBe(2);
});

test("an indexed Job gives each index one pod that knows it", async () => {
  const world = await start({ completions: 3, parallelism: 3, completionMode: "Indexed" });
  const hostnames = world.list(pods).map(({ spec }) => spec.hostname);
  expect(hostnames.sort()).toEqual(["pi-0", "pi-1", "pi-2"]);
  await end(world, "Succeeded");
  expect(world.get(jobs, "default/pi").status).toMatchObject({
    succeeded: 3,
    completedIndexes: "0-2",
  });
});

test("a suspended Job has no pods, a deadline ends it, a failure policy at once", async () => {
  const suspended = await start({ completions: 1, suspend: true });
  expect(suspended.list(pods)).toEqual([]);
  await suspended.change(jobs, "default/pi", (copy) => {
    copy.spec.suspend = false;
  });
  await suspended.settle();
  expect(suspended.list(pods)).toHaveLength(1);
  const late = await start({ completions: 1, activeDeadlineSeconds: 5 });
  await late.advance(6_000);
  expect(isTrue(late)?.at(-1)).toEqual(["Failed", "DeadlineExceeded"]);
  const strict = await start({
    completions: 1,
    podFailurePolicy: {
      rules: [{ action: "FailJob", onExitCodes: { operator: "In", values: [42] } }],
    },
  });
  await end(strict, "Failed", 42);
  expect(isTrue(strict)?.at(-1)).toEqual(["Failed", "PodFailurePolicy"]);
});

test("a finished Job goes when its time to live is over", async () => {
  const world = await start({ completions: 1, ttlSecondsAfterFinished: 10 });
  await end(world, "Succeeded");
  await world.advance(11_000);
  expect(world.get(jobs, "default/pi").metadata.deletionTimestamp).toBeDefined();
});

test("formatIndexes() and parseIndexes() are each other's opposite", () => {
  expect(formatIndexes(new Set([0, 2, 3, 5, 6, 7]))).toBe("0,2,3,5-7");
  expect([...parseIndexes("0,2,3,5-7")]).toEqual([0, 2, 3, 5, 6, 7]);
});
