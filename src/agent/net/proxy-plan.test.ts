import { expect, test } from "bun:test";
import { endpointSlices, services } from "../../client/resources.ts";
import { createSeededRandom } from "../../runtime/simulated.ts";
import { lookUp } from "./layers.ts";
import { emptyTable, type NftTable, updateScript } from "./nft.ts";
import type { ProxyNode } from "./proxy-base.ts";
import { ProxyPlanner } from "./proxy-plan.ts";
import { servicePortRows as rowsAt } from "./service-ports.ts";
import { ServiceRows } from "./service-rows.ts";
import { staleFlows } from "./stale-flows.ts";
import { FakeLiveSets } from "./testing/fake-live.ts";
import { endpoint, service, slice } from "./testing/objects.ts";

const node: ProxyNode = {
  family: "IPv4",
  masqueradesPods: true,
  clusterCidr: "10.42.0.0/16",
  serviceCidr: "10.43.0.0/16",
  ownServiceIps: ["10.43.0.10"],
  bridgeNetfilter: true,
};

type Rows = ReturnType<typeof rowsAt>;
type Lists = Parameters<typeof rowsAt>;

function servicePortRows(services: Lists[0], slices: Lists[1], nodeName: string): Rows {
  return rowsAt(services, slices, { name: nodeName, zone: "east", family: "IPv4" });
}

function plan(...args: Parameters<typeof servicePortRows>): NftTable {
  return new ProxyPlanner(node).plan(servicePortRows(...args));
}

/** The elements of a set as text, in their order. */
function elements(table: NftTable, set: string): readonly string[] {
  const layers = table.sets.get(set)?.elements ?? [];
  return layers.flatMap((layer) => [...layer].map(([key, value]) => `${key} : ${value}`)).sort();
}

test("a service without endpoints is refused, one with endpoints balanced", () => {
  const services = [service("a", { clusterIP: "10.43.0.5" })];
  const empty = plan(services, [], "here");
  expect(elements(empty, "refused-ips")).toEqual(["10.43.0.5 . tcp . 80 : goto refuse"]);
  const full = plan(services, [slice("a", [endpoint("10.42.0.2"), endpoint("10.42.0.3")])], "here");
  expect(lookUp(full.chains, "service/default/a/tcp/80")?.rules).toEqual([
    "ip daddr 10.43.0.5 ip saddr != 10.42.0.0/16 jump mark-for-masquerade",
    "meta l4proto tcp dnat to numgen random mod 2 offset 0 map @targets-0",
  ]);
  expect(elements(full, "targets-0")).toEqual(["0 : 10.42.0.2 . 8080", "1 : 10.42.0.3 . 8080"]);
  expect(elements(full, "refused-ips")).toEqual([]);
});

test("headless, ExternalName and the node's own services have no rules", () => {
  const services = [
    service("headless", { clusterIP: "None" }),
    service("name", { type: "ExternalName", externalName: "x.org" }),
    service("dns", { clusterIP: "10.43.0.10" }),
  ];
  const table = plan(services, [slice("headless", [endpoint("10.42.0.2")])], "here");
  for (const set of table.sets.keys()) expect(elements(table, set)).toEqual([]);
});

test("endpoints that end serve only when no other is ready", () => {
  const services = [service("a", { clusterIP: "10.43.0.5" })];
  const ending = { ready: false, serving: true, terminating: true };
  const both = [endpoint("10.42.0.2"), endpoint("10.42.0.3", { conditions: ending })];
  const targets = (endpoints: typeof both): string[] =>
    servicePortRows(services, [slice("a", endpoints)], "here")[0]?.all.map(({ ip }) => ip) ?? [];
  expect(targets(both)).toEqual(["10.42.0.2"]);
  expect(targets(both.slice(1))).toEqual(["10.42.0.3"]);
  expect(targets([endpoint("10.42.0.4", { conditions: { ready: false } })])).toEqual([]);
});

