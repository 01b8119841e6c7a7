import { expect, test } from "bun:test";
import { rejectPod } from "./admit-pod.ts";
import type { Pod } from "./types.ts";

function pod(requests: Record<string, string>, spec: Partial<Pod["spec"]> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p" },
    spec: { containers: [{ name: "c", resources: { requests } }], ...spec },
  };
}

const allocatable = { cpu: "2", memory: "1Gi", pods: "3", "ephemeral-storage": "1000" };

test("a pod that does not fit beside the others is rejected", () => {
  const reject = (one: Pod, ...others: Pod[]) =>
    rejectPod(one, { others, allocatable, conditions: [] });
  expect(reject(pod({ cpu: "2", memory: "1Gi" }))).toBeUndefined();
  expect(reject(pod({ cpu: "1500m" }), pod({ cpu: "600m" }))).toEqual({
    reason: "OutOfcpu",
    message: "Node didn't have enough resource: cpu, requested: 1500, used: 600, capacity: 2000",
  });
  expect(reject(pod({ memory: "2Gi" }))?.reason).toBe("OutOfmemory");
  expect(reject(pod({ "ephemeral-storage": "2k" }))?.reason).toBe("OutOfephemeral-storage");
  expect(reject(pod({}), pod({}), pod({}), pod({}))?.reason).toBe("OutOfpods");
  expect(reject(pod({ cpu: "9" }, { priority: 2_000_000_000 }))).toBeUndefined();
  // What asks for nothing runs even where others have taken too much.
  expect(reject(pod({}), pod({ cpu: "9" }))).toBeUndefined();
});

test("a pod that needs a feature that this node has not declared is rejected", () => {
  const rules = { restartPolicyRules: [{ action: "RestartAllContainers" }] };
  const one = pod({}, { containers: [{ name: "c", ...rules }] } as unknown as Pod["spec"]);
  expect(rejectPod(one, { others: [], allocatable, conditions: [] })).toEqual({
    reason: "PodFeatureUnsupported",
    message:
      "Pod requires node features that are not available: RestartAllContainersOnContainerExits",
  });
});

test("a host port that another pod has is not given twice", () => {
  const at = (hostPort: number, hostIP?: string, protocol = "TCP") =>
    pod(
      {},
      {
        containers: [
          {
            name: "c",
            ports: [
              { containerPort: 1, hostPort, protocol, ...(hostIP === undefined ? {} : { hostIP }) },
            ],
          },
        ],
      },
    );
  const reject = (one: Pod, other: Pod) =>
    rejectPod(one, { others: [other], allocatable, conditions: [] })?.reason;
  expect(reject(at(80), at(80))).toBe("NodePorts");
  expect(reject(at(80, "192.0.2.1"), at(80))).toBe("NodePorts");
  expect(reject(at(80), at(81))).toBeUndefined();
  expect(reject(at(80, "192.0.2.1"), at(80, "192.0.2.2"))).toBeUndefined();
  expect(reject(at(80, undefined, "UDP"), at(80))).toBeUndefined();
});

test("sysctls beyond the safe ones are forbidden", () => {
  const reject = (name: string, spec: Partial<Pod["spec"]> = {}) => {
    const securityContext = { sysctls: [{ name, value: "1" }] };
    return rejectPod(pod({}, { ...spec, securityContext }), {
      others: [],
      allocatable,
      conditions: [],
    });
  };
  expect(reject("net/ipv4/tcp_syncookies")).toBeUndefined();
  expect(reject("kernel.msgmax")).toEqual({
    reason: "SysctlForbidden",
    message: 'forbidden sysctl: "kernel.msgmax" not allowlisted',
  });
  expect(reject("net.ipv4.tcp_syncookies", { hostNetwork: true })?.message).toBe(
    'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host namespaces',
  );
});

test("a node under pressure takes what is critical, and what memory pressure spares", () => {
  const reject = (one: Pod, ...conditions: string[]) =>
    rejectPod(one, { others: [], allocatable, conditions });
  const key = "node.kubernetes.io/memory-pressure";
  const tolerant = { tolerations: [{ key, operator: "Exists", effect: "NoSchedule" }] };
  expect(reject(pod({}), "MemoryPressure", "DiskPressure")).toEqual({
    reason: "Evicted",
    message: "The node had condition: [MemoryPressure DiskPressure]. ",
  });
  expect(reject(pod({ memory: "1Mi" }), "DiskPressure")?.reason).toBe("Evicted");
  expect(reject(pod({}, tolerant), "DiskPressure")?.reason).toBe("Evicted");
  expect(reject(pod({}), "MemoryPressure")?.reason).toBe("Evicted");
  expect(reject(pod({ memory: "1Mi" }), "MemoryPressure")).toBeUndefined();
  expect(reject(pod({}, tolerant), "MemoryPressure")).toBeUndefined();
  expect(reject(pod({}, { priority: 2_000_000_000 }), "DiskPressure")).toBeUndefined();
});
