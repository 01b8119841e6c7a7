import { expect, test } from "bun:test";
import { cronJobs, jobs } from "../client/resources.ts";
import type { CronJob } from "../gen/batch-v1.ts";
import { createMetrics } from "../runtime/metrics.ts";
import { createCronJobController, planSchedule } from "./cron-job.ts";
import { World } from "./testing/world.ts";

async function start(spec: Partial<CronJob["spec"]>) {
  const world = new World();
  world.run(createCronJobController(world.context, createMetrics()));
  await world.client.create(cronJobs, {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { name: "tick", namespace: "default" },
    spec: {
      schedule: "*/1 * * * ?",
      jobTemplate: {
        metadata: {},
        spec: {
          template: { metadata: {}, spec: { containers: [{ name: "c", image: "i" }] } },
        },
      },
      ...spec,
    },
  });
  await world.settle();
  return world;
}

test("a Job is made at each full minute and named after it", async () => {
  const world = await start({});
  expect(world.list(jobs)).toEqual([]);
  await world.advance(125_000);
  const minute = Date.parse("2026-01-01T00:00:00Z") / 60_000;
  expect(world.list(jobs).map(({ metadata }) => metadata.name)).toEqual([
    `tick-${minute + 1}`,
    `tick-${minute + 2}`,
  ]);
  const { status } = world.get(cronJobs, "default/tick");
  expect(status?.lastScheduleTime).toBe("2026-01-01T00:02:00Z");
  expect(status?.active).toHaveLength(2);
  expect(world.failures).toEqual([]);
});

test("Forbid keeps one, Replace swaps it, suspend makes none", async () => {
  const forbid = await start({ concurrencyPolicy: "Forbid" });
  await forbid.advance(125_000);
  expect(forbid.list(jobs)).toHaveLength(1);
  const replace = await start({ concurrencyPolicy: "Replace" });
  await replace.advance(125_000);
  expect(replace.list(jobs)).toHaveLength(1);
  expect(replace.messages("SuccessfulDelete")).toHaveLength(1);
  const suspended = await start({ suspend: true });
  await suspended.advance(125_000);
  expect(suspended.list(jobs)).toEqual([]);
});

test("a start whose deadline has passed is left out, and the zone names the time", async () => {
  const world = await start({
    schedule: "0 9 * * *",
    timeZone: "Asia/Tokyo",
    startingDeadlineSeconds: 30,
  });
  world.nowMs = Date.parse("2026-01-01T00:05:00Z");
  await world.advance(1_000);
  expect(world.list(jobs)).toEqual([]);
  await world.advance(24 * 3_600_000);
  const [job] = world.list(jobs);
  expect(job?.metadata.annotations).toEqual({
    "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-02T09:00:00+09:00",
  });
});

test("a schedule of a day that never comes is told", async () => {
  const world = await start({ schedule: "59 23 31 2 *" });
  expect(world.messages("InvalidSchedule")).toEqual([
    "invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 second",
  ]);
  expect(world.failures).toEqual([]);
});

test("planSchedule() finds the last of very many missed starts", () => {
  const cronJob: CronJob = {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { name: "tick", creationTimestamp: "2016-01-01T00:00:00Z" },
    spec: { schedule: "0 0 * * *", jobTemplate: { metadata: {}, spec: { template: {} as never } } },
  };
  const plan = planSchedule(cronJob, Date.parse("2026-01-01T10:00:00Z"));
  expect(new Date(plan.dueMs ?? 0).toISOString()).toBe("2026-01-01T00:00:00.000Z");
  expect(plan.missed).toBeGreaterThan(100);
});
