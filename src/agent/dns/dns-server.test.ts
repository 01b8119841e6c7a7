import { afterAll, beforeAll, expect, test } from "bun:test";
import * as dns from "dns-packet";
import { configMaps, endpointSlices, namespaces, services } from "../../client/resources.ts";
import type { ConfigMap } from "../../gen/core-v1.ts";
import { createExecutor } from "../../runtime/executor.ts";
import { createRuntime } from "../../runtime/real.ts";
import type { UdpSocket } from "../../runtime/runtime.ts";
import { FakeLiveSets } from "../net/testing/fake-live.ts";
import { endpoint, service, slice } from "../net/testing/objects.ts";
import { startDns } from "./dns-server.ts";
import { serversOf } from "./node-resolvers.ts";
import { readMessage, writeMessage } from "./tcp-messages.ts";

const real = createRuntime({ logLevel: "error" });
const never = new AbortController().signal;
const live = new FakeLiveSets();
const executor = createExecutor(real);
let port = 0;
let metricsPort = 0;
let upstream: UdpSocket;
let forwarded = 0;
const told: string[] = [];

beforeAll(async () => {
  upstream = await real.net.udp("127.0.0.1", 0, (data, from) => {
    forwarded += 1;
    const { id, questions } = dns.decode(data);
    const name = questions[0]?.name ?? "";
    const answers: dns.Answer[] = [{ name, type: "A", ttl: 60, data: "192.0.2.80" }];
    upstream.send(dns.encode({ id, type: "response", questions, answers }), from);
  });
  const meta = { apiVersion: "v1", metadata: { name: "default" } };
  live.of(namespaces).put({ ...meta, kind: "Namespace" } as never);
  live.of(configMaps).put(configMap("coredns", { NodeHosts: "192.0.2.1 box\n" }));
  const ports = [{ name: "web", port: 80, protocol: "TCP" }];
  live.of(services).put(service("a", { clusterIP: "10.43.0.5", clusterIPs: ["10.43.0.5"], ports }));
  live.of(services).put(service("h", { clusterIP: "None", clusterIPs: ["None"], ports }));
  const named = endpoint("10.42.0.2", { hostname: "h-0" });
  const waiting = endpoint("10.42.0.9", { conditions: { ready: false } });
  const slicePorts = [{ name: "web", port: 8080, protocol: "TCP" }];
  live.of(endpointSlices).put(slice("h", [named, endpoint("10.42.0.3"), waiting], slicePorts));
  live.of(services).put(service("ext", { type: "ExternalName", externalName: "example.org" }));
  live.of(services).put(service("many", { clusterIP: "None" }));
  const many = Array.from({ length: 200 }, (_, i) => endpoint(`10.42.1.${i + 1}`));
  live.of(endpointSlices).put(slice("many", many));
  const start = async (scope: Parameters<typeof startDns>[0]["scope"]): Promise<void> => {
    ({ port, metricsPort } = await startDns({
      runtime: real,
      live,
      scope,
      addresses: ["127.0.0.1"],
      port: 0,
      metricsPort: 0,
      events: { event: (_about, _type, _reason, message) => void told.push(message) },
      domain: "cluster.local",
      upstreams: [{ host: "127.0.0.1", port: upstream.port }],
    }));
  };
  await executor.start([{ name: "dns", needs: [], start, health: () => ({ ok: true }) }]);
});
afterAll(async () => {
  await executor[Symbol.asyncDispose]();
  upstream.close();
});

function configMap(name: string, data: Record<string, string>): ConfigMap {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "kube-system" },
    data,
  };
}

async function raw(bytes: Uint8Array): Promise<dns.DecodedPacket> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const socket = await real.net.udp("127.0.0.1", 0, (data) => resolve(data.slice()));
  socket.send(bytes, { host: "127.0.0.1", port });
  const reply = dns.decode(await promise);
  socket.close();
  return reply;
}

function query(name: string, type: string, payload?: number): Uint8Array {
  const opt: readonly dns.Answer[] =
    payload === undefined
      ? []
      : [{ name: ".", type: "OPT", udpPayloadSize: payload, flags: 0, options: [] }];
  return dns.encode({
    id: 7,
    type: "query",
    flags: dns.RECURSION_DESIRED,
    questions: [{ name, type }],
    additionals: opt,
  });
}

/** `NOERROR A 10.43.0.5`, records sorted. */
async function ask(name: string, type = "A"): Promise<string> {
  const { rcode, answers } = await raw(query(name, type));
  const told = answers.map((record) => {
    if (record.type === "SRV") return `SRV ${record.data.port} ${record.data.target}`;
    if (record.type === "OPT" || record.type === "SOA") return record.type;
    return `${record.type} ${record.data}`;
  });
  return [rcode, ...told.sort()].join(" ");
}

