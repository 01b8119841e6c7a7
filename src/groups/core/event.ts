/** Events, served as v1 and events.k8s.io/v1 of one storage (the v1 form). */
import type { ResourceDefinition } from "../../api/resource-definition.ts";
import { events, eventsV1 } from "../../client/resources.ts";
import type { Event, ObjectReference } from "../../gen/core-v1.ts";
import type { Event as EventsV1Event } from "../../gen/events-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { ageOf } from "../../lib/human-duration.ts";
import type { KubeObject } from "../../schema/object.ts";
import { invalid, oneOf, required } from "../field-errors.ts";
import { column, define, wide } from "../row.ts";

type ReadEvent = DeepReadonly<Event>;
type ReadReference = DeepReadonly<ObjectReference> | undefined;

const eventTtlSeconds = 3600;

function firstSeen(event: ReadEvent, now: Date): string {
  return ageOf(event.firstTimestamp ?? event.eventTime, now);
}

function lastSeen(event: ReadEvent, now: Date): string {
  if (event.series) return ageOf(event.series.lastObservedTime, now);
  return event.lastTimestamp ? ageOf(event.lastTimestamp, now) : firstSeen(event, now);
}

function sourceCell(event: ReadEvent): string {
  const component = event.source?.component || event.reportingComponent || "";
  const host = event.source?.host || event.reportingInstance || "";
  return host === "" ? component : `${component}, ${host}`;
}

function objectCell(reference: ReadReference): string {
  const kind = (reference?.kind ?? "").toLowerCase();
  return reference?.name ? `${kind}/${reference.name}` : kind;
}

const printed = [
  column<Event>("Last Seen", lastSeen),
  column<Event>("Type", (one) => one.type ?? ""),
  column<Event>("Reason", (one) => one.reason ?? ""),
  column<Event>("Object", (one) => objectCell(one.involvedObject)),
  wide<Event>("Subobject", (one) => one.involvedObject?.fieldPath ?? ""),
  wide<Event>("Source", sourceCell),
  column<Event>("Message", (one) => (one.message ?? "").trim()),
  wide<Event>("First Seen", firstSeen),
  wide<Event>("Count", (one) => one.series?.count ?? (one.count || 1)),
  { ...wide<Event>("Name", (one) => one.metadata.name ?? ""), format: "name" },
];

const referenceFields = [
  "kind",
  "namespace",
  "name",
  "uid",
  "apiVersion",
  "resourceVersion",
  "fieldPath",
] as const;

function referenceSelectors<T>(
  prefix: string,
  read: (object: DeepReadonly<T>) => ReadReference,
): Record<string, (object: DeepReadonly<T>) => string> {
  return Object.fromEntries(
    referenceFields.map((field) => [
      `${prefix}.${field}`,
      (object: DeepReadonly<T>) => read(object)?.[field] ?? "",
    ]),
  );
}

export const event: ResourceDefinition = define<Event>(events, {
  shortNames: ["ev"],
  columns: printed,
  age: -1,
  fields: {
    ...referenceSelectors<Event>("involvedObject", (one) => one.involvedObject),
    reason: (one) => one.reason ?? "",
    reportingComponent: (one) => one.reportingComponent ?? "",
    source: (one) => one.source?.component || one.reportingComponent || "",
    type: (one) => one.type ?? "",
  },
  ttlSeconds: eventTtlSeconds,
  validate(object) {
    const about = object.involvedObject?.namespace ?? "";
    const own = object.metadata.namespace ?? "";
    if (about === own || (about === "" && (own === "default" || own === "kube-system"))) return [];
    return [invalid("involvedObject.namespace", about, "does not match event.namespace")];
  },
});

/** Renames fields, leaving out those that are not set. */
function renamed(source: object, names: Readonly<Record<string, string>>): Record<string, unknown> {
  const values = source as Record<string, unknown>;
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values))
    if (value !== undefined) result[names[key] ?? key] = value;
  return result;
}

const toCore: Readonly<Record<string, string>> = {
  reportingController: "reportingComponent",
  regarding: "involvedObject",
  note: "message",
  deprecatedSource: "source",
  deprecatedFirstTimestamp: "firstTimestamp",
  deprecatedLastTimestamp: "lastTimestamp",
  deprecatedCount: "count",
};
const fromCore = Object.fromEntries(Object.entries(toCore).map(([key, value]) => [value, key]));

export const eventV1: ResourceDefinition = define<EventsV1Event>(eventsV1, {
  shortNames: ["ev"],
  columns: printed.map((one) => ({
    ...one,
    value: (object: DeepReadonly<EventsV1Event>, now: Date) =>
      one.value(renamed(object, toCore) as unknown as ReadEvent, now),
  })),
  age: -1,
  fields: {
    ...referenceSelectors<EventsV1Event>("regarding", (one) => one.regarding),
    reason: (one) => one.reason ?? "",
    reportingController: (one) => one.reportingController ?? "",
    type: (one) => one.type ?? "",
  },
  ttlSeconds: eventTtlSeconds,
  validate(object, { old }) {
    if (old !== undefined || !object.eventTime) return [];
    const errors = [];
    if (!object.reportingController) errors.push(required("reportingController"));
    if (!object.reportingInstance) errors.push(required("reportingInstance"));
    if (!object.action) errors.push(required("action"));
    if (!object.reason) errors.push(required("reason"));
    return [...errors, ...oneOf("type", object.type, ["Normal", "Warning"])];
  },
  storagePrefix: "events",
  conversion: {
    toStorage: (object) =>
      ({ ...renamed(object, toCore), apiVersion: "v1", kind: "Event" }) as unknown as KubeObject,
    fromStorage: (object) =>
      ({
        ...renamed(object, fromCore),
        apiVersion: "events.k8s.io/v1",
        kind: "Event",
      }) as unknown as EventsV1Event,
  },
});
