/** certificates.k8s.io/v1: requests for certificates and their approval. */

import { timestamp } from "../api/object-meta.ts";
import type { FieldError, ResourceDefinition, Subresource } from "../api/resource-definition.ts";
import { certificateSigningRequests } from "../client/resources.ts";
import type { CertificateSigningRequest } from "../gen/certificates-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { humanDuration } from "../lib/human-duration.ts";
import { labelErrors, subdomainErrors } from "../lib/names.ts";
import { readCertificateRequest } from "../pki/certificate-request.ts";
import { certificatesOf, extendedUsageOids, keyUsageNumbers } from "../pki/x509.ts";
import { copyJson } from "../schema/copy.ts";
import {
  duplicate,
  forbidden,
  invalid,
  invalids,
  notSupported,
  required,
  supported,
  tooLong,
} from "./field-errors.ts";
import { validateImmutable } from "./pod-template.ts";
import { ageColumn, column, define } from "./row.ts";

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
    const next = copyJson<Csr>(sent);
    next.spec = copyJson<Csr["spec"]>(old.spec);
    const { conditions: _verdicts, ...rest } = old.status ?? {};
    const conditions = sent.status?.conditions;
    next.status = { ...copyJson<typeof rest>(rest), ...(conditions && { conditions }) };
    return next;
  },
};

const limits = { signerDomainMax: 253, signerNameMax: 571 } as const;

/** `example.com/signer-name`: the first wrong label of each half is told. */
function signerErrors(name: string, field: string): FieldError[] {
  if (name === "") return [required(field)];
  if (name === "kubernetes.io/legacy-unknown")
    return [invalid(field, name, "the legacy signerName is not allowed via this API version")];
  const [domain = "", path = "", ...more] = name.split("/");
  if (!name.includes("/") || more.length > 0) {
    const form = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    return [invalid(field, name, form)];
  }
  const firstWrong = (half: string, rule: (label: string) => string[]): FieldError[] => {
    const label = half.split(".").find((one) => rule(one).length > 0);
    if (label === undefined) return [];
    const told = rule(label).map((why) => `validating label ${JSON.stringify(label)}: ${why}`);
    return invalids(field, half, told);
  };
  const dots = "should be a domain with at least two segments separated by dots";
  return [
    ...(domain.length > limits.signerDomainMax ? [tooLong(field, limits.signerDomainMax)] : []),
    ...firstWrong(domain, labelErrors),
    ...(domain.includes(".") ? [] : [invalid(field, domain, dots)]),
    ...firstWrong(path, subdomainErrors),
    ...(name.length > limits.signerNameMax ? [tooLong(field, limits.signerNameMax)] : []),
  ];
}

const knownUsages = [...Object.keys(keyUsageNumbers), ...Object.keys(extendedUsageOids)].toSorted();

function validateSpec({ spec }: ReadCsr): FieldError[] {
  const errors: FieldError[] = [];
  const { request, signerName, expirationSeconds, usages = [] } = spec;
  if (!request)
    errors.push(invalid("spec.request", null, "PEM block type must be CERTIFICATE REQUEST"));
  else errors.push(...requestProblems(request));
  if (usages.length === 0) errors.push(required("spec.usages"));
  usages.forEach((usage, index) => {
    errors.push(...supported(`spec.usages[${index}]`, usage, knownUsages));
  });
  usages.forEach((usage, index) => {
    if (usages.indexOf(usage) < index) errors.push(duplicate(`spec.usages[${index}]`, usage));
  });
  errors.push(...signerErrors(signerName ?? "", "spec.signerName"));
  if (expirationSeconds !== undefined && expirationSeconds < 600)
    errors.push(
      invalid(
        "spec.expirationSeconds",
        expirationSeconds,
        "may not specify a duration less than 600 seconds (10 minutes)",
      ),
    );
  return errors;
}

function requestProblems(request: string): FieldError[] {
  try {
    const { isSigned } = readCertificateRequest(Buffer.from(request, "base64").toString());
    return isSigned ? [] : [invalid("spec.request", request, "signature does not match its key")];
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return [invalid("spec.request", request, error.message)];
  }
}

