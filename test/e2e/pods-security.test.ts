/** Users, capabilities, namespaces and cgroups of containers, seen from inside and from the host. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { Cluster, reasonToSkip } from "./cluster.ts";
import {
  apply,
  becomes,
  ended,
  events,
  field,
  lines,
  pod,
  printed,
  shell,
  statusOf,
} from "./pods.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: pod security: ${skip}`);

const status = (name: string): string => `$(grep ^${name}: /proc/self/status | tr -s '\\t ' ' ')`;

const userScript = `
echo "uid=$(id -u)"
echo "gid=$(id -g)"
echo "groups=$(id -G)"
echo "emptyGroup=$(stat -c %g /empty)"
echo "emptyMode=$(stat -c %a /empty)"
touch /empty/made && echo "made=$(stat -c %u:%g /empty/made)"
echo "secretOwner=$(stat -L -c %u:%g:%a /secret/password)"
cat /secret/password >/dev/null && echo readable=yes
(touch /x) 2>/dev/null && echo root=writable || echo root=readonly
echo "caps=${status("CapEff")}"
echo "noNewPrivs=${status("NoNewPrivs")}"
echo "seccomp=${status("Seccomp")}"
`;

/** Root inside, nobody outside; volumes look as everywhere. */
const remapScript = `
echo "uid=$(id -u)"
echo "map=$(tr -s ' ' </proc/self/uid_map | sed 's/^ //')"
echo "hosts=$(stat -c %u /etc/hosts)"
echo "secretOwner=$(stat -L -c %u:%g:%a /secret/password)"
touch /empty/made && echo "made=$(stat -c %u:%g /empty/made)"
chown 7:8 /empty/made && echo "given=$(stat -c %u:%g /empty/made)"
echo last > /dev/termination-log
`;

const remapped = (name: string) =>
  pod(name, {
    hostUsers: false,
    securityContext: { fsGroup: 2000 },
    containers: [
      shell("main", `${remapScript} exec sleep 1000`, {
        securityContext: { procMount: "Unmasked" },
        volumeMounts: [
          { name: "empty", mountPath: "/empty" },
          { name: "secret", mountPath: "/secret" },
        ],
      }),
    ],
    volumes: [
      { name: "empty", emptyDir: {} },
      { name: "secret", secret: { secretName: "keys" } },
    ],
  });

const userPod = pod("user", {
  securityContext: {
    runAsUser: 1000,
    runAsGroup: 3000,
    runAsNonRoot: true,
    fsGroup: 2000,
    supplementalGroups: [4000],
    seccompProfile: { type: "RuntimeDefault" },
  },
  containers: [
    shell("main", userScript, {
      securityContext: {
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ["ALL"] },
      },
      volumeMounts: [
        { name: "empty", mountPath: "/empty" },
        { name: "secret", mountPath: "/secret" },
      ],
    }),
  ],
  volumes: [
    { name: "empty", emptyDir: {} },
    { name: "secret", secret: { secretName: "keys", defaultMode: 0o400 } },
  ],
});

const capsPod = pod("caps", {
  containers: [
    shell("main", `echo "caps=${status("CapEff")}"; echo "seccomp=${status("Seccomp")}"`, {
      securityContext: { capabilities: { add: ["NET_ADMIN", "SYS_TIME"], drop: ["CHOWN"] } },
    }),
    shell("privileged", `echo "caps=${status("CapEff")}"; ls /dev | wc -l`, {
      securityContext: { privileged: true },
    }),
    shell("masked", "cat /proc/keys | wc -c; touch /proc/sys/kernel/hostname 2>&1; echo done"),
  ],
});

const rootPod = pod("refused-root", {
  securityContext: { runAsNonRoot: true },
  containers: [shell("main", "id")],
});

const hostPod = pod("on-host", {
  hostNetwork: true,
  hostPID: true,
  containers: [
    shell(
      "main",
      'echo "links=$(ls /sys/class/net | tr "\\n" " ")"; ' +
        'echo "init=$(cat /proc/1/comm)"; echo "name=$(hostname)"; ' +
        'echo "k3=$(ps | grep -c "[k]3.* server --data-dir")"; grep -c "host network" /etc/hosts',
    ),
  ],
});

