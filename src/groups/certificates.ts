/** certificates.k8s.io/v1: requests for certificates and their approval. */
import type { FieldError, ResourceDefinition, Subresource } from "../api/resource-definition.ts";
import { certificateSigningRequests } from "../client/resources.ts";
import type { CertificateSigningRequest } from "../gen/certificates-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { ageOf, humanDuration } from "../lib/human-duration.ts";
import { copyJson } from "../schema/copy.ts";
import { invalid, required } from "./field-errors.ts";
import { validateImmutable } from "./pod-template.ts";
import { column, define } from "./row.ts";

type Csr = CertificateSigningRequest;
type ReadCsr = DeepReadonly<Csr>;

function conditionCell(csr: ReadCsr): string {
  const conditions = csr.status?.conditions ?? [];
  const has = (type: string): boolean => conditions.some((one) => one.type === type);
  const words: string[] = [];
  if (has("Denied")) words.push("Denied");
  else if (has("Approved")) words.push("Approved");
  else words.push("Pending");
  if (has("Failed")) words.push("Failed");
  if (csr.status?.certificate) words.push("Issued");
  return words.join(",");
}

/** Only the conditions Approved and Denied come through this door. */
const approval: Subresource<Csr> = {
  type: "part",
  verbs: ["get", "patch", "update"],
  merge(old, sent): Csr {
    const next = copyJson<Csr>(old);
    next.status = { ...next.status };
    if (sent.status?.conditions) next.status.conditions = sent.status.conditions;
    if (sent.metadata.resourceVersion)
      next.metadata.resourceVersion = sent.metadata.resourceVersion;
    return next;
  },
};

function validate(csr: ReadCsr, old: ReadCsr | undefined): FieldError[] {
  const errors: FieldError[] = [];
  const { request, signerName, expirationSeconds, usages = [] } = csr.spec;
  if (!request) errors.push(required("spec.request"));
  else if (!atob(request).includes("CERTIFICATE REQUEST"))
    errors.push(invalid("spec.request", "<request>", "PEM block type must be CERTIFICATE REQUEST"));
  if (usages.length === 0) errors.push(required("spec.usages"));
  if (!signerName) errors.push(required("spec.signerName"));
  else if (!/^[a-z0-9.-]+\.[a-z0-9.-]+\/.+$/.test(signerName))
    errors.push(
      invalid(
        "spec.signerName",
        signerName,
        "must be a fully qualified domain and path of the form 'example.com/signer-name'",
      ),
    );
  if (expirationSeconds !== undefined && expirationSeconds < 600)
    errors.push(
      invalid(
        "spec.expirationSeconds",
        expirationSeconds,
        "may not specify a duration less than 600 seconds (10 minutes)",
      ),
    );
  const conditions = csr.status?.conditions ?? [];
  const has = (type: string): boolean => conditions.some((one) => one.type === type);
  if (has("Approved") && has("Denied"))
    errors.push(
      invalid(
        "status.conditions",
        "Denied",
        "Approved and Denied conditions are mutually exclusive",
      ),
    );
  if (old !== undefined) errors.push(...validateImmutable(csr.spec, old.spec, "spec"));
  return errors;
}

const csr = define<Csr>(certificateSigningRequests, {
  shortNames: ["csr"],
  columns: [
    column("Age", (one, now) => ageOf(one.metadata.creationTimestamp, now)),
    column("SignerName", (one) => one.spec.signerName ?? "<none>"),
    column("Requestor", (one) => one.spec.username ?? ""),
    column("RequestedDuration", (one) =>
      one.spec.expirationSeconds === undefined
        ? "<none>"
        : humanDuration(one.spec.expirationSeconds * 1000),
    ),
    column("Condition", conditionCell),
  ],
  age: -1,
  fields: { "spec.signerName": (one) => one.spec.signerName ?? "" },
  defaults({ spec }) {
    if ((spec.usages ?? []).length === 0) spec.usages = ["digital signature", "key encipherment"];
  },
  status: true,
  prepare(object, { verb, user, subresource, old }) {
    if (verb === "create") {
      object.spec.username = user.name;
      if (user.uid) object.spec.uid = user.uid;
      else delete object.spec.uid;
      object.spec.groups = [...user.groups];
      const extra = Object.entries(user.extra).map(([key, values]) => [key, [...values]]);
      if (extra.length > 0) object.spec.extra = Object.fromEntries(extra);
      else delete object.spec.extra;
      object.status = {};
      return;
    }
    if (subresource !== "status" || old === undefined) return;
    // A signer writes the certificate and Failed; the verdict stays.
    const isVerdict = (type: string): boolean => type === "Approved" || type === "Denied";
    const verdicts = (old.status?.conditions ?? []).filter((one) => isVerdict(one.type));
    const rest = (object.status?.conditions ?? []).filter((one) => !isVerdict(one.type));
    object.status = { ...object.status };
    const conditions = [...verdicts.map((one) => copyJson(one)), ...rest];
    if (conditions.length > 0) object.status.conditions = conditions as typeof rest;
  },
  validate: (object, { old }) => validate(object, old),
  subresources: { approval },
});

export const certificates: readonly ResourceDefinition[] = [csr];
