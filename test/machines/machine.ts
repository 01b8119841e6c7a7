/**
 * More machines on this one, for tests of several nodes: namespaces and cgroups of their own, and
 * folders of their own for all that a node keeps. The rest of the file system is shared.
 */
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a node writes to beside its data directory. */
const ownFolders = [
  "/var/lib/rancher",
  "/var/lib/kubelet",
  "/var/lib/cni",
  "/var/log/pods",
  "/var/log/containers",
  "/etc/rancher",
  "/etc/cni",
];
const startMs = 20_000;

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function finished(argv: readonly string[], stdin = ""): Promise<Finished> {
  const child = Bun.spawn([...argv], {
    stdin: new TextEncoder().encode(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

async function must(argv: readonly string[], stdin = ""): Promise<string> {
  const { code, stdout, stderr } = await finished(argv, stdin);
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${stderr}${stdout}`);
  return stdout;
}

/**
 * A network that machines are plugged into; this machine is on it, too. It stands in a namespace
 * of its own: what passes between two machines must not pass by the rules of a third.
 */
export class Switch implements AsyncDisposable {
  private constructor(
    readonly link: string,
    private readonly network: string,
    private readonly holder: Bun.Subprocess,
  ) {}

  /** `link` is this machine's end; `network` the first three numbers: `10.98.7`. */
  static async open(link: string, network: string): Promise<Switch> {
    const holder = Bun.spawn(["unshare", "--net", "sleep", "infinity"]);
    const made = new Switch(link, network, holder);
    await made.#separated();
    await made.#inside("ip", "link", "add", "switch", "type", "bridge");
    await made.#inside("ip", "link", "set", "switch", "up");
    await must(["ip", "link", "add", link, "type", "veth", "peer", "name", `${link}p`]);
    await made.plug(`${link}p`);
    await must(["ip", "address", "add", `${made.own}/24`, "dev", link]);
    await must(["ip", "link", "set", link, "up"]);
    return made;
  }

  /** The holder's namespace is another one only after a while. */
  async #separated(): Promise<void> {
    const space = (pid: number | "self"): string => readlinkSync(`/proc/${pid}/ns/net`);
    while (space(this.holder.pid) === space("self")) await Bun.sleep(5);
  }

  async #inside(...argv: readonly string[]): Promise<void> {
    await must(["nsenter", "-t", String(this.holder.pid), "-n", ...argv]);
  }

  /** Takes the end of a cable that lies on this machine. */
  async plug(end: string): Promise<void> {
    await must(["ip", "link", "set", end, "netns", String(this.holder.pid)]);
    await this.#inside("ip", "link", "set", end, "master", "switch", "up");
  }

  async cable(end: string, state: "up" | "down"): Promise<void> {
    await this.#inside("ip", "link", "set", end, state);
  }

  /** This machine's own address on the network. */
  get own(): string {
    return this.address(254);
  }

  address(number: number): string {
    return `${this.network}.${number}`;
  }

  /** The links end with the namespace, and that with its holder. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.holder.kill("SIGKILL");
    await this.holder.exited;
    await finished(["ip", "link", "delete", this.link]);
  }
}

interface CgroupMount {
  readonly folder: string;
  readonly isV2: boolean;
  /** Controllers, or a name. */
  readonly options: string;
}

function cgroupMounts(): readonly CgroupMount[] {
  const mounts: CgroupMount[] = [];
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const [type = "", , options = ""] = after.split(" ");
    if (type !== "cgroup" && type !== "cgroup2") continue;
    const kept = options.split(",").filter((one) => one !== "rw" && one !== "ro");
    const folder = before.split(" ")[4] ?? "";
    mounts.push({ folder, isV2: type === "cgroup2", options: kept.join(",") });
  }
  return mounts;
}

/** Bash that puts the shell itself into the machine's cgroups. */
function enterCgroups(group: string): string {
  return cgroupMounts()
    .map(({ folder }) => `echo 0 > ${folder}/${group}/cgroup.procs`)
    .join("\n");
}

export class Machine implements AsyncDisposable {
  readonly #base: string;
  readonly #group: string;
  #pid = 0;
  #init: Bun.Subprocess | undefined;

  private constructor(
    readonly name: string,
    readonly address: string,
    private readonly network: Switch,
  ) {
    this.#base = mkdtempSync(join(tmpdir(), `k3-machine-${name}-`));
    this.#group = `k3-machine-${name}`;
  }

  /** `number` becomes the end of its address. */
  static async start(name: string, network: Switch, number: number): Promise<Machine> {
    const machine = new Machine(name, network.address(number), network);
    try {
      await machine.#boot();
      await machine.#plug();
      return machine;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where the machine's own `path` lies, seen from outside. */
  folder(path: string): string {
    return join(this.#base, "root", path);
  }

  get #outerLink(): string {
    return `k3m-${this.name}`;
  }

  async #boot(): Promise<void> {
    for (const folder of ownFolders) mkdirSync(this.folder(folder), { recursive: true });
    for (const { folder, isV2 } of cgroupMounts()) {
      await must(["mkdir", "-p", `${folder}/${this.#group}`]);
      // In the old hierarchy a group of processors has none until it is told which.
      const copy = `cd ${folder}; for f in cpuset.cpus cpuset.mems; do
        [ -e $f ] && cat $f > ${this.#group}/$f; done; true`;
      if (!isV2) await must(["bash", "-c", copy]);
    }
    const script = join(this.#base, "init.sh");
    writeFileSync(script, this.#initScript());
    const spaces = ["--net", "--mount", "--pid", "--uts", "--cgroup", "--ipc"];
    const enter = `${enterCgroups(this.#group)}\nexec "$@"`;
    const unshare = ["unshare", ...spaces, "--fork", "--kill-child", "bash", script];
    const log = openSync(join(this.#base, "log"), "w");
    const io = { stdin: "ignore", stdout: log, stderr: log } as const;
    this.#init = Bun.spawn(["bash", "-ec", enter, "bash", ...unshare], io);
    const end = Date.now() + startMs;
    while (this.#pid === 0) {
      const children = await finished([
        "cat",
        `/proc/${this.#init.pid}/task/${this.#init.pid}/children`,
      ]);
      const ready = await Bun.file(join(this.#base, "ready")).exists();
      if (ready) this.#pid = Number(children.stdout.trim().split(" ")[0] ?? "0");
      if (this.#init.exitCode !== null || Date.now() > end)
        throw new Error(
          `Machine ${this.name} does not start: ${readFileSync(join(this.#base, "log"), "utf8")}`,
        );
      await Bun.sleep(20);
    }
  }

  #initScript(): string {
    const mounts = cgroupMounts();
    const v1 = mounts.filter(({ isV2 }) => !isV2);
    const groups =
      v1.length === 0
        ? [
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
            // Only a group without processes may give its children controllers.
            "mkdir /sys/fs/cgroup/init && echo 0 > /sys/fs/cgroup/init/cgroup.procs",
          ]
        : [
            "mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup",
            ...mounts.map(({ folder, isV2, options }) => {
              const kind = isV2 ? "-t cgroup2 cgroup2" : `-t cgroup -o ${options} cgroup`;
              return `mkdir ${folder}; mount ${kind} ${folder}`;
            }),
          ];
    return [
      "set -e",
      "mount --make-rprivate /",
      "mount -t proc proc /proc",
      "mount -t tmpfs tmpfs /run; mkdir -p /run/lock",
      "umount -R /sys/fs/cgroup || true",
      "mount -t sysfs sysfs /sys",
      ...groups,
      ...ownFolders.map(
        (folder) => `mkdir -p ${folder}; mount --bind ${this.folder(folder)} ${folder}`,
      ),
      "ip link set lo up",
      `hostname ${this.name}`,
      `touch ${this.#base}/ready`,
      "exec sleep infinity",
    ].join("\n");
  }

  async #plug(): Promise<void> {
    const outer = this.#outerLink;
    const peer = ["peer", "name", "eth0", "netns", String(this.#pid)];
    await must(["ip", "link", "add", outer, "type", "veth", ...peer]);
    await this.network.plug(outer);
    for (const words of [
      ["address", "add", `${this.address}/24`, "dev", "eth0"],
      ["link", "set", "eth0", "up"],
      ["route", "add", "default", "via", this.network.own],
    ])
      await this.run(["ip", ...words]);
  }

  #inside(argv: readonly string[]): readonly string[] {
    const enter = `${enterCgroups(this.#group)}\nexec "$@"`;
    const spaces = ["-n", "-m", "-p", "-u", "-C", "-i"];
    const nsenter = ["nsenter", "-t", String(this.#pid), ...spaces, "--", ...argv];
    return ["bash", "-ec", enter, "bash", ...nsenter];
  }

  /** Runs to the end; fails on any exit code but 0. */
  async run(argv: readonly string[], stdin = ""): Promise<string> {
    const { code, stdout, stderr } = await finished(this.#inside(argv), stdin);
    if (code === 0) return stdout;
    throw new Error(`${this.name}: ${argv.join(" ")} ended with ${code}: ${stderr}${stdout}`);
  }

  /** As `run`, whatever the exit code. */
  async attempt(argv: readonly string[]): Promise<Finished> {
    return await finished(this.#inside(argv));
  }

  /** Starts what goes on until `signal` is called with the same name. */
  spawn(name: string, argv: readonly string[], logFile: string): Bun.Subprocess {
    const log = openSync(logFile, "a");
    const noted = ["bash", "-c", `echo $$ > /run/${name}.pid; exec "$@"`, "bash", ...argv];
    const io = { stdin: "ignore", stdout: log, stderr: log } as const;
    return Bun.spawn([...this.#inside(noted)], io);
  }

  async signal(name: string, signal: "TERM" | "KILL"): Promise<void> {
    await this.run(["bash", "-c", `kill -${signal} $(cat /run/${name}.pid)`]);
  }

  /** Pulls the plug, or puts it back. */
  async cable(state: "in" | "out"): Promise<void> {
    await this.network.cable(this.#outerLink, state === "in" ? "up" : "down");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The first process of the machine takes all others along.
    this.#init?.kill("SIGKILL");
    await this.#init?.exited;
    for (const { folder } of cgroupMounts()) {
      const sweep = `for i in 1 2 3 4 5; do find ${folder}/${this.#group} -depth -type d -exec rmdir {} + && break; sleep 0.2; done`;
      await finished(["bash", "-c", sweep]);
    }
    rmSync(this.#base, { recursive: true, force: true });
  }
}