const sharedPod = pod("shared", {
  shareProcessNamespace: true,
  containers: [
    shell("one", "exec sleep 1234"),
    shell("two", "until pidof sleep >/dev/null; do usleep 50000; done; ps -o args; sleep 1000"),
  ],
});

const sysctlPod = pod("sysctls", {
  securityContext: { sysctls: [{ name: "net.ipv4.ip_local_port_range", value: "2000 3000" }] },
  containers: [shell("main", "cat /proc/sys/net/ipv4/ip_local_port_range")],
});

const sleeper = (name: string, resources: object, more: object = {}): Record<string, unknown> =>
  pod(name, { containers: [shell("main", "exec sleep 1000", { resources })], ...more });

const limits = { cpu: "500m", memory: "64Mi" };
const classes = [
  sleeper("guaranteed", { limits }),
  sleeper("burstable", { requests: { cpu: "200m", memory: "32Mi" }, limits: { memory: "64Mi" } }),
  sleeper("best-effort", {}),
  pod("hungry", {
    containers: [
      // One endless line, of which tail must keep all.
      shell("main", "exec tail -n 1 /dev/zero", { resources: { limits: { memory: "24Mi" } } }),
    ],
  }),
];

const greedy = [
  pod("greedy-volume", {
    containers: [
      shell("main", "head -c 3m /dev/zero >/empty/file; exec sleep 1000", {
        volumeMounts: [{ name: "empty", mountPath: "/empty" }],
      }),
    ],
    volumes: [{ name: "empty", emptyDir: { sizeLimit: "2Mi" } }],
  }),
  pod("greedy-layer", {
    containers: [
      shell("main", "head -c 3m /dev/zero >/file; exec sleep 1000", {
        resources: { limits: { "ephemeral-storage": "2Mi" } },
      }),
    ],
  }),
];

const keys = {
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: "keys" },
  stringData: { password: "s3cret" },
};

const isV2 = existsSync("/sys/fs/cgroup/cgroup.controllers");

/** The value of a cgroup file: `names` is the file in version 1 (controller first) and in 2. */
function cgroupValue(dir: string, names: { readonly v1: string; readonly v2: string }): string {
  const [controller, file] = names.v1.split("/");
  const path = isV2
    ? `/sys/fs/cgroup${dir}/${names.v2}`
    : `/sys/fs/cgroup/${controller}${dir}/${file}`;
  return readFileSync(path, "utf8").trim();
}

