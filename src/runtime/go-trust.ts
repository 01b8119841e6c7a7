/**
 * Go trusts what it is told to trust, be it a root, an intermediate authority or the server's own
 * certificate; OpenSSL asks for a whole chain unless told otherwise. Configurations of webhooks
 * and aggregated APIs are written for Go.
 */
export const goTrust = { allowPartialTrustChain: true } as const;
