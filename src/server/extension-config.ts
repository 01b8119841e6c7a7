/** Tells extension API servers which authorities sign clients and the aggregating proxy. */
import { createIfAbsent } from "../api/auth/bootstrap-policy.ts";
import { defaultRequestHeaders, type RequestHeaders } from "../api/auth/front-proxy.ts";
import { extensionConfigMap } from "../api/auth/namespace-policy.ts";
import type { Client } from "../client/client.ts";
import { configMaps } from "../client/resources.ts";
import { sameJson } from "../controllers/objects.ts";
import type { ConfigMap } from "../gen/core-v1.ts";

const namespace = "kube-system";

export interface ExtensionConfig {
  /** "" when no authority names users. */
  readonly clientCaPem: string;
  /** Undefined when no proxy is trusted to name users. */
  readonly requestHeaderCaPem: string | undefined;
  readonly requestHeaders?: RequestHeaders;
}

/** Makes or corrects the ConfigMap; safe to call at every start. */
export async function ensureExtensionConfig(
  client: Client,
  authorities: ExtensionConfig,
): Promise<void> {
  const { clientCaPem, requestHeaderCaPem, requestHeaders = defaultRequestHeaders } = authorities;
  const data: Readonly<Record<string, string>> = {
    ...(clientCaPem === "" ? {} : { "client-ca-file": clientCaPem }),
    ...(requestHeaderCaPem === undefined
      ? {}
      : requestHeaderData(requestHeaderCaPem, requestHeaders)),
  };
  const wanted: ConfigMap = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: extensionConfigMap, namespace },
    data,
  };
  if (await createIfAbsent(client, configMaps, wanted)) return;
  const present = await client.get(configMaps, namespace, extensionConfigMap);
  const next = { ...present, data: { ...present.data, ...data } };
  if (!sameJson(next, present)) await client.update(configMaps, next);
}

function requestHeaderData(
  caPem: string,
  { allowedNames, usernames, uids, groups, extraPrefixes }: RequestHeaders,
): Readonly<Record<string, string>> {
  return {
    "requestheader-allowed-names": JSON.stringify(allowedNames),
    "requestheader-client-ca-file": caPem,
    "requestheader-extra-headers-prefix": JSON.stringify(extraPrefixes),
    "requestheader-group-headers": JSON.stringify(groups),
    ...(uids.length > 0 && { "requestheader-uid-headers": JSON.stringify(uids) }),
    "requestheader-username-headers": JSON.stringify(usernames),
  };
}
