/** The EndpointSlice by which packets for the Service `traefik` find this node's ingress. */
import type { Client } from "../../client/client.ts";
import { endpointSlices } from "../../client/resources.ts";
import type { Service } from "../../gen/core-v1.ts";
import type { EndpointSlice } from "../../gen/discovery-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { familyOf } from "../../lib/ip-range.ts";
import type { LiveSet } from "../../live/live-set.ts";
import { sameJson } from "../../schema/same-json.ts";
import { ingressName, ingressNamespace } from "../../schema/served-ingress.ts";
import type { EntryPoint } from "./route-table.ts";

export interface SliceWanted {
  /** The one that it belongs to. */
  readonly service: DeepReadonly<Service>;
  readonly nodeName: string;
  /** The node's own: each family has its slice, in which the first of them stands. */
  readonly addresses: readonly string[];
  readonly ports: Readonly<Record<EntryPoint, number>>;
}

/** Slices of each node's own: none waits for another. */
export async function keepSlices(
  client: Client,
  slices: LiveSet<EndpointSlice>,
  wanted: SliceWanted,
): Promise<void> {
  for (const family of wanted.service.spec?.ipFamilies ?? []) {
    const address = wanted.addresses.find((ip) => familyOf(ip) === family);
    if (address !== undefined) await keepSlice(client, slices, sliceOf(wanted, address));
  }
}

async function keepSlice(
  client: Client,
  slices: LiveSet<EndpointSlice>,
  slice: EndpointSlice,
): Promise<void> {
  const name = slice.metadata.name ?? "";
  const present = slices.get(`${ingressNamespace}/${name}`)?.object;
  if (present === undefined) {
    await client.create(endpointSlices, slice);
    return;
  }
  const { endpoints, ports } = slice;
  const isSame = sameJson([present.endpoints, present.ports], [endpoints, ports]);
  if (!isSame)
    await client.patch(endpointSlices, ingressNamespace, name, "merge", { endpoints, ports });
}

function sliceOf({ service, nodeName, ports }: SliceWanted, address: string): EndpointSlice {
  const addressType = familyOf(address);

  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${ingressName}-${nodeName}${addressType === "IPv4" ? "" : "-v6"}`,
      namespace: ingressNamespace,
      labels: {
        "kubernetes.io/service-name": ingressName,
        "endpointslice.kubernetes.io/managed-by": "ingress.k3s.io",
      },
      ownerReferences: [
        {
          apiVersion: "v1",
          kind: "Service",
          name: ingressName,
          uid: service.metadata.uid ?? "",
        },
      ],
    },
    addressType,
    endpoints: [
      {
        addresses: [address],
        conditions: { ready: true, serving: true, terminating: false },
        hints: { forNodes: [{ name: nodeName }] },
        nodeName,
      },
    ],
    ports: [
      { name: "web", port: ports.web, protocol: "TCP" },
      { name: "websecure", port: ports.websecure, protocol: "TCP" },
    ],
  };
}
