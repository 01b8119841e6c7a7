import { expect, test } from "bun:test";
import { createMemoryFiles } from "../runtime/simulated.ts";
import type { ServerOptions } from "../server/options.ts";
import { checkKernel, parseKernelConfig } from "./check-plan.ts";
import { commands, dispatch } from "./commands.ts";
import { readConfigFile } from "./config-file.ts";
import { agoText, imageRows, sizeText, tableText } from "./crictl-format.ts";
import { timeText } from "./crictl-inspect.ts";
import { sinceMs } from "./crictl-run.ts";
import { agentFlags, serverFlags } from "./flag-rows.ts";
import { completeFlags, type FlagValues, nearestName, parseArguments } from "./flags.ts";
import { mountsToRemove, type ProcessInfo, planProcesses } from "./killall-plan.ts";
import { serverOptionsOf } from "./server-options.ts";

function parse(args: readonly string[], env: Record<string, string> = {}): FlagValues {
  return completeFlags(serverFlags, parseArguments(serverFlags, args, "k3 server"), env);
}

async function options(
  args: readonly string[],
  env: Record<string, string> = {},
  files = createMemoryFiles(),
): Promise<ServerOptions> {
  return await serverOptionsOf(parse(args, env), {
    env,
    nodeId: async () => "0a1b2c3d",
    hostName: "Board-7",
    isRoot: true,
    home: "/home/me",
    cwd: "/work-dir",
    files,
  });
}

test("flag tables hold each flag once, with help", () => {
  for (const rows of [serverFlags, agentFlags]) {
    const names = rows.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
    expect(new Set(names).size).toBe(names.length);
    for (const row of rows) expect(row.help).not.toBe("");
  }
});

test("parseArguments() takes every spelling of a flag", () => {
  const flags = parse([
    "--node-name=a",
    "-i",
    "10.0.0.1,10.0.0.2",
    "--debug",
    "--disable-agent=false",
    "--node-label",
    "x=1",
    "--node-label=y=2,3",
    "-t=tok=en",
    "--tls-san",
    "a",
    "--tls-san=b,c",
  ]);
  expect(flags.string("node-name")).toBe("a");
  expect(flags.list("node-ip")).toEqual(["10.0.0.1", "10.0.0.2"]);
  expect(flags.bool("debug")).toBe(true);
  expect(flags.bool("disable-agent")).toBe(false);
  expect(flags.list("node-label")).toEqual(["x=1", "y=2,3"]);
  expect(flags.string("token")).toBe("tok=en");
  expect(flags.list("tls-san")).toEqual(["a", "b", "c"]);
});

const refusals: readonly (readonly [args: string, message: string])[] = [
  [
    "--tls-sans=x",
    "Cannot use --tls-sans=x: k3 server has no flag of that name; did you mean --tls-san?",
  ],
  ["--zzzzzzzz", "Cannot use --zzzzzzzz: k3 server has no flag of that name"],
  ["extra", 'Cannot use "extra": k3 server takes flags only (--name=value)'],
  ["--token", "Cannot use --token: its value is missing"],
  ["--debug=maybe", 'Cannot use --debug: "maybe" is neither true nor false'],
  ["--https-listen-port=abc", 'Cannot use --https-listen-port: "abc" is not a whole number'],
  ["--docker", "Cannot use --docker yet: this version always runs its own containerd"],
  ["--cluster-init", "Cannot use --cluster-init yet: embedded etcd comes with a later version"],
  ["--server=https://a:6443", "Cannot use --server yet: several servers"],
  ["--kube-proxy-arg=v=2", "Cannot use --kube-proxy-arg yet: arguments of single components"],
];
for (const [args, message] of refusals) {
  test(`${args} is refused with a sentence`, () => {
    expect(() => parse([args])).toThrow(message);
  });
}