test("local policies use local endpoints, or drop", () => {
  const local = service("a", {
    clusterIP: "10.43.0.5",
    type: "NodePort",
    ports: [{ port: 80, nodePort: 30080 }],
    internalTrafficPolicy: "Local",
    externalTrafficPolicy: "Local",
  });
  const rows = (nodeName: string) =>
    servicePortRows([local], [slice("a", [endpoint("10.42.0.2")])], nodeName)[0];
  expect(rows("here")).toMatchObject({ internal: [{ ip: "10.42.0.2" }], external: [{}] });
  expect(rows("there")).toMatchObject({ internal: "drop", external: "drop", all: [{}] });
  const table = plan([local], [slice("a", [endpoint("10.42.0.2")])], "there");
  expect(elements(table, "refused-ips")).toContain("10.43.0.5 . tcp . 80 : drop");
  expect(lookUp(table.chains, "external/default/a/tcp/80")?.rules.at(-1)).toBe("drop");
});

test("ports are matched by name and protocol", () => {
  const named = service("a", {
    clusterIP: "10.43.0.5",
    ports: [
      { name: "web", port: 80 },
      { name: "dns", port: 53, protocol: "UDP" },
    ],
  });
  const slices = [
    slice("a", [endpoint("10.42.0.2")], [{ name: "web", port: 8080, protocol: "TCP" }]),
    slice("a", [endpoint("10.42.0.3")], [{ name: "dns", port: 5353, protocol: "UDP" }]),
  ];
  expect(servicePortRows([named], slices, "here").map(({ id, all }) => [id, all])).toEqual([
    ["default/a/tcp/80", [{ ip: "10.42.0.2", port: 8080, isLocal: true }]],
    ["default/a/udp/53", [{ ip: "10.42.0.3", port: 5353, isLocal: true }]],
  ]);
});

test("an update touches only what changed, and keeps affinity", () => {
  const sticky = service("a", { clusterIP: "10.43.0.5", sessionAffinity: "ClientIP" });
  const other = service("b", { clusterIP: "10.43.0.6" });
  const slices = [slice("a", [endpoint("10.42.0.2")]), slice("b", [endpoint("10.42.0.3")])];
  const before = plan([sticky, other], slices, "here");
  expect(updateScript("ip t", before, before)).toBe("");
  const after = plan([sticky], slices, "here");
  expect(updateScript("ip t", before, after).trim().split("\n")).toEqual([
    "delete element ip t service-ips { 10.43.0.6 . tcp . 80 : goto service/default/b/tcp/80 }",
    "delete element ip t local-endpoints { 10.42.0.3 }",
    "delete element ip t hairpins { 10.42.0.3 . 10.42.0.3 }",
    "flush chain ip t service/default/b/tcp/80",
    "delete chain ip t service/default/b/tcp/80",
  ]);
  expect([...after.dynamicSets.keys()]).toEqual(["affinity10800/default/a/tcp/80/10.42.0.2/8080"]);
  expect(updateScript("ip t", emptyTable, after)).toContain("timeout 10800s");
});

test("flows of UDP endpoints that are gone are cut", () => {
  const dns = service("a", { clusterIP: "10.43.0.5", ports: [{ port: 53, protocol: "UDP" }] });
  const rows = (ips: readonly string[]) =>
    servicePortRows(
      [dns],
      [
        slice(
          "a",
          ips.map((ip) => endpoint(ip)),
          [{ port: 53, protocol: "UDP" }],
        ),
      ],
      "here",
    );
  expect(staleFlows(rows(["10.42.0.2", "10.42.0.3"]), rows(["10.42.0.3"]))).toEqual([
    [
      "-D",
      "-f",
      "ipv4",
      "-p",
      "udp",
      "--orig-dst",
      "10.43.0.5",
      "--orig-port-dst",
      "53",
      "--dst-nat",
      "10.42.0.2",
    ],
  ]);
  expect(staleFlows(rows([]), rows(["10.42.0.3"]))).toHaveLength(1);
  expect(staleFlows(rows(["10.42.0.3"]), rows(["10.42.0.3"]))).toEqual([]);
});

