import { expect, test } from "bun:test";
import { type Candidate, evictionMessage, type PodPressure, ranked } from "./eviction-rank.ts";
import { thresholdsOf } from "./eviction-thresholds.ts";
import type { Pod } from "./types.ts";

const mi = 2 ** 20;
const nothing = { bytes: 0, inodes: 0 };

function candidate(
  name: string,
  requests: Record<string, string>,
  use: Partial<PodPressure> | undefined,
  priority = 0,
): Candidate {
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, uid: name },
    spec: { priority, containers: [{ name: "c", resources: { requests } }] },
  };
  const none = { memoryBytes: 0, processes: 0, volumes: nothing, containers: [] };
  return { pod, use: use === undefined ? undefined : { ...none, ...use } };
}

const names = (list: readonly Candidate[]): readonly string[] =>
  list.map(({ pod }) => pod.metadata.name ?? "");

test("memory: those above their request first, then by priority, then by how far above", () => {
  const order = ranked(
    [
      candidate("within", { memory: "100Mi" }, { memoryBytes: 99 * mi }),
      candidate("above", { memory: "10Mi" }, { memoryBytes: 20 * mi }),
      candidate("far-above", { memory: "10Mi" }, { memoryBytes: 60 * mi }),
      candidate("important", {}, { memoryBytes: 500 * mi }, 10),
      candidate("unknown", {}, undefined, 100),
    ],
    "memory.available",
    false,
  );
  expect(names(order)).toEqual(["unknown", "far-above", "above", "important", "within"]);
});

test("disk: only what lies on the full file system counts", () => {
  const layer = { name: "c", memoryBytes: 0, root: { bytes: 9, inodes: 1 }, logs: nothing };
  const both = [
    candidate("layers", {}, { containers: [layer] }),
    candidate("volumes", {}, { volumes: { bytes: 5, inodes: 7 } }),
  ];
  expect(names(ranked(both, "nodefs.available", false))).toEqual(["layers", "volumes"]);
  expect(names(ranked(both, "nodefs.available", true))).toEqual(["volumes", "layers"]);
  expect(names(ranked(both, "imagefs.available", true))).toEqual(["layers", "volumes"]);
  expect(names(ranked(both, "nodefs.inodesFree", false))).toEqual(["volumes", "layers"]);
});

test("processes: priority, then the number", () => {
  const order = ranked(
    [
      candidate("few", {}, { processes: 1 }),
      candidate("many", {}, { processes: 90 }),
      candidate("important", {}, { processes: 900 }, 1),
    ],
    "pid.available",
    false,
  );
  expect(names(order)).toEqual(["many", "few", "important"]);
});

test("an evicted pod is told of what, how much, and which of its containers took more", () => {
  const containers = [{ name: "c", memoryBytes: 30 * mi, root: nothing, logs: nothing }];
  const one = candidate("p", { memory: "10Mi" }, { memoryBytes: 31 * mi, containers });
  const thresholds = thresholdsOf({
    evictionHard: { "memory.available": "100Mi" },
    evictionSoft: {},
    evictionSoftGracePeriodMs: {},
    evictionMinimumReclaim: {},
  });
  const observations = new Map([
    ["memory.available", { available: 64 * mi, capacity: 1024 * mi }] as const,
  ]);
  expect(evictionMessage(one, "memory", thresholds, observations)).toEqual({
    message:
      "The node was low on resource: memory. Threshold quantity: 100Mi, available: 64Mi. " +
      "Container c was using 30Mi, request is 10Mi, has larger consumption of memory. ",
    annotations: {
      offending_containers: "c",
      offending_containers_usage: "30Mi",
      starved_resource: "memory",
    },
  });
});