const badValues: readonly (readonly [args: string, message: string])[] = [
  ["--https-listen-port=0", "a port must be between 1 and 65535"],
  ["--cluster-cidr=10.42.0.0", "it is not a CIDR"],
  ["--cluster-cidr=10.43.0.0/16", "it overlaps with --cluster-cidr=10.43.0.0/16"],
  ["--service-cidr=fd00::/112", "they must share the same IP version (IPv4, IPv6 or dual-stack)"],
  ["--service-cidr=10.1.0.0/16,10.2.0.0/16", "it takes one range of each IP family at most"],
  ["--service-cidr=fd00::/64", "too large; for 128-bit addresses, the mask must be >= 108"],
  ["--cluster-cidr=fd00::/65", "they must share the same IP version"],
  [
    "--node-ip=192.0.2.1 --cluster-cidr=fd00:1::/56 --service-cidr=fd00:2::/112",
    "an IPv6 address is missing, which the cluster's ranges ask for",
  ],
  ["--node-ip=fd00::1 --cluster-cidr=fd00:1::/40", "it has more than 2^16 parts of /64"],
  ["--node-ip=fd00::1 --cluster-cidr=fd00:1::/96", "it has no room for the /64 of a node"],
  [
    "--kube-controller-manager-arg=node-cidr-mask-size-ipv6=80",
    "usage of --node-cidr-mask-size-ipv6 is not allowed for a single-stack IPv4 cluster",
  ],
  ["--cluster-dns=192.168.0.1", "it must lie within --service-cidr=10.43.0.0/16"],
  ["--service-node-port-range=32767-30000", "it must be a range of ports"],
  ["--disable=traefik,dns", "Cannot use --disable=dns: it must be one of coredns"],
  ["--flannel-backend=ipsec", "it must be one of vxlan, host-gw, wireguard-native, none"],
  ["--node-name=a_b", "a node name consists of"],
  ["--node-ip=10.0.0", "it is not an IP address"],
  ["--node-label==x", "is not a label key"],
  ["--node-taint=a=b", "it must look like key=value:Effect"],
  ["--node-taint=a=b:Never", "its effect must be one of NoSchedule"],
  ["--write-kubeconfig-mode=rw", "it must be an octal mode"],
  ["--datastore-endpoint=postgres://u:secret@h/db", "with postgres: this version stores"],
  ["--token-file=/nowhere", "it cannot be read, or is empty"],
  ["--cluster-domain=a..b", "it is not a DNS name"],
  ["--tls-san=a_b..c", "it is neither a DNS name nor an IP address"],
  ["--tls-san=*", "it is neither a DNS name nor an IP address"],
  ["--tls-san-security=false", "the certificate holds no other names than those given"],
  ["--write-kubeconfig-group=nobody-here", "this machine has no group of that name"],
  ["--resolv-conf=/nowhere", "it cannot be read"],
  ["--node-external-ip=here", "it is not an IP address"],
  ["--advertise-port=0", "a port must be between 1 and 65535"],
  ["--servicelb-namespace=lb", "the load balancer has no pods"],
];
for (const [args, message] of badValues) {
  test(`${args} is a bad value`, async () => {
    const error = await options(args.split(" ")).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toContain(message);
    expect(String(error)).not.toContain("secret");
  });
}

test("serverOptionsOf() fills in K3s's defaults", async () => {
  expect(await options([])).toMatchObject({
    dataDir: "/var/lib/rancher/k3s",
    nodeName: "board-7",
    bindAddress: "",
    httpsListenPort: 6443,
    kubeconfig: {
      path: "/etc/rancher/k3s/k3s.yaml",
      mode: 0o600,
      group: undefined,
      name: "default",
    },
    clusterCidrs: ["10.42.0.0/16"],
    serviceCidrs: ["10.43.0.0/16"],
    clusterDns: ["10.43.0.10"],
    clusterDomain: "cluster.local",
    serviceNodePortRange: { first: 30000, last: 32767 },
    databaseFile: "/var/lib/rancher/k3s/server/db/state.db",
    advertise: { address: undefined, port: 6443 },
    flannel: { backend: "vxlan", masqueradesIpv6: false, usesExternalIp: false },
    disableAgent: false,
  });
});

test("serverOptionsOf() takes ranges of both families, or of IPv6 alone", async () => {
  const both = await options([
    "--cluster-cidr=10.42.0.0/16,fd00:42::7/56",
    "--service-cidr=10.43.0.0/16,fd00:43::/112",
    "--kube-controller-manager-arg=node-cidr-mask-size-ipv6=60",
    "--flannel-ipv6-masq",
  ]);
  expect(both).toMatchObject({
    clusterCidrs: ["10.42.0.0/16", "fd00:42::/56"],
    serviceCidrs: ["10.43.0.0/16", "fd00:43::/112"],
    clusterDns: ["10.43.0.10", "fd00:43::a"],
    nodeCidrMaskSizes: { IPv4: 24, IPv6: 60 },
    flannel: { masqueradesIpv6: true },
  });
  expect(await options(["--node-ip=2001:db8::1"])).toMatchObject({
    clusterCidrs: ["fd00:42::/56"],
    serviceCidrs: ["fd00:43::/112"],
    clusterDns: ["fd00:43::a"],
  });
});

