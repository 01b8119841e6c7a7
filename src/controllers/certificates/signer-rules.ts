/** What each of the cluster's own signers demands of a request (certificates.k8s.io). */
import type { CertificateRequest } from "../../pki/certificate-request.ts";

export const signerNames = {
  client: "kubernetes.io/kube-apiserver-client",
  kubeletClient: "kubernetes.io/kube-apiserver-client-kubelet",
  kubeletServing: "kubernetes.io/kubelet-serving",
  legacy: "kubernetes.io/legacy-unknown",
} as const;
export type SignerName = (typeof signerNames)[keyof typeof signerNames];

export function isSignerName(text: string): text is SignerName {
  return Object.values<string>(signerNames).includes(text);
}

export interface SignerInput {
  readonly request: CertificateRequest;
  readonly usages: readonly string[];
  /** Who asks. */
  readonly username: string;
}

const nodePrefix = "system:node:";

/** Why the signer must not sign, or undefined when it may. */
export function signerProblem(signer: SignerName, input: SignerInput): string | undefined {
  switch (signer) {
    case signerNames.client:
      return usageProblem(
        input.usages,
        [],
        ["client auth", "digital signature", "key encipherment"],
      );
    case signerNames.kubeletClient:
      return kubeletClientProblem(input);
    case signerNames.kubeletServing:
      return kubeletServingProblem(input);
    case signerNames.legacy:
      return undefined;
  }
}

/** `required` must be there, and nothing outside of both lists. */
function usageProblem(
  usages: readonly string[],
  required: readonly string[],
  allowed: readonly string[],
): string | undefined {
  const all = [...required, ...allowed];
  const isRight =
    required.every((usage) => usages.includes(usage)) &&
    usages.every((usage) => all.includes(usage));
  return isRight ? undefined : `usages did not match ${JSON.stringify(all.sort())}`;
}

function nodeSubjectProblem({ subject }: CertificateRequest): string | undefined {
  const [first, ...more] = subject.organizations;
  if (first !== "system:nodes" || more.length > 0) {
    return "subject organization is not system:nodes";
  }
  if (!subject.commonName.startsWith(nodePrefix)) {
    return "subject common name does not begin with system:node:";
  }
  return undefined;
}

export function kubeletClientProblem({ request, usages }: SignerInput): string | undefined {
  const subject = nodeSubjectProblem(request);
  if (subject !== undefined) return subject;
  if (request.dnsNames.length > 0) return "DNS subjectAltNames are not allowed";
  if (request.emails.length > 0) return "Email subjectAltNames are not allowed";
  if (request.ips.length > 0) return "IP subjectAltNames are not allowed";
  if (request.uris.length > 0) return "URI subjectAltNames are not allowed";
  return usageProblem(usages, ["client auth", "digital signature"], ["key encipherment"]);
}

function kubeletServingProblem({ request, usages, username }: SignerInput): string | undefined {
  const subject = nodeSubjectProblem(request);
  if (subject !== undefined) return subject;
  if (request.subject.commonName !== username) {
    return "subject common name is not the name of the requesting user";
  }
  if (request.dnsNames.length + request.ips.length === 0) {
    return "DNS or IP subjectAltName is required";
  }
  if (request.emails.length > 0) return "Email subjectAltNames are not allowed";
  if (request.uris.length > 0) return "URI subjectAltNames are not allowed";
  return usageProblem(usages, ["digital signature", "server auth"], ["key encipherment"]);
}
