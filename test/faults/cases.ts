/** The faults: each is done to a node whose pods are ready, and resolves when it is over. */
import { readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { realHost } from "../../src/runtime/host.ts";
import { testImage } from "../e2e/cluster.ts";
import { isReady } from "../e2e/pod-facts.ts";
import type { Bed } from "./bed.ts";

export interface Fault {
  readonly name: string;
  readonly what: string;
  /** Names of the workload's pods that may be started anew. */
  readonly mayRestart: RegExp;
  run(bed: Bed): Promise<void>;
}

const nobody = /^$/;
const containerdPid = (): number =>
  Number(readFileSync("/run/k3s/containerd/k3.pid", "utf8").trim());

async function execWorks({ cluster }: Bed): Promise<void> {
  await cluster.until("exec works", async () => {
    return (await cluster.kubectl("exec db-0 -- true")).code === 0;
  });
}

async function podEnds({ cluster }: Bed, name: string, reason: string): Promise<void> {
  const path = "{.status.containerStatuses[0].state.terminated.reason}";
  await cluster.until(`${name} ended by ${reason}`, async () => {
    return (await cluster.run(["get", "pod", name, "-o", `jsonpath=${path}`])) === reason;
  });
  await cluster.run(`delete pod ${name} --wait=true`);
}

function podNamed(name: string, command: string, more: object = {}): string {
  const container = { name: "main", image: testImage, command: ["sh", "-c", command], ...more };
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { restartPolicy: "Never", terminationGracePeriodSeconds: 1, containers: [container] },
  });
}

/** Takes all but a little of the file system that pods' volumes lie on. */
function fillDisk(file: string): void {
  const { bavail, bsize, blocks } = statfsSync("/var/lib/kubelet");
  const spare = Math.floor((blocks * bsize) / 50);
  writeFileSync(file, Buffer.alloc(Math.max(0, bavail * bsize - spare)));
}

export const faults: readonly Fault[] = [
  {
    name: "k3",
    what: "kill -9 of k3",
    mayRestart: nobody,
    async run({ cluster }) {
      await cluster.crash();
      await cluster.start("--kubelet-arg=eviction-pressure-transition-period=1s");
    },
  },
  {
    name: "containerd",
    what: "kill -9 of containerd",
    mayRestart: nobody,
    async run(bed) {
      const pid = containerdPid();
      process.kill(pid, "SIGKILL");
      await bed.cluster.until("containerd is gone", async () => !realHost.processAlive(pid));
      await execWorks(bed);
    },
  },
  {
    name: "shim",
    what: "kill -9 of the shim of one pod",
    mayRestart: /^web-/,
    async run(bed) {
      const [victim] = await bed.pods("app=web");
      const uid = victim?.metadata.uid ?? "";
      const ids = (
        await bed.cluster.crictl(`pods -q --state ready --label io.kubernetes.pod.uid=${uid}`)
      ).trim();
      const [shim] = bed.processes(`-id ${ids} `);
      if (shim === undefined) throw new Error(`no shim runs for pod ${uid}`);
      process.kill(shim, "SIGKILL");
      await bed.cluster.until("the pod is not ready", async () => {
        const pod = (await bed.pods("app=web")).find((one) => one.metadata.uid === uid);
        const [status] = pod?.status.containerStatuses ?? [];
        const before = victim?.status.containerStatuses?.[0]?.containerID;
        return pod === undefined || !isReady(pod) || status?.containerID !== before;
      });
    },
  },
  {
    name: "disk",
    what: "the disk of the pods' volumes is full, and is free again",
    mayRestart: /./,
    async run({ cluster }) {
      const file = "/var/lib/kubelet/filler";
      const pressure = `{.status.conditions[?(@.type=="DiskPressure")].status}`;
      const says = (status: string) => async (): Promise<boolean> =>
        (await cluster.run(["get", "node", "k3-e2e", "-o", `jsonpath=${pressure}`])) === status;
      fillDisk(file);
      try {
        await cluster.until("the node tells of it", says("True"));
      } finally {
        rmSync(file);
      }
      await cluster.until("the node is well again", says("False"));
    },
  },
  {
    name: "memory",
    what: "a pod takes more memory than it may",
    mayRestart: nobody,
    async run(bed) {
      const limits = { resources: { limits: { memory: "24Mi" } } };
      await bed.cluster.run("apply -f -", podNamed("hungry", "tail /dev/zero", limits));
      await podEnds(bed, "hungry", "OOMKilled");
    },
  },
  {
    name: "probe",
    what: "a container freezes while it is probed, and goes on",
    mayRestart: nobody,
    async run(bed) {
      const frozen = bed.processes("httpd -f -p 8080 -h /www");
      const readyNow = async (): Promise<number> => (await bed.pods("app")).filter(isReady).length;
      for (const pid of frozen) process.kill(pid, "SIGSTOP");
      try {
        await bed.cluster.until("no pod is ready", async () => (await readyNow()) === 0);
      } finally {
        for (const pid of frozen) process.kill(pid, "SIGCONT");
      }
    },
  },
  {
    name: "cni",
    what: "the network's configuration is gone, and comes back",
    mayRestart: nobody,
    async run(bed) {
      const { cluster } = bed;
      const file = `${cluster.dataDir}/agent/etc/cni/net.d/10-flannel.conflist`;
      const text = readFileSync(file);
      rmSync(file);
      try {
        await cluster.run("apply -f -", podNamed("waits", "true"));
        await cluster.until("the pod's network is missed", async () => {
          return (await cluster.run("get events")).includes("cni plugin not initialized");
        });
      } finally {
        // containerd looks again when something is written, not when a file is moved there.
        writeFileSync(file, text);
      }
      await podEnds(bed, "waits", "Completed");
    },
  },
  {
    name: "clock",
    what: "the machine's clock goes an hour ahead, and back",
    mayRestart: nobody,
    async run(bed) {
      const setTo = (ms: number): void => {
        Bun.spawnSync(["date", "-s", `@${(ms / 1000).toFixed(3)}`]);
      };
      const hour = 3_600_000;
      setTo(Date.now() + hour);
      try {
        await execWorks(bed);
      } finally {
        setTo(Date.now() - hour);
      }
      await execWorks(bed);
    },
  },
];
