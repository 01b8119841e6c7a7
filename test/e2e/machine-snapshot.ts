/** What a node changes on its machine, read from the kernel and the disk, to be compared later. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** Kernel switches that a node of Kubernetes touches. */
const switches = [
  "net/ipv4/ip_forward",
  "net/ipv4/conf/all/forwarding",
  "net/ipv4/conf/default/forwarding",
  "net/ipv4/conf/all/route_localnet",
  "net/ipv4/conf/all/rp_filter",
  "net/ipv6/conf/all/forwarding",
  "net/bridge/bridge-nf-call-iptables",
  "net/bridge/bridge-nf-call-ip6tables",
  "net/netfilter/nf_conntrack_max",
  "net/netfilter/nf_conntrack_tcp_timeout_established",
  "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
  "vm/overcommit_memory",
  "vm/panic_on_oom",
  "kernel/panic",
  "kernel/panic_on_oops",
] as const;

const folders = ["/run", "/var/lib/cni", "/var/lib/kubelet", "/etc/cni", "/opt/cni"] as const;

export type Snapshot = Readonly<Record<string, readonly string[]>>;

/** `bin` holds the bundled ip and nft; `more` are folders beside those that a killall empties. */
export function machineSnapshot(bin: string, more: readonly string[] = []): Snapshot {
  return {
    links: run(`${bin}/ip`, "-o", "link").map((line) => line.replace(/^\d+: /, "")),
    addresses: run(`${bin}/ip`, "-o", "address").map((line) => line.replace(/^\d+: /, "")),
    routes: run(`${bin}/ip`, "route", "show", "table", "all"),
    routes6: run(`${bin}/ip`, "-6", "route", "show", "table", "all"),
    rules: run(`${bin}/ip`, "rule"),
    ruleset: run(`${bin}/nft`, "list", "ruleset"),
    mounts: lines("/proc/self/mountinfo").map((line) => line.split(" ")[4] ?? ""),
    listeners: ["tcp", "tcp6", "udp", "udp6"].flatMap((name) => listeners(name)),
    processes: processes(),
    cgroups: tree("/sys/fs/cgroup", "directories"),
    files: [...folders, ...more].flatMap((folder) => tree(folder, "all")),
    switches: switches.map((name) => `${name} = ${lines(`/proc/sys/${name}`)[0] ?? "absent"}`),
  };
}

function run(...argv: readonly string[]): readonly string[] {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...argv]);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")} failed: ${stderr}`);
  return stdout.toString().trim().split("\n");
}

function lines(path: string): readonly string[] {
  try {
    return readFileSync(path, "utf8").trim().split("\n");
  } catch {
    return [];
  }
}

/** Protocol and local address of what listens; a port in use by a connection is left out. */
function listeners(name: string): readonly string[] {
  const listening = name.startsWith("tcp") ? "0A" : "07";
  return lines(`/proc/net/${name}`)
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === listening)
    .map((fields) => `${name} ${fields[1]}`)
    .sort();
}

const nodePrograms = /containerd|runc|catatonit|k3-(amd64|arm64)/;

/**
 * Programs of a node that run, zombies left out: by their names, or by a root of their own. What
 * else comes and goes on the machine meanwhile is not ours.
 */
function processes(): readonly string[] {
  const here = mountNamespace("self");
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      const [stat = ""] = lines(`/proc/${pid}/stat`);
      const state = stat[stat.lastIndexOf(")") + 2];
      if (stat === "" || state === "Z") return [];
      const command = (lines(`/proc/${pid}/cmdline`)[0] ?? "").replaceAll("\0", " ");
      const namespace = mountNamespace(pid);
      const isContained = namespace !== "" && namespace !== here;
      return isContained || nodePrograms.test(command) ? [command] : [];
    })
    .sort();
}

/** Its name; that of a process that ended meanwhile is "". */
function mountNamespace(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`);
  } catch {
    return "";
  }
}

function tree(dir: string, which: "directories" | "all"): readonly string[] {
  let entries: readonly string[];
  try {
    entries = readdirSync(dir).sort();
  } catch {
    return [];
  }
  return entries.flatMap((name) => {
    const path = join(dir, name);
    const isDirectory = lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
    if (isDirectory) return [path, ...tree(path, which)];
    return which === "all" ? [path] : [];
  });
}

// Called as a program it looks at the machine that it runs on.
if (import.meta.main) {
  const [bin = "", ...more] = process.argv.slice(2);
  process.stdout.write(JSON.stringify(machineSnapshot(bin, more)));
}
