import { expect, test } from "bun:test";
import type { Pod } from "../gen/core-v1.ts";
import { isQuotaPod } from "./quota-usage.ts";

test("a pod that should be gone by now counts no more, however long its grace", () => {
  const deletedAt = "2026-01-01T00:00:00Z";
  const counts = (grace: number | bigint, seconds: number): boolean => {
    const deletionGracePeriodSeconds = grace as number;
    const metadata = { name: "p", deletionTimestamp: deletedAt, deletionGracePeriodSeconds };
    const pod = { metadata, spec: { containers: [] } } as unknown as Pod;
    return isQuotaPod(pod, new Date(Date.parse(deletedAt) + seconds * 1000));
  };
  expect(counts(30, 30)).toBe(true);
  expect(counts(30, 31)).toBe(false);
  expect(counts(2n ** 62n, 31)).toBe(true);
});
