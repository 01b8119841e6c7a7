/** Pods that get other resources while they run. */
import { expect, test } from "bun:test";
import type { Cluster } from "./cluster.ts";
import { apply, becomes, events, field, pod, shell, statusOf } from "./pods.ts";

interface Sizes {
  readonly cpu: string;
  readonly memory: string;
}

const same = (sizes: Sizes) => ({ requests: sizes, limits: sizes });

/** `one` and `two` of the same pod, resized together. */
function resized(one: Sizes, two: Sizes): string {
  const containers = [
    { name: "one", resources: same(one) },
    { name: "two", resources: same(two) },
  ];
  return JSON.stringify({ spec: { containers } });
}

const readCgroup = [
  "cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu/cpu.cfs_quota_us",
  "/sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null",
  "|| cat /sys/fs/cgroup/cpu.weight /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max",
].join(" ");

export function resizeCases(cluster: () => Cluster): void {
  const inside = async (container: string): Promise<readonly string[]> => {
    const said = await cluster().run([
      "exec",
      "sized",
      "-c",
      container,
      "--",
      "sh",
      "-c",
      readCgroup,
    ]);
    return said.trim().split("\n");
  };
  const resize = async (patch: string): Promise<void> => {
    await cluster().run(["patch", "pod", "sized", "--subresource", "resize", "-p", patch]);
  };
  /** Observed, and neither waiting nor under way. */
  const settled = async (): Promise<void> => {
    await cluster().until("the resize is over", async () => {
      const { metadata, status } = JSON.parse(await cluster().run("get pod sized -o json"));
      const types = status.conditions.map(({ type }: { type: string }) => type);
      const isOpen = types.some((type: string) => type.startsWith("PodResize"));
      return status.observedGeneration === metadata.generation && !isOpen;
    });
  };

  test("a resize gives other resources to what runs, or starts it anew if it wants that", async () => {
    const [before, more] = [
      { cpu: "100m", memory: "32Mi" },
      { cpu: "200m", memory: "64Mi" },
    ];
    const less = { cpu: "50m", memory: "24Mi" };
    const resizePolicy = [{ resourceName: "memory", restartPolicy: "RestartContainer" }];
    const script = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
    await apply(
      cluster(),
      pod("sized", {
        restartPolicy: "OnFailure",
        containers: [
          shell("one", script, { resources: same(before) }),
          shell("two", script, { resources: same(before), resizePolicy }),
        ],
      }),
    );
    await becomes(cluster(), "sized", "{.status.phase}", "Running");
    await resize(resized(more, { ...before, cpu: less.cpu }));
    await settled();
    const isV1 = !(await inside("one"))[1]?.includes(" ");
    const bytes = 64 * 2 ** 20;
    expect(await inside("one")).toEqual(
      isV1 ? ["204", "20000", `${bytes}`] : ["8", "20000 100000", `${bytes}`],
    );
    let status = await statusOf(cluster(), "sized");
    expect(status.containerStatuses?.map(({ restartCount }) => restartCount)).toEqual([0, 0]);
    expect(status.containerStatuses?.[0]).toMatchObject({
      allocatedResources: more,
      resources: same(more),
    });
    expect(status).toMatchObject({
      allocatedResources: { cpu: "250m", memory: "96Mi" },
      resources: { limits: { cpu: "250m", memory: "96Mi" } },
    });
    // Its policy asks for a restart when its memory changes, and it ends with success.
    await resize(resized(less, less));
    await settled();
    await becomes(cluster(), "sized", "{.status.containerStatuses[1].restartCount}", "1");
    await becomes(cluster(), "sized", "{.status.containerStatuses[1].ready}", "true");
    expect((await inside("two"))[2]).toBe(`${24 * 2 ** 20}`);
    status = await statusOf(cluster(), "sized");
    expect(status.containerStatuses?.map(({ restartCount }) => restartCount)).toEqual([0, 1]);
    expect(status.resources?.limits).toEqual({ cpu: "100m", memory: "48Mi" });
    const told = await events(cluster(), "sized");
    expect(told).toMatch(/ResizeStarted: Pod resize started: {"containers":\[{"name":"one"/);
    expect(told).toContain("ResizeCompleted: Pod resize completed: ");
    expect(told).toContain("Killing: Container two resize requires restart");
  });

  test("a resize beyond the node is refused, one beyond what is free waits, one below what is in use fails", async () => {
    const small = { cpu: "50m", memory: "24Mi" };
    const beside = shell("one", "sleep 600", { resources: same(small) });
    await apply(cluster(), pod("beside", { containers: [beside] }));
    await becomes(cluster(), "beside", "{.status.phase}", "Running");
    const pending = '{.status.conditions[?(@.type=="PodResizePending")].reason}';
    await expect(resize(resized({ ...small, cpu: "900" }, small))).rejects.toThrow(
      "node didn't have enough allocatable resources: cpu, requested: 900050, allocatable: ",
    );
    const cores = await cluster().run("get nodes -o jsonpath={.items[0].status.allocatable.cpu}");
    const all = cores.endsWith("m") ? Number.parseInt(cores, 10) : Number(cores) * 1000;
    await resize(resized({ ...small, cpu: `${all - 50}m` }, small));
    await becomes(cluster(), "sized", pending, "Deferred");
    const waits = '{.status.conditions[?(@.type=="PodResizePending")].message}';
    expect(await field(cluster(), "sized", waits)).toMatch(
      new RegExp(
        `^Node didn't have enough resource: cpu, requested: ${all}, used: \\d+, capacity: ${all}$`,
      ),
    );
    expect((await inside("one"))[0]).toMatch(/^(51|2)$/);
    await resize(resized(small, small));
    await settled();
    await resize(resized({ ...small, memory: "32Ki" }, small));
    const failing = '{.status.conditions[?(@.type=="PodResizeInProgress")].message}';
    await becomes(
      cluster(),
      "sized",
      failing,
      /^cannot decrease memory limits: .*set container "one" memory limit \(32768\) below current usage/,
    );
    expect((await inside("one"))[2]).toBe(`${24 * 2 ** 20}`);
    await resize(resized(small, small));
    await settled();
    const told = await events(cluster(), "sized");
    expect(told).toContain("ResizeDeferred: Pod resize OutOfcpu: ");
    expect(told).toContain("ResizeError: Pod resize error: ");
  });
}
