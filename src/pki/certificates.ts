/** The table of every authority and leaf certificate that a K3s server keeps. */
import type { CertificateUsage, SubjectAltNames } from "./x509.ts";

export const authorityNames = [
  "server-ca",
  "client-ca",
  "request-header-ca",
  "etcd/server-ca",
  "etcd/peer-ca",
] as const;
export type AuthorityName = (typeof authorityNames)[number];

/** `k3s-server-ca@1790000000`: the time makes two clusters' authorities tell apart. */
export function authorityCommonName(name: AuthorityName, now: Date): string {
  return `k3s-${name.replace("/", "-")}@${Math.floor(now.getTime() / 1000)}`;
}

/** What the rows that depend on the node and the cluster are made from. */
export interface CertificateContext {
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly serviceIp: string;
  readonly clusterDomain: string;
  readonly tlsSans: readonly string[];
}

interface LeafRow {
  /** Below `server/tls` or `agent`, without its ending. */
  readonly file: string;
  readonly folder: "server" | "agent";
  readonly signer: AuthorityName;
  readonly usage: CertificateUsage;
  readonly commonName: string | ((context: CertificateContext) => string);
  readonly organization?: string;
  readonly sans?: (context: CertificateContext) => SubjectAltNames;
}

const loopback: SubjectAltNames = { dnsNames: ["localhost"], ips: ["127.0.0.1", "::1"] };
const isIp = (text: string): boolean => /^[\d.]+$|:/.test(text);

function nodeSans({ nodeName, nodeIps }: CertificateContext): SubjectAltNames {
  return { dnsNames: [nodeName, "localhost"], ips: [...nodeIps, "127.0.0.1", "::1"] };
}

function apiServerSans(context: CertificateContext): SubjectAltNames {
  const service = "kubernetes.default.svc";
  return {
    dnsNames: [
      "kubernetes",
      "kubernetes.default",
      service,
      `${service}.${context.clusterDomain}`,
      "localhost",
      context.nodeName,
      ...context.tlsSans.filter((name) => !isIp(name)),
    ],
    ips: [
      context.serviceIp,
      "127.0.0.1",
      "::1",
      ...context.nodeIps,
      ...context.tlsSans.filter(isIp),
    ],
  };
}

function etcdSans(context: CertificateContext): SubjectAltNames {
  const { dnsNames, ips } = nodeSans(context);
  return { dnsNames: [...dnsNames, "kine.sock"], ips };
}

const client = { folder: "server", signer: "client-ca", usage: "client" } as const;
const agentClient = { ...client, folder: "agent" } as const;
const server = { folder: "server", signer: "server-ca", usage: "server" } as const;
const masters = "system:masters";

export const leafRows = {
  "client-admin": { ...client, commonName: "system:admin", organization: masters },
  "client-supervisor": {
    ...client,
    commonName: "system:k3s-supervisor",
    organization: masters,
  },
  "client-controller": { ...client, commonName: "system:kube-controller-manager" },
  "client-scheduler": { ...client, commonName: "system:kube-scheduler" },
  "client-kube-apiserver": { ...client, commonName: "system:apiserver", organization: masters },
  "client-k3s-cloud-controller": { ...client, commonName: "k3s-cloud-controller-manager" },
  "client-kubelet": {
    ...agentClient,
    commonName: ({ nodeName }) => `system:node:${nodeName}`,
    organization: "system:nodes",
  },
  "client-kube-proxy": { ...agentClient, commonName: "system:kube-proxy" },
  "client-k3s-controller": { ...agentClient, commonName: "system:k3s-controller" },
  "client-auth-proxy": {
    ...client,
    signer: "request-header-ca",
    commonName: "system:auth-proxy",
  },
  "serving-kube-apiserver": { ...server, commonName: "kube-apiserver", sans: apiServerSans },
  "kube-scheduler": {
    ...server,
    file: "kube-scheduler/kube-scheduler",
    commonName: "kube-scheduler",
    sans: () => loopback,
  },
  "kube-controller-manager": {
    ...server,
    file: "kube-controller-manager/kube-controller-manager",
    commonName: "kube-controller-manager",
    sans: () => loopback,
  },
  "serving-kubelet": {
    ...server,
    folder: "agent",
    commonName: ({ nodeName }) => nodeName,
    sans: nodeSans,
  },
  "etcd/server-client": {
    ...server,
    signer: "etcd/server-ca",
    usage: "server and client",
    commonName: "etcd-server",
    sans: etcdSans,
  },
  "etcd/client": { ...client, signer: "etcd/server-ca", commonName: "etcd-client" },
  "etcd/peer-server-client": {
    ...server,
    signer: "etcd/peer-ca",
    usage: "server and client",
    commonName: "etcd-peer",
    sans: nodeSans,
  },
} as const satisfies Record<string, Omit<LeafRow, "file"> & { readonly file?: string }>;

export type LeafName = keyof typeof leafRows;
export const leafNames = Object.keys(leafRows) as readonly LeafName[];

/** A row with everything that depended on the context filled in. */
export interface Leaf {
  readonly name: LeafName;
  readonly file: string;
  readonly folder: "server" | "agent";
  readonly signer: AuthorityName;
  readonly usage: CertificateUsage;
  readonly subject: { readonly commonName: string; readonly organizations: readonly string[] };
  readonly sans: SubjectAltNames;
}

export function leafOf(name: LeafName, context: CertificateContext): Leaf {
  const row: Omit<LeafRow, "file"> & { readonly file?: string } = leafRows[name];
  const { commonName, organization } = row;
  const sans = row.sans?.(context) ?? { dnsNames: [], ips: [] };
  return {
    name,
    file: row.file ?? name,
    folder: row.folder,
    signer: row.signer,
    usage: row.usage,
    subject: {
      commonName: typeof commonName === "string" ? commonName : commonName(context),
      organizations: organization === undefined ? [] : [organization],
    },
    sans: { dnsNames: [...new Set(sans.dnsNames)], ips: [...new Set(sans.ips)] },
  };
}
