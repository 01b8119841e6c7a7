/** Events, served as v1 and events.k8s.io/v1 of one storage (the v1 form). */
import type { FieldError, ResourceDefinition } from "../../api/resource-definition.ts";
import { events, eventsV1 } from "../../client/resources.ts";
import type { Event, ObjectReference } from "../../gen/core-v1.ts";
import type { Event as EventsV1Event } from "../../gen/events-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { ageOf } from "../../lib/human-duration.ts";
import { labelKeyErrors, subdomainErrors } from "../../lib/names.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import type { KubeObject } from "../../schema/object.ts";
import { invalid, invalids, required } from "../field-errors.ts";
import { validateMetadata } from "../metadata.ts";
import { validateImmutable } from "../pod-template.ts";
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

const limits = {
  reportingInstanceCharactersMax: 128,
  actionCharactersMax: 128,
  reasonCharactersMax: 128,
  messageCharactersMax: 1024,
} as const;

function tooMuch(field: string, value: string, max: number): FieldError[] {
  return value.length > max ? [invalid(field, "", `can have at most ${max} characters`)] : [];
}

/** What events of every version must fulfil; those with an eventTime say who tells them. */
function validateEvent(event: ReadEvent, version: "v1" | "events.k8s.io/v1"): FieldError[] {
  const errors: FieldError[] = [];
  const about = event.involvedObject?.namespace ?? "";
  const own = event.metadata.namespace ?? "";
  const exempt = event.eventTime ? ["default", "kube-system"] : ["", "default"];
  const fits = about === "" ? exempt.includes(own) : event.eventTime || about === own;
  if (!fits)
    errors.push(invalid("involvedObject.namespace", about, "does not match event.namespace"));
  if (event.eventTime) {
    const by = version === "v1" ? "reportingComponent" : "reportingController";
    const { reportingComponent = "", reportingInstance = "", action = "" } = event;
    const { reason = "", message = "" } = event;
    if (reportingComponent === "") errors.push(required(by));
    errors.push(...invalids(by, reportingComponent, labelKeyErrors(reportingComponent)));
    if (reportingInstance === "") errors.push(required("reportingInstance"));
    const most = limits.reportingInstanceCharactersMax;
    errors.push(...tooMuch("reportingInstance", reportingInstance, most));
    if (action === "") errors.push(required("action"));
    errors.push(...tooMuch("action", action, limits.actionCharactersMax));
    if (reason === "") errors.push(required("reason"));
    errors.push(...tooMuch("reason", reason, limits.reasonCharactersMax));
    errors.push(...tooMuch("message", message, limits.messageCharactersMax));
  }
  return [...errors, ...invalids("namespace", own, subdomainErrors(own))];
}

const frozen = [
  ["involvedObject", "involvedObject"],
  ["reason", "reason"],
  ["message", "message"],
  ["source", "source"],
  ["firstTimestamp", "firstTimestamp"],
  ["lastTimestamp", "lastTimestamp"],
  ["count", "count"],
  ["type", "type"],
  ["eventTime", "eventTime"],
  ["action", "action"],
  ["related", "related"],
  ["reportingComponent", "reportingController"],
  ["reportingInstance", "reportingInstance"],
] as const;

/** What Go has where nothing is said. */
const unset: Partial<Record<(typeof frozen)[number][0], unknown>> = {
  count: 0,
  ...{ reason: "", message: "", type: "", action: "" },
  ...{ reportingComponent: "", reportingInstance: "" },
};

/** Of an event of events.k8s.io only the series and the metadata change. */
function validateEventChange(event: ReadEvent, old: ReadEvent): FieldError[] {
  const errors = semanticEqual(event.series, old.series) ? [] : validateSeries(event);
  const judged = (one: ReadEvent, field: (typeof frozen)[number][0]): unknown =>
    field === "source" ? { component: "", host: "", ...one.source } : (one[field] ?? unset[field]);
  for (const [field, shown] of frozen)
    errors.push(...validateImmutable(judged(event, field), judged(old, field), shown));
  return errors;
}

function validateSeries({ series }: ReadEvent): FieldError[] {
  const errors: FieldError[] = [];
  if (series && (series.count ?? 0) < 2)
    errors.push(invalid("series.count", "", "should be at least 2"));
  if (series && !series.lastObservedTime) errors.push(required("series.lastObservedTime"));
  return errors;
}

/** What events of events.k8s.io must fulfil besides. */
function validateNewEvent(event: ReadEvent): FieldError[] {
  const errors = validateSeries(event);
  const { eventTime, type = "", firstTimestamp, lastTimestamp, count, source } = event;
  if (!eventTime) errors.push(required("eventTime"));
  if (type !== "Normal" && type !== "Warning")
    errors.push(invalid("type", "", `has invalid value: ${type}`));
  const unset = { firstTimestamp, lastTimestamp, count, source: source?.component || source?.host };
  for (const [field, value] of Object.entries(unset))
    if (value) errors.push(invalid(field, "", "needs to be unset"));
  return errors;
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
  metadataLast: true,
  validate: (object) => validateEvent(object, "v1"),
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
  // The rules of the core form come first, before those of any metadata.
  nameless: true,
  validate(object, { old }) {
    const event = renamed(object, toCore) as unknown as ReadEvent;
    if (old !== undefined) {
      const before = renamed(old, toCore) as unknown as ReadEvent;
      return [...validateEvent(event, "events.k8s.io/v1"), ...validateEventChange(event, before)];
    }
    const names = { namespaced: true, nameRule: subdomainErrors, isUpdate: false };
    return [
      ...validateEvent(event, "events.k8s.io/v1"),
      ...validateMetadata(object.metadata, names),
      ...validateNewEvent(event),
    ];
  },
  storagePrefix: "events",
  conversion: {
    storedAs: { group: "", version: "v1" },
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
