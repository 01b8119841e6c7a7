/** Clusters of both address families and of IPv6 alone: pods, services, names and policies. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Resolver } from "node:dns/promises";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { finished, Machine, Switch } from "../machines/machine.ts";
import { binary, Cluster, reasonToSkip, testImage, testImageArchive } from "./cluster.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: dual stack: ${skip}`);

/** A network that this machine alone is on, and a neighbour's end of its cable. */
const cable = { link: "k3e2e6", netns: "k3-e2e-six" } as const;
const node = { IPv4: "198.51.100.1", IPv6: "2001:db8:7::1" } as const;
const neighbour = { IPv4: "198.51.100.2", IPv6: "2001:db8:7::2" } as const;
const ranges = {
  cluster: { IPv4: "10.42.0.0/16", IPv6: "fd00:42::/56" },
  service: { IPv4: "10.43.0.0/16", IPv6: "fd00:43::/112" },
} as const;

/** Tells who asked and who answers. */
const who = `#!/bin/sh\nprintf '\\n%s %s\\n' "$(echo $REMOTE_ADDR | tr -d '[]')" "$(hostname)"\n`;

function manifest(policy: string): string {
  return `
apiVersion: v1
kind: ConfigMap
metadata: {name: site}
data: {who: ${JSON.stringify(who)}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: peers
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: httpd
        image: ${testImage}
        command: [httpd, -f, -p, "8080", -h, /www]
        env:
        - {name: POD_IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
        - {name: HOST_IPS, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}}
        ports: [{containerPort: 8080, name: http}]
        readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
        volumeMounts: [{name: site, mountPath: /www/cgi-bin}]
      volumes: [{name: site, configMap: {name: site, defaultMode: 0755}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  ipFamilyPolicy: ${policy}
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}]
---
apiVersion: v1
kind: Service
metadata: {name: peers}
spec: {clusterIP: None, ipFamilyPolicy: ${policy}, selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: local}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  ipFamilyPolicy: ${policy}
  selector: {app: web}
  ports: [{port: 8081, targetPort: 8080}]
`;
}

const closed = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{ipBlock: {cidr: "fd00:42::/56"}}]}]
`;

/** Listens at the address given and tells each client its own. */
const tellPeer = `
const plain = (ip) => ip.replace(/^::ffff:/, "");
Bun.listen({ hostname: process.argv[1], port: 9000, socket: {
  open(socket) { socket.end(plain(socket.remoteAddress)); }, data() {},
} });
console.log("ready");
`;

async function sh(script: string): Promise<string> {
  const { code, stdout, stderr } = await finished(["sh", "-ec", script]);
  if (code !== 0) throw new Error(`${script} ended with ${code}: ${stderr}${stdout}`);
  return stdout;
}

async function layCable(): Promise<void> {
  const { link, netns } = cable;
  await sh(`ip netns add ${netns}
    ip link add ${link} type veth peer name eth0 netns ${netns}
    ip addr add ${node.IPv4}/24 dev ${link}
    ip -6 addr add ${node.IPv6}/64 dev ${link} nodad
    ip link set ${link} up
    ip -n ${netns} addr add ${neighbour.IPv4}/24 dev eth0
    ip -n ${netns} -6 addr add ${neighbour.IPv6}/64 dev eth0 nodad
    ip -n ${netns} link set eth0 up`);
}

const removeCable = () =>
  sh(`ip netns delete ${cable.netns}; ip link delete ${cable.link} || true`);

function place(ip: string, port: number): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** What is asked of a cluster, whatever its families. */
class Asker {
  constructor(readonly cluster: Cluster) {}

  field(what: string, path: string): Promise<string> {
    return this.cluster.run(["get", ...what.split(" "), "-o", `jsonpath={${path}}`]);
  }

  async list(what: string, path: string): Promise<readonly string[]> {
    return (await this.field(what, path)).split(" ");
  }

  /** Who answers a pod, and for whom the pod is taken. */
  async fromPod(pod: string, where: string): Promise<string> {
    const url = `http://${where}/cgi-bin/who`;
    return (await this.cluster.run(["exec", pod, "--", "wget", "-qO-", "-T", "5", url])).trim();
  }

  async fromNode(where: string): Promise<string> {
    const signal = AbortSignal.timeout(5000);
    return (await (await fetch(`http://${where}/cgi-bin/who`, { signal })).text()).trim();
  }

  /** Asks from beyond the cable, without any program but bash. */
  async fromNeighbour(ip: string, port: number): Promise<string> {
    const request = "GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n";
    const script = `exec 3<>/dev/tcp/${ip}/${port}; printf '${request}' >&3; cat <&3`;
    const argv = ["ip", "netns", "exec", cable.netns, "timeout", "5", "bash", "-c", script];
    return (await finished(argv)).stdout.trim().split("\n").at(-1) ?? "";
  }

  async ready(manifestText: string): Promise<void> {
    await this.cluster.run("apply -f -", manifestText);
    await this.cluster.run("rollout status statefulset/web --timeout=90s");
    await this.cluster.until("the Service has its endpoints", async () => {
      const ready = await this.field("endpointslices -l kubernetes.io/service-name=web", "..ready");
      return !ready.includes("false") && ready.includes("true true");
    });
  }
}