test("serverOptionsOf() takes what was given", async () => {
  const given = await options(
    [
      "--disable=traefik,servicelb",
      "--disable=coredns",
      "--node-label=disk=ssd",
      "--node-taint=dedicated=db:NoSchedule",
      "--data-dir=state/",
      "--service-cidr=10.96.0.0/20",
      "--write-kubeconfig-mode=644",
    ],
    { K3S_NODE_NAME: "from-env", K3S_TOKEN: "secret" },
  );
  expect([...given.disable]).toEqual(["traefik", "servicelb", "coredns"]);
  expect(given).toMatchObject({
    nodeName: "from-env",
    token: "secret",
    nodeLabels: { disk: "ssd" },
    nodeTaints: ["dedicated=db:NoSchedule"],
    dataDir: "/work-dir/state",
    clusterDns: ["10.96.0.10"],
    kubeconfig: { mode: 0o644 },
  });
});

test("serverOptionsOf() takes what describes the node and its kubeconfig", async () => {
  const files = createMemoryFiles();
  await files.writeAtomic("/etc/group", "root:x:0:\nstaff:x:50:me\n", 0o644);
  await files.writeAtomic("/etc/hosts.conf", "nameserver 192.0.2.1\n", 0o644);
  const args = [
    "--with-node-id",
    "--node-external-ip=198.51.100.7,2001:db8::7",
    "--node-internal-dns=a.example",
    "--tls-san=*.example.com,192.0.2.9",
    "--advertise-address=192.0.2.9",
    "--advertise-port=443",
    "--write-kubeconfig-group=staff",
    "--write-kubeconfig-name=home",
    "--resolv-conf=/etc/hosts.conf",
    "--flannel-backend=none",
    "--datastore-endpoint=sqlite://./db/other.db?_journal=WAL",
  ];
  const env = { CATTLE_NEW_SIGNED_CERT_EXPIRATION_DAYS: "30" };
  expect(await options(args, env, files)).toMatchObject({
    nodeName: "board-7-0a1b2c3d",
    nodeAddresses: {
      externalIps: ["198.51.100.7", "2001:db8::7"],
      internalDns: ["a.example"],
      externalDns: [],
    },
    tlsSans: ["*.example.com", "192.0.2.9"],
    advertise: { address: "192.0.2.9", port: 443 },
    kubeconfig: { group: 50, name: "home" },
    resolvConf: "/etc/hosts.conf",
    flannel: { backend: "none", masqueradesIpv6: false, usesExternalIp: false },
    databaseFile: "/var/lib/rancher/k3s/server/db/other.db",
    leafDays: 30,
  });
});

async function fromFiles(
  texts: Readonly<Record<string, string>>,
  refusesUnknown = false,
): Promise<{ readonly given: readonly string[]; readonly warnings: readonly string[] }> {
  const files = createMemoryFiles();
  for (const [path, text] of Object.entries(texts)) await files.writeAtomic(path, text, 0o600);
  const read = { path: "/etc/k.yaml", rows: serverFlags, files, refusesUnknown };
  const { given, warnings } = await readConfigFile(read);
  return { given: given.map(({ name, value }) => `${name}=${value}`), warnings };
}

test("readConfigFile() turns scalars and lists into flags", async () => {
  const text =
    "token: s3cret\ndebug: true\nhttps-listen-port: 7443\nnode-label: [a=1, b=2]\nt: x\n";
  expect((await fromFiles({ "/etc/k.yaml": text })).given).toEqual([
    "token=s3cret",
    "debug=true",
    "https-listen-port=7443",
    "node-label=a=1",
    "node-label=b=2",
    "token=x",
  ]);
});

test("readConfigFile() replaces by drop-ins, and appends by +", async () => {
  const labels = (a: string, b: string): Record<string, string> => ({
    "/etc/k.yaml.d/10-a.yaml": a,
    "/etc/k.yaml.d/20-b.yaml": b,
    "/etc/k.yaml.d/30-note.txt": "not: read",
  });
  expect((await fromFiles(labels("node-label: [a=1]", "node-label: [b=2]"))).given).toEqual([
    "node-label=b=2",
  ]);
  expect((await fromFiles(labels("node-label: [a=1]", "node-label+: [b=2]"))).given).toEqual([
    "node-label=a=1",
    "node-label=b=2",
  ]);
  expect((await fromFiles({})).given).toEqual([]);
});

