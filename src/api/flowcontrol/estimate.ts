/** How many seats a request takes: long lists weigh more, and so do writes with many watchers. */
import { isTrue } from "../options.ts";
import type { WorkEstimate } from "./queue-set.ts";
import type { DigestedResource } from "./rules.ts";

/** Upstream's numbers, of KEP-1040 and KEP-5116. */
const limits = {
  bytesPerSeat: 100_000,
  /** A list out of the cache is sent piece by piece, so no more of it is in memory at once. */
  cachedListBytesMax: 1_000_000,
  listSeatsMax: 100,
  mutatingSeatsMax: 10,
  watchesPerSeat: 10,
  eventMs: 5,
} as const;

/** What is known of a resource's objects. */
export interface ObjectStats {
  readonly count: number;
  readonly averageBytes: number;
}

export interface EstimateSources {
  /** Undefined for what is not stored here. */
  readonly statsOf: (resource: DigestedResource) => ObjectStats | undefined;
  readonly watchersOf: (resource: DigestedResource) => number;
}

const oneSeat: WorkEstimate = { initialSeats: 1, finalSeats: 0, additionalLatencyMs: 0 };

/** `seatsMax` is what the priority level gives to one request; 0 when it does not say. */
export function estimateWork(
  verb: string,
  resource: DigestedResource | undefined,
  query: URLSearchParams,
  seatsMax: number,
  sources: EstimateSources,
): WorkEstimate {
  if (resource === undefined) return oneSeat;
  switch (verb) {
    case "list":
    case "watch":
      return estimateList(verb, resource, query, seatsMax, sources);
    case "create":
    case "update":
    case "patch":
    case "delete":
      return estimateWrite(resource, seatsMax, sources);
    default:
      return oneSeat;
  }
}

function most(seatsMax: number, limit: number): number {
  return seatsMax === 0 ? limit : Math.min(seatsMax, limit);
}

function estimateList(
  verb: "list" | "watch",
  resource: DigestedResource,
  query: URLSearchParams,
  seatsMax: number,
  { statsOf }: EstimateSources,
): WorkEstimate {
  const version = query.get("resourceVersion") ?? "";
  const beginsWithList =
    isTrue(query.get("sendInitialEvents")) || version === "" || version === "0";
  if (verb === "watch" && !beginsWithList) return oneSeat;
  const stats = statsOf(resource);
  if (stats === undefined || stats.count === 0) return oneSeat;
  const asked = Number(query.get("limit") ?? "0");
  const limited = asked > 0 ? Math.min(asked, stats.count) : stats.count;
  const fromStore =
    verb === "list" &&
    ((query.get("continue") ?? "") !== "" || query.get("resourceVersionMatch") === "Exact");
  const selects = (query.get("labelSelector") ?? query.get("fieldSelector") ?? "") !== "";
  let objects = limited;
  if (resource.name !== "") objects = 1;
  else if (fromStore && selects) objects = Math.max(limited, stats.count / 2);
  let bytes = objects * stats.averageBytes;
  if (!fromStore) bytes = Math.min(bytes, limits.cachedListBytesMax);
  const wanted = Math.max(1, Math.ceil(bytes / limits.bytesPerSeat));
  return { ...oneSeat, initialSeats: Math.min(wanted, most(seatsMax, limits.listSeatsMax)) };
}

function estimateWrite(
  resource: DigestedResource,
  seatsMax: number,
  { watchersOf }: EstimateSources,
): WorkEstimate {
  // A token is made without any object being changed.
  if (resource.plural === "serviceaccounts" && resource.subresource === "token") return oneSeat;
  const watchers = watchersOf(resource);
  if (watchers < limits.watchesPerSeat) return oneSeat;
  const wanted = Math.ceil(watchers / limits.watchesPerSeat);
  const finalSeats = Math.min(wanted, most(seatsMax, limits.mutatingSeatsMax));
  return {
    initialSeats: 1,
    finalSeats,
    additionalLatencyMs: (wanted * limits.eventMs) / finalSeats,
  };
}
