/** The text of containerd's configuration file: what K3s sets, and what a small machine can do. */

export interface ContainerdConfig {
  readonly root: string;
  readonly state: string;
  readonly socketPath: string;
  readonly binDir: string;
  readonly cniBinDir: string;
  readonly cniConfDir: string;
  readonly registryConfigDir: string;
  readonly pauseImage: string;
  readonly snapshotter: "overlayfs" | "native";
  readonly systemdCgroup: boolean;
  /** True where the process lacks CAP_SYS_RESOURCE: scores are then never lowered. */
  readonly restrictOomScore: boolean;
  readonly streamPort: number;
  /** The cgroup containerd and its shims move to; undefined leaves them in ours. */
  readonly cgroup: string | undefined;
}

type Value = string | number | boolean | readonly string[];
type Section = readonly [header: string, entries: Readonly<Record<string, Value>>];

function toml(value: Value): string {
  // JSON strings are TOML basic strings as long as no DEL or lone surrogate occurs in a path.
  return JSON.stringify(value);
}

function sections(config: ContainerdConfig): readonly Section[] {
  const runtime = "plugins.'io.containerd.cri.v1.runtime'";
  const images = "plugins.'io.containerd.cri.v1.images'";
  return [
    ["grpc", { address: config.socketPath }],
    ...(config.cgroup === undefined ? [] : [["cgroup", { path: config.cgroup }] as const]),
    ["plugins.'io.containerd.internal.v1.opt'", { path: `${config.root}/opt` }],
    // The node resource interface would listen on a path shared with other containerds.
    ["plugins.'io.containerd.nri.v1.nri'", { disable: true }],
    [
      "plugins.'io.containerd.grpc.v1.cri'",
      { stream_server_address: "127.0.0.1", stream_server_port: `${config.streamPort}` },
    ],
    [
      runtime,
      {
        enable_unprivileged_ports: true,
        enable_unprivileged_icmp: true,
        enable_selinux: false,
        tolerate_missing_hugetlb_controller: true,
        device_ownership_from_security_context: false,
        restrict_oom_score_adj: config.restrictOomScore,
      },
    ],
    [
      `${runtime}.cni`,
      {
        bin_dirs: [config.cniBinDir],
        conf_dir: config.cniConfDir,
        // One program less to run for every pod.
        use_internal_loopback: true,
      },
    ],
    [`${runtime}.containerd`, { default_runtime_name: "runc" }],
    [`${runtime}.containerd.runtimes.runc`, { runtime_type: "io.containerd.runc.v2" }],
    [
      `${runtime}.containerd.runtimes.runc.options`,
      {
        BinaryName: `${config.binDir}/runc`,
        // Beside containerd's own state, so that nothing of ours lies in the folder of another.
        Root: `${config.state}/runc`,
        SystemdCgroup: config.systemdCgroup,
      },
    ],
    [images, { snapshotter: config.snapshotter, disable_snapshot_annotations: true }],
    [`${images}.pinned_images`, { sandbox: config.pauseImage }],
    [`${images}.registry`, { config_path: config.registryConfigDir }],
  ];
}

/** Snapshotters and tracers that are never used cost start time when they are probed. */
const pluginsDisabled = [
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
] as const;

/** The whole file, version 3 of containerd's schema. */
export function renderContainerdConfig(config: ContainerdConfig): string {
  const head = [
    "# Written by k3 at every start: changes made here are lost.",
    "version = 3",
    `root = ${toml(config.root)}`,
    `state = ${toml(config.state)}`,
    `disabled_plugins = ${toml(pluginsDisabled)}`,
  ];
  const body = sections(config).map(([header, entries]) =>
    [`[${header}]`, ...Object.entries(entries).map(([key, v]) => `  ${key} = ${toml(v)}`)].join(
      "\n",
    ),
  );
  return `${[head.join("\n"), ...body].join("\n\n")}\n`;
}
