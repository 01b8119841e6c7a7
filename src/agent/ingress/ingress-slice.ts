/** The EndpointSlice by which packets for the Service `traefik` find this node's ingress. */
import type { Client } from "../../client/client.ts";
import { endpointSlices } from "../../client/resources.ts";
import type { Service } from "../../gen/core-v1.ts";
import type { EndpointSlice } from "../../gen/discovery-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LiveSet } from "../../live/live-set.ts";
import { sameJson } from "../../schema/same-json.ts";
import { ingressName, ingressNamespace } from "../../schema/served-ingress.ts";
import type { EntryPoint } from "./route-table.ts";

export interface SliceWanted {
  /** The one that it belongs to. */
  readonly service: DeepReadonly<Service>;
  readonly nodeName: string;
  readonly address: string;
  readonly ports: Readonly<Record<EntryPoint, number>>;
}

/** One slice for each node: none waits for another. */
export async function keepSlice(
  client: Client,
  slices: LiveSet<EndpointSlice>,
  wanted: SliceWanted,
): Promise<void> {
  const slice = sliceOf(wanted);
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

function sliceOf({ service, nodeName, address, ports }: SliceWanted): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${ingressName}-${nodeName}`,
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
    addressType: address.includes(":") ? "IPv6" : "IPv4",
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
