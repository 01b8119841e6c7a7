/** `/debug/api_priority_and_fairness/dump_*`: who has seats and who waits, in upstream's form. */
import { formatDuration } from "../../lib/duration.ts";
import type { Clock } from "../../runtime/runtime.ts";
import type { PriorityLevel } from "./priority-level.ts";
import type { PriorityLevels } from "./priority-levels.ts";
import type { Queue, SeatedRequest } from "./queue-set.ts";
import type { RequestDigest } from "./rules.ts";

type Row = readonly (string | number | boolean)[];

const prefix = "/debug/api_priority_and_fairness/";
/** Cells are at least this wide, as Go's tabwriter is told to. */
const cellWidthMin = 8;

/** Undefined for paths that are no dump. */
export function dumpOf(levels: PriorityLevels, url: URL, clock: Clock): string | undefined {
  const all = [...levels.all].sort((a, b) => (a.name < b.name ? -1 : 1));
  switch (url.pathname) {
    case `${prefix}dump_priority_levels`:
      return table([levelHead, ...all.map(levelRow)]);
    case `${prefix}dump_queues`:
      return table([queueHead, ...all.flatMap(queueRows)]);
    case `${prefix}dump_requests`: {
      const detailed = (url.searchParams.get("includeRequestDetails") ?? "") !== "";
      const bootMs = clock.now().getTime() - clock.monotonicMs();
      const head = detailed ? [...requestHead, ...detailHead] : requestHead;
      return table([head, ...all.flatMap((level) => requestRows(level, detailed, bootMs))]);
    }
    default:
      return undefined;
  }
}

const levelHead: Row = [
  "PriorityLevelName",
  "ActiveQueues",
  "IsIdle",
  "IsQuiescing",
  "WaitingRequests",
  "ExecutingRequests",
  "DispatchedRequests",
  "RejectedRequests",
  "TimedoutRequests",
  "CancelledRequests",
];

function levelRow({ name, queues, quiescing }: PriorityLevel): Row {
  const { queues: all, waiting, executing, dispatched, rejected, cancelled } = queues.dump();
  const active = [...all.values()].filter((queue) => queue.waiting.length > 0).length;
  // Upstream has a column for timeouts but counts them among the cancelled.
  const counts = [waiting, executing, dispatched, rejected, 0, cancelled];
  return [name, active, queues.isIdle, quiescing, ...counts];
}

const queueHead: Row = [
  "PriorityLevelName",
  "Index",
  "PendingRequests",
  "ExecutingRequests",
  "SeatsInUse",
  "NextDispatchR",
  "InitialSeatsSum",
  "MaxSeatsSum",
  "TotalWorkSum",
];

/** A level may have millions of queues: those without any request are left out. */
function queueRows({ name, queues }: PriorityLevel): Row[] {
  return inOrder(queues.dump().queues.values()).map((queue) => {
    const sum = (of: (request: SeatedRequest) => number): number =>
      queue.waiting.reduce((all, request) => all + of(request), 0);
    return [
      name,
      queue.index,
      queue.waiting.length,
      queue.executing.size,
      queue.seatsInUse,
      seatSeconds(queue.nextDispatchR),
      sum(({ work }) => work.initialSeats),
      sum(({ seats }) => seats),
      seatSeconds(sum(({ totalWork }) => totalWork)),
    ];
  });
}

const requestHead: Row = [
  "PriorityLevelName",
  "FlowSchemaName",
  "QueueIndex",
  "RequestIndexInQueue",
  "FlowDistingsher",
  "ArriveTime",
  "InitialSeats",
  "FinalSeats",
  "AdditionalLatency",
  "StartTime",
];
const detailHead: Row = [
  "UserName",
  "Verb",
  "APIPath",
  "Namespace",
  "Name",
  "APIVersion",
  "Resource",
  "SubResource",
];

function requestRows({ name, queues }: PriorityLevel, detailed: boolean, bootMs: number): Row[] {
  const rowOf = (queue: number, index: number, request: SeatedRequest): Row => {
    const { tally, distinguisher, work, finalSeats, additionalLatencyMs } = request;
    const at = (ms: number): string =>
      ms === 0 ? "0001-01-01T00:00:00Z" : new Date(bootMs + ms).toISOString();
    const row: Row = [
      name,
      tally.schema,
      queue,
      index,
      distinguisher,
      at(request.arrivedMs),
      work.initialSeats,
      finalSeats,
      formatDuration(additionalLatencyMs),
      at(request.startedMs),
    ];
    return detailed ? [...row, ...details(request.about as RequestDigest)] : row;
  };
  const { queues: all, queueless } = queues.dump();
  return [
    ...inOrder(all.values()).flatMap(({ index, waiting, executing }) => [
      ...waiting.map((request, i) => rowOf(index, i, request)),
      ...[...executing].map((request) => rowOf(index, -1, request)),
    ]),
    ...[...queueless].map((request) => rowOf(-1, -1, request)),
  ];
}

function details({ user, verb, path, resource }: RequestDigest): Row {
  const { namespace = "", name = "", group = "", version = "" } = resource ?? {};
  const groupVersion = group === "" ? version : `${group}/${version}`;
  const { plural = "", subresource = "" } = resource ?? {};
  return [user.name, verb, path, namespace, name, groupVersion, plural, subresource];
}

function inOrder(queues: Iterable<Queue>): Queue[] {
  return [...queues].sort((a, b) => a.index - b.index);
}

function seatSeconds(value: number): string {
  return `${value.toFixed(8)}ss`;
}

/** Cells end in a comma and are filled up to the width of their column, except the last. */
function table(rows: readonly Row[]): string {
  const widths = (rows[0] ?? []).map((_, i) =>
    Math.max(cellWidthMin, ...rows.map((row) => String(row[i]).length + 2)),
  );
  const lines = rows.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : `${cell},`.padEnd(widths[i] ?? 0)))
      .join(""),
  );
  return `${lines.join("\n")}\n`;
}
