import { expect, test } from "bun:test";
import type { Node } from "../../../gen/core-v1.ts";
import { type NetConf, netConfText, parseNetConf, podMtu } from "./net-conf.ts";
import {
  type Entry,
  entriesOf,
  parseForwards,
  parseNeighbours,
  parsePeers,
  parseRoutes,
  peersOf,
  planOverlay,
} from "./overlay-plan.ts";

const cidrs = ["10.42.0.0/16"];
const prefix = "flannel.alpha.coreos.com";

function node(name: string, podCIDR: string, told: Readonly<Record<string, string>>): Node {
  const annotations = Object.fromEntries(
    Object.entries(told).map(([key, value]) => [`${prefix}/${key}`, value]),
  );
  return { apiVersion: "v1", kind: "Node", metadata: { name, annotations }, spec: { podCIDR } };
}

function vxlanNode(name: string, number: number, more: Readonly<Record<string, string>> = {}) {
  const data = JSON.stringify({ VNI: 1, VtepMAC: `0E:00:00:00:00:0${number}` });
  const told = { "backend-type": "vxlan", "backend-data": data, "public-ip": `10.0.0.${number}` };
  return node(name, `10.42.${number}.0/24`, { ...told, ...more });
}

const vxlan: NetConf = {
  type: "vxlan",
  vni: 1,
  port: 8472,
  networks: { IPv4: "10.42.0.0/16" },
  mtu: undefined,
};

test("peersOf() leaves out itself, other backends and who has not told enough", () => {
  const list = [
    vxlanNode("own", 0),
    vxlanNode("a", 1),
    vxlanNode("other", 2, { "backend-type": "host-gw" }),
    vxlanNode("half", 3, { "backend-data": "{}" }),
    vxlanNode("odd", 4, { "backend-data": "{" }),
    vxlanNode("early", 5, { "public-ip": "" }),
    { ...vxlanNode("new", 6), spec: {} },
  ];
  expect(peersOf(list, "own", { type: "vxlan", family: "IPv4" })).toEqual([
    { podCidr: "10.42.1.0/24", publicIp: "10.0.0.1", mac: "0e:00:00:00:00:01", publicKey: "" },
  ]);
});

test("planOverlay() builds what is missing and removes what is nobody's any more", () => {
  const wanted = entriesOf(
    vxlan,
    peersOf([vxlanNode("a", 1)], "own", { type: "vxlan", family: "IPv4" }),
    "flannel.1",
  );
  expect(planOverlay(vxlan, "flannel.1", { wanted, actual: [] })).toEqual({
    bridge: ["fdb replace 0e:00:00:00:00:01 dev flannel.1 dst 10.0.0.1 self permanent"],
    ip: [
      "neighbor replace 10.42.1.0 lladdr 0e:00:00:00:00:01 dev flannel.1 nud permanent",
      "route replace 10.42.1.0/24 via 10.42.1.0 dev flannel.1 proto 75 onlink",
    ],
    wg: [],
  });
  const before = entriesOf(
    vxlan,
    peersOf([vxlanNode("b", 2)], "own", { type: "vxlan", family: "IPv4" }),
    "flannel.1",
  );
  const steps = planOverlay(vxlan, "flannel.1", { wanted: [], actual: before });
  expect(steps.bridge).toEqual([
    "fdb delete 0e:00:00:00:00:02 dev flannel.1 dst 10.0.0.2 self permanent",
  ]);
  expect(steps.ip).toEqual([
    "neighbor delete 10.42.2.0 dev flannel.1",
    "route delete 10.42.2.0/24 via 10.42.2.0 dev flannel.1 proto 75 onlink",
  ]);
});

test("planOverlay() has nothing to do when the tools tell what is wanted", () => {
  const wanted = entriesOf(
    vxlan,
    peersOf([vxlanNode("a", 1)], "own", { type: "vxlan", family: "IPv4" }),
    "flannel.1",
  );
  const routes = [
    { dst: "10.42.1.0/24", gateway: "10.42.1.0", dev: "flannel.1", flags: ["onlink"] },
  ];
  const neighbours = [{ dst: "10.42.1.0", lladdr: "0e:00:00:00:00:01", state: ["PERMANENT"] }];
  const forwards = [{ mac: "0e:00:00:00:00:01", dst: "10.0.0.1", flags: ["self"] }];
  const actual: Entry[] = [
    ...parseRoutes(JSON.stringify(routes)),
    ...parseNeighbours(JSON.stringify(neighbours)),
    ...parseForwards(JSON.stringify(forwards)),
  ];
  const steps = planOverlay(vxlan, "flannel.1", { wanted, actual });
  expect(steps).toEqual({ ip: [], bridge: [], wg: [] });
  expect([parseRoutes(""), parseNeighbours("[]")]).toEqual([[], []]);
});

test("host-gw needs one route a node, by the node itself", () => {
  const conf: NetConf = { type: "host-gw", networks: { IPv4: "10.42.0.0/16" }, mtu: undefined };
  const told = { "backend-type": "host-gw", "backend-data": "null", "public-ip": "10.0.0.7" };
  const peers = peersOf([node("a", "10.42.7.0/24", told)], "own", {
    type: "host-gw",
    family: "IPv4",
  });
  const wanted = entriesOf(conf, peers, "eth0");
  expect(planOverlay(conf, "eth0", { wanted, actual: [] }).ip).toEqual([
    "route replace 10.42.7.0/24 via 10.0.0.7 dev eth0 proto 75",
  ]);
});

