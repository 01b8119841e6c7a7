/** The kernel options that K3s's check-config asks for, and the verdict on each. */

export interface Check {
  readonly name: string;
  readonly state: "pass" | "warn" | "fail";
  readonly note?: string;
}

export interface KernelOption {
  readonly option: string;
  readonly required: boolean;
  /** What a running kernel shows when it has the option. */
  readonly path?: string;
}

const shownBy: Readonly<Record<string, string>> = {
  NET_NS: "/proc/self/ns/net",
  PID_NS: "/proc/self/ns/pid",
  IPC_NS: "/proc/self/ns/ipc",
  UTS_NS: "/proc/self/ns/uts",
  USER_NS: "/proc/self/ns/user",
  CGROUPS: "/proc/cgroups",
  CPUSETS: "/proc/self/cpuset",
  SECCOMP: "/proc/sys/kernel/seccomp",
  KEYS: "/proc/keys",
  BRIDGE_NETFILTER: "/proc/sys/net/bridge",
  POSIX_MQUEUE: "/proc/sys/fs/mqueue",
};

const required = `NAMESPACES NET_NS PID_NS IPC_NS UTS_NS CGROUPS CGROUP_PIDS CGROUP_CPUACCT
  CGROUP_DEVICE CGROUP_FREEZER CGROUP_SCHED CPUSETS MEMCG SECCOMP KEYS VETH BRIDGE BRIDGE_NETFILTER
  NF_TABLES NF_NAT NF_CONNTRACK POSIX_MQUEUE OVERLAY_FS`;
/** K3s needs the iptables ones; k3 speaks nftables, images with iptables inside may want them. */
const optional = `USER_NS BLK_CGROUP BLK_DEV_THROTTLING CGROUP_PERF CGROUP_HUGETLB NET_CLS_CGROUP
  CFS_BANDWIDTH FAIR_GROUP_SCHED RT_GROUP_SCHED IP_NF_FILTER IP_NF_TARGET_MASQUERADE
  IP_NF_TARGET_REJECT NETFILTER_XT_MATCH_ADDRTYPE NETFILTER_XT_MATCH_CONNTRACK
  NETFILTER_XT_MATCH_IPVS NETFILTER_XT_MATCH_COMMENT NETFILTER_XT_MATCH_MULTIPORT
  NETFILTER_XT_MATCH_STATISTIC IP_NF_NAT IP_SET IP_VS IP_VS_NFCT IP_VS_PROTO_TCP IP_VS_PROTO_UDP
  IP_VS_RR EXT4_FS EXT4_FS_POSIX_ACL EXT4_FS_SECURITY VXLAN CRYPTO CRYPTO_AEAD CRYPTO_GCM
  CRYPTO_SEQIV CRYPTO_GHASH XFRM XFRM_USER XFRM_ALGO INET_ESP INET_XFRM_MODE_TRANSPORT`;

const rowsOf = (words: string, isRequired: boolean): readonly KernelOption[] =>
  words.split(/\s+/).map((option) => {
    const path = shownBy[option];
    return { option, required: isRequired, ...(path === undefined ? {} : { path }) };
  });

export const kernelOptions: readonly KernelOption[] = [
  ...rowsOf(required, true),
  ...rowsOf(optional, false),
];

/** `CONFIG_X=y` and `CONFIG_X=m` lines; all others mean no. */
export function parseKernelConfig(text: string): ReadonlyMap<string, "y" | "m"> {
  const options = new Map<string, "y" | "m">();
  for (const [, name = "", value] of text.matchAll(/^CONFIG_(\w+)=([ym])$/gm)) {
    options.set(name, value === "y" ? "y" : "m");
  }
  return options;
}

export function checkKernel(config: ReadonlyMap<string, "y" | "m">): readonly Check[] {
  return kernelOptions.map((row) => verdict(row, config.get(row.option)));
}

function verdict(row: KernelOption, value: "y" | "m" | undefined): Check {
  const name = `CONFIG_${row.option}`;
  switch (value) {
    case "y":
      return { name, state: "pass", note: "enabled" };
    case "m":
      return { name, state: "pass", note: "enabled as a module" };
    case undefined:
      return { name, state: row.required ? "fail" : "warn", note: "missing" };
  }
}
