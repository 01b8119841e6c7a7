/** The certificate that a lone API server shows: the one given, or one signed by itself. */
import { createPublicKey } from "node:crypto";
import { generateEcKey, issueCertificate, keyToPem } from "../pki/x509.ts";
import type { Runtime } from "../runtime/runtime.ts";

export interface ServingPair {
  readonly certPem: string;
  readonly keyPem: string;
}

const dayMs = 24 * 60 * 60 * 1000;
const validMs = 365 * dayMs;
/** Clocks differ a little. */
const backdateMs = 60 * 60 * 1000;

/** Reads `apiserver.crt` and `apiserver.key` in `folder`, which are made when missing. */
export async function ensureServingPair(
  folder: string,
  ips: readonly string[],
  { files, clock }: Pick<Runtime, "files" | "clock">,
): Promise<ServingPair> {
  const base = `${folder}/apiserver`;
  const [known, knownKey] = await Promise.all([
    files.readText(`${base}.crt`),
    files.readText(`${base}.key`),
  ]);
  if (known !== undefined && knownKey !== undefined) return { certPem: known, keyPem: knownKey };
  const key = await generateEcKey();
  const now = clock.now().getTime();
  const certPem = issueCertificate(
    {
      subject: { commonName: "kube-apiserver", organizations: [] },
      usage: "server",
      sans: { dnsNames: ["localhost", "kubernetes", "kubernetes.default"], ips },
      publicKey: createPublicKey(key),
      notBefore: new Date(now - backdateMs),
      notAfter: new Date(now + validMs),
    },
    key,
  );
  const keyPem = keyToPem(key);
  await files.mkdir(folder, 0o755);
  await files.writeAtomic(`${base}.key`, keyPem, 0o600);
  await files.writeAtomic(`${base}.crt`, certPem, 0o644);
  return { certPem, keyPem };
}
