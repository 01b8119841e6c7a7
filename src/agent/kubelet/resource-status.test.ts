import { expect, test } from "bun:test";
import { actuatedOf } from "./allocation.ts";
import type { ContainerState, RunningResources } from "./cri-state.ts";
import { containerResourceStatus, podResourceStatus } from "./resource-status.ts";
import type { Container, Pod } from "./types.ts";

function podOf(container: Container): Pod {
  const metadata = { name: "p", namespace: "n", uid: "u" };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [container] } };
}

function runs(resources: RunningResources): ContainerState {
  return { state: "running", resources } as ContainerState;
}

test("a running container has what the runtime holds it to, not what it was granted", () => {
  const container = {
    name: "c",
    resources: { requests: { cpu: "2", memory: "1Gi" }, limits: { cpu: "2", memory: "1024Mi" } },
  };
  const before = { ...container, resources: { requests: { cpu: "1", memory: "512Mi" } } };
  const now = { cpuShares: 1024, cpuQuotaUs: 100_000, cpuPeriodUs: 100_000 };
  const state = runs({ ...now, memoryLimitBytes: 2 ** 30 });
  expect(containerResourceStatus(container, state, actuatedOf(podOf(before)))).toEqual({
    allocatedResources: { cpu: "2", memory: "1Gi" },
    resources: {
      requests: { cpu: "1", memory: "512Mi" },
      limits: { cpu: "1", memory: "1024Mi" },
    },
  });
});

test("amounts below what the kernel can tell apart are told as granted", () => {
  const container = { name: "c", resources: { requests: { cpu: "1m" }, limits: { cpu: "5m" } } };
  const state = runs({ cpuShares: 2, cpuQuotaUs: 1000, cpuPeriodUs: 100_000, memoryLimitBytes: 0 });
  const { resources } = containerResourceStatus(container, state, actuatedOf(podOf(container)));
  expect(resources).toEqual({ requests: { cpu: "1m" }, limits: { cpu: "5m" } });
});

test("the pod as a whole has what its cgroup holds once it runs", () => {
  const pod = podOf({
    name: "c",
    resources: { requests: { cpu: "100m", memory: "64Mi" }, limits: { memory: "64Mi" } },
  });
  const cgroup = { cpuShares: 102, cpuQuotaUs: 0, memoryLimitBytes: 64 * 2 ** 20 };
  const granted = { cpu: "100m", memory: "64Mi" };
  expect(podResourceStatus(pod, "Running", cgroup)).toEqual({
    resources: { requests: granted, limits: { memory: "64Mi" } },
    allocatedResources: granted,
  });
  expect(podResourceStatus(pod, "Pending", undefined).resources).toEqual({
    requests: granted,
    limits: { memory: "64Mi" },
  });
});

test("a pod that asks for nothing is told no empty map, as the API would not keep it", () => {
  const status = podResourceStatus(podOf({ name: "c" }), "Pending", undefined);
  expect("allocatedResources" in status).toBe(false);
});