test("readConfigFile() tells what it cannot use", async () => {
  const { warnings } = await fromFiles({ "/etc/k.yaml": "disabled: [traefik]\ntoken: x" });
  expect(warnings).toEqual([
    "Cannot use disabled of /etc/k.yaml: no flag has that name; did you mean disable?",
  ]);
  expect(fromFiles({ "/etc/k.yaml": "disabled: x" }, true)).rejects.toThrow("did you mean disable");
  expect(fromFiles({ "/etc/k.yaml": "a: [" })).rejects.toThrow("Cannot read the configuration");
  expect(fromFiles({ "/etc/k.yaml": "- a" })).rejects.toThrow("it must hold keys and values");
  expect(fromFiles({ "/etc/k.yaml": "token: {a: b}" })).rejects.toThrow("scalar or a list");
});

test("arguments win over the file, the file over the environment", async () => {
  const files = createMemoryFiles();
  await files.writeAtomic("/c.yaml", "node-name: file\ntoken: file", 0o600);
  const file = await readConfigFile({
    path: "/c.yaml",
    rows: serverFlags,
    files,
    refusesUnknown: false,
  });
  const args = parseArguments(serverFlags, ["--node-name=argument"], "k3 server");
  const flags = completeFlags(serverFlags, [...file.given, ...args], {
    K3S_TOKEN: "env",
    K3S_KUBECONFIG_MODE: "644",
  });
  expect(flags.string("node-name")).toBe("argument");
  expect(flags.string("token")).toBe("file");
  expect(flags.string("write-kubeconfig-mode")).toBe("644");
});

test("nearestName() suggests what is near, and nothing else", () => {
  const names = serverFlags.map(({ name }) => name);
  expect(nearestName("node-lable", names)).toBe("node-label");
  expect(nearestName("cluster-cird", names)).toBe("cluster-cidr");
  expect(nearestName("quux-frobnicate", names)).toBeUndefined();
});

