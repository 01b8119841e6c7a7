import { expect, test } from "bun:test";
import { limitsStorage, storageProblem } from "./storage-limits.ts";
import type { Pod } from "./types.ts";

const limited = (limit: string): object => ({ limits: { "ephemeral-storage": limit } });

function pod(spec: object): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p" },
    spec: { containers: [{ name: "c" }], ...spec },
  };
}

test("a pod goes when a volume, a container or all together hold too much", () => {
  const use = (volume: number, container: number) => ({
    volumes: new Map([["v", volume]]),
    containers: new Map([["c", container]]),
  });
  const volume = pod({ volumes: [{ name: "v", emptyDir: { sizeLimit: "1Ki" } }] });
  expect(storageProblem(volume, use(1024, 5000))).toBeUndefined();
  expect(storageProblem(volume, use(1025, 0))).toBe(
    'Usage of EmptyDir volume "v" exceeds the limit "1Ki". ',
  );
  const two = pod({
    containers: [
      { name: "c", resources: limited("1Ki") },
      { name: "d", resources: limited("1Ki") },
    ],
    volumes: [{ name: "v", emptyDir: {} }],
  });
  expect(storageProblem(two, use(1000, 1000))).toBeUndefined();
  expect(storageProblem(two, use(1500, 1000))).toBe(
    "Pod ephemeral local storage usage exceeds the total limit of containers 2Ki. ",
  );
  expect(storageProblem(two, use(0, 1025))).toBe(
    'Container c exceeded its local ephemeral storage limit "1Ki". ',
  );
  expect([limitsStorage(volume), limitsStorage(two), limitsStorage(pod({}))]).toEqual([
    true,
    true,
    false,
  ]);
  // What lies in memory is not on the disk.
  const memory = pod({
    containers: [{ name: "c", resources: limited("1Ki") }],
    volumes: [{ name: "v", emptyDir: { medium: "Memory" } }],
  });
  expect(storageProblem(memory, use(5000, 0))).toBeUndefined();
});
