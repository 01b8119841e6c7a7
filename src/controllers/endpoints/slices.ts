/** Spreads endpoints over EndpointSlices, changing as few of them as possible. Pure. */
import type { Endpoint, EndpointPort, EndpointSlice } from "../../gen/discovery-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { mutable, sameJson } from "../objects.ts";

export type LiveSlice = DeepReadonly<EndpointSlice>;

const endpointsPerSliceMax = 100;

/** One set of ports and who serves it: pods may resolve a named port differently. */
export interface PortGroup {
  readonly addressType: string;
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

export interface SlicePlan {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly delete: readonly LiveSlice[];
}

/** What all slices of one owner have in common. */
export interface SliceShape {
  readonly namespace: string;
  readonly generateName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences: NonNullable<EndpointSlice["metadata"]["ownerReferences"]>;
}

/** Keeps endpoints in the slices they are in, fills gaps, adds slices only when all are full. */
export function fillSlices(
  shape: SliceShape,
  groups: readonly PortGroup[],
  present: readonly LiveSlice[],
): SlicePlan {
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const kept = new Set<LiveSlice>();
  for (const group of groups) {
    const ofGroup = present.filter(
      (slice) =>
        slice.addressType === group.addressType && sameJson(slice.ports ?? [], group.ports),
    );
    const { contents, rest } = distribute(group, ofGroup);
    const isEmpty = group.endpoints.length === 0;
    contents.forEach(({ slice, endpoints }, index) => {
      if (endpoints.length === 0 && !(isEmpty && index === 0)) return;
      kept.add(slice);
      const wanted = { ...sliceOf(shape, group, endpoints), metadata: metadataOf(shape, slice) };
      if (!sameJson(strip(slice), strip(wanted))) update.push(wanted);
    });
    while (rest.length > 0 || (isEmpty && contents.length === 0)) {
      create.push(sliceOf(shape, group, rest.splice(0, endpointsPerSliceMax)));
      if (isEmpty) break;
    }
  }
  return { create, update, delete: present.filter((slice) => !kept.has(slice)) };
}

/** Endpoints stay where they are; new ones fill what has room. */
function distribute(group: PortGroup, slices: readonly LiveSlice[]) {
  const waiting = new Map(group.endpoints.map((endpoint) => [identity(endpoint), endpoint]));
  const contents = slices.map((slice) => {
    const staying: Endpoint[] = [];
    for (const endpoint of slice.endpoints ?? []) {
      const id = identity(endpoint);
      const wanted = waiting.get(id);
      if (wanted === undefined) continue;
      staying.push(wanted);
      waiting.delete(id);
    }
    return { slice, endpoints: staying };
  });
  const rest = [...waiting.values()];
  for (const content of contents) {
    const room = Math.max(0, endpointsPerSliceMax - content.endpoints.length);
    content.endpoints.push(...rest.splice(0, room));
  }
  return { contents, rest };
}

function strip({ metadata, addressType, endpoints, ports }: LiveSlice): unknown {
  const { labels, annotations } = metadata;
  return { labels, annotations: { ...annotations }, addressType, endpoints, ports };
}

function identity(endpoint: DeepReadonly<Endpoint>): string {
  return `${endpoint.addresses.join(",")}|${endpoint.targetRef?.uid ?? ""}`;
}

function metadataOf(shape: SliceShape, slice: LiveSlice): EndpointSlice["metadata"] {
  const metadata = mutable<EndpointSlice["metadata"]>(slice.metadata);
  const annotations = { ...metadata.annotations, ...shape.annotations };
  return {
    ...metadata,
    labels: { ...shape.labels },
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

function sliceOf(
  { namespace, generateName, labels, annotations = {}, ownerReferences }: SliceShape,
  group: PortGroup,
  endpoints: readonly Endpoint[],
): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName,
      namespace,
      labels: { ...labels },
      ...(Object.keys(annotations).length === 0 ? {} : { annotations: { ...annotations } }),
      ownerReferences,
    },
    addressType: group.addressType,
    endpoints: [...endpoints],
    ports: [...group.ports],
  };
}
