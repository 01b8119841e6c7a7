/** Who may approve and sign certificate requests, and which subjects nobody may ask for. */
import type { CertificateSigningRequest } from "../../gen/certificates-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { readCertificateRequest } from "../../pki/certificate-request.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { refused } from "../errors.ts";

type Csr = DeepReadonly<CertificateSigningRequest>;

const group = "certificates.k8s.io";

function isAbout(context: AdmissionContext, verb: "CREATE" | "UPDATE", subresource: string) {
  const { definition } = context;
  return (
    definition.group === group &&
    definition.plural === "certificatesigningrequests" &&
    context.verb === verb &&
    context.subresource === subresource
  );
}

/** By the signer's full name, or for all signers of its domain. */
async function mayUseSigner(
  verb: string,
  signerName: string,
  context: AdmissionContext,
): Promise<boolean> {
  const { authorizer } = context;
  for (const name of [signerName, `${signerName.split("/")[0]}/*`]) {
    const { allowed } = await authorizer.authorize({
      user: context.request.user,
      verb,
      group,
      version: "*",
      resource: "signers",
      subresource: "",
      namespace: "",
      name,
      path: "",
      isResourceRequest: true,
    });
    if (allowed) return true;
  }
  return false;
}

function refusal(context: AdmissionContext, action: string, signerName: string): Error {
  const why = `user not permitted to ${action} requests with signerName "${signerName}"`;
  return refused(context.definition, context.name, why);
}

export const certificateApproval: AdmissionPlugin = {
  name: "CertificateApproval",
  async validate(_object, context) {
    if (!isAbout(context, "UPDATE", "approval")) return;
    const { signerName } = (context.old as Csr).spec;
    if (await mayUseSigner("approve", signerName, context)) return;
    throw refusal(context, "approve", signerName);
  },
};

export const certificateSigning: AdmissionPlugin = {
  name: "CertificateSigning",
  async validate(object, context) {
    if (!isAbout(context, "UPDATE", "status")) return;
    const [now, old] = [object as Csr, context.old as Csr];
    // Who changes nothing that counts as signing needs no such right.
    const isSame =
      semanticEqual(now.status?.certificate, old.status?.certificate) &&
      semanticEqual(now.status?.conditions, old.status?.conditions);
    if (isSame || (await mayUseSigner("sign", old.spec.signerName, context))) return;
    throw refusal(context, "sign", old.spec.signerName);
  },
};

export const certificateSubjectRestriction: AdmissionPlugin = {
  name: "CertificateSubjectRestriction",
  async validate(object, context) {
    if (!isAbout(context, "CREATE", "")) return;
    const { signerName, request } = (object as Csr).spec;
    const signer = "kubernetes.io/kube-apiserver-client";
    if (signerName !== signer) return;
    const { subject } = readCertificateRequest(Buffer.from(request, "base64").toString());
    if (!subject.organizations.includes("system:masters")) return;
    const why = `use of ${signer} signer with system:masters group is not allowed`;
    throw refused(context.definition, context.name, why);
  },
};