describe.skipIf(skip !== undefined)("pod security", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.start();
    await apply(cluster, keys, userPod, capsPod, rootPod, hostPod, sharedPod, sysctlPod);
    await apply(cluster, ...classes, ...greedy);
  });
  afterAll(async () => {
    await cluster?.destroy();
  });

  test("users, groups, and files that belong to them", async () => {
    await ended(cluster, "user");
    expect(Object.fromEntries(await printed(cluster, "user"))).toEqual({
      uid: "1000",
      gid: "3000",
      groups: "3000 2000 4000",
      emptyGroup: "2000",
      emptyMode: "2777",
      made: "1000:2000",
      secretOwner: "0:2000:440",
      readable: "yes",
      root: "readonly",
      caps: "CapEff: 0000000000000000",
      noNewPrivs: "NoNewPrivs: 1",
      seccomp: "Seccomp: 2",
    });
    const path = "{.status.containerStatuses[0].user.linux}";
    expect(JSON.parse(await field(cluster, "user", path))).toEqual({
      uid: 1000,
      gid: 3000,
      supplementalGroups: [2000, 3000, 4000],
    });
  });

  test("capabilities, privilege and masked paths", async () => {
    await ended(cluster, "caps");
    const said = await lines(cluster, "caps");
    // The runtime's default set, CHOWN taken away, NET_ADMIN and SYS_TIME added.
    expect(said).toEqual(["caps=CapEff: 00000000aa0435fa", "seccomp=Seccomp: 0"]);
    const own = readFileSync("/proc/self/status", "utf8").match(/^CapBnd:\s*(\S+)/m)?.[1] ?? "";
    const all = (await cluster.run("logs caps -c privileged")).split("\n");
    expect(BigInt(`0x${all[0]?.split(" ")[1]}`)).toBe(BigInt(`0x${own}`));
    expect(Number(all[1])).toBeGreaterThan(20);
    const masked = await cluster.run("logs caps -c masked");
    expect(masked).toContain("0\n");
    expect(masked).toContain("Read-only file system");
  });

  test("root is refused where the pod asks for another user", async () => {
    const waiting = "{.status.containerStatuses[0].state.waiting}";
    await becomes(cluster, "refused-root", waiting, /CreateContainerConfigError/);
    expect(await field(cluster, "refused-root", waiting)).toContain(
      "container has runAsNonRoot and image will run as root",
    );
  });

  test("the host's network and processes, or one process namespace for the pod", async () => {
    await ended(cluster, "on-host");
    const said = await printed(cluster, "on-host");
    expect(said.get("links")).toContain("cni0");
    expect(said.get("init")).toBe(readFileSync("/proc/1/comm", "utf8").trim());
    expect(Number(said.get("k3"))).toBeGreaterThan(0);
    const ips = await field(cluster, "on-host", "{.status.podIP} {.status.hostIP}");
    expect(new Set(ips.split(" ")).size).toBe(1);
    await cluster.until("the neighbour is seen", async () => {
      return (await cluster.run("logs shared -c two")).includes("sleep 1234");
    });
    expect(await cluster.run("logs shared -c two")).toContain("/pause");
  });

  test("pods may have users of their own, each other ones", async () => {
    const names = ["remapped-1", "remapped-2"];
    await apply(cluster, ...names.map(remapped));
    const firsts: number[] = [];
    for (const name of names) {
      await becomes(cluster, name, "{.status.phase}", "Running");
      await cluster.until(`${name} has said all`, async () => {
        return (await cluster.run(`logs ${name}`)).includes("given=");
      });
      const said = await printed(cluster, name);
      const [, first = "", length] = (said.get("map") ?? "").split(" ");
      const seen: Record<string, unknown> = { ...Object.fromEntries(said), map: length };
      expect(seen).toEqual({
        uid: "0",
        map: "65536",
        hosts: "0",
        secretOwner: "0:2000:644",
        made: "0:2000",
        given: "7:8",
      });
      const uid = await field(cluster, name, "{.metadata.uid}");
      const kept = JSON.parse(readFileSync(`/var/lib/kubelet/pods/${uid}/userns`, "utf8"));
      expect(kept.uidMappings[0].hostId).toBe(Number(first));
      const made = `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~empty-dir/empty/made`;
      expect(statSync(made).uid).toBe(7);
      firsts.push(Number(first));
    }
    expect(new Set(firsts).size).toBe(2);
    expect(Math.min(...firsts)).toBeGreaterThan(0);
  });

  test("sysctls of the pod's own namespaces", async () => {
    await ended(cluster, "sysctls");
    expect(await lines(cluster, "sysctls")).toEqual(["2000\t3000"]);
  });

  test("a node takes no pod that is too large for it or reaches too far", async () => {
    const sleep = shell("main", "exec sleep 1000", {
      resources: { requests: { cpu: "1k" } },
    });
    const sysctls = [{ name: "kernel.msgmax", value: "9000" }];
    await apply(
      cluster,
      pod("too-large", { nodeName: "k3-e2e", containers: [sleep] }),
      pod("too-far", { securityContext: { sysctls }, containers: [shell("main", "id")] }),
    );
    const reasons = { "too-large": "OutOfcpu", "too-far": "SysctlForbidden" };
    for (const [name, reason] of Object.entries(reasons)) {
      await becomes(cluster, name, "{.status.phase}", "Failed");
      const status = await statusOf(cluster, name);
      expect(status.reason).toBe(reason);
      expect(status.message).toStartWith("Pod was rejected: ");
      expect(await events(cluster, name)).toContain(`${reason}: `);
    }
  });

  test("resources become cgroup values of the pod and of its container", async () => {
    const names = ["guaranteed", "burstable", "best-effort"];
    for (const name of names) await becomes(cluster, name, "{.status.phase}", "Running");
    const qos = await Promise.all(names.map((n) => field(cluster, n, "{.status.qosClass}")));
    expect(qos).toEqual(["Guaranteed", "Burstable", "BestEffort"]);
    const memory = { v1: "memory/memory.limit_in_bytes", v2: "memory.max" };
    const quota = { v1: "cpu/cpu.cfs_quota_us", v2: "cpu.max" };
    const shares = { v1: "cpu/cpu.shares", v2: "cpu.weight" };
    const dirs = await Promise.all(
      names.map(async (name) => {
        const uid = await field(cluster, name, "{.metadata.uid}");
        const id = await field(cluster, name, "{.status.containerStatuses[0].containerID}");
        const middle = { guaranteed: "", burstable: "/burstable" }[name] ?? "/besteffort";
        const podDir = `/kubepods${middle}/pod${uid}`;
        return { pod: podDir, container: `${podDir}/${id.replace("containerd://", "")}` };
      }),
    );
    const [guaranteed, burstable, bestEffort] = dirs;
    for (const dir of [guaranteed?.pod ?? "", guaranteed?.container ?? ""]) {
      expect(cgroupValue(dir, memory)).toBe(`${64 * 2 ** 20}`);
      expect(cgroupValue(dir, quota)).toBe(isV2 ? "50000 100000" : "50000");
      expect(cgroupValue(dir, shares)).toBe(isV2 ? "20" : "512");
    }
    for (const dir of [burstable?.pod ?? "", burstable?.container ?? ""]) {
      expect(cgroupValue(dir, memory)).toBe(`${64 * 2 ** 20}`);
      expect(cgroupValue(dir, quota)).toBe(isV2 ? "max 100000" : "-1");
      expect(cgroupValue(dir, shares)).toBe(isV2 ? "8" : "204");
    }
    expect(cgroupValue(bestEffort?.pod ?? "", shares)).toBe(isV2 ? "1" : "2");
    expect(cgroupValue("/kubepods/besteffort", shares)).toBe(isV2 ? "1" : "2");
    // What burstable pods ask for weighs as much as the class does: one 200m request here.
    expect(Number(cgroupValue("/kubepods/burstable", shares))).toBeGreaterThanOrEqual(
      isV2 ? 8 : 204,
    );
  });

  test("who takes more memory than allowed is killed", async () => {
    await becomes(cluster, "hungry", "{.status.phase}", "Failed");
    const reason = "{.status.containerStatuses[0].state.terminated['exitCode','reason']}";
    await becomes(cluster, "hungry", reason, "137 OOMKilled");
  });

  test("who writes more to the disk than allowed is evicted", async () => {
    const wanted = {
      "greedy-volume": 'Usage of EmptyDir volume "empty" exceeds the limit "2Mi". ',
      "greedy-layer":
        "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
    };
    for (const [name, message] of Object.entries(wanted)) {
      await becomes(cluster, name, "{.status.phase}", "Failed");
      const status = await statusOf(cluster, name);
      expect([status.reason, status.message]).toEqual(["Evicted", message]);
      // It is the pod's own doing: upstream says so of evictions for the node's sake only.
      expect(status.conditions?.some(({ type }) => type === "DisruptionTarget")).toBe(false);
      expect(status.containerStatuses?.[0]?.state?.terminated?.exitCode).toBe(137);
      expect(await events(cluster, name)).toContain(`Evicted: ${message}`);
    }
  });

  test("containerd and its pods do not share a cgroup with anything else", async () => {
    const pid = readFileSync("/run/k3s/containerd/k3.pid", "utf8").trim();
    const groups = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
    const memory = groups.find((line) => isV2 || line.split(":")[1]?.split(",").includes("memory"));
    expect(memory?.split(":")[2]).toEndWith("/k3s/containerd");
  });
});
