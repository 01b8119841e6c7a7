import { expect, test } from "bun:test";
import { defaultSettings } from "../agent/kubelet/kubelet-settings.ts";
import { serverFlags } from "./flag-rows.ts";
import { completeFlags, parseArguments } from "./flags.ts";
import { kubeletSettingsOf } from "./kubelet-args.ts";

function settingsOf(...args: readonly string[]) {
  const given = args.map((one) => `--kubelet-arg=${one}`);
  return kubeletSettingsOf(
    completeFlags(serverFlags, parseArguments(serverFlags, given, "k3 server"), {}),
  );
}

test("kubeletSettingsOf() starts from K3s' defaults", () => {
  expect(settingsOf()).toEqual(defaultSettings);
});

test("kubeletSettingsOf() reads the kubelet's own forms", () => {
  const settings = settingsOf(
    "eviction-hard=memory.available<200Mi,nodefs.available<10%",
    "eviction-soft=imagefs.inodesFree<7.5%",
    "eviction-soft-grace-period=imagefs.inodesFree=1m30s",
    "eviction-minimum-reclaim=memory.available=50Mi",
    "system-reserved=cpu=200m,memory=500Mi",
    "max-pods=200",
  );
  expect(settings).toMatchObject({
    evictionHard: { "memory.available": "200Mi", "nodefs.available": "10%" },
    evictionSoft: { "imagefs.inodesFree": "7.5%" },
    evictionSoftGracePeriodMs: { "imagefs.inodesFree": 90_000 },
    evictionMinimumReclaim: { "memory.available": "50Mi" },
    systemReserved: { cpu: "200m", memory: "500Mi" },
    maxPods: 200,
  });
});

test("kubeletSettingsOf() refuses what a kubelet would refuse", () => {
  const rows = [
    ["eviction-hard=memory.free<1Gi", "unsupported eviction signal memory.free"],
    ["eviction-hard=memory.available", "malformed pair memory.available, it must be name<value"],
    ["eviction-hard=memory.available<0", "eviction threshold memory.available must be positive: 0"],
    ["eviction-hard=nodefs.available<101%", "nodefs.available must be <= 100%: 101%"],
    ["eviction-soft=nodefs.available<20%", "grace period must be specified for the soft eviction"],
    ["image-gc-low-threshold=90", "it must be below the high threshold 85"],
    ["image-gc-high-threshold=101", "it must be within 0 and 100"],
    ["system-reserved=gpu=1", 'cannot reserve "gpu" resource'],
    ["root-dir=kubelet", "it must be an absolute path"],
    ["max-pod=1", "did you mean max-pods?"],
  ] as const;
  for (const [argument, why] of rows) expect(() => settingsOf(argument)).toThrow(why);
});
