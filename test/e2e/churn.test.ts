/**
 * Pods and services that come and go leave a node as they found it: rules, sets, maps, addresses,
 * links and flows. K3_CHURN says how many of each; by default it is one crowd.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Cluster, reasonToSkip, testImage } from "./cluster.ts";
import { machineSnapshot, type Snapshot } from "./machine-snapshot.ts";
import { leftoversAfter } from "./pod-facts.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: churn: ${skip}`);

const crowd = 20;
const total = Number(process.env.K3_CHURN ?? crowd);
const crowdMs = 60_000;

/** A pod, and services of each kind that lead to it. */
function member(i: number): string {
  const name = `m${i}`;
  return `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {member: ${name}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: ${testImage}
    command: [httpd, -f, -p, "8080", -h, /etc]
    ports: [{containerPort: 8080${i % 4 === 0 ? `, hostPort: ${31_000 + i}` : ""}}]
---
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec:
  type: ${i % 2 === 0 ? "NodePort" : "ClusterIP"}
  ${i % 3 === 0 ? "sessionAffinity: ClientIP" : ""}
  selector: {member: ${name}}
  ports:
  - {name: web, port: 80, targetPort: 8080}
  - {name: talk, port: 53, targetPort: 5353, protocol: UDP}
`;
}

describe.skipIf(skip !== undefined)("churn", () => {
  const cluster = new Cluster();
  const bin = join(cluster.dataDir, "data/current/bin");

  beforeAll(async () => {
    await cluster.start();
    // The first crowd may make what stays for the next one, for example the tables of host ports.
    await churn();
  }, 120_000);
  afterAll(() => cluster.destroy(), 60_000);

  /** What the kernel and the plugins hold, and what the cluster gave out. */
  async function held(): Promise<Snapshot> {
    const { switches: _, files: __, ruleset = [], ...kernel } = machineSnapshot(bin);
    const objects = await cluster.run("get ipaddresses,endpointslices,pods,services -A -o name");
    const leases = readdirSync("/var/lib/cni/networks/cbr0").filter((name) => /^\d/.test(name));
    return {
      ...kernel,
      leases,
      // What clients stick to runs out; its seconds do not stand still.
      ruleset: ruleset.map((line) => line.replace(/ (timeout|expires) \S+/g, "")),
      objects: objects.trim().split("\n").sort(),
    };
  }

  /** Flows that could lead packets to who is gone; closed connections run out by themselves. */
  function openFlows(): readonly string[] {
    const { stdout } = Bun.spawnSync([join(bin, "conntrack"), "-L"], { stderr: "ignore" });
    const isOurs = (line: string): boolean =>
      /dst=10\.4[23]\./.test(line) && !/ dst=10\.43\.0\.(1|10) /.test(line);
    return stdout
      .toString()
      .split("\n")
      .filter((line) => isOurs(line) && (/^udp /.test(line) || line.includes(" ESTABLISHED ")));
  }

  async function churn(): Promise<void> {
    const manifest = Array.from({ length: crowd }, (_, i) => member(i)).join("---");
    await cluster.run("create -f -", manifest);
    await cluster.run("wait --for=condition=Ready pod --all --timeout=60s");
    const list = JSON.parse(await cluster.run("get services -l !component -o json")) as {
      items: { spec: { clusterIP: string } }[];
    };
    expect(list.items).toHaveLength(crowd);
    // Nobody listens there: what matters is the flow.
    const socket = await Bun.udpSocket({ socket: { error: () => {} } });
    for (const { spec } of list.items) {
      // Endpoints reach the kernel a moment after the pod is ready.
      await cluster.until(`${spec.clusterIP} answers`, async () => {
        const answer = await fetch(`http://${spec.clusterIP}/`, { keepalive: false }).catch(
          () => undefined,
        );
        await answer?.body?.cancel();
        return answer !== undefined;
      });
      socket.send("hello", 53, spec.clusterIP);
    }
    socket.close();
    expect(openFlows().length).toBeGreaterThan(0);
    await cluster.run("delete --wait=true -f -", manifest);
  }

  test(
    `${total} pods and as many services leave nothing`,
    async () => {
      await cluster.until(
        "the first crowd is gone",
        async () => (await leftoversAfter(cluster, 0)).length === 0,
      );
      const before = await held();
      for (let made = 0; made < total; made += crowd) await churn();
      expect(await leftoversAfter(cluster, crowdMs)).toEqual([]);
      let now = await held();
      await cluster
        .until("the node is as before", async () => {
          now = await held();
          return Bun.deepEquals(now, before) && openFlows().length === 0;
        })
        .catch(() => {
          expect(now).toEqual(before);
          expect(openFlows()).toEqual([]);
        });
    },
    60_000 + (total / crowd) * crowdMs,
  );
});
