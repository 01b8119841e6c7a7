/** meta/v1 ListOptions from the query, checked as upstream checks them. */
import { ApiError } from "../lib/api-error.ts";
import type { Revision } from "../store/store.ts";
import { decodeContinue } from "./continue-token.ts";
import { invalid } from "./errors.ts";
import { isTrue, wholeNumber } from "./options.ts";
import type { FieldError } from "./resource-definition.ts";

export interface ListQuery {
  readonly limit: number;
  readonly continue: string;
  /** List at exactly this revision. */
  readonly exact: Revision | undefined;
  /** 0 is whatever is at hand. */
  readonly notOlderThan: Revision;
  readonly hasResourceVersion: boolean;
  readonly sendInitialEvents: boolean | undefined;
  readonly allowWatchBookmarks: boolean;
  readonly timeoutSeconds: number | undefined;
}

export function readListOptions(query: URLSearchParams, verb: "list" | "watch"): ListQuery {
  const version = query.get("resourceVersion") ?? "";
  const match = query.get("resourceVersionMatch") ?? "";
  const next = verb === "list" ? (query.get("continue") ?? "") : "";
  const sent = query.get("sendInitialEvents");
  const sendInitialEvents = sent === null ? undefined : isTrue(sent);
  const errors =
    verb === "list"
      ? listErrors(version, match, next, sendInitialEvents)
      : watchErrors(match, sendInitialEvents);
  if (errors.length > 0) {
    throw invalid({ group: "meta.k8s.io", plural: "", kind: "ListOptions" }, "", errors);
  }
  const revision = revisionOf(version);
  if (next !== "") decodeContinue(next);
  if (next !== "" && revision > 0 && verb === "list") {
    throw new ApiError(
      "BadRequest",
      "specifying resource version is not allowed when using continue",
    );
  }
  const limit = version === "0" ? 0 : Math.max(0, wholeNumber(query, "limit") ?? 0);
  const isExact = match === "Exact" || (match === "" && limit > 0 && revision > 0);
  return {
    limit,
    continue: next,
    exact: isExact ? revision : undefined,
    notOlderThan: revision,
    hasResourceVersion: version !== "" && version !== "0",
    sendInitialEvents,
    allowWatchBookmarks: isTrue(query.get("allowWatchBookmarks")),
    timeoutSeconds: wholeNumber(query, "timeoutSeconds"),
  };
}

function revisionOf(text: string): Revision {
  if (text === "" || text === "0") return 0;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const detail = `strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`;
  throw new ApiError(
    "BadRequest",
    `invalid resource version: resourceVersion: Invalid value: ${JSON.stringify(text)}: ${detail}`,
  );
}

const matchField = "resourceVersionMatch";

function forbidden(detail: string): FieldError {
  return { type: "FieldValueForbidden", field: matchField, detail };
}

function notSupported(value: string, supported: string): FieldError {
  const detail = `supported values: ${supported}`;
  return { type: "FieldValueNotSupported", field: matchField, value, detail };
}

function listErrors(
  version: string,
  match: string,
  next: string,
  sendInitialEvents: boolean | undefined,
): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (sendInitialEvents !== undefined) {
    const detail = "sendInitialEvents is forbidden for list";
    errors.push({ type: "FieldValueForbidden", field: "sendInitialEvents", detail });
  }
  if (match === "") return errors;
  if (version === "") {
    errors.push(forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"));
  }
  if (next !== "") {
    errors.push(forbidden("resourceVersionMatch is forbidden when continue is provided"));
  }
  if (match !== "Exact" && match !== "NotOlderThan") {
    errors.push(notSupported(match, '"Exact", "NotOlderThan", ""'));
  } else if (match === "Exact" && version === "0") {
    errors.push(forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"'));
  }
  return errors;
}

function watchErrors(match: string, sendInitialEvents: boolean | undefined): readonly FieldError[] {
  const wrong = match === "NotOlderThan" ? [] : [notSupported(match, '"NotOlderThan"')];
  if (sendInitialEvents === undefined) {
    const detail =
      "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
    return match === "" ? [] : [forbidden(detail), ...wrong];
  }
  if (match === "") {
    return [forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")];
  }
  return wrong;
}