describe.skipIf(skip !== undefined)("a cluster of both address families", () => {
  const cluster = new Cluster();
  const ask = new Asker(cluster);
  const pods = new Map<string, readonly string[]>();
  let clusterIps: readonly string[];

  beforeAll(async () => {
    await layCable();
    await cluster.start(
      `--cluster-cidr=${ranges.cluster.IPv4},${ranges.cluster.IPv6}`,
      `--service-cidr=${ranges.service.IPv4},${ranges.service.IPv6}`,
      `--node-ip=${node.IPv4},${node.IPv6}`,
      "--flannel-ipv6-masq",
      "--disable=metrics-server",
    );
    await ask.ready(manifest("RequireDualStack"));
    for (const name of ["web-0", "web-1"])
      pods.set(name, await ask.list(`pod ${name}`, ".status.podIPs[*].ip"));
    clusterIps = await ask.list("service web", ".spec.clusterIPs[*]");
  });
  afterAll(async () => {
    await cluster.destroy();
    await removeCable();
  });

  const ipOf = (pod: string, family: number): string => pods.get(pod)?.[family] ?? "";

  test("the node and its pods tell an address of each family", async () => {
    const { spec, status } = JSON.parse(await cluster.run("get node k3-e2e -o json"));
    expect(spec.podCIDRs).toEqual(["10.42.0.0/24", "fd00:42::/64"]);
    const inner = status.addresses.filter(({ type }: { type: string }) => type === "InternalIP");
    expect(inner.map(({ address }: { address: string }) => address)).toEqual([
      node.IPv4,
      node.IPv6,
    ]);
    for (const ips of pods.values())
      expect(ips).toEqual([
        expect.stringMatching(/^10\.42\.0\.\d+$/),
        expect.stringMatching(/^fd00:42::[0-9a-f]+$/),
      ]);
    const told = await cluster.run(["exec", "web-0", "--", "sh", "-c", "echo $POD_IPS $HOST_IPS"]);
    expect(told.trim()).toBe(`${pods.get("web-0")} ${node.IPv4},${node.IPv6}`);
    const hosts = await cluster.run(["exec", "web-0", "--", "cat", "/etc/hosts"]);
    for (const ip of pods.get("web-0") ?? []) expect(hosts).toContain(`${ip}\tweb-0.peers`);
  });

  test("the kubernetes Service is of the first family, the DNS of both", async () => {
    expect(await ask.list("service kubernetes", ".spec.clusterIPs[*]")).toEqual(["10.43.0.1"]);
    const dns = await ask.list("service kube-dns -n kube-system", ".spec.clusterIPs[*]");
    expect(dns).toEqual(["10.43.0.10", "fd00:43::a"]);
  });

  test("pods reach each other, the Service and themselves through it, in both", async () => {
    for (const family of [0, 1]) {
      const own = ipOf("web-1", family);
      const direct = place(ipOf("web-0", family), 8080);
      const shown = family === 0 ? `::ffff:${own}` : own;
      expect([own, shown]).toContain((await ask.fromPod("web-1", direct)).split(" ")[0] ?? "");
      const seen = new Set<string>();
      await cluster.until("both pods have answered one of them", async () => {
        const answer = await ask.fromPod("web-1", place(clusterIps[family] ?? "", 80));
        seen.add(answer.split(" ")[1] ?? "");
        return seen.size === 2;
      });
      expect(await ask.fromNode(place(clusterIps[family] ?? "", 80))).toContain("web-");
    }
  });

  test("node ports and load balancers answer a neighbour, in both", async () => {
    const path = ".status.loadBalancer.ingress[*].ip";
    await cluster.until("the balancer has its addresses", async () => {
      return (await ask.list("service local", path)).length === 2;
    });
    expect(await ask.list("service local", path)).toEqual([node.IPv4, node.IPv6]);
    for (const family of ["IPv4", "IPv6"] as const) {
      for (const port of [30080, 8081]) {
        const answer = await ask.fromNeighbour(node[family], port);
        // The client's own address: the only node has the endpoints.
        expect(answer).toContain(`${neighbour[family]} web-`);
      }
    }
  });

  test("a pod leaves the cluster under the node's address, in both", async () => {
    for (const family of ["IPv4", "IPv6"] as const) {
      const listener = Bun.spawn(
        ["ip", "netns", "exec", cable.netns, process.execPath, "-e", tellPeer, neighbour[family]],
        { stdout: "pipe" },
      );
      try {
        const reader = listener.stdout.getReader();
        await reader.read();
        const at = [neighbour[family], "9000"];
        const heard = await cluster.run(["exec", "web-0", "--", "nc", "-w", "5", ...at]);
        expect(heard).toBe(node[family]);
      } finally {
        listener.kill();
      }
    }
  });

  test("names have A and AAAA, and addresses of both lead back, at both DNS addresses", async () => {
    const zone = "default.svc.cluster.local";
    for (const server of ["10.43.0.10", "[fd00:43::a]"]) {
      const dns = new Resolver({ timeout: 2000, tries: 2 });
      dns.setServers([server]);
      expect(await dns.resolve4(`web.${zone}`)).toEqual([clusterIps[0] ?? ""]);
      expect(await dns.resolve6(`web.${zone}`)).toEqual([clusterIps[1] ?? ""]);
      expect(await dns.resolve6(`web-0.peers.${zone}`)).toEqual([ipOf("web-0", 1)]);
      expect(await dns.reverse(clusterIps[1] ?? "")).toEqual([`web.${zone}`]);
      expect(await dns.reverse(ipOf("web-1", 1))).toContain(`web-1.peers.${zone}`);
    }
    const servers = await cluster.run(["exec", "web-0", "--", "cat", "/etc/resolv.conf"]);
    expect(servers).toMatch(/nameserver 10\.43\.0\.10\nnameserver fd00:43::a\n/);
  });

  test("a Service loses its second family and gets it back", async () => {
    const patch = (policy: string) =>
      cluster.run(["patch", "service", "web", "-p", `{"spec":{"ipFamilyPolicy":"${policy}"}}`]);
    const slices = () =>
      ask.list("endpointslices -l kubernetes.io/service-name=web", ".items[*].addressType");
    await patch("SingleStack");
    expect(await ask.list("service web", ".spec.clusterIPs[*]")).toEqual([clusterIps[0] ?? ""]);
    await cluster.until("one slice is left", async () => (await slices()).join() === "IPv4");
    await patch("PreferDualStack");
    const again = await ask.list("service web", ".spec.clusterIPs[*]");
    expect(again).toEqual([clusterIps[0] ?? "", expect.stringMatching(/^fd00:43::/)]);
    await cluster.until("the new address answers", async () => {
      const answer = await ask.fromNode(place(again[1] ?? "", 80)).catch(() => "");
      return answer.includes("web-");
    });
    clusterIps = again;
  });

  test("a policy that names an IPv6 range closes IPv4, and lets IPv6 through", async () => {
    await cluster.run("apply -f -", closed);
    const reach = async (family: number): Promise<boolean> => {
      const url = `http://${place(ipOf("web-0", family), 8080)}/cgi-bin/who`;
      const words = ["exec", "web-1", "--", "wget", "-qO-", "-T", "2", url];
      return (await cluster.kubectl(words)).code === 0;
    };
    await cluster.until("IPv4 is closed", async () => !(await reach(0)));
    expect(await reach(1)).toBe(true);
    await cluster.run("delete networkpolicy closed");
    await cluster.until("IPv4 is open again", () => reach(0));
  });
});

