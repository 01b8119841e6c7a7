/** A node with pods that a fault is done to, and what must hold after it. */
import { readdirSync, readFileSync } from "node:fs";
import { Cluster, testImage } from "../e2e/cluster.ts";
import { leftovers } from "../e2e/leftovers.ts";

const settleMs = 180_000;

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

export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly hostNetwork?: boolean };
  readonly status: {
    readonly phase: string;
    readonly reason?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly containerID?: string;
      readonly restartCount: number;
      readonly state: { readonly terminated?: { readonly reason: string } };
    }[];
  };
}

export const isReady = ({ status }: Pod): boolean =>
  status.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;

/** What tells that a pod is the same and has not been started again. */
export function identity({ metadata, status }: Pod): string {
  const [first] = status.containerStatuses ?? [];
  return [metadata.uid, status.podIP, first?.containerID, first?.restartCount].join(" ");
}

export class Bed {
  readonly cluster = new Cluster();

  /** `pressure` off at once when it is over, so that a full disk does not hold up for minutes. */
  async start(): Promise<void> {
    await this.cluster.start("--kubelet-arg=eviction-pressure-transition-period=1s");
  }

  /** The workload, all of it ready. */
  async make(): Promise<void> {
    await this.cluster.run("apply -f -", workload);
    await this.settled();
  }

  async pods(selector = ""): Promise<readonly Pod[]> {
    const flags = selector === "" ? "" : ` -l ${selector}`;
    return JSON.parse(await this.cluster.run(`get pods -o json${flags}`)).items;
  }

  /** Resolves when the workload is as it is wanted, whatever has to be made anew for it. */
  async settled(): Promise<void> {
    await this.cluster.until(
      "the workload is ready",
      async () => {
        const { code, stdout } = await this.cluster.kubectl("get pods -l app -o json");
        if (code !== 0) return false;
        const all: readonly Pod[] = JSON.parse(stdout).items;
        const alive = all.filter(({ status }) => status.phase !== "Failed");
        return alive.length === 3 && alive.every(isReady);
      },
      settleMs,
    );
    await this.cluster.run("delete pods --field-selector=status.phase=Failed --wait=true");
  }

  /** What is left of pods that are gone; waits for what goes by itself. */
  async leaks(): Promise<readonly string[]> {
    let left: readonly string[] = [];
    const isClean = async (): Promise<boolean> => {
      const { items } = JSON.parse(await this.cluster.run("get pods -A -o json"));
      const claims = (items as readonly Pod[]).map(({ metadata, spec }) => ({
        uid: metadata.uid,
        hostNetwork: spec.hostNetwork === true,
      }));
      left = await leftovers(claims).catch((error: unknown) => [`${error}`]);
      return left.length === 0;
    };
    await this.cluster.until("nothing is left over", isClean, 60_000).catch(() => {});
    return left;
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
