/** Users that an aggregating proxy vouches for by headers, under its own certificate. */
import type { Peer } from "../authorizer.ts";
import type { User } from "../request.ts";
import { headerValue, headerValues, unescapedKey } from "./identity-headers.ts";

/** `--requestheader-*`; the ConfigMap for extension servers says the same. */
export interface RequestHeaders {
  /** Common names of certificates; none lets in every proxy that the authority has signed. */
  readonly allowedNames: readonly string[];
  readonly usernames: readonly string[];
  readonly uids: readonly string[];
  readonly groups: readonly string[];
  readonly extraPrefixes: readonly string[];
}

/** As K3s sets them. */
export const defaultRequestHeaders: RequestHeaders = {
  allowedNames: ["system:auth-proxy"],
  usernames: ["X-Remote-User"],
  uids: [],
  groups: ["X-Remote-Group"],
  extraPrefixes: ["X-Remote-Extra-"],
};

/** Undefined unless a proxy that is allowed to names a user. */
export function frontProxyUser(
  headers: Headers,
  { frontProxy }: Peer,
  wanted: RequestHeaders = defaultRequestHeaders,
): User | undefined {
  const { allowedNames, usernames, uids, groups, extraPrefixes } = wanted;
  if (frontProxy === undefined) return undefined;
  if (allowedNames.length > 0 && !allowedNames.includes(frontProxy)) return undefined;
  const first = (names: readonly string[]): string =>
    names.map((name) => headerValue(headers, name)).find((value) => value !== "") ?? "";
  const name = first(usernames);
  if (name === "") return undefined;
  return {
    name,
    uid: first(uids),
    groups: groups.flatMap((header) => headerValues(headers, header)),
    extra: extraOf(headers, extraPrefixes),
  };
}

function extraOf(headers: Headers, prefixes: readonly string[]): User["extra"] {
  const extra: Record<string, readonly string[]> = {};
  headers.forEach((_value, name) => {
    const prefix = prefixes.find((one) => name.startsWith(one.toLowerCase()));
    if (prefix === undefined) return;
    const key = unescapedKey(name.slice(prefix.length));
    extra[key] = [...(extra[key] ?? []), ...headerValues(headers, name)];
  });
  return extra;
}
