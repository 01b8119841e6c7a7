/** The rules in a real kernel: one namespace is the node, three more are pods and a stranger. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { endpointSlices, services } from "../../client/resources.ts";
import type { ServiceSpec } from "../../gen/core-v1.ts";
import type { EndpointSlice } from "../../gen/discovery-v1.ts";
import { createExecutor } from "../../runtime/executor.ts";
import { createRuntime } from "../../runtime/real.ts";
import type { Scope } from "../../runtime/scope.ts";
import { cleanupNetwork } from "./node-network.ts";
import { startProxy } from "./proxy.ts";
import { FakeLiveSets } from "./testing/fake-live.ts";
import { NodeNamespace, networks } from "./testing/node-namespace.ts";
import { endpoint, service, slice } from "./testing/objects.ts";

const never = new AbortController().signal;
const reason = NodeNamespace.reasonToSkip();
if (reason !== undefined) console.log(`left out: service rules in a kernel: ${reason}`);
const world = new NodeNamespace("k3t");
const node = world.name;
const run = createRuntime({ logLevel: "warn" }).exec.run;
const children: { kill(): void }[] = [];

async function startEcho(namespace: string, name: string): Promise<void> {
  const script = join(import.meta.dir, "testing", "echo.ts");
  const child = Bun.spawn(
    ["ip", "netns", "exec", namespace, process.execPath, script, name, "8080"],
    { stdout: "pipe" },
  );
  children.push(child);
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("ready\n");
}

/** What a TCP server behind `address` answers, or why not. */
async function ask(from: string, address: string, port: number): Promise<string> {
  const script = `exec 3<>/dev/tcp/${address}/${port} && cat <&3`;
  const argv = ["ip", "netns", "exec", from, "timeout", "2", "bash", "-c", script] as const;
  const { exitCode, stdout, stderr } = await run({ argv: [...argv] }, never);
  if (exitCode === 0) return stdout;
  return /refused/.test(stderr) ? "refused" : exitCode === 124 ? "timeout" : stderr;
}

async function askUdp(from: string, address: string, port: number): Promise<string> {
  const socket = `/dev/udp/${address}/${port}`;
  const script = `exec 3<>${socket}; echo hi >&3; dd bs=512 count=1 <&3 2>/dev/null`;
  const argv = ["ip", "netns", "exec", from, "timeout", "2", "bash", "-c", script] as const;
  return (await run({ argv: [...argv] }, never)).stdout;
}

/** Repeats until the answer is as wanted: rules follow changes, they are not called. */
async function until(answer: () => Promise<string>, wanted: string): Promise<void> {
  let last = "";
  for (let i = 0; i < 50; i++) {
    last = await answer();
    if (last === wanted) return;
    await Bun.sleep(50);
  }
  expect(last).toBe(wanted);
}

