/** What is recorded of a request: audit.k8s.io/v1 Event, and who takes it. */
import type { StatusDetails } from "../../lib/api-error.ts";
import type { User } from "../request.ts";

export const auditLevels = ["None", "Metadata", "Request", "RequestResponse"] as const;
export type AuditLevel = (typeof auditLevels)[number];

export const auditStages = [
  "RequestReceived",
  "ResponseStarted",
  "ResponseComplete",
  "Panic",
] as const;
export type AuditStage = (typeof auditStages)[number];

export interface AuditUser {
  readonly username?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: User["extra"];
}

export interface AuditObjectReference {
  resource?: string;
  namespace?: string;
  name?: string;
  uid?: string;
  apiGroup?: string;
  apiVersion?: string;
  resourceVersion?: string;
  subresource?: string;
}

export interface AuditStatus {
  readonly metadata: Readonly<Record<string, never>>;
  readonly status?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code?: number;
}

/** Its members stand in the order in which upstream writes them. */
export interface AuditEvent {
  readonly kind: "Event";
  readonly apiVersion: "audit.k8s.io/v1";
  readonly level: AuditLevel;
  readonly auditID: string;
  readonly stage: AuditStage;
  readonly requestURI: string;
  readonly verb: string;
  readonly user: AuditUser;
  readonly impersonatedUser?: AuditUser;
  readonly authenticationMetadata?: { readonly impersonationConstraint: string };
  readonly sourceIPs?: readonly string[];
  readonly userAgent?: string;
  readonly objectRef?: AuditObjectReference;
  readonly responseStatus?: AuditStatus;
  readonly requestObject?: unknown;
  readonly responseObject?: unknown;
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Takes events: a file, a receiver, or what stands before one. */
export interface AuditSink {
  /** False when events could not be taken. */
  process(events: readonly AuditEvent[]): boolean | Promise<boolean>;
  /** Resolves once everything taken has been handed on. */
  close(): Promise<void>;
}

/** Told of events that were lost, with the plugin that lost them. */
export type OnLost = (plugin: string, error: unknown, events: readonly AuditEvent[]) => void;

export function userOf(user: User): AuditUser {
  const { name, uid, groups, extra } = user;
  return {
    ...(name === "" ? {} : { username: name }),
    ...(uid === "" ? {} : { uid }),
    ...(groups.length === 0 ? {} : { groups }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

/** One line of JSON: control characters are escaped by JSON itself, line separators here. */
export function eventLine(event: AuditEvent): string {
  const text = JSON.stringify(event);
  return `${text.replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029")}\n`;
}

/** Upstream's old form of one line per event, every value from outside quoted. */
export function legacyLine(event: AuditEvent): string {
  const { user, impersonatedUser, sourceIPs, objectRef, responseStatus } = event;
  const list = (groups: readonly string[]) => groups.map(quote).join(",");
  const [name, groups] =
    user.username === undefined
      ? ["<none>", "<none>"]
      : [user.username, user.groups === undefined ? "<none>" : list(user.groups)];
  const asGroups =
    impersonatedUser?.groups === undefined ? "<lookup>" : list(impersonatedUser.groups);
  const fields: readonly (readonly [string, string])[] = [
    ["id", event.auditID],
    ["stage", event.stage],
    ["ip", sourceIPs?.[0] ?? "<unknown>"],
    ["method", event.verb],
    ["user", name],
    ["groups", groups],
    ["as", impersonatedUser?.username ?? "<self>"],
    ["asgroups", asGroups],
    ["user-agent", event.userAgent ?? ""],
    ["namespace", objectRef?.namespace ?? "<none>"],
    ["uri", event.requestURI],
    ["response", responseStatus === undefined ? "<deferred>" : String(responseStatus.code ?? 0)],
  ];
  const texts = fields.map(([key, value]) => `${key}=${quote(value)}`);
  return `${event.requestReceivedTimestamp} AUDIT: ${texts.join(" ")}\n`;
}

/** JSON's quoting, with what a terminal might obey escaped as well. */
function quote(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
