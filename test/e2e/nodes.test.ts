/** Several nodes: how they join, and how their pods and everybody else reach the pods of others. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Machine, Switch } from "../machines/machine.ts";
import { binary, Cluster, reasonToSkip, testImage, testImageArchive } from "./cluster.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: nodes: ${skip}`);

/** Tells who asked and who answers. */
const who = `#!/bin/sh\nprintf '\\n%s %s\\n' "$(echo $REMOTE_ADDR | tr -d '[f]:')" "$NODE"\n`;
const nodeNames = ["k3-e2e", "one", "two"] as const;

const manifest = `
apiVersion: v1
kind: ConfigMap
metadata: {name: site}
data: {who: ${JSON.stringify(who)}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: httpd
        image: ${testImage}
        command: [sh, -c, "echo here; exec httpd -f -p 8080 -h /www"]
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        readinessProbe: {httpGet: {port: 8080, path: /cgi-bin/who}, periodSeconds: 1}
        volumeMounts: [{name: site, mountPath: /www/cgi-bin}]
      volumes: [{name: site, configMap: {name: site, defaultMode: 0755}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
---
apiVersion: v1
kind: Service
metadata: {name: local}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector: {app: web}
  ports: [{port: 8081, targetPort: 8080, nodePort: 30081}]
`;

const claiming = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claim}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: claiming}
spec:
  restartPolicy: Never
  nodeSelector: {kubernetes.io/hostname: two}
  containers:
  - name: c
    image: ${testImage}
    command: [sh, -c, "echo kept > /data/file"]
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: claim}}]
`;

const storage = "/var/lib/rancher/k3s/storage";

const closed = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchLabels: {role: friend}}}]}]
`;

function client(name: string, node: string, role: string): string {
  return `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {role: ${role}}}
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: ${testImage}, command: [sleep, "100000"]}
`;
}

