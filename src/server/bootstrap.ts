/** The objects that every cluster has from its first start on. */
import { createIfAbsent } from "../api/auth/bootstrap-policy.ts";
import { ensureBootstrapPolicy, ensureNamespacedPolicy } from "../api/auth/reconcile-policy.ts";
import type { Client } from "../client/client.ts";
import { namespaces, priorityClasses } from "../client/resources.ts";
import { type ExtensionConfig, ensureExtensionConfig } from "./extension-config.ts";
import { ensureIngress, removeIngress } from "./ingress-objects.ts";
import { ensureJoinRights } from "./join-rights.ts";
import {
  ensureDnsService,
  ensureKubernetesService,
  ensureServiceCidr,
  type KubernetesServiceOptions,
} from "./kubernetes-service.ts";
import { ensureLocalStorage, removeLocalStorage } from "./local-storage.ts";

const namespaceNames = ["default", "kube-system", "kube-public", "kube-node-lease"] as const;
const priorities = {
  "system-cluster-critical": 2_000_000_000,
  "system-node-critical": 2_000_001_000,
} as const;

export interface BootstrapOptions {
  readonly service: KubernetesServiceOptions;
  readonly authorities: ExtensionConfig;
  /** Where cluster IPs come from. */
  readonly serviceCidrs: readonly string[];
  /** Undefined when k3 serves no DNS. */
  readonly clusterDns: readonly string[];
  /** Where local volumes lie; undefined for a cluster without. */
  readonly localStoragePath: string | undefined;
  readonly servesIngress: boolean;
}

/** Makes what is missing; safe at every start. */
export async function bootstrapCluster(client: Client, options: BootstrapOptions): Promise<void> {
  await Promise.all([
    ...namespaceNames.map((name) =>
      createIfAbsent(client, namespaces, {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name },
        spec: {},
      }),
    ),
    ...Object.entries(priorities).map(([name, value]) =>
      createIfAbsent(client, priorityClasses, {
        apiVersion: "scheduling.k8s.io/v1",
        kind: "PriorityClass",
        metadata: { name },
        value,
        description: `Used for system critical pods that must run in the cluster: ${name}`,
      }),
    ),
    ensureBootstrapPolicy(client),
  ]);
  await Promise.all([
    ensureNamespacedPolicy(client),
    ensureServiceCidr(client, options.serviceCidrs),
    ensureExtensionConfig(client, options.authorities),
  ]);
  await ensureJoinRights(client);
  await ensureKubernetesService(client, options.service);
  if (options.clusterDns.length > 0) await ensureDnsService(client, options.clusterDns);
  const { localStoragePath } = options;
  await (options.servesIngress ? ensureIngress(client) : removeIngress(client));
  if (localStoragePath === undefined) await removeLocalStorage(client);
  else await ensureLocalStorage(client, localStoragePath);
}