test("wireguard names each node by its key and sends it its range", () => {
  const conf = parseNetConf(netConfText("wireguard-native", cidrs), cidrs);
  const key = "mPcKm8kTPuSEhlJcRTjO4dEkN5GWh0uQmUU6iVb0ZlE=";
  const told = {
    "backend-type": "wireguard",
    "backend-data": JSON.stringify({ PublicKey: key }),
    "public-ip": "10.0.0.7",
  };
  const peers = peersOf([node("a", "10.42.7.0/24", told)], "own", {
    type: "wireguard",
    family: "IPv4",
  });
  const wanted = entriesOf(conf, peers, "flannel-wg");
  const steps = planOverlay(conf, "flannel-wg", { wanted, actual: [] });
  const words = `endpoint 10.0.0.7:51820 persistent-keepalive 25 allowed-ips 10.42.7.0/24`;
  expect(steps.wg.map((line) => line.join(" "))).toEqual([`set flannel-wg peer ${key} ${words}`]);
  expect(steps.ip).toEqual(["route replace 10.42.7.0/24 scope link dev flannel-wg proto 75"]);
  const dump = `priv\tpub\t51820\toff\n${key}\t(none)\t10.0.0.7:51820\t10.42.7.0/24\t0\t0\t0\t25\n`;
  const actual = [
    ...parsePeers(dump),
    ...parseRoutes('[{"dst":"10.42.7.0/24","dev":"flannel-wg"}]'),
  ];
  expect(planOverlay(conf, "flannel-wg", { wanted, actual })).toEqual({
    ip: [],
    bridge: [],
    wg: [],
  });
});

test("parseNetConf() reads K3s' files and those of administrators", () => {
  const own = parseNetConf(netConfText("vxlan", cidrs), cidrs);
  expect(own).toEqual(vxlan);
  const text =
    '{"Network":"10.9.0.0/16","Backend":{"Type":"vxlan","VNI":7,"Port":4789,"MTU":1400}}';
  const other = parseNetConf(text, cidrs);
  expect(other).toMatchObject({ networks: { IPv4: "10.9.0.0/16" }, vni: 7, port: 4789 });
  expect([podMtu(own, 1500, "IPv4"), podMtu(other, 1500, "IPv4")]).toEqual([1450, 1400]);
  const refused = '{"Backend":{"Type":"ipsec"}}';
  expect(() => parseNetConf(refused, cidrs)).toThrow('there is no backend "ipsec"');
});

test("each family has its annotations, links, ports and routes", () => {
  const data = JSON.stringify({ VNI: 1, VtepMAC: "0e:00:00:00:00:16", PublicKey: "key=" });
  const of = (type: string): Node => {
    const told = { "backend-type": type, "backend-v6-data": data, "public-ipv6": "2001:db8::7" };
    const made = vxlanNode("a", 1, told);
    const podCIDRs = ["10.42.1.0/24", "fd00:42:0:1::/64"];
    return { ...made, spec: { podCIDR: "10.42.1.0/24", podCIDRs } };
  };
  const both = ["10.42.0.0/16", "fd00:42::/56"];
  const stepsOf = (backend: "vxlan" | "host-gw" | "wireguard-native", dev: string) => {
    const conf = parseNetConf(netConfText(backend, both), both);
    const peers = peersOf([of(conf.type)], "own", { type: conf.type, family: "IPv6" });
    return planOverlay(conf, dev, { wanted: entriesOf(conf, peers, dev), actual: [] });
  };
  expect(stepsOf("vxlan", "flannel-v6.1")).toEqual({
    bridge: ["fdb replace 0e:00:00:00:00:16 dev flannel-v6.1 dst 2001:db8::7 self permanent"],
    ip: [
      "neighbor replace fd00:42:0:1:: lladdr 0e:00:00:00:00:16 dev flannel-v6.1 nud permanent",
      "route replace fd00:42:0:1::/64 via fd00:42:0:1:: dev flannel-v6.1 proto 75 onlink",
    ],
    wg: [],
  });
  expect(stepsOf("host-gw", "eth0").ip).toEqual([
    "route replace fd00:42:0:1::/64 via 2001:db8::7 dev eth0 proto 75",
  ]);
  const { ip, wg } = stepsOf("wireguard-native", "flannel-wg-v6");
  expect(ip).toEqual(["route replace fd00:42:0:1::/64 dev flannel-wg-v6 proto 75"]);
  expect(wg.flat().join(" ")).toContain("endpoint [2001:db8::7]:51821");
  expect(parseNetConf(netConfText("vxlan", both), both).networks).toEqual({
    IPv4: "10.42.0.0/16",
    IPv6: "fd00:42::/56",
  });
  const alone = parseNetConf(netConfText("vxlan", ["fd00:42::/56"]), ["fd00:42::/56"]);
  expect(alone.networks).toEqual({ IPv6: "fd00:42::/56" });
  expect(podMtu(alone, 1500, "IPv6")).toBe(1430);
});
