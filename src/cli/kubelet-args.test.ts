import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { defaultSettings } from "../agent/kubelet/kubelet-settings.ts";
import { createRuntime } from "../runtime/real.ts";
import { serverFlags } from "./flag-rows.ts";
import { completeFlags, parseArguments } from "./flags.ts";
import { kubeletSettingsOf } from "./kubelet-args.ts";

const { files } = createRuntime({ logLevel: "error" });
const dropInDir = mkdtempSync(`${tmpdir()}/k3-kubelet-`);
afterAll(() => rmSync(dropInDir, { recursive: true }));

function settingsOf(...args: readonly string[]) {
  const given = args.map((one) => `--kubelet-arg=${one}`);
  return kubeletSettingsOf(
    completeFlags(serverFlags, parseArguments(serverFlags, given, "k3 server"), {}),
    { files, dropInDir },
  );
}

test("kubeletSettingsOf() starts from K3s' defaults", async () => {
  expect(await settingsOf()).toEqual(defaultSettings);
});

test("kubeletSettingsOf() reads the kubelet's own forms", async () => {
  const settings = await settingsOf(
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

test("kubeletSettingsOf() refuses what a kubelet would refuse", async () => {
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
    ["allowed-unsafe-sysctls=*", "invalid sysctl pattern *"],
    ["cgroup-driver=systemd", "it cannot be set: k3 takes systemd where systemd runs version 2"],
    ["cluster-dns=10.0.0.10", "k3 sets it: use --cluster-dns"],
    ["shutdownGracePeriod=30s", "does not understand the argument"],
    ["config=/nowhere.yaml", "there is no such file"],
  ] as const;
  for (const [argument, why] of rows) expect(settingsOf(argument)).rejects.toThrow(why);
});

const head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

function write(name: string, text: string): string {
  const path = `${dropInDir}/${name}`;
  writeFileSync(path, `${head}${text}`);
  return path;
}

test("files come before arguments, later files before earlier ones", async () => {
  const drops = ["10.conf", "20.conf"].map((name, i) =>
    write(name, `maxPods: ${i + 150}\nevictionHard: {"nodefs.available": "${i + 1}%"}`),
  );
  write("ignored.yaml", "maxPods: 3");
  const file = write(
    "own.yaml",
    [
      "shutdownGracePeriod: 30s",
      "shutdownGracePeriodCriticalPods: 10s",
      "evictionHard: {memory.available: 50Mi}",
      "containerLogMaxSize: 1Mi",
      "containerLogMonitorInterval: 3s",
      "allowedUnsafeSysctls: [net.core.*, kernel.msgmax]",
      "authentication: {anonymous: {enabled: false}}",
      "enforceNodeAllocatable: [pods]",
    ].join("\n"),
  );
  const settings = await settingsOf(`config=${file}`, "container-log-max-files=7");
  expect(settings).toMatchObject({
    maxPods: 151,
    evictionHard: { "nodefs.available": "2%", "memory.available": "50Mi" },
    containerLog: { bytesMax: 2 ** 20, filesMax: 7, everyMs: 3_000 },
    allowedUnsafeSysctls: ["net.core.*", "kernel.msgmax"],
    shutdownGraces: [
      { priority: 0, seconds: 20 },
      { priority: 2_000_000_000, seconds: 10 },
    ],
  });
  expect((await settingsOf("max-pods=90")).maxPods).toBe(90);
  for (const path of drops) rmSync(path);
});

test("a file that says what cannot be is refused by its field", async () => {
  const rows = [
    ["maxPodz: 1", 'unknown field "maxPodz"'],
    ["authentication: {anonymous: {enabled: true}}", "it is always false"],
    ["featureGates: {SomeGate: true}", "features are on as they are by default"],
    ["shutdownGracePeriodCriticalPods: 10s", "must be <= shutdownGracePeriod"],
    ["shutdownGracePeriod: 20ms", "it must be either zero or otherwise >= 1 sec"],
    [
      `shutdownGracePeriod: 9s
shutdownGracePeriodByPodPriority: [{priority: 1, shutdownGracePeriodSeconds: 2}]`,
      "cannot be used together",
    ],
    ["shutdownGracePeriodByPodPriority: [{priority: 1}]", "each entry needs a priority"],
    ["kind: Other", "it is no YAML"],
  ] as const;
  for (const [i, [text, why]] of rows.entries()) {
    const path = write(`bad-${i}.yaml`, text);
    await expect(settingsOf(`config=${path}`)).rejects.toThrow(why);
  }
});

test("pods may end by priority", async () => {
  const text = "shutdownGracePeriodByPodPriority: [{priority: 9, shutdownGracePeriodSeconds: 2}]";
  const { shutdownGraces } = await settingsOf(`config=${write("priority.yaml", text)}`);
  expect(shutdownGraces).toEqual([{ priority: 9, seconds: 2 }]);
});
