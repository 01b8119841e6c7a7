/** Every flag of `k3s server` and `k3s agent`: what is asked for, and whether k3 has it. */
import { type FlagRow, type FlagType, later, type RowOptions, rows } from "./flag-row.ts";
import { experimental, node, runtime } from "./flag-rows-node.ts";

/** Flags of the process itself, good for both roles. */
const general = rows("general", [
  [
    "config",
    "string",
    "Load configuration from this file",
    {
      alias: "c",
      env: "K3S_CONFIG_FILE",
      default: "/etc/rancher/k3s/config.yaml",
    },
  ],
  ["data-dir", "string", "Folder to hold state", { alias: "d", env: "K3S_DATA_DIR" }],
  ["debug", "bool", "Turn on debug logs", { env: "K3S_DEBUG" }],
  ["v", "int", "Log level verbosity; 4 and more is as --debug", { default: "0" }],
  ["vmodule", "string", "Log levels of single components (kubelet=4,sched*=4)"],
  ["log", "string", "Log to this file", { alias: "l" }],
  ["alsologtostderr", "bool", "Log to standard error as well as to the file"],
  [
    "prefer-bundled-bin",
    "bool",
    "Prefer bundled programs over those of the host",
    { note: "k3 always does" },
  ],
]);

const listener = rows("listener", [
  ["bind-address", "string", "Address to listen on", { default: "0.0.0.0" }],
  ["https-listen-port", "int", "Port of the Kubernetes API", { default: "6443" }],
  [
    "supervisor-port",
    "int",
    "Port of the supervisor",
    {
      env: "K3S_SUPERVISOR_PORT",
      hidden: true,
      unsupported: later.split,
    },
  ],
  [
    "apiserver-port",
    "int",
    "Internal port of the API server",
    {
      env: "K3S_APISERVER_PORT",
      hidden: true,
      unsupported: later.split,
    },
  ],
  [
    "apiserver-bind-address",
    "string",
    "Internal address of the API server",
    {
      env: "K3S_APISERVER_BIND_ADDRESS",
      hidden: true,
      unsupported: later.split,
    },
  ],
  ["advertise-address", "string", "Address that the kubernetes Service leads to"],
  ["advertise-port", "int", "Port that the kubernetes Service leads to"],
  ["tls-san", "list", "More names and addresses for the serving certificate", { commas: true }],
  [
    "tls-san-security",
    "bool",
    "Refuse names that nobody asked for in the certificate",
    {
      default: "true",
      refusedNo: "the certificate holds no other names than those given; give them by --tls-san",
    },
  ],
]);

const networking = rows("networking", [
  [
    "cluster-cidr",
    "list",
    "Addresses of pods, a range of each IP family (default: 10.42.0.0/16)",
    { commas: true },
  ],
  [
    "service-cidr",
    "list",
    "Addresses of services, a range of each IP family (default: 10.43.0.0/16)",
    { commas: true },
  ],
  [
    "service-node-port-range",
    "string",
    "Ports for NodePort services",
    {
      default: "30000-32767",
    },
  ],
  [
    "cluster-dns",
    "list",
    "Addresses of the cluster DNS, inside the service CIDRs",
    {
      commas: true,
    },
  ],
  ["cluster-domain", "string", "DNS suffix of the cluster", { default: "cluster.local" }],
  [
    "flannel-backend",
    "string",
    "none, vxlan, host-gw or wireguard-native",
    { default: "vxlan", note: "none leaves the CNI configuration to you" },
  ],
  ["flannel-ipv6-masq", "bool", "Masquerade the IPv6 of pods that leaves the cluster"],
  ["flannel-external-ip", "bool", "Overlay over the external addresses of nodes"],
  [
    "egress-selector-mode",
    "string",
    "agent, cluster, pod or disabled",
    {
      default: "agent",
      note: "all but disabled reach kubelets by tunnels; pods and services are always dialled",
    },
  ],
  [
    "servicelb-namespace",
    "string",
    "Namespace of the load balancer's pods",
    {
      default: "kube-system",
      unsupported: "the load balancer has no pods in this version",
    },
  ],
]);