describe.skipIf(skip !== undefined)("several nodes", () => {
  const cluster = new Cluster();
  const machines = new Map<string, Machine>();
  const agents = new Map<string, Bun.Subprocess>();
  let network: Switch;
  let flags: readonly string[];

  const logOf = (name: string): string => join(cluster.dataDir, `${name}.log`);
  const machineOf = (name: string): Machine => {
    const found = machines.get(name);
    if (found === undefined) throw new Error(`there is no machine ${name}`);
    return found;
  };

  function startAgent(machine: string, ...more: readonly string[]): void {
    const token = readFileSync(join(cluster.dataDir, "server/token"), "utf8").trim();
    const server = `--server=https://${network.own}:6443`;
    const argv = [binary, "agent", server, `--token=${token}`, "--debug", ...more];
    agents.set(machine, machineOf(machine).spawn("agent", argv, logOf(machine)));
  }

  async function stopAgent(machine: string, signal: "TERM" | "KILL" = "TERM"): Promise<void> {
    await machineOf(machine).signal("agent", signal);
    await agents.get(machine)?.exited;
  }

  async function isReady(name: string): Promise<boolean> {
    const path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
    return (await cluster.kubectl(["get", "node", name, "-o", path])).stdout === "True";
  }

  async function podsByNode(): Promise<ReadonlyMap<string, { name: string; ip: string }>> {
    const list = JSON.parse(await cluster.run("get pods -l app=web -o json")) as {
      items: {
        metadata: { name: string };
        spec: { nodeName: string };
        status: { podIP?: string };
      }[];
    };
    const rows = list.items.map(({ metadata, spec, status }) => {
      return [spec.nodeName, { name: metadata.name, ip: status.podIP ?? "" }] as const;
    });
    return new Map(rows);
  }

  /** What a pod of `node` is answered: who it is taken for, and who answers. */
  async function ask(pod: string, place: string): Promise<string> {
    const wget = ["wget", "-q", "-O", "-", "-T", "3", `http://${place}/cgi-bin/who`];
    return (await cluster.run(["exec", pod, "--", ...wget])).trim();
  }

  async function allReachAll(): Promise<void> {
    const pods = await podsByNode();
    expect([...pods.keys()].sort()).toEqual([...nodeNames]);
    for (const from of pods.values()) {
      for (const [node, to] of pods)
        expect(await ask(from.name, `${to.ip}:8080`)).toBe(`${from.ip} ${node}`);
    }
  }

  const reached = (): Promise<boolean> =>
    allReachAll().then(
      () => true,
      () => false,
    );

  beforeAll(async () => {
    network = await Switch.open("k3-e2e-sw", "10.98.7");
    // Machines have folders of their own there, which the server's data directory is not.
    flags = [`--node-ip=${network.own}`, `--default-local-storage-path=${storage}`];
    const [started] = await Promise.all([
      cluster.start(...flags),
      ...["one", "two", "client"].map(async (name, index) => {
        machines.set(name, await Machine.start(name, network, index + 1));
      }),
    ]);
    for (const name of ["one", "two"]) {
      const images = machineOf(name).folder("/var/lib/rancher/k3s/agent/images");
      mkdirSync(images, { recursive: true });
      copyFileSync(testImageArchive, join(images, "busybox.tar"));
    }
    return started;
  }, 120_000);

  afterAll(async () => {
    for (const machine of machines.values()) await machine[Symbol.asyncDispose]();
    await cluster.destroy();
    await network[Symbol.asyncDispose]();
  }, 60_000);

  test("agents join by the server's token", async () => {
    startAgent("one");
    await cluster.until("node one is Ready", () => isReady("one"));
    const node = await cluster.run(
      "get node one -o jsonpath={.spec.podCIDR},{.status.addresses[0].address},{.metadata.labels}",
    );
    expect(node).toStartWith(`10.42.1.0/24,${machineOf("one").address},`);
    expect(node).not.toContain("control-plane");
  }, 60_000);

  test("no other machine gets a name that is taken, nor one that knows no token", async () => {
    startAgent("two", "--node-name=one");
    await cluster.until("the password is refused", async () => {
      return readFileSync(logOf("two"), "utf8").includes("password for node one: hash does not");
    });
    await stopAgent("two");
    startAgent("two", "--token=wrong");
    await cluster.until("the token is refused", async () => {
      return readFileSync(logOf("two"), "utf8").includes("/v1-k3s/config answered 401");
    });
    await stopAgent("two");
    startAgent("two", `--token=K10${"0".repeat(64)}::node:x`);
    await cluster.until("the server is refused", async () => {
      return readFileSync(logOf("two"), "utf8").includes("token CA hash does not match");
    });
    await stopAgent("two");
    startAgent("two");
    await cluster.until("node two is Ready", () => isReady("two"));
  }, 60_000);

  test("the server's own name is taken, too, and volumes are made where their pods run", async () => {
    await cluster.until("the server has claimed its name", async () => {
      const { code } = await cluster.kubectl("-n kube-system get secret k3-e2e.node-password.k3s");
      return code === 0;
    });
    await cluster.run("apply -f -", claiming);
    await cluster.run("wait --for=jsonpath={.status.phase}=Succeeded pod/claiming --timeout=60s");
    const volumes = machineOf("two").folder(storage);
    const [folder = ""] = readdirSync(volumes);
    expect(readFileSync(join(volumes, folder, "file"), "utf8")).toBe("kept\n");
    await cluster.run("delete pod/claiming pvc/claim");
    await cluster.until("the volume is gone", async () => readdirSync(volumes).length === 0);
  }, 90_000);

  test("pods of all nodes reach each other and services, over vxlan", async () => {
    await cluster.run("apply -f -", manifest);
    await cluster.run("rollout status ds/web --timeout=60s");
    await allReachAll();
    for (const { name } of (await podsByNode()).values()) {
      const loop = "for i in $(seq 30); do wget -q -O - http://web.default.svc/cgi-bin/who; done";
      const text = await cluster.run(["exec", name, "--", "sh", "-c", loop]);
      const answers = text
        .trim()
        .split("\n")
        .map((line) => line.split(" ")[1] ?? "");
      expect(answers).toHaveLength(30);
      expect([...new Set(answers)].sort()).toEqual([...nodeNames]);
    }
  }, 90_000);

  test("the API server reaches the kubelets of other machines", async () => {
    const { name = "" } = (await podsByNode()).get("one") ?? {};
    expect(await cluster.run(`logs ${name}`)).toBe("here\n");
    expect(await cluster.run(["exec", "-i", name, "--", "cat"], "through")).toBe("through");
    const metrics = await cluster.run("get --raw /api/v1/nodes/one/proxy/metrics/resource");
    expect(metrics).toContain(`pod="${name}"`);
  }, 60_000);

  test("a kubelet whose port nothing reaches answers by the node's tunnel", async () => {
    const one = machineOf("one");
    const { name = "" } = (await podsByNode()).get("one") ?? {};
    const nft = "/var/lib/rancher/k3s/data/current/bin/nft";
    const shut = `table ip shut { chain in { type filter hook input priority -10;
      iifname eth0 tcp dport 10250 reject with tcp reset; }; }`;
    await one.run([nft, "-f", "-"], shut);
    const direct = fetch(`https://${one.address}:10250/healthz`, {
      tls: { rejectUnauthorized: false },
    });
    await expect(direct).rejects.toThrow();
    expect(await cluster.run(`logs ${name}`)).toBe("here\n");
    expect(await cluster.run(["exec", "-i", name, "--", "cat"], "through")).toBe("through");
    expect(await cluster.run("get --raw /api/v1/nodes/one/proxy/healthz")).toBe("ok");
    await one.run([nft, "delete", "table", "ip", "shut"]);
  }, 60_000);

  test("node ports answer from outside on every node; Local keeps the client's address", async () => {
    const outside = machineOf("client");
    const get = (address: string): Promise<string> =>
      outside.run(["curl", "-s", "-m", "3", `http://${address}/cgi-bin/who`]);
    for (const node of [network.own, machineOf("one").address, machineOf("two").address]) {
      const answers = new Set<string>();
      for (let i = 0; i < 40 && answers.size < 3; i++)
        answers.add((await get(`${node}:30080`)).trim().split(" ")[1] ?? "");
      expect([...answers].sort()).toEqual([...nodeNames]);
    }
    const local = await get(`${machineOf("two").address}:30081`);
    expect(local.trim()).toBe(`${outside.address} two`);
    const balanced = await get(`${machineOf("one").address}:8081`);
    expect(balanced.trim()).toBe(`${outside.address} one`);
  }, 60_000);

  test("policies hold between nodes", async () => {
    await cluster.run(
      "apply -f -",
      `${client("friend", "one", "friend")}---${client("foe", "one", "foe")}`,
    );
    await cluster.run("wait --for=condition=Ready pod/friend pod/foe --timeout=30s");
    const { ip = "" } = (await podsByNode()).get("two") ?? {};
    const asks = async (pod: string): Promise<boolean> =>
      (await ask(pod, `${ip}:8080`).catch(() => "")) !== "";
    expect([await asks("friend"), await asks("foe")]).toEqual([true, true]);
    await cluster.run("apply -f -", closed);
    await cluster.until("the policy holds", async () => !(await asks("foe")));
    expect(await asks("friend")).toBe(true);
    await cluster.run("delete networkpolicy closed");
    await cluster.until("the policy is gone", () => asks("foe"));
  }, 60_000);

  test("a lossy network slows requests down, and loses none", async () => {
    // The host's own nft may be older than what it would read of k3's tables.
    const nft = ["/var/lib/rancher/k3s/data/current/bin/nft"];
    const table = ["inet", "lossy"];
    const hook = "{ type filter hook prerouting priority -400 ; }";
    const rule = 'iifname "eth0" numgen random mod 100 vmap { 0 : drop }';
    for (const machine of [machineOf("one"), machineOf("two")]) {
      await machine.run([...nft, "add", "table", ...table]);
      await machine.run([...nft, "add", "chain", ...table, "in", hook]);
      await machine.run([...nft, "add", "rule", ...table, "in", ...rule.split(" ")]);
    }
    const { name = "" } = (await podsByNode()).get("one") ?? {};
    const { ip = "" } = (await podsByNode()).get("two") ?? {};
    const loop = `n=0; for i in $(seq 100); do wget -q -T 5 -O /dev/null http://${ip}:8080/cgi-bin/who && n=$((n+1)); done; echo $n`;
    expect(await cluster.run(["exec", name, "--", "sh", "-c", loop])).toBe("100\n");
    for (const machine of ["one", "two"])
      await machineOf(machine).run([...nft, "delete", "table", ...table]);
  }, 60_000);

  test("a node that is cut off and healed takes part again", async () => {
    const { name = "" } = (await podsByNode()).get("one") ?? {};
    const { ip = "" } = (await podsByNode()).get("two") ?? {};
    await machineOf("two").cable("out");
    expect(await ask(name, `${ip}:8080`).catch(() => "lost")).toBe("lost");
    await machineOf("two").cable("in");
    await machineOf("two").run(["ip", "route", "replace", "default", "via", network.own]);
    await cluster.until("node two answers again", async () => {
      return (await ask(name, `${ip}:8080`).catch(() => "lost")) !== "lost";
    });
    await cluster.run("apply -f -", client("after", "two", "foe"));
    await cluster.run("wait --for=condition=Ready pod/after --timeout=60s");
  }, 90_000);

  test("agents go on without their server and without themselves, and come back", async () => {
    const started = async (): Promise<string> =>
      await cluster.run(
        "get pods -l app=web -o jsonpath={.items[*].status.containerStatuses[*].containerID}",
      );
    const before = await started();
    const { ip = "" } = (await podsByNode()).get("two") ?? {};
    await cluster.stop();
    await stopAgent("two", "KILL");
    const one = machineOf("one");
    const containers = await one.run([binary, "crictl", "ps", "-q", "--name", "httpd"]);
    const wget = ["wget", "-q", "-O", "-", "-T", "3", `http://${ip}:8080/cgi-bin/who`];
    const answer = await one.run([binary, "crictl", "exec", containers.trim(), ...wget]);
    expect(answer.trim()).toEndWith(" two");
    await Promise.all([cluster.start(...flags), Promise.resolve(startAgent("two"))]);
    await cluster.until("all reach all again", reached);
    await cluster.run("apply -f -", client("later", "two", "foe"));
    await cluster.run("wait --for=condition=Ready pod/later --timeout=60s");
    expect(await started()).toBe(before);
  }, 120_000);

  test("with host-gw the nodes are each other's gateways", async () => {
    await Promise.all([stopAgent("one"), stopAgent("two"), cluster.stop()]);
    await cluster.start(...flags, "--flannel-backend=host-gw");
    startAgent("one");
    startAgent("two");
    const { address } = machineOf("two");
    await cluster.until("the routes are there", async () => {
      const routes = await machineOf("one").run(["ip", "route"]);
      return routes.includes(`via ${address} dev eth0`) && !routes.includes("flannel.1");
    });
    await cluster.until("all reach all", reached);
  }, 90_000);
});
