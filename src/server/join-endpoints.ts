/** What a joining node asks its server for: the cluster's settings, and certificates of its own. */

import ipaddr from "ipaddr.js";
import { subdomainErrors } from "../lib/names.ts";
import { decodeCertificateRequest } from "../pki/certificate-request.ts";
import { type LeafName, leafOf } from "../pki/certificates.ts";
import type { Pki } from "../pki/ensure.ts";
import { issueLeaf, leafDaysDefault } from "../pki/ensure.ts";
import { issuerOf } from "../pki/x509.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { NodePasswords } from "./node-passwords.ts";
import type { ServerOptions } from "./options.ts";

/** Below `/v1-k3s/`, and whether the certificate tells which node its holder is. */
export const nodeCertificates = {
  "serving-kubelet.crt": { leaf: "serving-kubelet", isOfNode: true },
  "client-kubelet.crt": { leaf: "client-kubelet", isOfNode: true },
  "client-kube-proxy.crt": { leaf: "client-kube-proxy", isOfNode: false },
  "client-k3s-controller.crt": { leaf: "client-k3s-controller", isOfNode: false },
} as const satisfies Record<string, { readonly leaf: LeafName; readonly isOfNode: boolean }>;

/** What is wrong with a request for a certificate, by the status that says so. */
export class JoinError extends Error {
  override readonly name = "JoinError";
  constructor(
    readonly status: 400 | 403,
    message: string,
  ) {
    super(message);
  }
}

export interface CertificateAsk {
  readonly file: keyof typeof nodeCertificates;
  readonly headers: Headers;
  /** PKCS #10, as it came. */
  readonly body: Uint8Array;
  /** The node whose certificate was shown; undefined when it was asked with a token. */
  readonly certifiedNode: string | undefined;
}

export interface CertificateDesk {
  readonly authorities: Pki["authorities"];
  readonly passwords: NodePasswords;
  readonly clock: Clock;
  readonly clusterDomain: string;
  readonly serviceIp: string;
  readonly leafDays: number | undefined;
}

/** The certificate and its authority's; throws JoinError for who may not have it. */
export async function issueToNode(desk: CertificateDesk, ask: CertificateAsk): Promise<string> {
  const { leaf: name, isOfNode } = nodeCertificates[ask.file];
  const node = isOfNode ? await checkedNode(desk.passwords, ask) : { nodeName: "", nodeIps: [] };
  const publicKey = publicKeyOf(ask.body);
  const { authorities, serviceIp, clusterDomain } = desk;
  const leaf = leafOf(name, { ...node, serviceIp, clusterDomain, tlsSans: [] });
  const authority = authorities[leaf.signer];
  const issuer = issuerOf(authority.certPem, authority.keyPem);
  const now = desk.clock.now();
  const days = desk.leafDays ?? leafDaysDefault;
  return issueLeaf(leaf, { issuer, publicKey, now, days }) + authority.certPem;
}

function publicKeyOf(body: Uint8Array) {
  try {
    const request = decodeCertificateRequest(body);
    if (!request.isSigned) throw new RangeError("it is not signed by the key it is for");
    return request.publicKey;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new JoinError(400, `invalid certificate request: ${error.message}`);
  }
}

async function checkedNode(
  passwords: NodePasswords,
  { headers, certifiedNode }: CertificateAsk,
): Promise<{ readonly nodeName: string; readonly nodeIps: readonly string[] }> {
  const nodeName = (headers.get("k3s-node-name") ?? "").toLowerCase();
  if (nodeName === "") throw new JoinError(400, "node name not set");
  const [problem] = subdomainErrors(nodeName);
  if (problem !== undefined) throw new JoinError(400, `invalid node name: ${problem}`);
  const password = headers.get("k3s-node-password") ?? "";
  if (password === "") throw new JoinError(400, "node password not set");
  const nodeIps = (headers.get("k3s-node-ip") ?? "").split(",").filter((text) => text !== "");
  for (const ip of nodeIps)
    if (!isAddress(ip)) throw new JoinError(400, `invalid node IP ${JSON.stringify(ip)}`);
  if (certifiedNode !== undefined) {
    if (certifiedNode !== nodeName)
      throw new JoinError(403, "header node name does not match auth node name");
    if (!(await passwords.isKnownNode(nodeName)))
      throw new JoinError(403, `node ${nodeName} is not a member of this cluster any more`);
  }
  if (!(await passwords.accepts(nodeName, password)))
    throw new JoinError(
      403,
      `unable to verify password for node ${nodeName}: hash does not match. ` +
        `Delete the node, or keep the file /etc/rancher/node/password of its machine`,
    );
  return { nodeName, nodeIps };
}

function isAddress(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text);
}

/** `/v1-k3s/config`: the settings of the cluster under K3s' names, those an agent goes by. */
export function clusterSettings(options: ServerOptions): Readonly<Record<string, unknown>> {
  const clusterRanges = options.clusterCidrs.map(goNetwork);
  const serviceRanges = options.serviceCidrs.map(goNetwork);
  const { first, last } = options.serviceNodePortRange;
  return {
    ClusterIPRange: clusterRanges[0],
    ClusterIPRanges: clusterRanges,
    ServiceIPRange: serviceRanges[0],
    ServiceIPRanges: serviceRanges,
    ClusterDNS: options.clusterDns[0],
    ClusterDNSs: options.clusterDns,
    ClusterDomain: options.clusterDomain,
    DisableKubeProxy: options.disableKubeProxy,
    DisableNPC: options.disableNetworkPolicy,
    DisableServiceLB: options.disable.has("servicelb"),
    Disables: Object.fromEntries([...options.disable].map((name) => [name, true])),
    FlannelBackend: options.flannel.backend,
    FlannelIPv6Masq: options.flannel.masqueradesIpv6,
    FlannelExternalIP: options.flannel.usesExternalIp,
    EgressSelectorMode: options.egressSelectorMode,
    HTTPSPort: options.httpsListenPort,
    SupervisorPort: options.httpsListenPort,
    AdvertisePort: options.advertise.port,
    ServiceNodePortRange: { Base: first, Size: last - first + 1 },
  };
}

/** A range as Go writes its net.IPNet: the mask is bytes. */
function goNetwork(cidr: string): { readonly IP: string; readonly Mask: string } {
  const [address, prefix] = ipaddr.parseCIDR(cidr);
  const mask =
    address.kind() === "ipv4"
      ? ipaddr.IPv4.subnetMaskFromPrefixLength(prefix)
      : ipaddr.IPv6.subnetMaskFromPrefixLength(prefix);
  return {
    IP: address.toString(),
    Mask: Buffer.from(mask.toByteArray()).toString("base64"),
  };
}
