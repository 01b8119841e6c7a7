/** Approves the requests of kubelets, signs what was approved, and clears old requests away. */
import { certificateSigningRequests, subjectAccessReviews } from "../../client/resources.ts";
import type { CertificateSigningRequest } from "../../gen/certificates-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";
import { type CertificateRequest, readCertificateRequest } from "../../pki/certificate-request.ts";
import type { SignRequest } from "../../pki/certificate-signers.ts";
import { mutable, parseTime, timeNow } from "../objects.ts";
import {
  isSignerName,
  kubeletClientProblem,
  type SignerName,
  signerNames,
  signerProblem,
} from "./signer-rules.ts";

type Csr = DeepReadonly<CertificateSigningRequest>;

export interface CertificateOptions {
  /** The authority behind each signer. */
  readonly signers: Readonly<Record<SignerName, SignRequest>>;
}

function hasCondition(csr: Csr, ...types: string[]): boolean {
  return (csr.status?.conditions ?? []).some(({ type }) => types.includes(type));
}

function requestOf(csr: Csr): CertificateRequest {
  return readCertificateRequest(Buffer.from(csr.spec.request, "base64").toString());
}

const watches = [watchRule(certificateSigningRequests, ({ now }) => [now.key])];

/** Lets nodes, and who may bring nodes in, have their client certificates. */
export function createCsrApprover(context: ControllerContext): Controller {
  const { client, live } = context;
  const set = live.of(certificateSigningRequests);

  async function mayCreate(csr: Csr, subresource: string): Promise<boolean> {
    const { username = "", uid, groups = [], extra } = csr.spec;
    const review = await client.create(subjectAccessReviews, {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      metadata: {},
      spec: {
        user: username,
        ...(uid === undefined ? {} : { uid }),
        groups: [...groups],
        ...(extra === undefined ? {} : { extra: mutable<Record<string, string[]>>(extra) }),
        resourceAttributes: {
          group: "certificates.k8s.io",
          resource: "certificatesigningrequests",
          subresource,
          verb: "create",
          version: "*",
        },
      },
    });
    return review.status?.allowed === true;
  }

  return {
    name: "csrapproving",
    concurrent: 1,
    watches,
    async reconcile(key) {
      const csr = set.get(key)?.object;
      if (csr === undefined || csr.status?.certificate) return "done";
      if (hasCondition(csr, "Approved", "Denied")) return "done";
      for (const { subresource, message } of recognized(csr)) {
        if (!(await mayCreate(csr, subresource))) continue;
        const next = mutable<CertificateSigningRequest>(csr);
        const now = timeNow(context.runtime.clock);
        next.status = {
          ...next.status,
          conditions: [
            ...(next.status?.conditions ?? []),
            {
              type: "Approved",
              status: "True",
              reason: "AutoApproved",
              message,
              lastUpdateTime: now,
              lastTransitionTime: now,
            },
          ],
        };
        await client.update(certificateSigningRequests, next, { subresource: "approval" });
        return "done";
      }
      return "done";
    },
  };
}

/** Which rights would let the request through. */
function recognized(csr: Csr): readonly { subresource: string; message: string }[] {
  if (csr.spec.signerName !== signerNames.kubeletClient) return [];
  const request = requestOf(csr);
  const { usages = [], username = "" } = csr.spec;
  if (kubeletClientProblem({ request, usages, username }) !== undefined) return [];
  const any = {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
  };
  if (username !== request.subject.commonName) return [any];
  const own = {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
  };
  return [own, any];
}

/** Signs approved requests of the cluster's own signers. */
export function createCsrSigner(
  context: ControllerContext,
  { signers }: CertificateOptions,
): Controller {
  const { client, live, runtime } = context;
  const set = live.of(certificateSigningRequests);
  return {
    name: "csrsigning",
    concurrent: 1,
    watches,
    async reconcile(key) {
      const csr = set.get(key)?.object;
      if (csr === undefined || csr.status?.certificate) return "done";
      const { signerName, expirationSeconds } = csr.spec;
      if (!isSignerName(signerName)) return "done";
      if (!hasCondition(csr, "Approved") || hasCondition(csr, "Denied", "Failed")) return "done";
      const usages = csr.spec.usages ?? [];
      const request = requestOf(csr);
      const input = { request, usages, username: csr.spec.username ?? "" };
      const problem = signerProblem(signerName, input);
      const next = mutable<CertificateSigningRequest>(csr);
      const now = timeNow(runtime.clock);
      next.status ??= {};
      if (problem === undefined) {
        const pem = signers[signerName]({ request, usages, expirationSeconds });
        next.status.certificate = Buffer.from(pem).toString("base64");
      } else {
        next.status.conditions = [
          ...(next.status.conditions ?? []),
          {
            type: "Failed",
            status: "True",
            reason: "SignerValidationFailure",
            message: problem,
            lastUpdateTime: now,
            lastTransitionTime: now,
          },
        ];
      }
      await client.update(certificateSigningRequests, next, { subresource: "status" });
      return "done";
    },
  };
}

const hourMs = 60 * 60 * 1000;
const keptMs = { decided: hourMs, pending: 24 * hourMs } as const;

/** How long a request is still of use; 0 or less when it is not. */
export function csrRemainingMs(csr: Csr, nowMs: number): number {
  const ages = (types: readonly string[]): number[] =>
    (csr.status?.conditions ?? [])
      .filter(({ type }) => types.includes(type))
      .map((one) => parseTime(one.lastUpdateTime ?? csr.metadata.creationTimestamp));
  const isDecided = hasCondition(csr, "Approved", "Denied", "Failed");
  const isWaiting = hasCondition(csr, "Approved") && !csr.status?.certificate;
  // What was approved may still wait for a signer that is not ours.
  if (!isDecided || (isWaiting && !hasCondition(csr, "Denied", "Failed"))) {
    return parseTime(csr.metadata.creationTimestamp) + keptMs.pending - nowMs;
  }
  return Math.max(...ages(["Approved", "Denied", "Failed"])) + keptMs.decided - nowMs;
}

/** Deletes requests that nobody needs any more. */
export function createCsrCleaner(context: ControllerContext): Controller {
  const { client, live, runtime } = context;
  const set = live.of(certificateSigningRequests);
  return {
    name: "csrcleaner",
    concurrent: 1,
    watches,
    async reconcile(key) {
      const csr = set.get(key)?.object;
      if (csr === undefined) return "done";
      const remainingMs = csrRemainingMs(csr, runtime.clock.now().getTime());
      if (remainingMs > 0) return { againInMs: remainingMs };
      const { uid } = csr.metadata;
      try {
        await client.delete(certificateSigningRequests, "", key, {
          ...(uid === undefined ? {} : { preconditions: { uid } }),
        });
      } catch (error) {
        // Someone else was faster, which is what was wanted.
        if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
      }
      return "done";
    },
  };
}