describe.skipIf(reason !== undefined)("service rules in a kernel", () => {
  const live = new FakeLiveSets();
  const executor = createExecutor(world.runtime);

  let [pod1, pod2, outside] = ["", "", ""];

  beforeAll(async () => {
    await world.create();
    [pod1, pod2] = [await world.addPod("10.42.0.2"), await world.addPod("10.42.0.3")];
    outside = await world.addNeighbour();
    await world.sh(`ip -n ${outside} route add 198.51.100.0/24 via 192.0.2.1`);
    await Promise.all([startEcho(pod1, "one"), startEcho(pod2, "two"), startEcho(outside, "out")]);
    const start = async (scope: Scope): Promise<void> =>
      startProxy({
        runtime: world.runtime,
        live,
        scope,
        nodeName: "here",
        networks,
        servesDns: true,
        masqueradesIpv6: true,
      });
    await executor.start([{ name: "proxy", needs: [], start, health: () => ({ ok: true }) }]);
  });
  afterAll(async () => {
    await executor[Symbol.asyncDispose]();
    for (const child of children) child.kill();
    await world.destroy();
  });

  test("a cluster IP is refused until there is an endpoint, then served", async () => {
    live.of(services).put(service("a", { clusterIP: "10.43.0.5" }));
    await until(() => ask(pod1, "10.43.0.5", 80), "refused");
    expect(await ask(node, "10.43.0.5", 80)).toBe("refused");
    expect(await ask(pod1, "10.43.77.77", 80)).toBe("refused");
    live.of(endpointSlices).put(slice("a", [endpoint("10.42.0.3")]));
    await until(() => ask(pod1, "10.43.0.5", 80), "two 10.42.0.2");
    expect(await ask(node, "10.43.0.5", 80)).toBe("two 10.42.0.1");
    expect(await ask(pod1, "10.43.0.5", 81)).toBe("refused");
  });

  test("a pod reaches itself through its service", async () => {
    expect(await ask(pod2, "10.43.0.5", 80)).toBe("two 10.42.0.1");
  });

  test("both endpoints get their share", async () => {
    live.of(endpointSlices).put(slice("a", [endpoint("10.42.0.2"), endpoint("10.42.0.3")]));
    const seen = new Set<string>();
    for (let i = 0; i < 60 && seen.size < 2; i++) seen.add(await ask(node, "10.43.0.5", 80));
    expect([...seen].sort()).toEqual(["one 10.42.0.1", "two 10.42.0.1"]);
  });

  test("node ports answer on every address, from outside and on localhost", async () => {
    const ports = [{ port: 80, nodePort: 30080 }];
    live.of(services).put(service("np", { clusterIP: "10.43.0.6", type: "NodePort", ports }));
    live.of(endpointSlices).put(slice("np", [endpoint("10.42.0.3")]));
    await world.sh(`ip -n ${pod2} route replace 192.0.2.0/24 via 10.42.0.1`);
    await until(() => ask(outside, "192.0.2.1", 30080), "two 192.0.2.2");
    expect(await ask(node, "192.0.2.1", 30080)).toBe("two 10.42.0.1");
    expect(await ask(node, "127.0.0.1", 30080)).toBe("two 10.42.0.1");
    expect(await ask(pod1, "192.0.2.1", 30080)).toBe("two 10.42.0.2");
    const far = endpoint("10.42.0.3", { nodeName: "there" });
    live.of(endpointSlices).put(slice("np", [far]));
    live.of(endpointSlices).put(slice("a", [endpoint("10.42.0.2"), far]));
    await until(() => ask(outside, "192.0.2.1", 30080), "two 10.42.0.1");
  });

  test("the Local policy keeps the client's address", async () => {
    const ports = [{ port: 80, nodePort: 30081 }];
    const local = { type: "NodePort", externalTrafficPolicy: "Local", ports } as const;
    live.of(services).put(service("local", { clusterIP: "10.43.0.7", ...local, ports }));
    live.of(endpointSlices).put(slice("local", [endpoint("10.42.0.3")]));
    await until(() => ask(outside, "192.0.2.1", 30081), "two 192.0.2.2");
    live.of(endpointSlices).put(slice("local", [endpoint("10.42.0.3", { nodeName: "there" })]));
    await until(() => ask(outside, "192.0.2.1", 30081), "timeout");
    expect(await ask(node, "192.0.2.1", 30081)).toBe("two 10.42.0.1");
  });

  test("external IPs and load balancer addresses work, ranges guard the latter", async () => {
    const balancer = service("lb", {
      clusterIP: "10.43.0.8",
      type: "LoadBalancer",
      externalIPs: ["198.51.100.7"],
      loadBalancerSourceRanges: ["192.0.2.2/32"],
    });
    const status = { loadBalancer: { ingress: [{ ip: "198.51.100.8" }] } };
    live.of(services).put({ ...balancer, status });
    live.of(endpointSlices).put(slice("lb", [endpoint("10.42.0.3")]));
    await until(() => ask(outside, "198.51.100.7", 80), "two 192.0.2.2");
    expect(await ask(outside, "198.51.100.8", 80)).toBe("two 192.0.2.2");
    await world.sh(`ip -n ${outside} addr add 192.0.2.3/24 dev eth0
      ip -n ${outside} route replace 198.51.100.0/24 via 192.0.2.1 src 192.0.2.3`);
    expect(await ask(outside, "198.51.100.8", 80)).toBe("timeout");
    expect(await ask(outside, "198.51.100.7", 80)).toBe("two 192.0.2.3");
  });

  test("affinity holds through updates of other services", async () => {
    live
      .of(services)
      .put(service("sticky", { clusterIP: "10.43.0.9", sessionAffinity: "ClientIP" }));
    live.of(endpointSlices).put(slice("sticky", [endpoint("10.42.0.2"), endpoint("10.42.0.3")]));
    await until(async () => (await ask(node, "10.43.0.9", 80)).slice(3), " 10.42.0.1");
    const first = await ask(node, "10.43.0.9", 80);
    for (let i = 0; i < 12; i++) {
      live.of(services).put(service(`other${i}`, { clusterIP: `10.43.1.${i + 1}` }));
      await until(() => ask(pod1, `10.43.1.${i + 1}`, 80), "refused");
      expect(await ask(node, "10.43.0.9", 80)).toBe(first);
    }
  });

  test("UDP follows its endpoints", async () => {
    const udp = [{ port: 53, protocol: "UDP" }];
    live.of(services).put(service("udp", { clusterIP: "10.43.0.11", ports: udp }));
    const to = (ip: string) => slice("udp", [endpoint(ip)], [{ port: 8080, protocol: "UDP" }]);
    live.of(endpointSlices).put(to("10.42.0.3"));
    await until(() => askUdp(pod1, "10.43.0.11", 53), "two 10.42.0.2");
    live.of(endpointSlices).put(to("10.42.0.2"));
    await until(() => askUdp(pod2, "10.43.0.11", 53), "one 10.42.0.3");
  });

  test("pods leave the cluster with the node's address", async () => {
    expect(await ask(pod1, "192.0.2.2", 8080)).toBe("out 192.0.2.1");
    expect(await ask(pod1, "10.42.0.3", 8080)).toBe("two 10.42.0.2");
    expect(await ask(pod1, "2001:db8::2", 8080)).toBe("out 2001:db8::1");
    expect(await ask(pod1, "fd00:42::3", 8080)).toBe("two fd00:42::2");
  });

  test("by IPv6: all kinds of addresses, node ports, affinity and UDP", async () => {
    const six = (name: string, ip: string, spec: Partial<ServiceSpec> = {}) =>
      service(name, { clusterIP: ip, clusterIPs: [ip], ...spec });
    const sixSlice = (name: string, ...ips: readonly string[]): EndpointSlice => ({
      ...slice(
        name,
        ips.map((ip) => endpoint(ip)),
      ),
      addressType: "IPv6",
    });
    const ip = "fd00:43::5";
    live.of(services).put(six("six", ip));
    await until(() => ask(pod1, ip, 80), "refused");
    expect(await ask(node, "fd00:43::77", 80)).toBe("refused");
    live.of(endpointSlices).put(sixSlice("six", "fd00:42::3"));
    await until(() => ask(pod1, ip, 80), "two fd00:42::2");
    expect(await ask(node, ip, 80)).toBe("two fd00:42::1");
    expect(await ask(pod2, ip, 80)).toBe("two fd00:42::1");

    await world.sh(`ip -n ${outside} route add 2001:db8:9::/64 via 2001:db8::1`);
    const balancer = six("six-lb", "fd00:43::6", {
      type: "LoadBalancer",
      ports: [{ port: 80, nodePort: 30086 }],
      externalIPs: ["2001:db8:9::7"],
      loadBalancerSourceRanges: ["192.0.2.0/24", "2001:db8::3/128"],
    });
    const status = { loadBalancer: { ingress: [{ ip: "2001:db8:9::8" }] } };
    live.of(services).put({ ...balancer, status });
    live.of(endpointSlices).put(sixSlice("six-lb", "fd00:42::3"));
    await until(() => ask(outside, "2001:db8::1", 30086), "two 2001:db8::2");
    expect(await ask(node, "2001:db8::1", 30086)).toBe("two fd00:42::1");
    expect(await ask(outside, "2001:db8:9::7", 80)).toBe("two 2001:db8::2");
    expect(await ask(outside, "2001:db8:9::8", 80)).toBe("timeout");

    live.of(services).put(six("six-sticky", "fd00:43::7", { sessionAffinity: "ClientIP" }));
    live.of(endpointSlices).put(sixSlice("six-sticky", "fd00:42::2", "fd00:42::3"));
    await until(async () => (await ask(node, "fd00:43::7", 80)).slice(3), " fd00:42::1");
    const first = await ask(node, "fd00:43::7", 80);
    for (let i = 0; i < 12; i++) expect(await ask(node, "fd00:43::7", 80)).toBe(first);

    const udp = [{ port: 53, protocol: "UDP" }];
    live.of(services).put(six("six-udp", "fd00:43::8", { ports: udp }));
    const to = (target: string): EndpointSlice => ({
      ...slice("six-udp", [endpoint(target)], [{ port: 8080, protocol: "UDP" }]),
      addressType: "IPv6",
    });
    live.of(endpointSlices).put(to("fd00:42::3"));
    await until(() => askUdp(pod1, "fd00:43::8", 53), "two fd00:42::2");
    live.of(endpointSlices).put(to("fd00:42::2"));
    await until(() => askUdp(pod2, "fd00:43::8", 53), "one fd00:42::3");
  });

  test("a service that is gone is refused again; clean-up leaves nothing", async () => {
    live.of(services).remove("default/a");
    await until(() => ask(pod1, "10.43.0.5", 80), "refused");
    await executor[Symbol.asyncDispose]();
    await cleanupNetwork(world.runtime);
    const left = await world.sh(`ip netns exec ${node} nft list tables; ip -n ${node} link`);
    expect(left).not.toMatch(/k3-proxy|k3-dns|cni0/);
    await cleanupNetwork(world.runtime);
  });
});
