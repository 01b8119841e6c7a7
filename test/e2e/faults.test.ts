/**
 * kill -9 of k3, of containerd and of both while pods run: containers keep their identity and
 * uptime, the status is right within seconds, nothing acknowledged is lost and nothing leaks.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { loadKubeconfig } from "../../src/client/kubeconfig.ts";
import { createRuntime } from "../../src/runtime/real.ts";
import { binary, Cluster, reasonToSkip, testImage } from "./cluster.ts";
import { Connection } from "./crash/connection.ts";
import { isReady, leftoversAfter, type PodFacts, podFacts } from "./pod-facts.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: faults: ${skip}`);

const statusLimitMs = 3_000;
const cleanLimitMs = 40_000;

const httpd = (name: string) => `
      terminationGracePeriodSeconds: 1
      containers:
      - name: httpd
        image: ${testImage}
        command: [sh, -c, "echo ${name} here; hostname > /www/index.html; exec httpd -f -p 8080 -h /www"]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: www, mountPath: /www}]
      volumes: [{name: www, emptyDir: {medium: Memory}}]`;

const workload = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: ${httpd("web")}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: ${httpd("db")}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 8080}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: work}
spec:
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      containers:
      - {name: work, image: ${testImage}, command: [sh, -c, "while ! [ -e /done ]; do sleep 0.2; done; echo worked"]}
`;

/** What must not change while k3 or containerd are away. */
const identity = (pods: readonly PodFacts[]): readonly string[] =>
  pods
    .flatMap(({ metadata, status }) =>
      (status.containerStatuses ?? []).map(
        ({ containerID, restartCount, state }) =>
          `${metadata.name} ${metadata.uid} ${status.podIP} ${containerID} ` +
          `${restartCount} ${state.running?.startedAt}`,
      ),
    )
    .sort();