const client = rows("client", [
  [
    "write-kubeconfig",
    "string",
    "Write the admin's kubeconfig to this file",
    {
      alias: "o",
      env: "K3S_KUBECONFIG_OUTPUT",
      default: "/etc/rancher/k3s/k3s.yaml",
    },
  ],
  [
    "write-kubeconfig-mode",
    "string",
    "Mode of that file",
    {
      env: "K3S_KUBECONFIG_MODE",
      default: "0600",
    },
  ],
  [
    "write-kubeconfig-group",
    "string",
    "Group of that file",
    {
      env: "K3S_KUBECONFIG_GROUP",
    },
  ],
  [
    "write-kubeconfig-name",
    "string",
    "Name of cluster, user and context in it",
    {
      env: "K3S_KUBECONFIG_NAME",
      default: "default",
    },
  ],
]);

const token = rows("cluster", [
  ["token", "string", "Secret by which nodes join", { alias: "t", env: "K3S_TOKEN" }],
  ["token-file", "string", "File with that secret", { env: "K3S_TOKEN_FILE" }],
]);

const server: readonly [string, FlagType, string] = ["server", "string", "Server to join"];
const serverRow = { alias: "s", env: "K3S_URL" };

const cluster = rows("cluster", [
  [...server, { ...serverRow, unsupported: later.join }],
  ["agent-token", "string", "Secret by which only agents join", { env: "K3S_AGENT_TOKEN" }],
  ["agent-token-file", "string", "File with that secret", { env: "K3S_AGENT_TOKEN_FILE" }],
  [
    "cluster-init",
    "bool",
    "Start embedded etcd",
    {
      env: "K3S_CLUSTER_INIT",
      unsupported: later.etcd,
    },
  ],
  [
    "cluster-reset",
    "bool",
    "Forget all other members",
    {
      env: "K3S_CLUSTER_RESET",
      unsupported: later.etcd,
    },
  ],
  ["cluster-reset-restore-path", "string", "Snapshot to restore", { unsupported: later.etcd }],
]);

const database = rows("database", [
  [
    "datastore-endpoint",
    "string",
    "Where to store the data; empty is SQLite",
    {
      env: "K3S_DATASTORE_ENDPOINT",
    },
  ],
  ...(["cafile", "certfile", "keyfile"] as const).map(
    (name) =>
      [
        `datastore-${name}`,
        "string",
        "TLS to the database",
        {
          env: `K3S_DATASTORE_${name.toUpperCase()}`,
          unsupported: later.external,
        },
      ] as const,
  ),
  ["kine-tls", "bool", "TLS on the kine socket", { hidden: true, unsupported: later.external }],
  ["etcd-expose-metrics", "bool", "Metrics of etcd to the network", { unsupported: later.etcd }],
  [
    "etcd-disable-snapshots",
    "bool",
    "No snapshots on schedule",
    { note: "there are none in this version" },
  ],
  ...snapshotRows(),
]);

function snapshotRows(): readonly (readonly [string, FlagType, string, RowOptions])[] {
  const unsupported = later.snapshot;
  const plain = (
    name: string,
    type: FlagType,
    help: string,
  ): readonly [string, FlagType, string, RowOptions] => [
    `etcd-${name}`,
    type,
    help,
    { unsupported },
  ];
  return [
    plain("snapshot-name", "string", "Base name of snapshots"),
    plain("snapshot-schedule-cron", "string", "When to make snapshots"),
    plain("snapshot-reconcile-interval", "string", "How often to look for snapshots"),
    plain("snapshot-retention", "int", "How many snapshots to keep"),
    plain("snapshot-dir", "string", "Where to keep snapshots"),
    plain("snapshot-compress", "bool", "Compress snapshots"),
    plain("s3", "bool", "Keep snapshots in S3 too"),
    plain("s3-endpoint", "string", "S3: host"),
    plain("s3-endpoint-ca", "string", "S3: certificate authority"),
    plain("s3-skip-ssl-verify", "bool", "S3: believe any certificate"),
    plain("s3-access-key", "string", "S3: access key"),
    plain("s3-secret-key", "string", "S3: secret key"),
    plain("s3-session-token", "string", "S3: session token"),
    plain("s3-bucket", "string", "S3: bucket"),
    plain("s3-bucket-lookup-type", "string", "S3: auto, dns or path"),
    plain("s3-region", "string", "S3: region"),
    plain("s3-folder", "string", "S3: prefix of names"),
    plain("s3-retention", "int", "S3: how many snapshots to keep"),
    plain("s3-proxy", "string", "S3: proxy"),
    plain("s3-config-secret", "string", "S3: Secret with these settings"),
    plain("s3-insecure", "bool", "S3: without TLS"),
    plain("s3-timeout", "string", "S3: time limit"),
  ];
}

