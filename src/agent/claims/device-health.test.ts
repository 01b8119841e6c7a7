import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { HealthStatus, NodeWatchResourcesResponseSchema } from "../../gen/cri/dra-health_pb.ts";
import type { Clock } from "../../runtime/runtime.ts";
import { DeviceHealth } from "./device-health.ts";

test("the health of a device is what its driver told last, for as long as that is good", () => {
  let nowMs = 0;
  const health = new DeviceHealth({ monotonicMs: () => nowMs } as Clock);
  const tell = (status: HealthStatus, message = "", seconds = 0n) =>
    health.update(
      "d",
      create(NodeWatchResourcesResponseSchema, {
        devices: [
          {
            device: { poolName: "p", deviceName: "a" },
            health: status,
            message,
            healthCheckTimeoutSeconds: seconds,
          },
        ],
      }),
    );
  const now = () => {
    const { health: word, message } = health.of("d", "p", "a");
    return [word, message];
  };
  expect(now()).toEqual(["Unknown", ""]);
  expect(tell(HealthStatus.HEALTHY)).toBe(true);
  expect(tell(HealthStatus.HEALTHY)).toBe(false);
  expect(tell(HealthStatus.UNHEALTHY, "x".repeat(2000))).toBe(true);
  expect(now()).toEqual(["Unhealthy", `${"x".repeat(1021)}...`]);
  nowMs = 30_001;
  expect(now()).toEqual(["Unknown", ""]);
  tell(HealthStatus.HEALTHY, "", 60n);
  nowMs += 59_000;
  expect(now()).toEqual(["Healthy", ""]);
  expect(health.update("d", undefined)).toBe(true);
  expect(now()).toEqual(["Unknown", ""]);
});
