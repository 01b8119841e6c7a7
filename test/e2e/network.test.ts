/** Services and names as pods, the node and a neighbour outside the cluster see them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Resolver } from "node:dns/promises";
import { Cluster, reasonToSkip, testImage } from "./cluster.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: network: ${skip}`);

/** Tells who asked and who answers. */
const who = `#!/bin/sh\nprintf '\\n%s %s\\n' "$REMOTE_ADDR" "$(hostname)"\n`;

const manifest = `
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
  replicas: 3
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
        ports: [{containerPort: 8080, name: http}]
        readinessProbe: {exec: {command: [test, "!", -e, /tmp/unready]}, periodSeconds: 1, failureThreshold: 1}
        volumeMounts: [{name: site, mountPath: /www/cgi-bin}]
      volumes: [{name: site, configMap: {name: site, defaultMode: 0755}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}]}
---
apiVersion: v1
kind: Service
metadata: {name: peers}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec: {sessionAffinity: ClientIP, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: local}
spec:
  type: NodePort
  externalTrafficPolicy: Local
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30081}]
---
apiVersion: v1
kind: Service
metadata: {name: balancer}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 8080, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: web.default.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: nobody}
spec: {type: NodePort, selector: {app: nobody}, ports: [{port: 80, nodePort: 30082}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ports}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: httpd
    image: ${testImage}
    command: [httpd, -f, -p, "8080", -h, /www]
    ports: [{containerPort: 8080, hostPort: 30900}]
    volumeMounts: [{name: site, mountPath: /www/cgi-bin}]
  volumes: [{name: site, configMap: {name: site, defaultMode: 0755}}]
`;

const closed = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec: {podSelector: {matchLabels: {role: closed}}, policyTypes: [Egress]}
`;

function clientPod(name: string, role: string, ip: string): string {
  const script =
    "n=0; for i in 1 2 3; do wget -q -T 1 -O /dev/null http://$0/cgi-bin/who 2>/dev/null " +
    "&& n=$((n+1)); done; echo reached $n";
  return `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {role: ${role}}}
spec:
  restartPolicy: Never
  containers:
  - {name: c, image: ${testImage}, command: [sh, -c, ${JSON.stringify(script)}, "${ip}"]}
`;
}

const outside = {
  netns: "k3-e2e-net",
  link: "k3e2e",
  host: "198.51.100.1",
  address: "198.51.100.2",
};

async function command(...argv: readonly string[]): Promise<string> {
  const child = Bun.spawn([...argv], { stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${stderr}`);
  return stdout;
}

/** A neighbour of the node: a network namespace behind a cable. */
async function addNeighbour(): Promise<void> {
  const { netns, link, host, address } = outside;
  await command("ip", "netns", "add", netns);
  await command("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", netns);
  await command("ip", "addr", "add", `${host}/24`, "dev", link);
  await command("ip", "link", "set", link, "up");
  await command("ip", "-n", netns, "addr", "add", `${address}/24`, "dev", "eth0");
  await command("ip", "-n", netns, "link", "set", "eth0", "up");
  await command("ip", "-n", netns, "route", "add", "default", "via", host);
}

/** Asks as the neighbour, without any program but bash. */
function fromNeighbour(address: string, port: number): Promise<string> {
  const request = "GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n";
  const script = `exec 3<>/dev/tcp/${address}/${port}; printf '${request}' >&3; cat <&3`;
  return command("ip", "netns", "exec", outside.netns, "bash", "-c", script);
}

const customNames = `apiVersion: v1
kind: ConfigMap
metadata: {name: coredns-custom, namespace: kube-system}
data:
  a.server: |
    corp.example {
      hosts {
        192.0.2.7 git.corp.example
      }
    }
  b.override: rewrite name suffix .prod.example .default.svc.cluster.local
`;

async function get(url: string): Promise<string> {
  return (await fetch(url, { signal: AbortSignal.timeout(5000) })).text();
}

