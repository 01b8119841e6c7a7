/** K3s' own metric of how long the server's certificates still last. */
import { X509Certificate } from "node:crypto";
import type { Pki } from "../pki/ensure.ts";
import type { Labels, Metrics } from "../runtime/metrics.ts";
import type { Clock } from "../runtime/runtime.ts";

const usageNames: Readonly<Record<string, string>> = {
  "1.3.6.1.5.5.7.3.1": "ServerAuth",
  "1.3.6.1.5.5.7.3.2": "ClientAuth",
};

export function collectCertificateMetrics(metrics: Metrics, pki: Pki, clock: Clock): void {
  const help = "Remaining lifetime on the certificate in seconds.";
  metrics.collect("k3s_certificate_expiration_seconds", help, () => {
    const nowMs = clock.now().getTime();
    const pairs = [...Object.values(pki.leaves), ...Object.values(pki.authorities)];
    // Certificates of one subject and use are told as the one that ends first.
    const soonest = new Map<string, readonly [Labels, number]>();
    for (const { certPem } of pairs) {
      const certificate = new X509Certificate(certPem);
      const labels = labelsOf(certificate);
      const seconds = (new Date(certificate.validTo).getTime() - nowMs) / 1000;
      const key = `${labels.subject} ${labels.usages}`;
      if (seconds < (soonest.get(key)?.[1] ?? Number.POSITIVE_INFINITY)) {
        soonest.set(key, [labels, seconds]);
      }
    }
    return soonest.values();
  });
}

function labelsOf({ subject, keyUsage, ca }: X509Certificate): { subject: string; usages: string } {
  // From the innermost name outwards, as Go writes it.
  const names = subject.split("\n").reverse().join(",");
  const usages = (keyUsage ?? []).map((usage) => usageNames[usage] ?? usage);
  return { subject: names, usages: ca ? "CertSign" : usages.join(",") };
}
