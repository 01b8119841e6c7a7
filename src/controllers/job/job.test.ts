import { expect, test } from "bun:test";
import { jobs, pods } from "../../client/resources.ts";
import type { Job } from "../../gen/batch-v1.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { World } from "../testing/world.ts";
import { formatIndexes, parseIndexes } from "./indexes.ts";
import { createJobController, createTtlAfterFinishedController } from "./job.ts";
import { failuresKey, indexKey } from "./job-state.ts";

async function start(spec: Partial<Job["spec"]>) {
  const world = new World();
  world.run(
    createJobController(world.context, createMetrics()),
    createTtlAfterFinishedController(world.context),
  );
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

/** Ends the pods of some indexes. */
async function endIndexes(
  world: World,
  indexes: readonly string[],
  phase: "Succeeded" | "Failed",
  exitCode = 0,
) {
  for (const pod of world.list(pods)) {
    if (pod.status?.phase !== "Pending") continue;
    if (!indexes.includes(pod.metadata.annotations?.[indexKey] ?? "")) continue;
    const finishedAt = new Date(world.nowMs).toISOString();
    const state = { terminated: { exitCode, finishedAt } };
    const one = { name: "c", state, ready: false, restartCount: 0, image: "i", imageID: "" };
    await world.change(pods, `default/${pod.metadata.name}`, (copy) => {
      copy.status = { phase, containerStatuses: [one] };
    });
  }
  await world.settle();
}

const pending = (world: World) =>
  world
    .list(pods)
    .filter(({ status }) => status?.phase === "Pending")
    .map(({ metadata: { annotations = {} } }) => [annotations[indexKey], annotations[failuresKey]])
    .sort();

test("with a limit per index one index fails and the others go on", async () => {
  const world = await start({
    completions: 2,
    parallelism: 2,
    completionMode: "Indexed",
    backoffLimit: 2147483647,
    backoffLimitPerIndex: 1,
  });
  expect(pending(world)).toEqual([
    ["0", "0"],
    ["1", "0"],
  ]);
  await endIndexes(world, ["0"], "Failed", 1);
  expect(pending(world)).toEqual([["1", "0"]]);
  // Its last pod keeps the finalizer: it remembers how often the index failed.
  expect(world.get(jobs, "default/pi").status?.failed).toBeUndefined();
  await world.advance(10_000);
  expect(pending(world)).toEqual([
    ["0", "1"],
    ["1", "0"],
  ]);
  expect(world.get(jobs, "default/pi").status?.failed).toBe(1);
  await endIndexes(world, ["0"], "Failed", 1);
  expect(world.get(jobs, "default/pi").status).toMatchObject({ failedIndexes: "0", failed: 2 });
  await endIndexes(world, ["1"], "Succeeded");
  expect(world.get(jobs, "default/pi").status).toMatchObject({
    failedIndexes: "0",
    completedIndexes: "1",
    failed: 2,
    succeeded: 1,
  });
  expect(isTrue(world)).toEqual([
    ["FailureTarget", "FailedIndexes"],
    ["Failed", "FailedIndexes"],
  ]);
});

test("maxFailedIndexes ends the Job, FailIndex loses an index at once", async () => {
  const world = await start({
    completions: 4,
    parallelism: 4,
    completionMode: "Indexed",
    backoffLimit: 2147483647,
    backoffLimitPerIndex: 5,
    maxFailedIndexes: 1,
    podReplacementPolicy: "Failed",
    podFailurePolicy: {
      rules: [{ action: "FailIndex", onExitCodes: { operator: "In", values: [42] } }],
    },
  });
  await endIndexes(world, ["2"], "Failed", 42);
  expect(world.get(jobs, "default/pi").status?.failedIndexes).toBe("2");
  expect(pending(world)).toHaveLength(3);
  await endIndexes(world, ["3"], "Failed", 42);
  expect(isTrue(world)?.at(-1)).toEqual(["Failed", "MaxFailedIndexesExceeded"]);
  expect(world.list(pods).filter(({ status }) => status?.phase === "Pending")).toEqual([]);
});

test("a success policy completes the Job before its other indexes end", async () => {
  const world = await start({
    completions: 5,
    parallelism: 5,
    completionMode: "Indexed",
    successPolicy: { rules: [{ succeededIndexes: "0-2", succeededCount: 2 }] },
  });
  await endIndexes(world, ["3", "1"], "Succeeded");
  expect(isTrue(world)).toBeUndefined();
  await endIndexes(world, ["0"], "Succeeded");
  expect(isTrue(world)).toEqual([
    ["SuccessCriteriaMet", "SuccessPolicy"],
    ["Complete", "SuccessPolicy"],
  ]);
  const complete = world.get(jobs, "default/pi").status?.conditions?.at(-1);
  expect(complete?.message).toBe("Matched rules at index 0");
  expect(world.list(pods)).toHaveLength(3);
});

test("an indexed Job forgets the indexes that it shrinks by", async () => {
  const world = await start({ completions: 3, parallelism: 3, completionMode: "Indexed" });
  await endIndexes(world, ["2"], "Succeeded");
  await world.change(jobs, "default/pi", (copy) => {
    copy.spec.completions = 2;
    copy.spec.parallelism = 2;
  });
  await world.settle();
  expect(world.get(jobs, "default/pi").status?.completedIndexes).toBeUndefined();
  await world.change(jobs, "default/pi", (copy) => {
    copy.spec.completions = 4;
    copy.spec.parallelism = 4;
  });
  await world.settle();
  expect(pending(world).map(([index]) => index)).toEqual(["0", "1", "2", "3"]);
});

test("podReplacementPolicy Failed waits for the end of a stopping pod", async () => {
  const world = await start({ completions: 1, podReplacementPolicy: "Failed" });
  const [pod] = world.list(pods);
  const key = `default/${pod?.metadata.name}`;
  await world.change(pods, key, (copy) => {
    copy.spec.nodeName = "n1";
    copy.status = { phase: "Running" };
  });
  await world.client.delete(pods, "default", pod?.metadata.name ?? "");
  await world.settle();
  expect(world.list(pods)).toHaveLength(1);
  expect(world.get(jobs, "default/pi").status).toMatchObject({ terminating: 1 });
  await world.change(pods, key, (copy) => {
    copy.status = { phase: "Failed" };
  });
  await world.advance(11_000);
  expect(world.list(pods).filter(({ status }) => status?.phase === "Pending")).toHaveLength(1);
});

test("pods of a Job that is gone, or that cut them loose, lose their finalizer", async () => {
  const world = await start({ completions: 2, parallelism: 2 });
  const [first, second] = world.list(pods).map(({ metadata }) => metadata.name ?? "");
  await world.change(pods, `default/${first}`, (copy) => {
    copy.metadata.labels = { job: "other" };
  });
  await world.settle();
  expect(world.get(pods, `default/${first}`).metadata.finalizers).toEqual([]);
  expect(world.get(pods, `default/${first}`).metadata.ownerReferences).toEqual([]);
  await world.client.delete(jobs, "default", "pi");
  await world.settle();
  expect(world.get(pods, `default/${second}`).metadata.finalizers).toEqual([]);
});

test("a Job that another controller manages is left alone", async () => {
  const world = await start({ completions: 1, managedBy: "example.com/queue" });
  expect(world.list(pods)).toEqual([]);
  expect(world.get(jobs, "default/pi").status).toBeUndefined();
});

test("formatIndexes() and parseIndexes() are each other's opposite", () => {
  expect(formatIndexes(new Set([0, 2, 3, 5, 6, 7]))).toBe("0,2,3,5-7");
  expect([...parseIndexes("0,2,3,5-7")]).toEqual([0, 2, 3, 5, 6, 7]);
});
