/** Who this server is: certificates, tokens and kubeconfigs, made at the start and kept fresh. */
import { ensurePki, type Pki } from "../pki/ensure.ts";
import { ensureTokens, type ServerTokens } from "../pki/tokens.ts";
import { realHost } from "../runtime/host.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { writeAdminKubeconfig, writeComponentKubeconfigs } from "./kubeconfig.ts";
import type { ServerOptions } from "./options.ts";

/** As often as K3s looks after the certificate of its listener; k3 renews all of them. */
const renewEveryMs = 6 * 60 * 60 * 1000;

export interface Identity {
  readonly pki: Pki;
  readonly tokens: ServerTokens;
}

export interface IdentityOptions {
  readonly options: ServerOptions;
  readonly runtime: Runtime;
  readonly nodeIps: readonly string[];
  readonly serviceIp: string;
}

export async function prepareIdentity(of: IdentityOptions): Promise<Identity> {
  const { options, runtime } = of;
  const pki = await ensureCertificates(of);
  const tokens = await ensureTokens({
    dataDir: options.dataDir,
    runtime,
    host: realHost,
    serverCaPem: pki.authorities["server-ca"].certPem,
    token: options.token,
    agentToken: options.agentToken,
  });
  return { pki, tokens };
}

async function ensureCertificates(of: IdentityOptions): Promise<Pki> {
  const { options, runtime, nodeIps, serviceIp } = of;
  const pki = await ensurePki({
    dataDir: options.dataDir,
    runtime,
    nodeName: options.nodeName,
    nodeIps: [...nodeIps, ...options.nodeAddresses.externalIps],
    serviceIp,
    clusterDomain: options.clusterDomain,
    tlsSans: options.tlsSans,
    ...(options.leafDays === undefined ? {} : { leafDays: options.leafDays }),
  });
  await writeAdminKubeconfig({ ...placeOf(of), pki, admin: options.kubeconfig });
  return pki;
}

function placeOf({ options, runtime }: IdentityOptions) {
  const server = `https://127.0.0.1:${options.httpsListenPort}`;
  return { runtime, host: realHost, dataDir: options.dataDir, server };
}

/** Renews what nears its end, and tells when something was issued anew. */
export async function keepCertificates(
  of: IdentityOptions,
  first: Pki,
  onRenewed: (pki: Pki) => void,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log } = of.runtime;
  // Here, since nobody waits for them while the server starts.
  await writeComponentKubeconfigs({ ...placeOf(of), pki: first });
  while (!signal.aborted) {
    await clock.sleep(renewEveryMs, signal);
    if (signal.aborted) return;
    try {
      const pki = await ensureCertificates(of);
      if (pki.issued.length > 0) onRenewed(pki);
    } catch (error) {
      // A full disk, for example: the certificates still have weeks to live.
      log.error("Cannot renew the certificates", { error });
    }
  }
}