test("hints keep clients near, while every ready endpoint has them and one is for here", () => {
  const services = [service("a", { clusterIP: "10.43.0.5" })];
  const east = { hints: { forZones: [{ name: "east" }] } };
  const west = { hints: { forZones: [{ name: "west" }] } };
  const mine = { hints: { ...west.hints, forNodes: [{ name: "here" }] } };
  const ips = (...hints: readonly object[]): string[] => {
    const endpoints = hints.map((more, i) => endpoint(`10.42.0.${i + 1}`, more));
    return (
      servicePortRows(services, [slice("a", endpoints)], "here")[0]?.all.map((t) => t.ip) ?? []
    );
  };
  expect(ips(east, west, east)).toEqual(["10.42.0.1", "10.42.0.3"]);
  expect(ips(east, west, {})).toHaveLength(3);
  expect(ips(west, west)).toHaveLength(2);
  expect(ips(mine, { hints: { ...east.hints, forNodes: [{ name: "there" }] } })).toEqual([
    "10.42.0.1",
  ]);
  expect(ips(mine, east)).toEqual(["10.42.0.2"]);
});

/** The rules of each chain, endpoints in place of the numbers that stand for them. */
function resolved(table: NftTable): readonly string[] {
  const name = (chain: string): readonly string[] => lookUp(table.chains, chain)?.rules ?? [];
  const endpointsOf = (_: string, count: string, base: string, set: string): string =>
    Array.from({ length: Number(count) }, (_, i) =>
      lookUp(table.sets.get(set)?.elements ?? [], String(Number(base) + i)),
    ).join("|");
  const chains = table.chains.flatMap((layer) => [...layer.keys()]).sort();
  return chains.flatMap((chain) =>
    name(chain).map(
      (rule) =>
        `${chain}: ${rule.replace(/numgen random mod (\d+) offset (\d+) map @(\S+)/, endpointsOf)}`,
    ),
  );
}

test("a plan after many changes is the plan of what there is", () => {
  const random = createSeededRandom(7);
  const live = new FakeLiveSets();
  const followed = new ServiceRows(live, "here", "IPv4");
  const planner = new ProxyPlanner(node);
  const following = followed.follow(() => {});
  const names = Array.from({ length: 40 }, (_, i) => `s${i}`);
  const known = new Set<string>();
  for (let turn = 0; turn < 60; turn++) {
    for (let changes = 1 + random.int(4); changes > 0; changes--) {
      const name = names[random.int(names.length)] ?? "";
      if (known.has(name) && random.int(3) === 0) {
        known.delete(name);
        live.of(services).remove(`default/${name}`);
      } else if (!known.has(name)) {
        const number = Number(name.slice(1));
        const ports = [{ port: 80 }, { port: 81, name: "b" }].slice(random.int(2));
        known.add(name);
        const made = service(name, { clusterIP: `10.43.1.${number}`, ports });
        live.of(services).put(made);
      } else {
        const ips = Array.from({ length: random.int(4) }, () => `10.42.0.${random.int(200)}`);
        live.of(endpointSlices).put(
          slice(
            name,
            [...new Set(ips)].map((ip) => endpoint(ip)),
          ),
        );
      }
    }
    const rows = followed.all();
    expect(rows.map(({ id }) => id)).toEqual(rows.map(({ id }) => id).sort());
    const [kept, fresh] = [planner.plan(rows), new ProxyPlanner(node).plan(rows)];
    expect(resolved(kept)).toEqual(resolved(fresh));
    for (const set of ["service-ips", "refused-ips", "local-endpoints"])
      expect(new Set(elements(kept, set))).toEqual(new Set(elements(fresh, set)));
    const numbered = (table: NftTable): number =>
      [...table.sets.keys()].flatMap((set) => (/^targets/.test(set) ? elements(table, set) : []))
        .length;
    expect(numbered(kept)).toBe(numbered(fresh));
  }
  following[Symbol.dispose]();
});