test("services have addresses, other types are empty, unknown names do not exist", async () => {
  expect(await ask("a.default.svc.cluster.local")).toBe("NOERROR A 10.43.0.5");
  expect(await ask("A.Default.SVC.cluster.local")).toBe("NOERROR A 10.43.0.5");
  expect(await ask("a.default.svc.cluster.local", "AAAA")).toBe("NOERROR");
  expect(await ask("x.default.svc.cluster.local")).toBe("NXDOMAIN");
  expect(await ask("x.nowhere.svc.cluster.local")).toBe("NXDOMAIN");
  expect(await ask("default.svc.cluster.local")).toBe("NOERROR");
  expect(await ask("svc.cluster.local")).toBe("NOERROR");
  const { authorities } = await raw(query("x.default.svc.cluster.local", "A"));
  expect(authorities[0]).toMatchObject({ type: "SOA", name: "cluster.local" });
});

test("headless services name their ready endpoints", async () => {
  expect(await ask("h.default.svc.cluster.local")).toBe("NOERROR A 10.42.0.2 A 10.42.0.3");
  expect(await ask("h-0.h.default.svc.cluster.local")).toBe("NOERROR A 10.42.0.2");
  expect(await ask("10-42-0-3.h.default.svc.cluster.local")).toBe("NOERROR A 10.42.0.3");
  expect(await ask("h-1.h.default.svc.cluster.local")).toBe("NXDOMAIN");
});

test("SRV, PTR, pods, nodes, version", async () => {
  expect(await ask("_web._tcp.a.default.svc.cluster.local", "SRV")).toBe(
    "NOERROR SRV 80 a.default.svc.cluster.local",
  );
  expect(await ask("_web._tcp.h.default.svc.cluster.local", "SRV")).toBe(
    "NOERROR SRV 8080 10-42-0-3.h.default.svc.cluster.local " +
      "SRV 8080 h-0.h.default.svc.cluster.local",
  );
  expect(await ask("_web._udp.a.default.svc.cluster.local", "SRV")).toBe("NXDOMAIN");
  expect(await ask("5.0.43.10.in-addr.arpa", "PTR")).toBe(
    "NOERROR PTR a.default.svc.cluster.local",
  );
  expect(await ask("2.0.42.10.in-addr.arpa", "PTR")).toBe(
    "NOERROR PTR h-0.h.default.svc.cluster.local",
  );
  expect(await ask("1-2-3-4.default.pod.cluster.local")).toBe("NOERROR A 1.2.3.4");
  expect(await ask("1-2-3-400.default.pod.cluster.local")).toBe("NXDOMAIN");
  expect(await ask("1-2-3-4.nowhere.pod.cluster.local")).toBe("NXDOMAIN");
  expect(await ask("box")).toBe("NOERROR A 192.0.2.1");
  expect(await ask("dns-version.cluster.local", "TXT")).toBe("NOERROR TXT 1.1.0");
});

test("other names are forwarded and remembered, ExternalName is followed", async () => {
  expect(await ask("example.com")).toBe("NOERROR A 192.0.2.80");
  expect(await ask("example.com")).toBe("NOERROR A 192.0.2.80");
  expect(forwarded).toBe(1);
  expect((await raw(query("example.com", "A"))).id).toBe(7);
  expect(await ask("8.8.8.8.in-addr.arpa", "PTR")).toContain("NOERROR");
  expect(await ask("ext.default.svc.cluster.local")).toBe("NOERROR A 192.0.2.80 CNAME example.org");
  expect(await ask("ext.default.svc.cluster.local", "CNAME")).toBe("NOERROR CNAME example.org");
});

test("the node's own resolvers are not asked: they may be us", () => {
  const servers = serversOf("# c\nnameserver 127.0.0.53\nnameserver 9.9.9.9\n");
  expect(servers).toEqual([{ host: "9.9.9.9", port: 53 }]);
});

test("long answers are truncated over UDP and whole over TCP", async () => {
  const name = "many.default.svc.cluster.local";
  const small = await raw(query(name, "A"));
  expect(small.flag_tc).toBe(true);
  expect(small.answers.length).toBeGreaterThan(7);
  const large = await raw(query(name, "A", 1232));
  expect(large.answers.length).toBeGreaterThan(small.answers.length);
  const stream = await real.net.dial({ type: "tcp", host: "127.0.0.1", port }, never);
  await writeMessage(stream.writable.getWriter(), query(name, "A"));
  const whole = await readMessage(stream.readable.getReader());
  stream.close();
  expect(dns.decode(whole ?? new Uint8Array()).answers).toHaveLength(200);
});

