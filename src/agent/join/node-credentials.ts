/** The certificates of a joined node: keys are made here and stay, the server signs. */
import { createPrivateKey } from "node:crypto";
import { writeCertificateRequest } from "../../pki/certificate-request.ts";
import { generateEcKey, keyToPem } from "../../pki/x509.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { SupervisorClient } from "./supervisor-client.ts";

export interface NodeKeyPair {
  readonly certFile: string;
  readonly keyFile: string;
  readonly certPem: string;
  readonly keyPem: string;
}

const names = [
  "client-kubelet",
  "serving-kubelet",
  "client-kube-proxy",
  "client-k3s-controller",
] as const;
type PairName = (typeof names)[number];

export interface NodeCredentials {
  readonly serverCaPem: string;
  readonly clientCaPem: string;
  readonly pairs: Readonly<Record<PairName, NodeKeyPair>>;
}

export interface CredentialOptions {
  readonly runtime: Runtime;
  readonly supervisor: SupervisorClient;
  /** `<data-dir>/agent`. */
  readonly dir: string;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly nodePassword: string;
}

/** Asks for all of them anew, as K3s does at each start: that also renews them. */
export async function requestCredentials(options: CredentialOptions): Promise<NodeCredentials> {
  const { runtime, supervisor, dir } = options;
  await runtime.files.mkdir(dir, 0o755);
  const headers = {
    "content-type": "application/octet-stream",
    "k3s-node-name": options.nodeName,
    "k3s-node-password": options.nodePassword,
    "k3s-node-ip": options.nodeIps.join(","),
  };
  const clientCaPem = await supervisor.get("/v1-k3s/client-ca.crt");
  const { serverCaPem } = supervisor;
  await runtime.files.writeAtomic(`${dir}/server-ca.crt`, serverCaPem, 0o644);
  await runtime.files.writeAtomic(`${dir}/client-ca.crt`, clientCaPem, 0o644);
  const pairs: Partial<Record<PairName, NodeKeyPair>> = {};
  for (const name of names) {
    const keyFile = `${dir}/${name}.key`;
    const certFile = `${dir}/${name}.crt`;
    const keyPem = await ensureKey(runtime, keyFile);
    const request = writeCertificateRequest(createPrivateKey(keyPem));
    const certPem = await supervisor.post(`/v1-k3s/${name}.crt`, request, headers);
    await runtime.files.writeAtomic(certFile, certPem, 0o644);
    pairs[name] = { certFile, keyFile, certPem, keyPem };
  }
  return { serverCaPem, clientCaPem, pairs: pairs as Record<PairName, NodeKeyPair> };
}

async function ensureKey({ files }: Runtime, file: string): Promise<string> {
  const known = await files.readText(file);
  if (known !== undefined) return known;
  const pem = keyToPem(await generateEcKey());
  await files.writeAtomic(file, pem, 0o600);
  return pem;
}