describe.skipIf(skip !== undefined)("faults", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.start();
    await cluster.run("apply -f -", workload);
    await cluster.run("rollout status deployment/web --timeout=60s");
    await cluster.run("rollout status statefulset/db --timeout=60s");
    await cluster.until("the job runs", async () => {
      return (await cluster.run("get job work -o jsonpath={.status.ready}")) === "1";
    });
  });
  afterAll(async () => {
    await cluster?.destroy();
  });

  const pods = (selector = "") => podFacts(cluster, selector);

  const containerdPid = (): number =>
    Number(readFileSync("/run/k3s/containerd/k3.pid", "utf8").trim());

  /** Ends containerd; it is gone when this resolves. */
  async function killContainerd(): Promise<void> {
    const pid = containerdPid();
    process.kill(pid, "SIGKILL");
    await cluster.until("containerd is gone", async () => !isAlive(pid));
  }

  /** The status that the API tells must be the truth `statusLimitMs` after the API is back. */
  async function expectSame(before: readonly string[]): Promise<void> {
    const right = async (): Promise<boolean> => {
      const now = await pods();
      return now.every(isReady) && Bun.deepEquals(identity(now), before);
    };
    await cluster.until("all is as it was", right, statusLimitMs).catch(async (error) => {
      expect(identity(await pods())).toEqual(before);
      throw error;
    });
    const table = await cluster.run(
      "get deployment/web statefulset/db -o jsonpath={..readyReplicas}",
    );
    expect(table).toBe("2 2");
  }

  /** logs, exec, port-forward and the Service, as if nothing had been. */
  async function expectServing(): Promise<void> {
    // The API answers before the node of the same process does.
    await cluster.until("the node answers", async () => {
      return (await cluster.kubectl("logs db-1")).code === 0;
    });
    expect(await cluster.run("logs db-1")).toBe("db here\n");
    expect(await cluster.run("exec db-1 -- cat /www/index.html")).toBe("db-1\n");
    const names = (await pods("app=web")).map(({ metadata }) => `${metadata.name}\n`);
    expect(names).toContain(await cluster.run("exec db-0 -- wget -q -O - -T 5 http://web"));
    expect(await cluster.run("exec db-0 -- wget -q -O - -T 5 http://db-1.db:8080")).toBe("db-1\n");
    expect(await forwarded("db-1")).toBe("db-1\n");
  }

  async function forwarded(pod: string): Promise<string> {
    const env = { ...process.env, KUBECONFIG: cluster.kubeconfig, K3S_DATA_DIR: cluster.dataDir };
    const argv = [binary, "kubectl", "port-forward", pod, ":8080"];
    const child = Bun.spawn(argv, { env, stdout: "pipe", stderr: "inherit" });
    try {
      let said = "";
      const decoder = new TextDecoder();
      for await (const chunk of child.stdout) {
        said += decoder.decode(chunk);
        const [, port] = /127\.0\.0\.1:(\d+)/.exec(said) ?? [];
        if (port !== undefined) return await (await fetch(`http://127.0.0.1:${port}/`)).text();
      }
      throw new Error(`port-forward ended: ${said}`);
    } finally {
      child.kill();
      await child.exited;
    }
  }

  async function expectClean(): Promise<void> {
    expect(await leftoversAfter(cluster, cleanLimitMs)).toEqual([]);
  }

  test("kill -9 of k3", async () => {
    const before = identity(await pods());
    await cluster.crash();
    await cluster.start();
    await expectSame(before);
    await expectServing();
  });

  test("kill -9 of containerd", async () => {
    const before = identity(await pods());
    const watch = Bun.spawn(
      [binary, "kubectl", "get", "pods", "-w", "--watch-only", "--no-headers"],
      {
        env: { ...process.env, KUBECONFIG: cluster.kubeconfig, K3S_DATA_DIR: cluster.dataDir },
        stdout: "pipe",
      },
    );
    await killContainerd();
    await cluster.until("exec works again", async () => {
      return (await cluster.kubectl("exec db-0 -- true")).code === 0;
    });
    await expectSame(before);
    await expectServing();
    watch.kill();
    expect(await new Response(watch.stdout).text()).toBe("");
  });

  test("kill -9 of both at once", async () => {
    const before = identity(await pods());
    await Promise.all([cluster.crash(), killContainerd()]);
    await cluster.start();
    await expectSame(before);
    await expectServing();
    await expectClean();
  });

  test("kill -9 of an adopted containerd", async () => {
    const before = identity(await pods());
    await cluster.crash();
    await cluster.start();
    await killContainerd();
    await cluster.until("exec works again", async () => {
      return (await cluster.kubectl("exec db-0 -- true")).code === 0;
    });
    await expectSame(before);
  });

  test("what happened while k3 was away is told within 3 s", async () => {
    const [victim] = await pods("app=web");
    const id = victim?.status.containerStatuses?.[0]?.containerID?.replace("containerd://", "");
    await cluster.crash();
    const kill = Bun.spawn(
      [binary, "ctr", "-n", "k8s.io", "task", "kill", "-s", "SIGKILL", id ?? ""],
      { env: { ...process.env, K3S_DATA_DIR: cluster.dataDir } },
    );
    expect(await kill.exited).toBe(0);
    await cluster.start();
    const restarted = async (): Promise<boolean> => {
      const pod = (await pods("app=web")).find((one) => one.metadata.uid === victim?.metadata.uid);
      return (
        pod !== undefined && pod.status.containerStatuses?.[0]?.restartCount === 1 && isReady(pod)
      );
    };
    await cluster.until("the restart is told", restarted, statusLimitMs);
  });

  test("a job that was under way ends once", async () => {
    await cluster.crash();
    await cluster.start();
    // The API answers before the node does.
    await cluster.until("exec works", async () => {
      return (await cluster.kubectl("exec job/work -- touch /done")).code === 0;
    });
    await cluster.run("wait --for=condition=complete job/work --timeout=10s");
    const [pod, ...others] = await pods("batch.kubernetes.io/job-name=work");
    expect(others).toEqual([]);
    expect(pod?.status.phase).toBe("Succeeded");
    expect(await cluster.run("logs job/work")).toBe("worked\n");
    await cluster.run("delete job work");
  });

  test("pods that were being created or deleted at the kill end right and leak nothing", async () => {
    for (const [cycle, both] of [false, true, false, true, true, true].entries()) {
      const replicas = cycle % 2 === 0 ? 5 : 2;
      await cluster.run(`scale deployment/web --replicas=${replicas}`);
      await cluster.run(`scale statefulset/db --replicas=${7 - replicas}`);
      // From before the first step of a pod to its end: between two cycles all moments are met.
      await Bun.sleep(60 + cycle * 110);
      await Promise.all([cluster.crash(), both ? killContainerd() : undefined]);
      await cluster.start();
      await cluster.run("rollout status deployment/web --timeout=60s");
      await cluster.run("rollout status statefulset/db --timeout=60s");
      await cluster.until("as many pods as wanted are there", async () => {
        const now = await pods("app");
        return now.length === 7 && now.every(isReady);
      });
    }
    await expectClean();
    await expectServing();
  });

  test("no acknowledged write is lost when all is killed", async () => {
    const config = await loadKubeconfig(createRuntime().files, cluster.kubeconfig);
    const connection = new Connection(config);
    const path = "/api/v1/namespaces/default/configmaps";
    const written: string[] = [];
    const writing = (async () => {
      for (let i = 0; ; i++) {
        const name = `kept-${i}`;
        const answer = await connection.ask("POST", path, {
          metadata: { name },
          data: { i: `${i}` },
        });
        if (answer.status === 201) written.push(name);
      }
    })().catch(() => {}); // the connection is cut
    await cluster.until("some writes are done", async () => written.length > 200);
    await Promise.all([cluster.crash(), killContainerd()]);
    await writing;
    await cluster.start();
    const names = (await cluster.run("get configmaps -o name")).split("\n");
    expect(written.filter((name) => !names.includes(`configmap/${name}`))).toEqual([]);
  });

  test("when all is deleted, nothing is left", async () => {
    await cluster.run("delete -f - --wait=true --ignore-not-found", workload);
    await cluster.until("no pod is left", async () => {
      return (await cluster.run("get pods -A -o name")).trim() === "";
    });
    await expectClean();
  });
});

/** False for a zombie too: in a container there may be nobody to reap it. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat[stat.lastIndexOf(")") + 2] !== "Z";
  } catch {
    return false;
  }
}
