/** A node with pods that a fault is done to, and what must hold after it. */
import { readdirSync, readFileSync } from "node:fs";
import { Cluster, testImage } from "../e2e/cluster.ts";
import { isReady, leftoversAfter, type PodFacts, podFacts } from "../e2e/pod-facts.ts";

const settleMs = 180_000;
const leakLimitMs = 60_000;

const template = (name: string): string => `
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: httpd
        image: ${testImage}
        command: [sh, -c, "hostname > /www/index.html; exec httpd -f -p 8080 -h /www"]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1, failureThreshold: 1}
        volumeMounts: [{name: www, mountPath: /www}]
      volumes: [{name: www, emptyDir: {}}]`;

const workload = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: ${template("web")}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 1
  serviceName: db
  selector: {matchLabels: {app: db}}
  template: ${template("db")}
`;

/** What tells that a pod is the same and has not been started again. */
export function identity({ metadata, status }: PodFacts): string {
  const [first] = status.containerStatuses ?? [];
  return [metadata.uid, status.podIP, first?.containerID, first?.restartCount].join(" ");
}

export class Bed {
  readonly cluster = new Cluster();

  /** What is over is told at once, so that it does not hold up for minutes. */
  async start(): Promise<void> {
    await this.cluster.start(
      "--kubelet-arg=eviction-pressure-transition-period=1s",
      "--kubelet-arg=node-status-update-frequency=1s",
    );
  }

  /** The workload, all of it ready, and nothing on the machine that was there before. */
  async make(): Promise<void> {
    await this.cluster.run("apply -f -", workload);
    await this.settled();
    const left = await this.leaks();
    if (left.length > 0) throw new Error(`the machine is not clean: ${left.join(", ")}`);
  }

  pods(selector = ""): Promise<readonly PodFacts[]> {
    return podFacts(this.cluster, selector);
  }

  /** Resolves when the workload is as it is wanted, whatever has to be made anew for it. */
  async settled(): Promise<void> {
    await this.cluster.until(
      "the workload is ready",
      async () => {
        const { code, stdout } = await this.cluster.kubectl("get pods -l app -o json");
        if (code !== 0) return false;
        const all: readonly PodFacts[] = JSON.parse(stdout).items;
        const alive = all.filter(({ status }) => status.phase !== "Failed");
        return alive.length === 3 && alive.every(isReady);
      },
      settleMs,
    );
    await this.cluster.run("delete pods --field-selector=status.phase=Failed --wait=true");
  }

  /** What is left of pods that are gone; waits for what goes by itself. */
  leaks(): Promise<readonly string[]> {
    return leftoversAfter(this.cluster, leakLimitMs);
  }

  /** The pod's processes other than its sandbox', by the words they were started with. */
  processes(words: string): readonly number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => commandLine(pid).includes(words))
      .map(Number);
  }
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return ""; // it ended meanwhile
  }
}
