/** The admin's kubeconfig, in the form and place that K3s' users expect. */
import { stringify } from "yaml";
import type { KeyPair } from "../pki/ensure.ts";
import type { Runtime } from "../runtime/runtime.ts";

export interface KubeconfigOptions {
  readonly server: string;
  readonly serverCaPem: string;
  readonly client: Pick<KeyPair, "certPem" | "keyPem">;
}

/** One cluster, user and context, all called `default`. */
export function kubeconfigText({ server, serverCaPem, client }: KubeconfigOptions): string {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const name = "default";
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

/** Rewritten at each start, as K3s does: certificates may have been renewed. */
export async function writeKubeconfig(
  runtime: Runtime,
  path: string,
  mode: number,
  options: KubeconfigOptions,
): Promise<void> {
  await runtime.files.mkdir(path.slice(0, path.lastIndexOf("/")), 0o755);
  await runtime.files.writeAtomic(path, kubeconfigText(options), mode);
}