describe.skipIf(skip !== undefined)("a cluster of IPv6 alone", () => {
  const cluster = new Cluster();
  const ask = new Asker(cluster);

  beforeAll(async () => {
    await layCable();
    await cluster.start(`--node-ip=${node.IPv6}`, "--disable=metrics-server");
    await ask.ready(manifest("PreferDualStack"));
  });
  afterAll(async () => {
    await cluster.destroy();
    await removeCable();
  });

  test("has K3s' ranges, and everything is of that family", async () => {
    expect(await ask.list("servicecidr kubernetes", ".spec.cidrs[*]")).toEqual(["fd00:43::/112"]);
    expect(await ask.list("node k3-e2e", ".spec.podCIDRs[*]")).toEqual(["fd00:42::/64"]);
    expect(await ask.list("service kubernetes", ".spec.clusterIPs[*]")).toEqual(["fd00:43::1"]);
    expect(await ask.list("service web", ".spec.ipFamilies[*]")).toEqual(["IPv6"]);
    const slices = await ask.list("endpointslices -A", ".items[*].addressType");
    expect([...new Set(slices)]).toEqual(["IPv6"]);
    const refused = await cluster.kubectl([
      "patch",
      "service",
      "web",
      "-p",
      '{"spec":{"ipFamilyPolicy":"RequireDualStack"}}',
    ]);
    expect(refused.stderr).toContain("this cluster is not configured for dual-stack services");
  });

  test("pods, the API, services and names are reached", async () => {
    const [ip = ""] = await ask.list("service web", ".spec.clusterIPs[*]");
    const [first = ""] = await ask.list("pod web-0", ".status.podIPs[*].ip");
    expect(await ask.fromPod("web-1", place(first, 8080))).toContain("web-0");
    expect(await ask.fromPod("web-0", place(ip, 80))).toContain("web-");
    expect(await ask.fromPod("web-0", "web")).toContain("web-");
    expect(await ask.fromNeighbour(node.IPv6, 30080)).toContain(`${neighbour.IPv6} web-`);
    const api = ["exec", "web-0", "--", "sh", "-c", "echo x | nc -w 5 fd00:43::1 443"];
    expect((await cluster.kubectl(api)).code).toBe(0);
  });

  test("logs and exec go over the node's IPv6 address", async () => {
    expect(await cluster.run("exec web-0 -- hostname")).toBe("web-0\n");
    const found = await cluster.run("get --raw /api/v1/nodes/k3-e2e/proxy/healthz");
    expect(found).toBe("ok");
  });
});

