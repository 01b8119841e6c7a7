/**
 * Carries out a resize that was granted: a pod cgroup that grows does so before its containers, one
 * that shrinks after them, memory and cpu each for itself.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { podSizesOf, type Sizes } from "./allocation.ts";
import { changePodCgroup, type PodCgroupChange, readPodCgroup } from "./cgroups.ts";
import { linuxResources } from "./container-config.ts";
import { readySandbox } from "./cri-state.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import type { ContainerResize, ResizePlan } from "./plan-resize.ts";
import type { PodRecord } from "./pod-record.ts";
import { type PodResources, podResources, quotaPeriodUs } from "./resources.ts";
import { type Container, criNames } from "./types.ts";

/** Fails with what the pod's condition is to say; whatever was done stays done. */
export async function resizePod(
  context: KubeletContext,
  record: PodRecord,
  plan: ResizePlan,
): Promise<void> {
  const { pod } = record;
  await context.resources.flush();
  const { resources: now, memoryUsageBytes } = await readPodCgroup(context.cgroups, pod);
  const wanted = podResources(pod);
  // A limit that is no longer asked for stays.
  const target: PodResources = {
    cpuShares: wanted.cpuShares,
    cpuQuotaUs: wanted.cpuQuotaUs || now.cpuQuotaUs,
    memoryLimitBytes: wanted.memoryLimitBytes || now.memoryLimitBytes,
  };
  await refuseBelowUsage(context, record, { plan, now, target, memoryUsageBytes });
  const run = new ResizeRun(context, record, now);
  try {
    if (plan.memory.length > 0 || plan.pod) await run.memory(plan, target);
    if (plan.cpu.length > 0 || plan.pod) await run.cpu(plan, target);
    record.cgroup = target;
    context.resources.podGiven(pod, podSizesOf(pod));
  } finally {
    for (const { id } of [...plan.memory, ...plan.cpu]) context.cache.doubt(record.uid, id);
  }
}

/** One way through the changes; remembers how far it came. */
class ResizeRun {
  readonly #context: KubeletContext;
  readonly #record: PodRecord;
  /** Sizes given so far, by container name. */
  readonly #given = new Map<string, Sizes>();
  #now: PodResources;

  constructor(context: KubeletContext, record: PodRecord, now: PodResources) {
    this.#context = context;
    this.#record = record;
    this.#now = now;
  }

