/** The faults: each is done to a node whose pods are ready, and resolves when it is over. */
import { readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { realHost } from "../../src/runtime/host.ts";
import { testImage } from "../e2e/cluster.ts";
import { isReady } from "../e2e/pod-facts.ts";
import type { Bed } from "./bed.ts";
import { moveClocks } from "./clock.ts";

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

const hourSeconds = 3600;

const hourly = JSON.stringify({
  apiVersion: "batch/v1",
  kind: "CronJob",
  metadata: { name: "hourly" },
  spec: {
    schedule: "0 * * * *",
    jobTemplate: { spec: { template: { spec: JSON.parse(podNamed("hourly", "true")).spec } } },
  },
});

/** The pod runs, and both k3 and containerd say that it does since the given time from now. */
async function startsAt(bed: Bed, name: string, seconds: number): Promise<void> {
  await bed.cluster.run(["wait", "pod", name, "--for=condition=Ready", "--timeout=60s"]);
  const [pod] = (await bed.pods()).filter(({ metadata }) => metadata.name === name);
  const started = pod?.status.containerStatuses?.[0]?.state.running?.startedAt;
  for (const time of [pod?.metadata.creationTimestamp, started]) {
    const ahead = (new Date(time ?? "").getTime() - Date.now()) / 1000;
    if (!(Math.abs(ahead - seconds) < 120)) throw new Error(`${name} is of ${time}`);
  }
}

/** The token that the pod has now is one that the API takes. */
async function tokenIsBelieved({ cluster }: Bed, name: string): Promise<void> {
  const file = "/var/run/secrets/kubernetes.io/serviceaccount/token";
  await cluster.until(`the token of ${name} is believed`, async () => {
    const token = await cluster.run(["exec", name, "--", "cat", file]);
    const review = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } };
    const path = "jsonpath={.status.authenticated}";
    return (
      (await cluster.run(["create", "-f", "-", "-o", path], JSON.stringify(review))) === "true"
    );
  });
}

export const faults: readonly Fault[] = [
  {
    name: "k3",
    what: "kill -9 of k3",
    mayRestart: nobody,
    async run(bed) {
      await bed.cluster.crash();
      await bed.start();
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
      await bed.settled();
      // Containers that end again and again wait longer each time: the next fault is another's.
      await bed.cluster.run(`delete pod ${victim?.metadata.name} --wait=true`);
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
      const readiness = `jsonpath={.status.conditions[?(@.type=="Ready")].message}`;
      const file = `${cluster.dataDir}/agent/etc/cni/net.d/10-flannel.conflist`;
      const text = readFileSync(file);
      rmSync(file);
      try {
        await cluster.until("the network is missed", async () => {
          const message = (await cluster.run(["get", "node", "k3-e2e", "-o", readiness])).trim();
          return message.includes("cni plugin not initialized");
        });
        await cluster.run("apply -f -", podNamed("waits", "true"));
      } finally {
        // containerd looks again when something is written, not when a file is moved there.
        writeFileSync(file, text);
      }
      await podEnds(bed, "waits", "Completed");
    },
  },
  {
    name: "clock",
    what: "the clock goes an hour ahead, and back",
    mayRestart: nobody,
    async run(bed) {
      const { cluster } = bed;
      await cluster.run("apply -f -", hourly);
      await moveClocks(hourSeconds);
      try {
        await cluster.run("apply -f -", podNamed("ahead", "sleep 1000"));
        await startsAt(bed, "ahead", hourSeconds);
        await execWorks(bed);
      } finally {
        await moveClocks(0);
      }
      await cluster.run("apply -f -", podNamed("back", "sleep 1000"));
      await startsAt(bed, "back", 0);
      for (const name of ["db-0", "ahead", "back"]) await tokenIsBelieved(bed, name);
      const jobs = (await cluster.run("get jobs -o name")).trim().split("\n");
      if (jobs.length > 1) throw new Error(`one hour makes ${jobs.join(", ")}`);
      await cluster.run("delete cronjob hourly --cascade=foreground --wait=true");
      await cluster.run("delete pod ahead back --wait=true");
    },
  },
];
