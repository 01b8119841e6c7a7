/** What pods hold on a machine, read from the kernel and the runtime, compared with the API's pods. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openCri } from "../../src/agent/cri/client.ts";
import { ContainerState, PodSandboxState } from "../../src/gen/cri/api_pb.ts";

const socket = "/run/k3s/containerd/containerd.sock";
const uidLabel = "io.kubernetes.pod.uid";

/** A pod of the API, as far as its claims on the machine go. */
export interface PodClaim {
  readonly uid: string;
  readonly hostNetwork: boolean;
}

interface RuntimeState {
  /** Pod uid to the ids of its sandboxes that are up. */
  readonly ready: ReadonlyMap<string, readonly string[]>;
  /** Pod uids of sandboxes and containers in any state. */
  readonly known: ReadonlySet<string>;
  readonly running: ReadonlySet<string>;
  /** Sandbox ids in any state to their pods' uids. */
  readonly listed: ReadonlyMap<string, string>;
}

/** What belongs to no pod of `claims`, one sentence each; empty when all is in order. */
export async function leftovers(claims: readonly PodClaim[]): Promise<readonly string[]> {
  const runtime = await runtimeState();
  const uids = new Set(claims.map(({ uid }) => uid));
  const sandboxes = new Set([...runtime.ready.values()].flat());
  const onHost = new Set(claims.filter(({ hostNetwork }) => hostNetwork).map(({ uid }) => uid));
  const networked = [...runtime.ready]
    .filter(([uid]) => !onHost.has(uid))
    .flatMap(([, ids]) => ids);
  const found: string[] = [];
  const expect = (ok: boolean, sentence: string): void => {
    if (!ok) found.push(sentence);
  };
  for (const uid of runtime.known) expect(uids.has(uid), `the runtime knows pod ${uid}`);
  for (const [uid, ids] of runtime.ready) {
    expect(ids.length === 1, `pod ${uid} has sandboxes ${ids.join(" and ")}`);
  }
  for (const [address, id] of leases()) {
    expect(networked.includes(id), `address ${address} is leased to sandbox ${id}`);
  }
  const spaces = list("/run/netns").filter((name) => name.startsWith("cni-"));
  expect(
    spaces.length === networked.length,
    `${spaces.length} network namespaces, not ${networked.length}`,
  );
  const ports = list("/sys/class/net/cni0/brif");
  expect(
    ports.length === networked.length,
    `${ports.length} links on the bridge, not ${networked.length}`,
  );
  for (const path of mounts()) {
    const uid = /^\/var\/lib\/kubelet\/pods\/([^/]+)/.exec(path)?.[1];
    if (uid !== undefined) expect(uids.has(uid), `${path} is mounted`);
    const id = /^\/run\/k3s\/containerd\/.*\/([0-9a-f]{64})\//.exec(path)?.[1];
    const lives = id === undefined || sandboxes.has(id) || runtime.running.has(id);
    // What a sandbox shared outlives its shim, until it is removed with its last container.
    const isKept = path.endsWith("/shm") && uids.has(runtime.listed.get(id ?? "") ?? "");
    expect(lives || isKept, `${path} is mounted`);
  }
  for (const uid of list("/var/lib/kubelet/pods"))
    expect(uids.has(uid), `pod directory ${uid} is there`);
  for (const name of list("/var/log/pods")) {
    expect(uids.has(name.split("_").at(-1) ?? ""), `log directory ${name} is there`);
  }
  for (const path of podCgroups()) {
    expect(uids.has(path.slice(path.lastIndexOf("/pod") + 4)), `cgroup ${path} is there`);
  }
  for (const id of shims()) expect(sandboxes.has(id), `a shim runs for sandbox ${id}`);
  return found;
}

async function runtimeState(): Promise<RuntimeState> {
  const cri = openCri(socket);
  try {
    const [sandboxes, containers] = await Promise.all([
      cri.runtime.listPodSandbox({}),
      cri.runtime.listContainers({}),
    ]);
    const uidOf = (entry: { readonly labels: Record<string, string> }) =>
      entry.labels[uidLabel] ?? "";
    const up = sandboxes.items.filter(({ state }) => state === PodSandboxState.SANDBOX_READY);
    const byUid = Map.groupBy(up, uidOf);
    return {
      ready: new Map([...byUid].map(([uid, list]) => [uid, list.map(({ id }) => id)])),
      listed: new Map(sandboxes.items.map((one) => [one.id, uidOf(one)])),
      known: new Set([...sandboxes.items, ...containers.containers].map(uidOf)),
      running: new Set(
        containers.containers
          .filter(({ state }) => state === ContainerState.CONTAINER_RUNNING)
          .map(({ id }) => id),
      ),
    };
  } finally {
    cri.close();
  }
}

function list(dir: string): readonly string[] {
  return existsSync(dir) ? readdirSync(dir) : [];
}

/** Address to the sandbox that host-local gave it to. */
function leases(): ReadonlyMap<string, string> {
  const dir = "/var/lib/cni/networks/cbr0";
  const addresses = list(dir).filter((name) => /^\d+\.\d+\.\d+\.\d+$/.test(name));
  return new Map(
    addresses.map((name) => [name, readFileSync(join(dir, name), "utf8").split(/\s/)[0] ?? ""]),
  );
}

function mounts(): readonly string[] {
  const table = readFileSync("/proc/self/mountinfo", "utf8");
  return table.split("\n").map((line) => line.split(" ")[4] ?? "");
}

function podCgroups(): readonly string[] {
  const root = "/sys/fs/cgroup";
  const tops = list(root).map((name) => `${root}/${name}`);
  return [root, ...tops]
    .flatMap((top) =>
      ["kubepods", "kubepods/burstable", "kubepods/besteffort"].map((qos) => `${top}/${qos}`),
    )
    .flatMap((dir) =>
      list(dir)
        .filter((name) => name.startsWith("pod"))
        .map((name) => `${dir}/${name}`),
    );
}

/** Sandbox ids of the shims that run. */
function shims(): readonly string[] {
  return list("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const args = commandLine(pid);
      if (!(args[0] ?? "").includes("containerd-shim")) return [];
      return args[args.indexOf("-id") + 1] ?? [];
    });
}

function commandLine(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // it ended meanwhile
  }
}
