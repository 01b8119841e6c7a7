/** Ingress as a user meets it: kubectl, pods, curl. No pod of ours serves it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Cluster, reasonToSkip, testImage } from "./cluster.ts";
import { curl, nodeAddress, pods } from "./web-backends.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: ingress: ${skip}`);

const ingress = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: site}
spec:
  tls: [{hosts: [one.test], secretName: site-tls}]
  rules:
  - host: one.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: one, port: {name: web}}}}
      - {path: /sub, pathType: Exact, backend: {service: {name: one, port: {number: 80}}}}
  - host: "*.two.test"
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: two, port: {number: 80}}}}
`;

const podWithHostPort = `
apiVersion: v1
kind: Pod
metadata: {name: taker}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: httpd
    image: ${testImage}
    command: [httpd, -f, -p, "8080"]
    ports: [{containerPort: 8080, hostPort: 443}]
`;

describe.skipIf(skip !== undefined)("ingress", () => {
  const cluster = new Cluster();
  const node = nodeAddress();
  const at = (host: string): readonly string[] => ["-H", `Host: ${host}`];

  beforeAll(async () => {
    await cluster.start();
    await cluster.run("apply -f -", `${pods("one", 2)}---${pods("two", 1)}`);
    await cluster.run("rollout status deployment/one --timeout=60s");
    await cluster.run("rollout status deployment/two --timeout=60s");
  });
  afterAll(async () => {
    await cluster.destroy();
  });

  test("the class is the default one, and the Service is known by its name", async () => {
    expect(await cluster.run("get ingressclass")).toMatch(
      /traefik\s+traefik\.io\/ingress-controller\s/,
    );
    await cluster.until("the Service has an address", async () => {
      const shown = await cluster.run("get service -n kube-system traefik");
      return shown.includes("LoadBalancer") && shown.includes(` ${node} `);
    });
    expect(await cluster.run("get pods -n kube-system")).toBe("");
  });

  test("hosts and paths lead to their Services, at the node's port 80", async () => {
    const said = await cluster.run("apply -f -", ingress);
    expect(said).toContain("ingress.networking.k8s.io/site created");
    await cluster.until("one.test is served", async () => {
      return (await curl(`http://${node}/`, ...at("one.test"))).body === "one\n";
    });
    expect((await curl(`http://${node}/`, ...at("x.two.test"))).body).toBe("two\n");
    expect(await curl(`http://${node}/`, ...at("two.test"))).toEqual({
      code: "404",
      body: "404 page not found\n",
    });
    expect((await curl("http://127.0.0.1/", ...at("one.test"))).body).toBe("one\n");
  });

  test("pods reach it by the Service's name", async () => {
    const asked = ["exec", "deploy/two", "--", "wget", "-q", "-O", "-"];
    const header = ["--header", "Host: one.test", "http://traefik.kube-system"];
    expect(await cluster.run([...asked, ...header])).toBe("one\n");
  });

  test("the Ingress shows the address of the node", async () => {
    await cluster.until("the status is written", async () => {
      const { stdout } = await cluster.kubectl(
        "get ingress site -o jsonpath={.spec.ingressClassName}{..loadBalancer.ingress[0].ip}",
      );
      return stdout === `traefik${node}`;
    });
  });

  test("TLS shows the Secret's certificate as soon as it is there", async () => {
    const url = "https://one.test/";
    const to = ["--resolve", `one.test:443:${node}`];
    expect((await curl(url, ...to)).body).toBe("one\n");
    const dir = cluster.dataDir;
    const make = [
      ..."openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=one.test".split(" "),
      ...["-addext", "subjectAltName=DNS:one.test"],
      ...["-keyout", `${dir}/site.key`, "-out", `${dir}/site.crt`],
    ];
    expect(await Bun.spawn(make, { stderr: "ignore" }).exited).toBe(0);
    await cluster.run(`create secret tls site-tls --cert=${dir}/site.crt --key=${dir}/site.key`);
    await cluster.until("the certificate is shown", async () => {
      const child = Bun.spawn(["curl", "-s", "--cacert", `${dir}/site.crt`, ...to, url], {
        stdout: "pipe",
      });
      return (await new Response(child.stdout).text()) === "one\n";
    });
  });

  test("browsers get HTTP/2, and its requests are counted", async () => {
    const to = ["--resolve", `one.test:443:${node}`, "--http2"];
    expect(await curl("https://one.test/", ...to, "-w", "%{http_version} %{http_code}")).toEqual({
      body: "one",
      code: "2 200",
    });
    const counts = await cluster.run("get --raw /api/v1/nodes/k3-e2e/proxy/metrics/ingress");
    const labels = 'code="200",entrypoint="websecure",method="GET",router="default/site"';
    expect(counts).toMatch(new RegExp(`traefik_router_requests_total\\{${labels}\\} [1-9]`));
  });

  test("no request is lost while a Deployment rolls", async () => {
    const codes = new Map<string, number>();
    const stop = new AbortController();
    const asking = async (method: string): Promise<void> => {
      while (!stop.signal.aborted) {
        // Both new connections and kept ones: fetch keeps some for the next request.
        const answer = await fetch(`http://${node}/`, { method, headers: { Host: "one.test" } });
        const body = await answer.text();
        const code = `${answer.status}${method === "HEAD" || body === "one\n" ? "" : body}`;
        codes.set(code, (codes.get(code) ?? 0) + 1);
        await Bun.sleep(2);
      }
    };
    const askers = ["GET", "GET", "HEAD", "GET"].map(asking);
    for (let i = 0; i < 2; i++) {
      await cluster.run("rollout restart deployment/one");
      await cluster.run("rollout status deployment/one --timeout=90s");
    }
    await cluster.run("scale deployment/one --replicas=1");
    await cluster.until("one pod is left", async () => {
      return (await cluster.run("get pods -l app=one -o name")).trim().split("\n").length === 1;
    });
    stop.abort();
    await Promise.all(askers);
    expect([...codes.keys()]).toEqual(["200"]);
    expect(codes.get("200")).toBeGreaterThan(100);
  });

  test("it serves on while k3 is killed and started again", async () => {
    await cluster.crash();
    expect((await curl(`http://127.0.0.1/`, ...at("one.test"))).body).toBe("one\n");
    await cluster.start();
    await cluster.run("scale deployment/one --replicas=0");
    await cluster.until("the change arrives", async () => {
      return (await curl("http://127.0.0.1/", ...at("one.test"))).code === "503";
    });
  });

  test("without an Ingress nobody listens", async () => {
    await cluster.run("delete ingress site");
    await cluster.until("the port is closed", async () => {
      return (await curl("http://127.0.0.1/")).code === "000";
    });
  });

  test("who holds its port is named by an event and left alone", async () => {
    const taken = Bun.serve({ hostname: "0.0.0.0", port: 80, fetch: () => new Response("mine") });
    await cluster.run("scale deployment/one --replicas=1");
    await cluster.run("apply -f -", `${ingress}---${podWithHostPort}`);
    const events = "get events -n kube-system --field-selector reason=PortConflict -o wide";
    await cluster.until("both conflicts are told", async () => {
      const told = await cluster.run(events);
      return (
        told.includes(`port 80/TCP on node k3-e2e is held by process ${process.pid} (`) &&
        told.includes("port 443/TCP on node k3-e2e is held by Pod default/taker")
      );
    });
    expect((await curl("http://127.0.0.1/", ...at("one.test"))).body).toBe("mine");
    await taken.stop(true);
    await cluster.until("the port is taken over", async () => {
      return (await curl("http://127.0.0.1/", ...at("one.test"))).body === "one\n";
    });
  });
});
