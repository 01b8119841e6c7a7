/** Which pods hold more of the node's disk than they may: upstream's local storage eviction. */
import { addQuantity, canonicalQuantity } from "../../lib/quantity.ts";
import type { Host } from "../../runtime/host.ts";
import type { DiskUse } from "./eviction-rank.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import { wholeValue } from "./resources.ts";
import { containersOf, type Pod, podLogDir, uidOf } from "./types.ts";

/** What a pod holds on the node, in bytes: its emptyDirs, and layers and logs of its containers. */
export interface StorageUse {
  readonly volumes: ReadonlyMap<string, number>;
  readonly containers: ReadonlyMap<string, number>;
}

const resource = "ephemeral-storage";

function limitOf(pod: Pod): string | undefined {
  const limits = containersOf(pod)
    .map(({ container }) => container.resources?.limits?.[resource])
    .filter((limit) => limit !== undefined);
  return limits.length === 0 ? undefined : limits.reduce((sum, limit) => addQuantity(sum, limit));
}

/** Whether anything about the pod is limited: looking at the others would be for nothing. */
export function limitsStorage(pod: Pod): boolean {
  const volumes = pod.spec.volumes ?? [];
  return limitOf(pod) !== undefined || volumes.some(({ emptyDir }) => emptyDir?.sizeLimit);
}

/** Why the pod has to go, in upstream's words; undefined while it keeps its limits. Pure. */
export function storageProblem(pod: Pod, use: StorageUse): string | undefined {
  for (const { name, emptyDir } of pod.spec.volumes ?? []) {
    const limit = emptyDir?.sizeLimit;
    if (limit === undefined || wholeValue(limit) === 0) continue;
    if ((use.volumes.get(name) ?? 0) > wholeValue(limit)) {
      return `Usage of EmptyDir volume "${name}" exceeds the limit "${canonicalQuantity(limit)}". `;
    }
  }
  const total = limitOf(pod);
  const disk = (pod.spec.volumes ?? []).filter(({ emptyDir }) => emptyDir?.medium !== "Memory");
  const parts = [...use.containers.values(), ...disk.map(({ name }) => use.volumes.get(name) ?? 0)];
  const sum = parts.reduce((all, bytes) => all + bytes, 0);
  if (total !== undefined && sum > wholeValue(total)) {
    const what = "Pod ephemeral local storage usage exceeds the total limit of containers";
    return `${what} ${canonicalQuantity(total)}. `;
  }
  for (const { container } of containersOf(pod)) {
    const limit = container.resources?.limits?.[resource];
    if (limit === undefined || (use.containers.get(container.name) ?? 0) <= wholeValue(limit)) {
      continue;
    }
    const text = `"${canonicalQuantity(limit)}"`;
    return `Container ${container.name} exceeded its local ephemeral storage limit ${text}. `;
  }
  return undefined;
}

/** Measures what the pod holds now. */
export async function storageUse(context: KubeletContext, pod: Pod): Promise<StorageUse> {
  const { cri, volumes } = context;
  const empty = (pod.spec.volumes ?? []).filter(({ emptyDir }) => emptyDir !== undefined);
  const labelSelector = { "io.kubernetes.pod.uid": uidOf(pod) };
  const [{ stats }, ...sizes] = await Promise.all([
    cri.runtime.listContainerStats({ filter: { labelSelector } }),
    ...empty.map(async (volume) => {
      const path = volumes.pathOf(pod, volume) ?? "";
      return [volume.name, (await treeUse(context.host, path)).bytes] as const;
    }),
  ]);
  const logs = podLogDir(context.logRoot, pod);
  const containers = await Promise.all(
    stats.map(async ({ attributes, writableLayer }) => {
      const name = attributes?.metadata?.name ?? "";
      const layer = Number(writableLayer?.usedBytes?.value ?? 0n);
      const written = await treeUse(context.host, `${logs}/${name}`);
      return [name, layer + written.bytes] as const;
    }),
  );
  return { volumes: new Map(sizes), containers: new Map(containers) };
}

/** What lies below a directory. */
export async function treeUse(host: Host, dir: string): Promise<DiskUse> {
  let [bytes, inodes] = [0, 0];
  for (const name of await host.list(dir)) {
    const path = `${dir}/${name}`;
    const info = await host.stat(path, false);
    if (info === undefined) continue;
    inodes += 1;
    if (info.kind !== "directory") bytes += info.size;
    else {
      const below = await treeUse(host, path);
      bytes += below.bytes;
      inodes += below.inodes;
    }
  }
  return { bytes, inodes };
}
