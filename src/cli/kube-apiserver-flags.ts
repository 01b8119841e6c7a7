/** The flags of upstream's kube-apiserver that k3 called by that name understands. */
import { apiServerArgs } from "./apiserver-args.ts";
import { type FlagRow, rows } from "./flag-row.ts";
import type { GivenFlag } from "./flags.ts";

const fixed = "Taken, and without effect: k3 serves what upstream serves by default";

const ownFlags = [
  ...rows("listener", [
    ["bind-address", "string", "Address to listen on", { default: "0.0.0.0" }],
    ["secure-port", "int", "Port to listen on", { default: "6443" }],
    ["advertise-address", "string", "Address that the kubernetes Service leads to"],
    [
      "cert-dir",
      "string",
      "Folder of apiserver.crt and apiserver.key, which are made when missing",
      { default: "/var/run/kubernetes" },
    ],
    ["tls-cert-file", "string", "Certificate to show, in place of that in --cert-dir"],
    ["tls-private-key-file", "string", "Its key"],
  ]),
  ...rows("database", [["etcd-servers", "list", "URL of k3 called etcd", { commas: true }]]),
  ...rows("networking", [
    [
      "service-cluster-ip-range",
      "list",
      "IPs of services",
      { default: "10.0.0.0/24", commas: true },
    ],
    ["service-node-port-range", "string", "Ports of NodePort services", { default: "30000-32767" }],
  ]),
  ...rows("client", [
    ["client-ca-file", "string", "Authorities of client certificates"],
    ["proxy-client-cert-file", "string", "Certificate that aggregated API servers are shown"],
    ["proxy-client-key-file", "string", "Its key"],
    ["service-account-key-file", "list", "Keys by which these tokens are verified"],
    ["service-account-signing-key-file", "string", "Key by which they are signed"],
  ]),
  ...rows("components", [
    ["allow-privileged", "bool", fixed],
    ["feature-gates", "list", fixed, { commas: true }],
    ["runtime-config", "list", fixed, { commas: true }],
    ["storage-media-type", "string", fixed],
    ["service-account-lookup", "bool", fixed],
  ]),
  ...rows("general", [
    ["v", "int", "Verbosity of the log, debug from 4 on", { default: "0" }],
    ["vmodule", "string", "Verbosity by component, as PATTERN=N,..."],
  ]),
];

/** The arguments that `k3 server` takes by this flag are flags of their own here. */
const argumentFlag = "kube-apiserver-arg";

const sharedFlags: readonly FlagRow[] = Object.entries(apiServerArgs).map(([name, arg]) => ({
  name,
  type: "isSwitch" in arg ? "bool" : "string",
  group: "components",
  help: `As --${argumentFlag} of k3 server`,
}));

export const kubeApiserverFlags: readonly FlagRow[] = [
  ...ownFlags,
  ...sharedFlags,
  { name: argumentFlag, type: "list", group: "components", help: "Another flag", hidden: true },
];

/** `given`, its shared flags in the form in which `k3 server` takes them. */
export function asServerFlags(given: readonly GivenFlag[]): readonly GivenFlag[] {
  const shared = new Set(sharedFlags.map(({ name }) => name));
  return given.map((flag) =>
    shared.has(flag.name)
      ? { ...flag, name: argumentFlag, value: `${flag.name}=${flag.value}` }
      : flag,
  );
}