test("what did not change is the same as before, and numbers are given out again", () => {
  const planner = new ProxyPlanner(node);
  const of = (name: string, ip: string, ...ips: readonly string[]): Rows =>
    servicePortRows(
      [service(name, { clusterIP: ip })],
      [
        slice(
          name,
          ips.map((one) => endpoint(one)),
        ),
      ],
      "here",
    );
  const a = of("a", "10.43.0.5", "10.42.0.1", "10.42.0.2");
  const b = of("b", "10.43.0.6", "10.42.0.3", "10.42.0.4");
  const both = planner.plan([...a, ...b]);
  const moved = planner.plan([...a, ...of("b", "10.43.0.6", "10.42.0.3", "10.42.0.5")]);
  const name = "service/default/a/tcp/80";
  expect(lookUp(moved.chains, name)).toBe(lookUp(both.chains, name) as never);
  expect(updateScript("ip t", both, moved).trim().split("\n")).toEqual([
    "delete element ip t local-endpoints { 10.42.0.4 }",
    "add element ip t local-endpoints { 10.42.0.5 }",
    "delete element ip t hairpins { 10.42.0.4 . 10.42.0.4 }",
    "add element ip t hairpins { 10.42.0.5 . 10.42.0.5 }",
    "delete element ip t targets-0 { 1 : 10.42.0.4 . 8080 }",
    "add element ip t targets-0 { 1 : 10.42.0.5 . 8080 }",
  ]);
  planner.plan(a);
  const again = planner.plan([...a, ...of("c", "10.43.0.7", "10.42.0.7", "10.42.0.8")]);
  expect([...again.sets.keys()].filter((set) => set.startsWith("targets"))).toEqual([
    "targets-0",
    "targets-1",
  ]);
});

test("services of IPv6 have a table of their own, in that family's words", () => {
  const six: ProxyNode = {
    family: "IPv6",
    masqueradesPods: false,
    clusterCidr: "fd00:42::/56",
    serviceCidr: "fd00:43::/112",
    ownServiceIps: ["fd00:43::a"],
    bridgeNetfilter: true,
  };
  const [ip, pod] = ["fd00:43::5", "fd00:42::2"];
  const both = { clusterIP: "10.43.0.5", clusterIPs: ["10.43.0.5", ip] };
  const spec = { ...both, externalIPs: ["192.0.2.9", "2001:db8::9"] };
  const list = [
    service("a", { ...spec, sessionAffinity: "ClientIP" }),
    service("four", { clusterIP: "10.43.0.6", clusterIPs: ["10.43.0.6"] }),
  ];
  const slices = [
    slice("a", [endpoint("10.42.0.2")]),
    { ...slice("a", [endpoint(pod)]), addressType: "IPv6" },
  ];
  const rows = rowsAt(list, slices, { name: "here", zone: "", family: "IPv6" });
  const table = new ProxyPlanner(six).plan(rows);
  expect(elements(table, "service-ips")).toEqual([
    `2001:db8::9 . tcp . 80 : goto external/default/a/tcp/80`,
    `${ip} . tcp . 80 : goto service/default/a/tcp/80`,
  ]);
  expect(elements(table, "hairpins")).toEqual([`${pod} . ${pod} : `]);
  expect(table.sets.get("service-ips")?.type).toContain("ipv6_addr");
  const chain = `endpoint/default/a/tcp/80/fd00.42..2/8080`;
  expect(lookUp(table.chains, chain)?.rules).toEqual([
    "update @affinity10800/default/a/tcp/80/fd00.42..2/8080 { ip6 saddr }",
    `meta l4proto tcp dnat to [${pod}]:8080`,
  ]);
  const script = updateScript("ip6 k3-proxy", emptyTable, table);
  expect(script).not.toMatch(/ipv4|\bip (s|d)addr|127\.0|10\.4|192\.0/);
  expect(lookUp(table.chains, "nat-postrouting")?.rules.join()).not.toContain("!= { fd00:42::/56");
});

test("a map of chains goes before the chains that its verdicts name", () => {
  const list = [service("a", { clusterIP: "10.43.0.5", sessionAffinity: "ClientIP" })];
  const slices = [slice("a", [endpoint("10.42.0.2"), endpoint("10.42.0.3")])];
  const lines = updateScript("ip k3-proxy", plan(list, slices, "here"), plan([], [], "here"));
  const map = lines.indexOf("delete map ip k3-proxy lots-0");
  const chain = lines.indexOf("delete chain ip k3-proxy endpoint/");
  expect(map).toBeGreaterThan(0);
  expect(chain).toBeGreaterThan(map);
});