async function run(
  calledAs: string,
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  let out = "";
  let err = "";
  const code = await dispatch(calledAs, {
    args,
    env: {},
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { code, out, err };
}

test("dispatch() answers for the version, for help and for mistakes", async () => {
  expect((await run("/usr/local/bin/k3", "--version")).out).toMatch(
    /^k3 version v1\.36\.\d+\+k3\.\d+ \(\w+\)\nbun version /,
  );
  expect((await run("k3")).out).toContain("check-config");
  expect(await run("k3", "sever")).toMatchObject({ code: 1 });
  expect((await run("k3", "sever")).err).toContain('no command "sever"; did you mean server?');
  expect((await run("k3", "--debug", "token", "list")).err).toContain("not available in this");
  expect((await run("k3", "server", "--help")).out).toContain("--https-listen-port value");
  expect((await run("/bin/crictl", "--help")).out).toContain("k3 crictl ps");
  for (const { help } of commands) expect(help).not.toBe("");
});

test("completion scripts are sound", async () => {
  for (const shell of ["bash", "zsh"]) {
    const { out } = await run("k3", "completion", shell);
    expect(out).toContain("--write-kubeconfig-mode");
    if (shell === "bash")
      expect(Bun.spawnSync(["bash", "-n"], { stdin: Buffer.from(out) }).exitCode).toBe(0);
  }
});

const process = (pid: number, parent: number, exe: string, ...args: string[]): ProcessInfo => ({
  pid,
  parent,
  isZombie: false,
  exe,
  args,
});

test("planProcesses() finds what belongs to the data dir, and nothing else", () => {
  const bin = "/var/lib/rancher/k3s/data/abc/bin";
  const plan = planProcesses(
    [
      process(1, 0, "/sbin/init", "/sbin/init"),
      process(10, 1, "/usr/local/bin/k3", "/usr/local/bin/k3", "server", "--debug"),
      process(11, 1, "/usr/local/bin/k3", "k3", "server", "--data-dir=/other"),
      process(12, 1, "/usr/local/bin/k3", "k3", "kubectl", "get", "pods"),
      process(13, 1, "/usr/bin/bun", "bun", "/src/k3/src/main.ts", "server"),
      process(14, 1, "/usr/local/bin/k3", "k3", "server", "--config=/elsewhere"),
      process(15, 1, "/usr/local/bin/k3", "k3", "ingress", "--data-dir=/var/lib/rancher/k3s"),
      process(16, 1, "/usr/local/bin/k3", "k3", "ingress", "--data-dir=/other"),
      process(17, 1, "/usr/local/bin/k3", "k3", "ingress", "--data-dir=/var/lib/rancher/k3s/"),
      process(20, 1, `${bin}/containerd`, `${bin}/containerd`, "-c", "x"),
      process(30, 1, `${bin}/containerd-shim-runc-v2`, `${bin}/containerd-shim-runc-v2`),
      process(31, 30, "/pause", "/pause"),
      process(32, 30, "/bin/httpd", "httpd"),
      process(33, 32, "/bin/sh", "sh"),
      process(40, 1, "/usr/bin/containerd", "/usr/bin/containerd"),
      process(41, 1, "/usr/bin/containerd-shim-runc-v2", "containerd-shim-runc-v2"),
      process(42, 41, "/bin/httpd", "httpd"),
      process(99, 1, "/usr/local/bin/k3", "k3", "server"),
    ],
    { dataDir: "/var/lib/rancher/k3s", self: 99, lockedBy: 14 },
  );
  expect(plan).toEqual({
    servers: [10, 13, 14, 15, 17],
    runtimes: [20],
    shims: [30],
    containers: [31, 32, 33],
  });
});

test("mountsToRemove() begins with the innermost", () => {
  const line = (path: string): string => `36 35 98:0 / ${path} rw - ext4 /dev/root rw`;
  const paths = [
    "/run",
    "/run/k3s/containerd/a/rootfs",
    "/var/lib/kubelet/pods/u1/volumes/x",
    "/var/lib/kubelet/pods/u1/volumes/x/sub\\040path",
    "/run/netns/cni-1",
    "/run/netns/other",
    "/var/lib/kubelet",
    "/srv/kubelet/plugins/x/globalmount",
  ];
  const kubelets = ["/var/lib/kubelet", "/srv/kubelet"];
  expect(mountsToRemove(paths.map(line).join("\n"), kubelets)).toEqual([
    "/srv/kubelet/plugins/x/globalmount",
    "/run/netns/cni-1",
    "/var/lib/kubelet/pods/u1/volumes/x/sub path",
    "/var/lib/kubelet/pods/u1/volumes/x",
    "/run/k3s/containerd/a/rootfs",
  ]);
});

test("checkKernel() fails what is required and missing", () => {
  const checks = checkKernel(
    parseKernelConfig("CONFIG_VETH=m\nCONFIG_MEMCG=y\n# CONFIG_KEYS is not set"),
  );
  const stateOf = (name: string): string | undefined =>
    checks.find((check) => check.name === `CONFIG_${name}`)?.state;
  expect([stateOf("VETH"), stateOf("MEMCG"), stateOf("KEYS"), stateOf("VXLAN")]).toEqual([
    "pass",
    "pass",
    "fail",
    "warn",
  ]);
});

test("crictl's columns, ages and sizes", () => {
  expect(tableText(["A", "NAME"], [["long cell", "x"]])).toBe(
    "A                   NAME\nlong cell           x\n",
  );
  const now = new Date("2026-01-01T00:00:00Z");
  const ago = (seconds: number): string =>
    agoText(BigInt(now.getTime() - seconds * 1000) * 1_000_000n, now);
  expect(ago(0)).toBe("Less than a second ago");
  expect(ago(45)).toBe("45 seconds ago");
  expect(ago(90)).toBe("About a minute ago");
  expect(ago(600)).toBe("10 minutes ago");
  expect(ago(5000)).toBe("About an hour ago");
  expect(ago(5500)).toBe("2 hours ago");
  expect(ago(30 * 3600)).toBe("30 hours ago");
  expect(ago(5 * 86_400)).toBe("5 days ago");
  expect(ago(20 * 86_400)).toBe("2 weeks ago");
  expect([sizeText(0n), sizeText(999n), sizeText(1_447_000n)]).toEqual(["0B", "999B", "1.45MB"]);
  const id = `sha256:${"a".repeat(64)}`;
  const [row] = imageRows(
    [{ id, repoTags: ["host:5/x:1"], repoDigests: [], size: 1000n }],
    (long) => long.slice(7, 20),
  );
  const rest = { digest: "<none>", id: "aaaaaaaaaaaaa", size: "1kB" };
  expect(row).toEqual({ name: "host:5/x", tag: "1", ...rest });
  expect(timeText(1_767_225_600_120_000_000n)).toBe("2026-01-01T00:00:00.12Z");
  expect(sinceMs("1m", now)).toBe(now.getTime() - 60_000);
  expect(sinceMs("2025-12-31T00:00:00Z", now)).toBe(now.getTime() - 86_400_000);
  expect(() => sinceMs("soon", now)).toThrow("--since=soon");
});
