/** What filters change of requests and answers on their way. */
import type { AnswerFields, Forward } from "./decision.ts";
import type { Field } from "./header-fields.ts";
import type { Request } from "./request-out.ts";
import type { FieldChange, PathChange, RedirectParts } from "./route-table.ts";

/** The request with its fields changed. */
export function withFields(request: Request, { set, add, remove }: FieldChange): Request {
  const gone = new Set([...remove, ...set.map(([name]) => name.toLowerCase())]);
  const kept = request.fields.filter(({ lower }) => !gone.has(lower));
  const fieldFrom = ([name, value]: readonly [string, string]): Field => ({
    name,
    lower: name.toLowerCase(),
    value,
  });
  return { ...request, fields: [...kept, ...set.map(fieldFrom), ...add.map(fieldFrom)] };
}

/** What is added to an answer and left out; `own` replaces what a backend says, but "Vary". */
export function changedAnswer(
  own: AnswerFields,
  changes: readonly (FieldChange | undefined)[],
): Pick<Forward, "fields" | "dropped"> {
  const dropped = own.map(([name]) => name.toLowerCase()).filter((lower) => lower !== "vary");
  let fields: AnswerFields = own;
  for (const { set, add, remove } of changes.filter((one) => one !== undefined)) {
    const gone = new Set([...remove, ...set.map(([name]) => name.toLowerCase())]);
    dropped.push(...gone);
    fields = [...fields.filter(([name]) => !gone.has(name.toLowerCase())), ...set, ...add];
  }
  return { fields, dropped };
}

/** `prefix` is the route's path. */
export function changedPath({ replaces, by }: PathChange, prefix: string, path: string): string {
  if (replaces === "all") return by.startsWith("/") ? by : `/${by}`;
  const rest = path.slice(prefix.replace(/\/+$/, "").length);
  const changed = `${by.replace(/\/+$/, "")}${rest}`;
  return changed.startsWith("/") ? changed : `/${changed}`;
}

const ports: Readonly<Record<string, number>> = { http: 80, https: 443 };

/** Where a redirect leads to; a port that goes without saying is left out. */
export function redirectUrl(
  { scheme, host, port, path: change }: RedirectParts,
  { host: asked, entryPoint }: Pick<Request, "host" | "entryPoint">,
  at: { readonly prefix: string; readonly path: string; readonly query: string },
): string {
  const shownScheme = scheme ?? (entryPoint === "websecure" ? "https" : "http");
  const shownHost = host ?? asked.replace(/:\d*$/, "");
  const isUsual = port === undefined || port === ports[shownScheme];
  const path = change === undefined ? at.path : changedPath(change, at.prefix, at.path);
  return `${shownScheme}://${shownHost}${isUsual ? "" : `:${port}`}${path}${at.query}`;
}
