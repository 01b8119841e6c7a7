import { expect, test } from "bun:test";
import { planOrphans, type RuntimeFacts } from "./orphans.ts";

const facts: RuntimeFacts = {
  runtimeAgeMs: 1_000,
  listed: new Set(["up", "down", "half"]),
  living: new Set(["up", "half"]),
  shims: [
    { pid: 1, sandboxId: "up", ageMs: 9_000 },
    { pid: 2, sandboxId: "half", ageMs: 9_000 },
    { pid: 3, sandboxId: "lost", ageMs: 9_000 },
    { pid: 4, sandboxId: "down", ageMs: 9_000 },
    { pid: 5, sandboxId: "coming", ageMs: 500 },
  ],
  leases: [
    { address: "10.42.0.2", sandboxId: "up", ageMs: 9_000 },
    { address: "10.42.0.3", sandboxId: "down", ageMs: 9_000 },
    { address: "10.42.0.4", sandboxId: "lost", ageMs: 9_000 },
    { address: "10.42.0.5", sandboxId: "coming", ageMs: 500 },
  ],
  namespaces: [
    { path: "/run/netns/cni-1", isEmpty: false, ageMs: 9_000 },
    { path: "/run/netns/cni-2", isEmpty: true, ageMs: 9_000 },
    { path: "/run/netns/cni-3", isEmpty: true, ageMs: 500 },
  ],
};

test("planOrphans() takes what is older than the runtime and unknown to it", () => {
  expect(planOrphans(facts)).toEqual([
    { kind: "shim", pid: 3, sandboxId: "lost" },
    { kind: "shim", pid: 4, sandboxId: "down" },
    { kind: "lease", address: "10.42.0.4", sandboxId: "lost" },
    { kind: "namespace", path: "/run/netns/cni-2" },
  ]);
});

test("planOrphans() takes nothing while the runtime's own age is unknown", () => {
  expect(planOrphans({ ...facts, runtimeAgeMs: Infinity })).toEqual([]);
});
