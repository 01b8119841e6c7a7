/** The controllers that give out and take back credentials. */
import type { Controller } from "../live/controller.ts";
import { type ActingContext, contextAs } from "./acting-as.ts";
import { createBootstrapTokenCleaner } from "./bootstrap-token-cleaner.ts";
import {
  type CertificateOptions,
  createCsrApprover,
  createCsrCleaner,
  createCsrSigner,
} from "./certificates/certificates.ts";
import { createLegacyTokenCleaner } from "./legacy-tokens.ts";
import { createTokenSecretController, type TokenSecretOptions } from "./service-account-token.ts";

export interface IdentityOptions extends CertificateOptions, TokenSecretOptions {}

const legacyCleaner = "legacy-service-account-token-cleaner";

/** All of them, each with its own identity; whoever runs them uses `runController`. */
export function identityControllers(
  context: ActingContext,
  options: IdentityOptions,
): readonly Controller[] {
  const certificates = contextAs(context, "certificate-controller", "certificate-controller");
  // Upstream's tokens controller has no account of its own: it is what makes tokens for accounts.
  const manager = context.client.as("system:kube-controller-manager", ["system:authenticated"]);
  return [
    createCsrApprover(certificates),
    createCsrSigner(certificates, options),
    createCsrCleaner(certificates),
    createLegacyTokenCleaner(contextAs(context, legacyCleaner, legacyCleaner)),
    createBootstrapTokenCleaner(contextAs(context, "token-cleaner", "token-cleaner")),
    createTokenSecretController({ client: manager, live: context.live }, options),
  ];
}
