import { expect, test } from "bun:test";
import { CorefileError } from "./corefile.ts";
import { parseCustomZones, zoneOfName } from "./zones.ts";

function problem(data: Record<string, string>): string {
  try {
    parseCustomZones(data);
  } catch (error) {
    if (error instanceof CorefileError) return error.message;
    throw error;
  }
  return "";
}

test("the zone with the longest name is asked", () => {
  const zones = parseCustomZones({
    "a.server": "example.org {\n forward . 10.0.0.1\n}\nb.example.org:53 dns://c.org {\n log\n}",
    "notes.txt": "not { a file of ours",
  });
  const nameOf = (name: string): readonly string[] => zoneOfName(zones, name).names;
  expect(nameOf("x.example.org")).toEqual(["example.org"]);
  expect(nameOf("b.example.org")).toEqual(["b.example.org", "c.org"]);
  expect(nameOf("x.c.org")).toEqual(["b.example.org", "c.org"]);
  expect(nameOf("badexample.org")).toEqual([""]);
  expect(zoneOfName(zones, "x.cluster.local")).toBe(zones.main);
});

test("servers are addresses with ports, by TLS when asked to", () => {
  const to = "10.0.0.1 10.0.0.2:5353 fd00::1 [fd00::2]:54 tls://9.9.9.9";
  const text = `example.org {\n forward . ${to} {\n tls_servername dns.quad9.net\n}\n cache 5\n}`;
  const rule = parseCustomZones({ "a.server": text }).others[0]?.forwards[0];
  expect(rule?.cacheMs).toBe(5000);
  expect(rule?.servers).toEqual([
    { host: "10.0.0.1", port: 53 },
    { host: "10.0.0.2", port: 5353 },
    { host: "fd00::1", port: 53 },
    { host: "fd00::2", port: 54 },
    { host: "9.9.9.9", port: 853, tlsName: "dns.quad9.net" },
  ]);
});

test("what is wrong is told with the key, the line and what is accepted", () => {
  expect(problem({ "x.override": "log\nkubernetes cluster.local" })).toBe(
    'x.override: line 2: unknown directive "kubernetes": there are bufsize, cache, errors, ' +
      "forward, health, hosts, loadbalance, log, loop, prometheus, ready, reload, rewrite, " +
      "template",
  );
  expect(problem({ "x.server": "a.org:5353 {\n}" })).toContain("port 53 only");
  expect(problem({ "x.server": "tls://a.org {\n}" })).toContain("only plain DNS");
  expect(problem({ "x.server": "a.org {\n forward . dns.example\n}" })).toBe(
    'x.server: line 2: forward takes addresses, not "dns.example"',
  );
  expect(problem({ "x.override": "rewrite ttl example.com 5" })).toContain("it takes name or type");
  expect(problem({ "x.override": "rewrite name regex ( a" })).toContain('invalid expression "("');
  expect(problem({ "x.override": "hosts /etc/hosts" })).toContain("not the file /etc/hosts");
  expect(problem({ "x.override": 'template IN A {\n answer "{{ .Env }}"\n}' })).toContain(".Name");
  expect(problem({ "x.override": "template IN" })).toContain("template takes CLASS (IN) TYPE");
});
