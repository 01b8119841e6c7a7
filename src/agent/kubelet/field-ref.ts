/** The values of `fieldRef` and `resourceFieldRef`, for variables and files. Pure. */
import { milliCpu, quantityValue, wholeValue } from "./resources.ts";
import { type Container, containersOf, type Pod } from "./types.ts";

/** What a pod knows of its place that its object may not show yet. */
export interface PodPlace {
  readonly nodeName: string;
  readonly hostIps: readonly string[];
  readonly podIps: readonly string[];
  /** Allocatable of the node: the limit of a container that has none. */
  readonly allocatable: Readonly<Record<string, string>>;
}

/** `key="value"` lines in the order of the keys, values quoted as Go does. */
export function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n");
}

/** Undefined for a path that is not supported. */
export function fieldValue(pod: Pod, path: string, place: PodPlace): string | undefined {
  const subscript = path.match(/^metadata\.(labels|annotations)\['(.+)'\]$/);
  if (subscript !== null) {
    const map = subscript[1] === "labels" ? pod.metadata.labels : pod.metadata.annotations;
    return map?.[subscript[2] ?? ""] ?? "";
  }
  switch (path) {
    case "metadata.name":
      return pod.metadata.name ?? "";
    case "metadata.namespace":
      return pod.metadata.namespace ?? "";
    case "metadata.uid":
      return pod.metadata.uid ?? "";
    case "metadata.labels":
      return formatMap(pod.metadata.labels);
    case "metadata.annotations":
      return formatMap(pod.metadata.annotations);
    case "spec.nodeName":
      return pod.spec.nodeName ?? place.nodeName;
    case "spec.serviceAccountName":
      return pod.spec.serviceAccountName ?? "";
    case "status.hostIP":
      return place.hostIps[0] ?? "";
    case "status.hostIPs":
      return place.hostIps.join(",");
    case "status.podIP":
      return place.podIps[0] ?? "";
    case "status.podIPs":
      return place.podIps.join(",");
    default:
      return undefined;
  }
}

export interface ResourceRef {
  readonly containerName?: string;
  readonly resource: string;
  readonly divisor?: string;
}

/** A resource of a container in units of the divisor, rounded up. */
export function resourceValue(
  pod: Pod,
  own: Container | undefined,
  ref: ResourceRef,
  place: PodPlace,
): string | undefined {
  const name = ref.containerName ?? "";
  const container =
    name === "" ? own : containersOf(pod).find((entry) => entry.container.name === name)?.container;
  if (container === undefined) return undefined;
  const [kind, ...rest] = ref.resource.split(".");
  const resource = rest.join(".");
  const { requests = {}, limits = {} } = container.resources ?? {};
  const limit = limits[resource] ?? place.allocatable[resource];
  // Defaulting gives a request to what has a limit; a request of nothing is 0.
  const quantity = kind === "limits" ? limit : (requests[resource] ?? limits[resource] ?? "0");
  const divisor = quantityValue(ref.divisor) === 0 ? "1" : (ref.divisor ?? "1");
  if (resource === "cpu") {
    return String(Math.ceil(milliCpu(quantity) / milliCpu(divisor)));
  }
  return String(Math.ceil(wholeValue(quantity) / wholeValue(divisor)));
}