describe.skipIf(skip !== undefined)("network of one node", () => {
  let cluster: Cluster;
  let nodeIp: string;
  const dns = new Resolver({ timeout: 2000, tries: 2 });

  const inPod = (pod: string, ...words: readonly string[]): Promise<string> =>
    cluster.run(["exec", pod, "--", ...words]);
  const ask = (pod: string, url: string): Promise<string> =>
    inPod(pod, "wget", "-q", "-T", "5", "-O", "-", `${url}/cgi-bin/who`);
  const field = (what: string, path: string): Promise<string> =>
    cluster.run(["get", ...what.split(" "), "-o", `jsonpath={${path}}`]);

  beforeAll(async () => {
    cluster = new Cluster();
    await addNeighbour();
    await cluster.start();
    await cluster.run("apply -f -", manifest);
    await cluster.run("rollout status statefulset/web --timeout=60s");
    await cluster.run("wait pod/ports --for=condition=Ready --timeout=60s");
    nodeIp = await field("node k3-e2e", ".status.addresses[?(@.type=='InternalIP')].address");
    dns.setServers(["10.43.0.10"]);
    await cluster.until("the Service has its endpoints", async () => {
      return (
        (await field("endpointslices -l kubernetes.io/service-name=web", "..ready")).match(/true/g)
          ?.length === 3
      );
    });
  });
  afterAll(async () => {
    await cluster?.destroy();
    await command("ip", "netns", "delete", outside.netns);
  });

  test("a cluster IP spreads over all pods, for pods and for the node", async () => {
    const ip = await field("service web", ".spec.clusterIP");
    const seen = new Set<string>();
    await cluster.until("every pod has answered", async () => {
      seen.add((await get(`http://${ip}/cgi-bin/who`)).trim().split(" ")[1] ?? "");
      return seen.size === 3;
    });
    expect([...seen].sort()).toEqual(["web-0", "web-1", "web-2"]);
    const podIp = await field("pod web-1", ".status.podIP");
    let answer = "";
    await cluster.until("another pod has answered", async () => {
      answer = await ask("web-1", `http://${ip}`);
      return !answer.includes("web-1");
    });
    expect(answer).toContain(podIp);
  });

  test("a pod reaches itself through its own Service", async () => {
    const ip = await field("service web", ".spec.clusterIP");
    const seen = new Set<string>();
    await cluster.until("the pod has answered itself", async () => {
      seen.add((await ask("web-0", `http://${ip}`)).trim().split(" ")[1] ?? "");
      return seen.has("web-0");
    });
  });

  test("a node port answers on the node's address, on localhost and to a neighbour", async () => {
    expect(await get(`http://${nodeIp}:30080/cgi-bin/who`)).toContain(" web-");
    expect(await get("http://127.0.0.1:30080/cgi-bin/who")).toContain(" web-");
    expect(await fromNeighbour(outside.host, 30080)).toContain(" web-");
  });

  test("the neighbour's address reaches the pods of this node, whatever the policy", async () => {
    for (const port of [30080, 30081]) {
      expect(await fromNeighbour(outside.host, port)).toMatch(/198\.51\.100\.2\]? web-/);
    }
  });

  test("a load balancer has the node's address and answers there", async () => {
    const path = ".status.loadBalancer.ingress[*].ip";
    await cluster.until("it has an address", async () => {
      return (await field("service balancer", path)) === nodeIp;
    });
    expect(await get(`http://${nodeIp}:8080/cgi-bin/who`)).toContain(" web-");
    await command("ip", "-n", outside.netns, "route", "replace", nodeIp, "via", outside.host);
    expect(await fromNeighbour(nodeIp, 8080)).toMatch(/198\.51\.100\.2\]? web-/);
    await cluster.run(["patch", "service", "balancer", "-p", '{"spec":{"type":"ClusterIP"}}']);
    await cluster.until("it has lost its address", async () => {
      return (await field("service balancer", path)) === "";
    });
  });

  test("a host port leads to its pod", async () => {
    expect(await get(`http://${nodeIp}:30900/cgi-bin/who`)).toContain(" ports");
  });

  test("a client sticks to its pod with ClientIP affinity", async () => {
    const first = (await ask("web-0", "http://sticky")).split(" ")[1];
    for (let i = 0; i < 8; i++) {
      expect((await ask("web-0", "http://sticky")).split(" ")[1]).toBe(first);
    }
  });

  test("a Service without endpoints refuses at once", async () => {
    const ip = await field("service nobody", ".spec.clusterIP");
    for (const url of [`http://${ip}`, `http://${nodeIp}:30082`]) {
      expect(get(url)).rejects.toThrow(/ECONNREFUSED|Unable to connect|refused/);
    }
    const refused = await cluster.kubectl([
      "exec",
      "web-0",
      "--",
      "wget",
      "-q",
      "-T",
      "3",
      "-O",
      "-",
      "http://nobody",
    ]);
    expect(refused.stderr).toContain("Connection refused");
  });

  test("a pod that is not ready gets no traffic", async () => {
    const slice = "endpointslices -l kubernetes.io/service-name=web";
    await inPod("web-2", "touch", "/tmp/unready");
    await cluster.until("its endpoint is not ready", async () => {
      return (await field(slice, "..ready")).includes("false");
    });
    const ip = await field("service web", ".spec.clusterIP");
    await cluster.until("the other two alone answer", async () => {
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => get(`http://${ip}/cgi-bin/who`)),
      );
      return answers.every((one) => !one.includes("web-2"));
    });
    await inPod("web-2", "rm", "/tmp/unready");
    await cluster.until("it is ready again", async () => {
      return !(await field(slice, "..ready")).includes("false");
    });
  });

  test("names: services, aliases, headless pods, ports and addresses backwards", async () => {
    const ip = await field("service web", ".spec.clusterIP");
    const zone = "default.svc.cluster.local";
    const pods = await field("pods -l app=web", ".items[*].status.podIP");
    const [first = ""] = (await field("pod web-0", ".status.podIP")).split(" ");
    expect(await dns.resolve4(`web.${zone}`)).toEqual([ip]);
    expect((await dns.resolve4(`peers.${zone}`)).sort()).toEqual(pods.split(" ").sort());
    expect(await dns.resolve4(`web-0.peers.${zone}`)).toEqual([first]);
    expect(await dns.resolveCname(`alias.${zone}`)).toEqual([`web.${zone}`]);
    expect(await dns.resolve4(`alias.${zone}`)).toEqual([ip]);
    expect(await dns.resolve4(`${first.replaceAll(".", "-")}.default.pod.cluster.local`)).toEqual([
      first,
    ]);
    const srv = await dns.resolveSrv(`_http._tcp.peers.${zone}`);
    expect(srv.map(({ name, port }) => `${name}:${port}`).sort()).toEqual(
      [0, 1, 2].map((i) => `web-${i}.peers.${zone}:8080`),
    );
    expect(await dns.reverse(ip)).toEqual([`web.${zone}`]);
    expect(await dns.reverse(first)).toContain(`web-0.peers.${zone}`);
    expect(dns.resolve4(`absent.${zone}`)).rejects.toThrow("ENOTFOUND");
  });

  test("nodes have names, and coredns-custom adds zones and rules while it runs", async () => {
    expect(await dns.resolve4("k3-e2e")).toEqual([nodeIp]);
    const hosts = await field("configmap coredns -n kube-system", ".data.NodeHosts");
    expect(hosts).toBe(`${nodeIp} k3-e2e\n`);
    await cluster.run("apply -f -", customNames);
    await cluster.until("the zone is there", async () => {
      const found = await dns.resolve4("git.corp.example").catch(() => []);
      return found[0] === "192.0.2.7";
    });
    const ip = await field("service web", ".spec.clusterIP");
    expect(await dns.resolve4("web.prod.example")).toEqual([ip]);
    expect(await inPod("web-0", "nslookup", "web.prod.example")).toContain(ip);
    const wrong = JSON.stringify({ data: { "a.server": "corp.example {\n file /zone\n}" } });
    const patch = ["patch", "configmap", "coredns-custom", "-n", "kube-system", "--type=merge"];
    await cluster.run([...patch, "-p", wrong]);
    await cluster.until("the mistake is told", async () => {
      const events = await field("events -n kube-system", ".items[*].message");
      return events.includes('unknown directive "file"');
    });
    expect(await dns.resolve4("git.corp.example")).toEqual(["192.0.2.7"]);
    expect(await get("http://10.43.0.10:9153/metrics")).toContain("coredns_dns_requests_total");
  });

  test("short names find their way by the search list", async () => {
    expect(await ask("web-0", "http://web")).toContain(" web-");
    expect(await ask("web-0", "http://web.default")).toContain(" web-");
    expect(await ask("web-0", "http://web-2.peers:8080")).toContain(" web-2");
    const conf = await inPod("web-0", "cat", "/etc/resolv.conf");
    expect(conf).toContain("nameserver 10.43.0.10");
    expect(conf).toContain("search default.svc.cluster.local svc.cluster.local cluster.local");
    expect(conf).toContain("options ndots:5");
  });

  test("the API answers at its Service, with the pod's own token", async () => {
    const script =
      "wget -q -T 5 -O - --no-check-certificate --header " +
      '"Authorization: Bearer $(cat /var/run/secrets/kubernetes.io/serviceaccount/token)" ' +
      "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/version";
    expect(await inPod("web-0", "sh", "-c", script)).toContain('"gitVersion"');
  });

  test("a network policy holds from a pod's first packet on", async () => {
    const ip = await field("service web", ".spec.clusterIP");
    await cluster.run("apply -f -", closed);
    // Each pod tries at once and twice again, then tells how often it got through.
    const pods = Array.from({ length: 6 }, (_, i) => clientPod(`closed-${i}`, "closed", ip));
    await cluster.run("apply -f -", [...pods, clientPod("open-0", "open", ip)].join("---\n"));
    const reached = async (pod: string): Promise<string> => {
      await cluster.run(`wait pod/${pod} --for=jsonpath={.status.phase}=Succeeded --timeout=60s`);
      return (await cluster.run(`logs ${pod}`)).trim();
    };
    expect(await reached("open-0")).toBe("reached 3");
    for (let i = 0; i < pods.length; i++) expect(await reached(`closed-${i}`)).toBe("reached 0");
  });

  test("what leaves the cluster carries the node's address", async () => {
    const listen = Bun.spawn(
      ["ip", "netns", "exec", outside.netns, process.execPath, "-e", listener],
      { stdout: "pipe", stderr: "inherit" },
    );
    const said = listen.stdout.getReader();
    const next = async (): Promise<string> => new TextDecoder().decode((await said.read()).value);
    try {
      expect(await next()).toContain("listening");
      await inPod("web-0", "nc", "-w", "5", outside.address, "7777");
      expect(await next()).toContain(outside.host);
    } finally {
      listen.kill();
    }
  });
});

/** Prints the address of whoever calls. */
const listener = `
Bun.listen({ hostname: "0.0.0.0", port: 7777, socket: {
  open(socket) { console.log(socket.remoteAddress); socket.end("hi"); }, data() {} } });
console.log("listening");
`;
