/** Users that an aggregating proxy vouches for by headers, under its own certificate. */
import type { Peer } from "../authorizer.ts";
import type { User } from "../request.ts";
import { headerValue, headerValues, unescapedKey } from "./identity-headers.ts";

/** `--requestheader-*` as K3s sets them; the ConfigMap for extension servers says the same. */
export const requestHeaders = {
  allowedNames: ["system:auth-proxy"],
  username: "X-Remote-User",
  uid: "X-Remote-Uid",
  group: "X-Remote-Group",
  extraPrefix: "X-Remote-Extra-",
} as const;

/** Undefined unless a proxy that is allowed to names a user. */
export function frontProxyUser(headers: Headers, { frontProxy }: Peer): User | undefined {
  const allowed: readonly string[] = requestHeaders.allowedNames;
  if (frontProxy === undefined || !allowed.includes(frontProxy)) return undefined;
  const name = headerValue(headers, requestHeaders.username);
  if (name === "") return undefined;
  const uid = headerValue(headers, requestHeaders.uid);
  return {
    name,
    uid,
    groups: headerValues(headers, requestHeaders.group),
    extra: extraOf(headers),
  };
}

function extraOf(headers: Headers): User["extra"] {
  const prefix = requestHeaders.extraPrefix.toLowerCase();
  const extra: Record<string, readonly string[]> = {};
  headers.forEach((_value, name) => {
    if (!name.startsWith(prefix)) return;
    extra[unescapedKey(name.slice(prefix.length))] = headerValues(headers, name);
  });
  return extra;
}
