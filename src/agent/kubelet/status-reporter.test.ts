import { expect, test } from "bun:test";
import { withStatusOf } from "./status-reporter.ts";
import type { Pod } from "./types.ts";

test("an answer to a status brings no labels before the watch does", () => {
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "a", resourceVersion: "5", generation: 1, labels: { a: "old" } },
    spec: { containers: [] },
    status: { phase: "Pending" },
  };
  const answer: Pod = {
    ...pod,
    metadata: { ...pod.metadata, resourceVersion: "7", generation: 2, labels: { a: "new" } },
    status: { phase: "Running" },
  };
  const next = withStatusOf(pod, answer);
  expect(next.status).toEqual({ phase: "Running" });
  expect(next.metadata).toEqual({ ...pod.metadata, resourceVersion: "7" });
});