describe.skipIf(skip !== undefined)("two nodes of both address families", () => {
  const cluster = new Cluster();
  const ask = new Asker(cluster);
  const six = { own: "fd98:7::fe", other: "fd98:7::1" } as const;
  let network: Switch;
  let machine: Machine;
  let agent: Bun.Subprocess | undefined;

  async function start(backend: string): Promise<void> {
    await cluster.start(
      `--cluster-cidr=${ranges.cluster.IPv4},${ranges.cluster.IPv6}`,
      `--service-cidr=${ranges.service.IPv4},${ranges.service.IPv6}`,
      `--node-ip=${network.own},${six.own}`,
      "--disable=metrics-server,traefik",
      `--flannel-backend=${backend}`,
    );
    const token = readFileSync(join(cluster.dataDir, "server/token"), "utf8").trim();
    const join6 = [`--server=https://[${six.own}]:6443`, `--token=${token}`];
    const ips = `--node-ip=${machine.address},${six.other}`;
    const log = join(cluster.dataDir, "agent.log");
    agent = machine.spawn("agent", [binary, "agent", ...join6, ips, "--node-name=other"], log);
    const path = ".status.conditions[?(@.type=='Ready')].status";
    await cluster.until("the other node is Ready", async () => {
      const words = ["get", "node", "other", "-o", `jsonpath={${path}}`];
      return (await cluster.kubectl(words)).stdout === "True";
    });
  }

  /** Every pod by every address of every pod, with the other's own address at the far end. */
  async function allReachAll(): Promise<void> {
    const { items } = JSON.parse(await cluster.run("get pods -l app=web -o json")) as {
      items: { metadata: { name: string }; status: { podIPs: { ip: string }[] } }[];
    };
    expect(items).toHaveLength(2);
    for (const from of items) {
      for (const to of items) {
        for (const [family, { ip }] of to.status.podIPs.entries()) {
          const answer = await ask.fromPod(from.metadata.name, place(ip, 8080));
          const own = from.status.podIPs[family]?.ip ?? "";
          expect(answer.replace("::ffff:", "")).toBe(`${own} ${to.metadata.name}`);
        }
      }
    }
  }

  beforeAll(async () => {
    network = await Switch.open("k3-e2e-six", "10.98.9");
    machine = await Machine.start("six", network, 1);
    await sh(`ip -6 address add ${six.own}/64 dev ${network.link} nodad`);
    await machine.run(["ip", "-6", "address", "add", `${six.other}/64`, "dev", "eth0", "nodad"]);
    const images = machine.folder("/var/lib/rancher/k3s/agent/images");
    mkdirSync(images, { recursive: true });
    copyFileSync(testImageArchive, join(images, "busybox.tar"));
    await start("vxlan");
  }, 120_000);
  afterAll(async () => {
    await machine[Symbol.asyncDispose]();
    await cluster.destroy();
    await network[Symbol.asyncDispose]();
  }, 60_000);

  test("pods of both nodes and services are reached over vxlan, in both", async () => {
    expect(await ask.list("node other", ".spec.podCIDRs[*]")).toEqual([
      "10.42.1.0/24",
      "fd00:42:0:1::/64",
    ]);
    const spread = manifest("RequireDualStack").replace(
      "      terminationGracePeriodSeconds: 1\n",
      `      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {matchLabels: {app: web}}
`,
    );
    await ask.ready(spread);
    expect((await ask.list("pods -l app=web", ".items[*].spec.nodeName")).toSorted()).toEqual([
      "k3-e2e",
      "other",
    ]);
    await allReachAll();
    const routes = await machine.run(["ip", "-6", "route", "show", "proto", "75"]);
    expect(routes).toContain("fd00:42::/64 via fd00:42:: dev flannel-v6.1");
    const [, service = ""] = await ask.list("service web", ".spec.clusterIPs[*]");
    const seen = new Set<string>();
    await cluster.until("pods of both nodes have answered", async () => {
      seen.add((await ask.fromPod("web-0", place(service, 80))).split(" ")[1] ?? "");
      return seen.size === 2;
    });
    const there = await machine.run(["curl", "-gs", "-m", "5", `http://[${six.own}]:30080/`]);
    expect(there).toContain("404");
  }, 120_000);

  test("with host-gw the nodes are each other's gateways, in both", async () => {
    await machine.signal("agent", "TERM");
    await agent?.exited;
    await cluster.stop();
    await start("host-gw");
    await cluster.until("the route is the node itself", async () => {
      const routes = await machine.run(["ip", "-6", "route", "show", "proto", "75"]);
      return routes.includes(`fd00:42::/64 via ${six.own} dev eth0`);
    });
    await cluster.until("all pods are reached", () =>
      allReachAll().then(
        () => true,
        () => false,
      ),
    );
  }, 120_000);
});
