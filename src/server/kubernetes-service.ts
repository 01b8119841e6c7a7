/** Keeps `default/kubernetes` pointing at this API server, and names the DNS that k3 serves. */
import { createIfAbsent } from "../api/auth/bootstrap-policy.ts";
import type { Client, Resource } from "../client/client.ts";
import { endpointSlices, endpoints, serviceCIDRs, services } from "../client/resources.ts";
import type { Endpoints, Service } from "../gen/core-v1.ts";
import type { EndpointSlice } from "../gen/discovery-v1.ts";
import { familyOf } from "../lib/ip-range.ts";
import type { KubeObject } from "../schema/object.ts";

export interface KubernetesServiceOptions {
  /** First address of the first service CIDR; the Service is of that family alone. */
  readonly serviceIp: string;
  /** Where this server can be reached by pods. */
  readonly address: string;
  readonly port: number;
}

const name = "kubernetes";
const namespace = "default";

function wantedService({ serviceIp, port }: KubernetesServiceOptions): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace, labels: { component: "apiserver", provider: name } },
    spec: {
      clusterIP: serviceIp,
      type: "ClusterIP",
      sessionAffinity: "None",
      ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: port }],
    },
  };
}

function wantedEndpoints({ address, port }: KubernetesServiceOptions): Endpoints {
  return {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: {
      name,
      namespace,
      labels: { "endpointslice.kubernetes.io/skip-mirror": "true" },
    },
    subsets: [{ addresses: [{ ip: address }], ports: [{ name: "https", port, protocol: "TCP" }] }],
  };
}

function wantedSlice({ address, port }: KubernetesServiceOptions): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace, labels: { "kubernetes.io/service-name": name } },
    addressType: familyOf(address),
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports: [{ name: "https", port, protocol: "TCP" }],
  };
}

/** Makes what is missing and corrects the addresses; safe to call at every start. */
export async function ensureKubernetesService(
  client: Client,
  options: KubernetesServiceOptions,
): Promise<void> {
  await createIfAbsent(client, services, wantedService(options));
  await Promise.all([
    createOrReplace(client, endpoints, wantedEndpoints(options)),
    createOrReplace(client, endpointSlices, wantedSlice(options)),
  ]);
}

/** The range that cluster IPs come from, as the object by which others learn of it. */
export async function ensureServiceCidr(client: Client, cidrs: readonly string[]): Promise<void> {
  await createIfAbsent(client, serviceCIDRs, {
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    metadata: { name },
    spec: { cidrs: [...cidrs] },
  });
}

/** `kube-system/kube-dns`, the name by which tools look for the DNS that k3 itself serves. */
export async function ensureDnsService(
  client: Client,
  clusterIps: readonly string[],
): Promise<void> {
  const app = "kube-dns";
  await createIfAbsent(client, services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: app,
      namespace: "kube-system",
      labels: {
        "k8s-app": app,
        "kubernetes.io/cluster-service": "true",
        "kubernetes.io/name": "CoreDNS",
      },
    },
    spec: {
      clusterIP: clusterIps[0] ?? "",
      clusterIPs: [...clusterIps],
      ipFamilyPolicy: clusterIps.length > 1 ? "RequireDualStack" : "SingleStack",
      type: "ClusterIP",
      ports: [
        { name: "dns", port: 53, protocol: "UDP", targetPort: 53 },
        { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 53 },
        { name: "metrics", port: 9153, protocol: "TCP", targetPort: 9153 },
      ],
    },
  });
}

async function createOrReplace<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  object: T,
): Promise<void> {
  if (!(await createIfAbsent(client, resource, object))) await client.update(resource, object);
}