test("garbage is refused, answers are not answered", async () => {
  const broken = query("a.default.svc.cluster.local", "A").slice(0, 14);
  expect((await raw(broken)).rcode).toBe("FORMERR");
  const status = query("a.default.svc.cluster.local", "A");
  status[2] = 0x10;
  expect((await raw(status)).rcode).toBe("NOTIMP");
});

test("IPv6 has names like IPv4", async () => {
  const six = { clusterIP: "fd00:43::5", clusterIPs: ["fd00:43::5", "10.43.0.6"] };
  live.of(services).put(service("six", six));
  expect(await ask("six.default.svc.cluster.local", "AAAA")).toBe("NOERROR AAAA fd00:43::5");
  expect(await ask("six.default.svc.cluster.local")).toBe("NOERROR A 10.43.0.6");
  const nibbles = "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.4.0.0.0.0.d.f.ip6.arpa";
  expect(await ask(nibbles, "PTR")).toBe("NOERROR PTR six.default.svc.cluster.local");
  expect(await ask("fd00--1.default.pod.cluster.local", "AAAA")).toBe("NOERROR AAAA fd00::1");
});

test("nodes have names and addresses", async () => {
  expect(await ask("1.2.0.192.in-addr.arpa", "PTR")).toBe("NOERROR PTR box");
  expect(await ask("BOX", "AAAA")).toBe("NOERROR");
});

test("other classes, transfers and versions to come are refused", async () => {
  const chaos = query("version.bind", "TXT");
  chaos[chaos.length - 1] = 3;
  expect((await raw(chaos)).rcode).toBe("REFUSED");
  expect((await raw(query("cluster.local", "AXFR"))).rcode).toBe("REFUSED");
  const versioned = query("a.default.svc.cluster.local", "A", 1232);
  versioned[versioned.length - 5] = 1;
  const { additionals } = await raw(versioned);
  expect(additionals[0]).toMatchObject({ type: "OPT", extendedRcode: 1, ednsVersion: 0 });
});

test("a ConfigMap adds zones and rules; a wrong one changes nothing and is told", async () => {
  const put = (data: Record<string, string>): void =>
    live.of(configMaps).put(configMap("coredns-custom", data));
  const own = `
    corp.example {
      hosts {
        10.1.1.1 git.corp.example wiki.corp.example
        ttl 7
      }
    }
    made.example {
      template IN A {
        match "^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)[.]made[.]example[.]$"
        answer "{{ .Name }} 9 IN A 10.9.{{ .Group.a }}.{{ .Group.b }}"
        fallthrough
      }
      forward . 127.0.0.1:${upstream.port}
    }`;
  const rules = `
    rewrite name exact old.example a.default.svc.cluster.local
    rewrite name suffix .prod.example .default.svc.cluster.local`;
  put({ "own.server": own, "rules.override": rules });
  expect(await ask("git.corp.example")).toBe("NOERROR A 10.1.1.1");
  expect(await ask("1.1.1.10.in-addr.arpa", "PTR")).not.toContain("git");
  expect(await ask("none.corp.example")).toBe("NXDOMAIN");
  expect(await ask("ip-4-5.made.example")).toBe("NOERROR A 10.9.4.5");
  expect(await ask("other.made.example")).toBe("NOERROR A 192.0.2.80");
  expect(await ask("old.example")).toBe("NOERROR A 10.43.0.5");
  expect(await ask("a.prod.example")).toBe("NOERROR A 10.43.0.5");
  const { questions, answers } = await raw(query("a.Prod.example", "A"));
  expect([questions[0]?.name, answers[0]?.name]).toEqual(["a.Prod.example", "a.Prod.example"]);
  put({ "rules.override": "kubernetes cluster.local" });
  expect(told.at(-1)).toContain('rules.override: line 1: unknown directive "kubernetes"');
  expect(await ask("old.example")).toBe("NOERROR A 10.43.0.5");
  live.of(configMaps).remove("kube-system/coredns-custom");
  expect(await ask("old.example")).toBe("NOERROR A 192.0.2.80");
});

test("questions are counted", async () => {
  const reply = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
  const text = await reply.text();
  expect(text).toContain('coredns_dns_responses_total{rcode="NXDOMAIN",server="dns://:53"}');
  expect(text).toContain('coredns_dns_requests_total{proto="tcp",server="dns://:53"} 1');
});