  async memory(plan: ResizePlan, target: PodResources): Promise<void> {
    const { memoryLimitBytes } = target;
    const growth = growthOf(this.#now.memoryLimitBytes, memoryLimitBytes);
    if (growth > 0) await this.#changePod({ memoryLimitBytes });
    for (const resize of plan.memory) {
      const { memoryLimit, memoryRequest } = resize.to;
      await this.#update(resize, { memoryLimit, memoryRequest });
    }
    if (growth < 0) await this.#changePod({ memoryLimitBytes });
  }

  /** Limits grow before requests and shrink after them: a request is never above its limit. */
  async cpu(plan: ResizePlan, target: PodResources): Promise<void> {
    const { cpuQuotaUs, cpuShares } = target;
    const quotaGrowth = growthOf(this.#now.cpuQuotaUs, cpuQuotaUs);
    const sharesGrowth = cpuShares - this.#now.cpuShares;
    if (quotaGrowth > 0) await this.#changePod({ cpuQuotaUs });
    if (sharesGrowth > 0) await this.#changePod({ cpuShares });
    for (const resize of plan.cpu) {
      const { cpuLimit, cpuRequest } = resize.to;
      await this.#update(resize, { cpuLimit, cpuRequest });
    }
    if (sharesGrowth < 0) await this.#changePod({ cpuShares });
    if (quotaGrowth < 0) await this.#changePod({ cpuQuotaUs });
  }

  /** The runtime is told first: it may refuse. */
  async #changePod(change: PodCgroupChange): Promise<void> {
    const { cgroups } = this.#context;
    const next = { ...this.#now, ...change };
    await this.#tellSandbox(next);
    await changePodCgroup(cgroups, this.#record.pod, change);
    this.#now = next;
  }

  async #tellSandbox(resources: PodResources): Promise<void> {
    const { cri, cache } = this.#context;
    const sandbox = readySandbox(cache.peek(this.#record.uid));
    if (sandbox === undefined) return;
    try {
      await cri.runtime.updatePodSandboxResources({
        podSandboxId: sandbox.id,
        overhead: {},
        resources: {
          cpuPeriod: BigInt(quotaPeriodUs),
          cpuQuota: BigInt(resources.cpuQuotaUs),
          cpuShares: BigInt(resources.cpuShares),
          memoryLimitInBytes: BigInt(resources.memoryLimitBytes),
        },
      });
    } catch (error) {
      // Runtimes that do not know the call have nothing to say to it.
      const isUnknown = error instanceof ConnectError && error.code === Code.Unimplemented;
      const isOpen = error instanceof ConnectError && error.message.includes("not implemented");
      if (!isUnknown && !isOpen) throw error;
    }
  }

  async #update(resize: ContainerResize, change: Partial<Sizes>): Promise<void> {
    const { resources, cri, memoryCapacityBytes, cgroups } = this.#context;
    const { pod } = this.#record;
    const { id, container } = resize;
    const sizes = { ...(this.#given.get(container.name) ?? resize.from), ...change };
    await cri.runtime.updateContainerResources({
      containerId: id,
      linux: linuxResources({
        pod,
        container: withSizes(container, sizes),
        memoryCapacityBytes,
        cgroupV2: cgroups.v2,
      }),
    });
    this.#given.set(container.name, sizes);
    resources.containerGiven(pod, container.name, sizes);
  }
}

/** From no limit to one is to shrink. */
function growthOf(now: number, target: number): number {
  if (now === target) return 0;
  return now === 0 ? -1 : target - now;
}

function withSizes(container: Container, sizes: Sizes): Container {
  const { requests = {}, limits = {} } = container.resources ?? {};
  const list = (cpu: number, memory: number): Record<string, string> => ({
    ...(cpu === 0 ? {} : { cpu: `${cpu}m` }),
    ...(memory === 0 ? {} : { memory: `${memory}` }),
  });
  const { cpu: _cpuAsked, memory: _memoryAsked, ...otherRequests } = requests;
  const { cpu: _cpuLimit, memory: _memoryLimit, ...otherLimits } = limits;
  return {
    ...container,
    resources: {
      requests: { ...otherRequests, ...list(sizes.cpuRequest, sizes.memoryRequest) },
      limits: { ...otherLimits, ...list(sizes.cpuLimit, sizes.memoryLimit) },
    },
  };
}

interface Decrease {
  readonly plan: ResizePlan;
  readonly now: PodResources;
  readonly target: PodResources;
  readonly memoryUsageBytes: number;
}

/** A limit below what is in use would end processes: better to say so. */
async function refuseBelowUsage(
  { cri }: KubeletContext,
  { uid }: PodRecord,
  { plan, now, target, memoryUsageBytes }: Decrease,
): Promise<void> {
  const shrinks = plan.memory.filter(
    ({ from, to }) => growthOf(from.memoryLimit, to.memoryLimit) < 0,
  );
  const podShrinks = growthOf(now.memoryLimitBytes, target.memoryLimitBytes) < 0;
  if (shrinks.length === 0 && !podShrinks) return;
  const problems: string[] = [];
  const below = (what: string, limit: number, usage: number): void => {
    if (usage < limit) return;
    problems.push(
      `attempting to set ${what} memory limit (${limit}) below current usage (${usage})`,
    );
  };
  if (podShrinks) below("pod", target.memoryLimitBytes, memoryUsageBytes);
  if (shrinks.length > 0) {
    const filter = { labelSelector: { [criNames.podUid]: uid } };
    const { stats } = await cri.runtime.listContainerStats({ filter });
    for (const { id, container, to } of shrinks) {
      const usage = stats.find(({ attributes }) => attributes?.id === id)?.memory?.usageBytes
        ?.value;
      if (usage === undefined) problems.push(`missing container "${container.name}" memory usage`);
      else below(`container "${container.name}"`, to.memoryLimit, Number(usage));
    }
  }
  if (problems.length === 0) return;
  const text = problems.length === 1 ? problems[0] : `[${problems.join(", ")}]`;
  throw new Error(`cannot decrease memory limits: ${text}`);
}
