/** A certificate for a server that a test runs itself; it is its own authority. */
import { createPublicKey } from "node:crypto";
import { generateEcKey, issueCertificate, keyToPem } from "../../src/pki/x509.ts";

export async function servingCertificate(name: string): Promise<{ cert: string; key: string }> {
  const key = await generateEcKey();
  const cert = issueCertificate(
    {
      subject: { commonName: name, organizations: [] },
      usage: "server",
      sans: { dnsNames: [name], ips: [] },
      publicKey: createPublicKey(key),
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 3_600_000),
    },
    key,
  );
  return { cert, key: keyToPem(key) };
}
