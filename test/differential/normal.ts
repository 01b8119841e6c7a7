/** Replaces what may differ between two servers: random names, uids, times, revisions, addresses. */
import { type Answer, type Exchange, isObject, type Json, type JsonObject } from "./client.ts";

/** Values of Go structures in messages, in upstream's internal form, and their differences. */
const goValues: readonly (readonly [RegExp, string])[] = [
  // Go tells maps and lists that nobody gave from empty ones.
  [/(Invalid|Unsupported) value: (?:null|\{\}|\[\])(?=: |, |\]?$)/g, "$1 value: <empty>"],
  [
    /(Invalid|Unsupported) value: [{[](?:[^"\\]|"(?:\\.|[^"\\])*")*?[}\]](?=: [a-z`']|, [a-z]|\]?$)/g,
    "$1 value: <value>",
  ],
  [
    /\n@@ [\s\S]*?(?=, [a-zA-Z.[\]0-9]+: (?:Invalid|Required|Forbidden|Unsupported|Duplicate)|\]?$)/g,
    "",
  ],
  [/(?<=(?: is invalid: patch: |^)Invalid value: )"(?:[{]|map)(?:\\.|[^"\\])*"/g, "<patched>"],
];

/** Parts of texts; each is kept when the request itself holds it. */
const tokens: readonly (readonly [RegExp, string])[] = [
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, "<token>"],
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, "<uid>"],
  [/(?<=kube-api-access-)[a-z0-9]{5}\b/g, "<generated>"],
  [/\b10\.(?:43|77)\.\d+\.\d+\b/g, "<address>"],
  [/(?:127\.0\.0\.1|192\.0\.2\.1):\d+/g, "<server>"],
  [/(?<=resource ?[vV]ersion: "?|revision: \(|resource version: )\d{2,}/g, "<revision>"],
  [/(?<=in record \(|ResourceVersion in object meta: )\d+/g, "<revision>"],
  [/(?<=\b\d+:)3[0-2]\d{3}(?=\/(TCP|UDP|SCTP))/g, "<port>"],
  [/(?<=too old resource version: \d+ \()\d+/g, "<revision>"],
  [/(?<=Too large resource version: \d+, current: )\d+/g, "<revision>"],
];

const times = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g;
/** The times that the requests themselves bring along. */
const fixedTime = /^2026-01-0/;

/** Headers compared by value, and those of which only the presence counts. */
const headersByValue = ["content-type", "warning", "cache-control", "www-authenticate", "allow"];
headersByValue.push("location", "retry-after", "vary");
const headersByPresence = ["audit-id", "etag", "last-modified", "x-varied-accept"];
headersByPresence.push("x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid");

const age = /^(\d+[smhdy])+$/;
const generatedSuffixLength = 5;
/** Longer beginnings are cut before anything is appended. */
const generatedStemMax = 58;
const suffix = "[bcdfghjklmnpqrstvwxz2456789]{5}";

class Normaliser {
  readonly #given: readonly string[];
  readonly #generated = new Map<string, string>();
  /** Names that begin as the request asked, in errors that hold no object. */
  readonly #stem: RegExp | undefined;

  constructor(given: readonly string[]) {
    this.#given = given;
    const stem = /"generateName":"([^"]+)"/.exec(given[0] ?? "")?.[1];
    const cut = stem?.slice(0, generatedStemMax);
    if (cut !== undefined) this.#stem = new RegExp(`(?<=${RegExp.escape(cut)})${suffix}\\b`, "g");
  }

  #isGiven(text: string): boolean {
    return this.#given.every((one) => one.includes(text));
  }

  /** Names that the server made up, wherever they stand in the answer. */
  collect(value: Json): void {
    if (Array.isArray(value)) for (const item of value) this.collect(item);
    if (!isObject(value)) return;
    const { generateName, name } = value;
    if (typeof generateName === "string" && typeof name === "string" && generateName !== "") {
      const stem = generateName.slice(0, generatedStemMax);
      const isLong = name.length === stem.length + generatedSuffixLength;
      if (isLong && name.startsWith(stem)) this.#generated.set(name, `${stem}<generated>`);
    }
    for (const item of Object.values(value)) this.collect(item);
  }

  text(value: string): string {
    let text = value;
    for (const [name, shown] of this.#generated) text = text.replaceAll(name, shown);
    if (this.#stem !== undefined) text = text.replace(this.#stem, "<generated>");
    for (const [pattern, shown] of goValues) text = text.replace(pattern, shown);
    for (const [pattern, shown] of tokens)
      text = text.replace(pattern, (found) => (this.#isGiven(found) ? found : shown));
    return text.replace(times, (found) => (fixedTime.test(found) ? found : "<time>"));
  }

  value(value: Json, key: string): Json {
    if (typeof value === "string") return this.#string(value, key);
    if (typeof value === "number" && key === "nodePort")
      return this.#isGiven(String(value)) ? value : "<port>";
    if (Array.isArray(value)) {
      const items = value.map((item) => this.value(item, key));
      // Upstream goes through the bindings of a user in no order.
      if (/^(non)?resourceRules$/i.test(key)) return items.toSorted(byText);
      if (key !== "causes") return items.filter((item) => !isBookmark(item));
      return items.every(isManagerConflict) ? items.toSorted(byText) : withoutRepeats(items);
    }
    if (!isObject(value)) return value;
    const { managedFields } = value;
    if (Array.isArray(managedFields)) {
      const sorted = managedFields.toSorted((a, b) => (managerKey(a) < managerKey(b) ? -1 : 1));
      return this.value({ ...value, managedFields: null, managers: sorted }, key);
    }
    const entries = Object.entries(value).map(([name, item]): [string, Json] => [
      this.text(name),
      this.value(item, name),
    ]);
    return Object.fromEntries(entries);
  }

  #string(value: string, key: string): string {
    if (key === "resourceVersion")
      return /^\d{1,}$/.test(value) && value !== "0" ? "<revision>" : value;
    if (key === "continue") return value === "" ? "" : "<continue>";
    if (key === "cells" && age.test(value)) return "<age>";
    return this.text(value);
  }
}

/** Upstream goes through a map of managers. */
function isManagerConflict(cause: Json): boolean {
  return isObject(cause) && cause.reason === "FieldManagerConflict";
}

/** Bookmarks come when the server likes; those that end the first events are annotated. */
function isBookmark(event: Json): boolean {
  if (!isObject(event) || event.type !== "BOOKMARK" || !isObject(event.object)) return false;
  return isObject(event.object.metadata) && event.object.metadata.annotations === undefined;
}

/** What two of upstream's validations find is told twice. */
function withoutRepeats(causes: Json[]): Json[] {
  return [...new Map(causes.map((cause) => [JSON.stringify(cause), cause])).values()];
}

function byText(a: Json, b: Json): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}

/** Entries are ordered by time, and a second may begin between two servers. */
function managerKey(entry: Json): string {
  if (!isObject(entry)) return "";
  return `${entry.manager} ${entry.operation} ${entry.subresource ?? ""}`;
}

/** What a request says, to tell values that it gave from those that a server made up. */
export function textOf(exchange: Exchange): string {
  const sent =
    typeof exchange.body === "string" ? exchange.body : JSON.stringify(exchange.body ?? "");
  return `${decodeURIComponent(exchange.path)} ${sent}`;
}

/**
 * An answer as it is compared: status, headers that matter, body. Tokens stay as they are when all
 * of the given texts hold them.
 */
export function normalise(answer: Answer, given: readonly string[]): JsonObject {
  const normaliser = new Normaliser(given);
  normaliser.collect(answer.body);
  const headers: JsonObject = {};
  for (const name of headersByValue) {
    const value = answer.headers[name];
    if (value !== undefined) headers[name] = normaliser.text(value);
  }
  for (const name of headersByPresence)
    if (answer.headers[name] !== undefined) headers[name] = "<present>";
  return { status: answer.status, headers, body: normaliser.value(answer.body, "") };
}