const components = rows("components", [
  ["disable", "list", "Built-in services not to run", { commas: true }],
  ["disable-scheduler", "bool", "Do not run the scheduler"],
  [
    "disable-cloud-controller",
    "bool",
    "Do not run the built-in cloud controller",
    { note: "there is none in this version" },
  ],
  ["disable-kube-proxy", "bool", "Do not run the service proxy"],
  ["disable-network-policy", "bool", "Do not enforce network policies"],
  [
    "disable-helm-controller",
    "bool",
    "Do not run the Helm controller",
    { note: "there is none in this version" },
  ],
  ["disable-apiserver", "bool", "Server without API", { hidden: true, unsupported: later.etcd }],
  ["disable-controller-manager", "bool", "Do not run the controllers", { hidden: true }],
  ["disable-etcd", "bool", "Server without etcd", { hidden: true, unsupported: later.etcd }],
  ["disable-agent", "bool", "Do not run pods on this server", { hidden: true }],
  ["embedded-registry", "bool", "Share images between nodes", { unsupported: later.join }],
  ["supervisor-metrics", "bool", "Metrics on the supervisor port", { unsupported: later.split }],
  [
    "system-default-registry",
    "string",
    "Registry of the built-in images",
    {
      env: "K3S_SYSTEM_DEFAULT_REGISTRY",
      unsupported: later.resources,
    },
  ],
  [
    "default-local-storage-path",
    "string",
    "Folder of local volumes (default: storage in the data folder)",
  ],
  [
    "helm-job-image",
    "string",
    "Image of Helm jobs",
    {
      unsupported: "Helm charts come with a later version",
    },
  ],
  ["kube-scheduler-arg", "list", "Argument for kube-scheduler: config=FILE"],
  [
    "kube-controller-manager-arg",
    "list",
    "Argument for kube-controller-manager: allocate-node-cidrs=BOOL",
  ],
  [
    "kube-apiserver-arg",
    "list",
    "Argument for kube-apiserver: name=value",
    { note: "the arguments at the end of this page; any other is refused" },
  ],
  ...[
    "etcd",
    "helm-controller",
    "kube-cloud-controller-manager",
    "kube-controller",
    "kube-cloud-controller",
  ].map(
    (name) =>
      [`${name}-arg`, "list", `Argument for ${name}`, { unsupported: later.passThrough }] as const,
  ),
  [
    "secrets-encryption",
    "bool",
    "Encrypt Secrets in the store",
    {
      unsupported: "encryption of Secrets comes with a later version",
    },
  ],
  [
    "secrets-encryption-provider",
    "string",
    "aescbc or secretbox",
    {
      unsupported: "encryption of Secrets comes with a later version",
    },
  ],
  [
    "rootless",
    "bool",
    "Run without root",
    {
      unsupported: "this version needs root",
    },
  ],
  ["enable-pprof", "bool", "Profiles on the supervisor port", { unsupported: later.split }],
]);

const shared = [...general, ...token, ...node, ...runtime, ...experimental];

export const serverFlags: readonly FlagRow[] = [
  ...shared,
  ...listener,
  ...networking,
  ...client,
  ...cluster,
  ...database,
  ...components,
];

const onAgents: ReadonlySet<string> = new Set(["bind-address", "rootless", "enable-pprof"]);

export const agentFlags: readonly FlagRow[] = [
  ...shared,
  ...rows("cluster", [[...server, serverRow]]),
  ...[...listener, ...components].filter(({ name }) => onAgents.has(name)),
  ...rows("experimental", [
    [
      "disable-apiserver-lb",
      "bool",
      "Connect to the server directly",
      {
        unsupported: "the way to the server is always by the port on loopback",
      },
    ],
  ]),
];
