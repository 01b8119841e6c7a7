/** The kubeconfigs that K3s' users and tools expect, in their form and places. */
import { stringify } from "yaml";
import type { KeyPair, Pki } from "../pki/ensure.ts";
import type { Host } from "../runtime/host.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { KubeconfigFile } from "./options.ts";

export interface KubeconfigOptions {
  readonly server: string;
  readonly serverCaPem: string;
  readonly client: Pick<KeyPair, "certPem" | "keyPem">;
  /** Of cluster, user and context. */
  readonly name: string;
}

/** The admin's: everything is inside, so that it can be copied to other machines. */
export function kubeconfigText({ server, serverCaPem, client, name }: KubeconfigOptions): string {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const value = {
    apiVersion: "v1",
    clusters: [{ cluster: { "certificate-authority-data": base64(serverCaPem), server }, name }],
    contexts: [{ context: { cluster: name, user: name }, name }],
    "current-context": name,
    kind: "Config",
    users: [
      {
        name,
        user: {
          "client-certificate-data": base64(client.certPem),
          "client-key-data": base64(client.keyPem),
        },
      },
    ],
  };
  return stringify(value, { lineWidth: 0 });
}

/** A component's: it names the files, so that renewed certificates need no new one. */
export function componentKubeconfigText(options: {
  readonly server: string;
  readonly authorityFile: string;
  readonly client: Pick<KeyPair, "certFile" | "keyFile">;
}): string {
  const { server, authorityFile, client } = options;
  const value = {
    apiVersion: "v1",
    clusters: [{ cluster: { server, "certificate-authority": authorityFile }, name: "local" }],
    contexts: [
      { context: { cluster: "local", namespace: "default", user: "user" }, name: "Default" },
    ],
    "current-context": "Default",
    kind: "Config",
    preferences: {},
    users: [
      {
        name: "user",
        user: { "client-certificate": client.certFile, "client-key": client.keyFile },
      },
    ],
  };
  return stringify(value, { lineWidth: 0 });
}

/** File below the data directory, and the certificate it speaks with. */
const components = [
  ["server/cred/admin.kubeconfig", "client-admin"],
  ["server/cred/supervisor.kubeconfig", "client-supervisor"],
  ["server/cred/controller.kubeconfig", "client-controller"],
  ["server/cred/scheduler.kubeconfig", "client-scheduler"],
  ["server/cred/api-server.kubeconfig", "client-kube-apiserver"],
  ["server/cred/cloud-controller.kubeconfig", "client-k3s-cloud-controller"],
  ["agent/kubelet.kubeconfig", "client-kubelet"],
  ["agent/kubeproxy.kubeconfig", "client-kube-proxy"],
  ["agent/k3scontroller.kubeconfig", "client-k3s-controller"],
] as const;

export interface WriteKubeconfigOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly dataDir: string;
  readonly pki: Pki;
  /** `https://127.0.0.1:6443`. */
  readonly server: string;
  readonly admin: KubeconfigFile;
}

/** Rewritten at each start, as K3s does: certificates may have been renewed. */
export async function writeAdminKubeconfig(options: WriteKubeconfigOptions): Promise<void> {
  const { runtime, host, pki, server, admin } = options;
  const text = kubeconfigText({
    server,
    serverCaPem: pki.authorities["server-ca"].certPem,
    client: pki.leaves["client-admin"],
    name: admin.name,
  });
  await runtime.files.mkdir(admin.path.slice(0, admin.path.lastIndexOf("/")), 0o755);
  await runtime.files.writeAtomic(admin.path, text, admin.mode);
  if (admin.group !== undefined) await host.chown(admin.path, -1, admin.group);
}

/** K3s' tools look for these beside the certificates; nothing in this process reads them. */
export async function writeComponentKubeconfigs(
  options: Omit<WriteKubeconfigOptions, "admin">,
): Promise<void> {
  const { runtime, dataDir, pki, server } = options;
  const { files } = runtime;
  await files.mkdir(`${dataDir}/server/cred`, 0o700);
  for (const [file, leaf] of components) {
    const folder = file.startsWith("agent/") ? pki.agentDir : pki.tlsDir;
    const authorityFile = `${folder}/server-ca.crt`;
    const text = componentKubeconfigText({ server, authorityFile, client: pki.leaves[leaf] });
    const path = `${dataDir}/${file}`;
    if ((await files.readText(path)) !== text) await files.writeAtomic(path, text, 0o600);
  }
}
