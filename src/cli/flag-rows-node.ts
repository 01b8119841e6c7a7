/** Flags that concern the node itself: both roles take them. */
import { later, rows } from "./flag-row.ts";

export const node = rows("node", [
  ["node-name", "string", "Name of the node", { env: "K3S_NODE_NAME" }],
  ["with-node-id", "bool", "Append the id in /etc/rancher/node/id to the name"],
  ["node-label", "list", "Labels of the node (key=value)"],
  ["node-taint", "list", "Taints of the node at its first start (key=value:Effect)"],
  ["node-ip", "list", "Addresses of the node", { alias: "i", commas: true }],
  ["node-external-ip", "list", "External addresses of the node", { commas: true }],
  ["node-internal-dns", "list", "Internal names of the node", { commas: true }],
  ["node-external-dns", "list", "External names of the node", { commas: true }],
  [
    "resolv-conf",
    "string",
    "The kubelet's resolv.conf",
    {
      env: "K3S_RESOLV_CONF",
    },
  ],
  ["flannel-iface", "string", "Link to the other nodes (default: that of the node's address)"],
  ["flannel-conf", "string", "File with the overlay's configuration (net-conf.json)"],
  ["flannel-cni-conf", "string", "File with a CNI configuration in place of the generated one"],
  [
    "kubelet-arg",
    "list",
    "Argument for the kubelet: name=value",
    { note: "all of them; who cannot be changed says so (`src/cli/kubelet-fixed.ts`)" },
  ],
  ["kube-proxy-arg", "list", "Argument for the proxy", { unsupported: later.passThrough }],
  [
    "protect-kernel-defaults",
    "bool",
    "Fail rather than change kernel settings",
    {
      unsupported: "k3 sets the kernel settings it needs in this version",
    },
  ],
  [
    "selinux",
    "bool",
    "SELinux labels for containers",
    {
      env: "K3S_SELINUX",
      unsupported: "SELinux is not supported by this version",
    },
  ],
  [
    "lb-server-port",
    "int",
    "Local port of the client load balancer",
    {
      env: "K3S_LB_SERVER_PORT",
      default: "6444",
      note: "a server has no use for it",
    },
  ],
]);

export const runtime = rows("runtime", [
  [
    "container-runtime-endpoint",
    "string",
    "Socket of another container runtime",
    {
      unsupported: later.containerd,
    },
  ],
  [
    "image-service-endpoint",
    "string",
    "Socket of another image service",
    {
      unsupported: later.containerd,
    },
  ],
  ["docker", "bool", "Run containers by Docker", { unsupported: later.containerd }],
  ["default-runtime", "string", "Runtime of containers", { unsupported: later.containerd }],
  ["snapshotter", "string", "Snapshotter of containerd", { unsupported: later.containerd }],
  ["pause-image", "string", "Image of pod sandboxes"],
  [
    "private-registry",
    "string",
    "Registry configuration",
    {
      default: "/etc/rancher/k3s/registries.yaml",
    },
  ],
  ["disable-default-registry-endpoint", "bool", "Mirrors only"],
  [
    "nonroot-devices",
    "bool",
    "Devices owned by the pod's user",
    {
      unsupported: later.containerd,
    },
  ],
  [
    "airgap-extra-registry",
    "list",
    "More names for imported images",
    {
      hidden: true,
      unsupported: later.resources,
    },
  ],
  [
    "image-credential-provider-bin-dir",
    "string",
    "Folder of credential providers",
    { default: "/var/lib/rancher/credentialprovider/bin" },
  ],
  [
    "image-credential-provider-config",
    "string",
    "Configuration of credential providers",
    { default: "/var/lib/rancher/credentialprovider/config.yaml" },
  ],
]);

export const experimental = rows("experimental", [
  [
    "vpn-auth",
    "string",
    "Credentials of a VPN",
    {
      env: "K3S_VPN_AUTH",
      unsupported: later.vpn,
    },
  ],
  [
    "vpn-auth-file",
    "string",
    "File with credentials of a VPN",
    {
      env: "K3S_VPN_AUTH_FILE",
      unsupported: later.vpn,
    },
  ],
]);
