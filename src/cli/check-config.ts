/** `k3 check-config`: does this machine have what k3 needs? */
import { gunzipSync } from "node:zlib";
import { realHost } from "../runtime/host.ts";
import { createRuntime } from "../runtime/real.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Check, checkKernel, kernelOptions, parseKernelConfig } from "./check-plan.ts";
import type { CommandContext } from "./command.ts";

const colors = { pass: 32, warn: 33, fail: 31 } as const;

export async function runCheckConfig(context: CommandContext): Promise<number> {
  const runtime = createRuntime({ logLevel: "error" });
  const checks: readonly (readonly [title: string, checks: readonly Check[]])[] = [
    ["System", await systemChecks(runtime)],
    ["Control groups", await cgroupChecks(runtime)],
    ["Kernel", await kernelChecks(runtime)],
  ];
  for (const [title, list] of checks) {
    context.out(`\n${title}:\n`);
    for (const { name, state, note } of list) {
      const mark = process.stdout.isTTY ? `\u001b[${colors[state]}m${state}\u001b[0m` : state;
      context.out(`- ${name}: ${mark}${note === undefined ? "" : ` (${note})`}\n`);
    }
  }
  const failed = checks.flatMap(([, list]) => list).filter(({ state }) => state === "fail");
  context.out(
    failed.length === 0
      ? "\nSTATUS: pass\n"
      : `\nSTATUS: ${failed.length} (${failed.map(({ name }) => name).join(", ")})\n`,
  );
  return failed.length === 0 ? 0 : 1;
}

async function systemChecks(runtime: Runtime): Promise<readonly Check[]> {
  const { files } = runtime;
  const swaps = ((await files.readText("/proc/swaps")) ?? "").trim().split("\n").slice(1);
  const maxKeys = Number((await files.readText("/proc/sys/kernel/keys/root_maxkeys")) ?? 0);
  const routes = (await files.readText("/proc/net/route")) ?? "";
  const clash = routes
    .split("\n")
    .map((line) => line.split("\t"))
    // Little-endian: the second byte of 10.42.0.0 is the third from the right.
    .find(
      ([link = "", to = ""]) => /^0000(2A|2B)0A$/.test(to) && !/^(cni0|flannel|k3-)/.test(link),
    );
  const root = process.getuid?.() === 0;
  return [
    { name: "root", state: root ? "pass" : "fail", ...(root ? {} : { note: "run k3 by root" }) },
    swaps.length === 0
      ? { name: "swap", state: "pass", note: "disabled" }
      : { name: "swap", state: "warn", note: "enabled: memory limits are less exact" },
    clash === undefined
      ? { name: "routes", state: "pass" }
      : { name: "routes", state: "warn", note: `${clash[0]} uses 10.42.0.0 or 10.43.0.0` },
    maxKeys >= 10_000
      ? { name: "kernel.keys.root_maxkeys", state: "pass", note: String(maxKeys) }
      : { name: "kernel.keys.root_maxkeys", state: "warn", note: `${maxKeys}, should be 10000` },
  ];
}

async function cgroupChecks(runtime: Runtime): Promise<readonly Check[]> {
  const { files } = runtime;
  const unified = await files.readText("/sys/fs/cgroup/cgroup.controllers").catch(() => undefined);
  const wanted = ["cpu", "cpuset", "memory", "pids"];
  const have =
    unified === undefined
      ? ((await files.readText("/proc/cgroups")) ?? "")
          .split("\n")
          .filter((line) => line.endsWith("\t1"))
          .map((line) => line.split("\t")[0] ?? "")
      : unified.trim().split(" ");
  const version: Check = {
    name: "version",
    state: "pass",
    note: unified === undefined ? "v1" : "v2",
  };
  return [
    version,
    ...wanted.map(
      (name): Check =>
        have.includes(name)
          ? { name: `controller ${name}`, state: "pass" }
          : {
              name: `controller ${name}`,
              state: "fail",
              note: "boot with cgroup_enable=memory cgroup_memory=1, or a kernel that has it",
            },
    ),
  ];
}

async function kernelChecks(runtime: Runtime): Promise<readonly Check[]> {
  const { files } = runtime;
  const release = ((await files.readText("/proc/sys/kernel/osrelease")) ?? "").trim();
  const packed = await files.read("/proc/config.gz");
  const text =
    packed === undefined
      ? ((await files.readText(`/boot/config-${release}`)) ??
        (await files.readText(`/lib/modules/${release}/config`)))
      : new TextDecoder().decode(gunzipSync(packed));
  if (text !== undefined) return checkKernel(parseKernelConfig(text));
  // Without the configuration we can still look for what the running kernel shows.
  const shown = await Promise.all(
    kernelOptions.flatMap(({ option, path }) =>
      path === undefined
        ? []
        : [
            realHost
              .stat(path, true)
              .then(
                (info): Check =>
                  info === undefined
                    ? { name: `CONFIG_${option}`, state: "warn", note: `no ${path}` }
                    : { name: `CONFIG_${option}`, state: "pass", note: `found ${path}` },
              ),
          ],
    ),
  );
  const note = `none of /proc/config.gz, /boot/config-${release} is there`;
  return [{ name: "configuration", state: "warn", note }, ...shown];
}