function validateConditions(csr: ReadCsr): FieldError[] {
  const errors: FieldError[] = [];
  const conditions = csr.status?.conditions ?? [];
  conditions.forEach((one, index) => {
    const at = `status.conditions[${index}]`;
    if (!one.type) errors.push(required(`${at}.type`));
    else if (conditions.findIndex(({ type }) => type === one.type) < index)
      errors.push(duplicate(`${at}.type`, one.type));
    if (["Approved", "Denied", "Failed"].includes(one.type) && one.status !== "True")
      errors.push(notSupported(`${at}.status`, one.status, ["True"]));
    else if (!["True", "False", "Unknown"].includes(one.status))
      errors.push(notSupported(`${at}.status`, one.status, ["False", "True", "Unknown"]));
  });
  const has = (type: string): boolean => conditions.some((one) => one.type === type);
  if (has("Approved") && has("Denied"))
    errors.push(
      invalid(
        "status.conditions",
        "Denied",
        "Approved and Denied conditions are mutually exclusive",
      ),
    );
  return errors;
}

/** Verdicts are never taken back, and a certificate is written once. */
function validateChange(csr: ReadCsr, old: ReadCsr): FieldError[] {
  const errors: FieldError[] = [...validateImmutable(csr.spec, old.spec, "spec")];
  const now = new Set((csr.status?.conditions ?? []).map(({ type }) => type));
  for (const { type } of old.status?.conditions ?? []) {
    if (!["Approved", "Denied", "Failed"].includes(type) || now.has(type)) continue;
    errors.push(
      forbidden("status.conditions", `updates may not remove a condition of type "${type}"`),
    );
  }
  const before = old.status?.certificate;
  if (before && csr.status?.certificate !== before)
    errors.push(
      forbidden("status.certificate", "updates may not modify existing certificate content"),
    );
  else if (!before) errors.push(...certificateProblems(csr.status?.certificate));
  return errors;
}

function certificateProblems(text: string | undefined): FieldError[] {
  if (!text) return [];
  const field = "status.certificate";
  try {
    if (certificatesOf(Buffer.from(text, "base64").toString()).length > 0) return [];
    return [invalid(field, text, "must contain at least one CERTIFICATE PEM block")];
  } catch (error) {
    return [invalid(field, text, String(error))];
  }
}

/** Times that the writer left out: a verdict begins when it is written. */
function stampConditions(csr: Csr, old: ReadCsr, now: Date): void {
  const at = timestamp(now);
  for (const condition of csr.status?.conditions ?? []) {
    condition.lastUpdateTime ??= at;
    const before = old.status?.conditions?.find(({ type }) => type === condition.type);
    const isSame = before?.status === condition.status;
    condition.lastTransitionTime ??= (isSame && before?.lastTransitionTime) || at;
  }
}

const csr = define<Csr>(certificateSigningRequests, {
  shortNames: ["csr"],
  columns: [
    ageColumn as never,
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
  status: true,
  prepare(object, { verb, user, subresource, old, now }) {
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
    if (old === undefined) return;
    // Only the subresources change anything.
    object.spec = copyJson<Csr["spec"]>(old.spec);
    if (subresource === "") {
      object.status = copyJson<NonNullable<Csr["status"]>>(old.status ?? {});
      return;
    }
    stampConditions(object, old, now);
    if (subresource !== "status") return;
    // A signer writes the certificate and Failed; the verdict stays.
    const isVerdict = (type: string): boolean => type === "Approved" || type === "Denied";
    const verdicts = (old.status?.conditions ?? []).filter((one) => isVerdict(one.type));
    const rest = (object.status?.conditions ?? []).filter((one) => !isVerdict(one.type));
    object.status = { ...object.status };
    const conditions = [...verdicts.map((one) => copyJson(one)), ...rest];
    if (conditions.length > 0) object.status.conditions = conditions as typeof rest;
  },
  validate: (object, { old }) =>
    old === undefined
      ? [...validateSpec(object), ...validateConditions(object)]
      : [...validateConditions(object), ...validateChange(object, old)],
  validateStatus: (object, { old }) =>
    old === undefined ? [] : [...validateConditions(object), ...validateChange(object, old)],
  subresources: { approval },
});

export const certificates: readonly ResourceDefinition[] = [csr];
