/** What must hold of a cluster at rest: all is as wanted, or nothing is left. */
import type { Client } from "../../src/client/client.ts";
import { endpointSlices, nodes, pods, replicaSets } from "../../src/client/resources.ts";
import type { Pod } from "../../src/gen/core-v1.ts";
import type { SimNode } from "./cluster.ts";
import { isRunning } from "./fake-cri.ts";
import type { MemoryDisk } from "./memory-disk.ts";
import { type App, type Expect, isReady, namespace } from "./workload.ts";

/** The names of nodes that may not be used yet. */
export async function nodesAway(client: Client, all: readonly SimNode[]): Promise<string[]> {
  const { items } = await client.list(nodes, "");
  const up = items.filter(({ spec, status }) => {
    const ready = status?.conditions?.some((one) => one.type === "Ready" && one.status === "True");
    return ready === true && (spec?.taints ?? []).length === 0;
  });
  const names = new Set(up.map(({ metadata }) => metadata.name));
  return all.map(({ name }) => name).filter((name) => !names.has(name));
}

/** What differs from the wanted state; empty when nothing does. */
export async function unmet(
  client: Client,
  all: readonly SimNode[],
  chosen: readonly App[],
): Promise<readonly string[]> {
  const wrong: string[] = [];
  const expect: Expect = (what, is, wanted) => {
    if (!Bun.deepEquals(is, wanted)) wrong.push(`${what}: ${is} in place of ${wanted}`);
  };
  const { items } = await client.list(pods, namespace);
  for (const app of chosen) {
    const own = items.filter(({ metadata }) => metadata.labels?.app === app.name);
    await app.expect(client, own, all.length, expect);
  }
  const live = items.filter(({ status }) => {
    return status?.phase !== "Succeeded" && status?.phase !== "Failed";
  });
  expect("pods that are ready", live.filter(isReady).length, live.length);
  for (const node of all) expect(`what runs on ${node.name}`, runsOn(node), wantedOn(node, live));
  return wrong;
}

function runsOn({ cri }: SimNode): string {
  return [...cri.containers.values()]
    .filter(isRunning)
    .map(({ sandbox, id }) => `${sandbox.config.metadata?.name} ${id}`)
    .sort()
    .join();
}

function wantedOn({ name }: SimNode, live: readonly Pod[]): string {
  return live
    .filter(({ spec }) => spec.nodeName === name)
    .map(({ metadata, status }) => {
      const id = status?.containerStatuses?.[0]?.containerID?.replace("containerd://", "");
      return `${metadata.name} ${id}`;
    })
    .sort()
    .join();
}

/** What is left of workloads that were deleted; empty when nothing is. */
export async function leftOver(client: Client, all: readonly SimNode[]): Promise<string[]> {
  const left: string[] = [];
  for (const kind of [pods, replicaSets, endpointSlices]) {
    for (const { metadata } of (await client.list(kind as never, namespace)).items) {
      left.push(`${kind.plural} ${metadata.name}`);
    }
  }
  for (const { name, cri, disk } of all) {
    for (const { id } of cri.sandboxes.values()) left.push(`sandbox ${id} on ${name}`);
    for (const { id } of cri.containers.values()) left.push(`container ${id} on ${name}`);
    for (const place of ["/var/lib/kubelet/pods", "/var/log/pods"]) {
      for (const entry of disk.names(place)) left.push(`${place}/${entry} on ${name}`);
    }
    for (const entry of cgroupsOf(disk)) left.push(`${entry} on ${name}`);
  }
  return left;
}

function cgroupsOf(disk: MemoryDisk): string[] {
  const root = "/sys/fs/cgroup/memory/kubepods";
  return [root, `${root}/besteffort`, `${root}/burstable`].flatMap((dir) => {
    const names = disk.names(dir).filter((name) => name.startsWith("pod"));
    return names.map((name) => `${dir}/${name}`);
  });
}
