/** Whom the headers of a request ask to act as. */
import { ApiError } from "../../lib/api-error.ts";
import type { User } from "../request.ts";
import { headerValue, headerValues, unescapedKey } from "./identity-headers.ts";

const extraPrefix = "impersonate-extra-";

/** The user as asked for, nothing added; undefined when the headers ask for nobody. */
export function impersonationOf(headers: Headers): User | undefined {
  const name = headerValue(headers, "impersonate-user");
  const uid = headerValue(headers, "impersonate-uid");
  const groups = headerValues(headers, "impersonate-group");
  const extra: Record<string, readonly string[]> = {};
  headers.forEach((_value, header) => {
    if (!header.startsWith(extraPrefix)) return;
    extra[unescapedKey(header.slice(extraPrefix.length))] = headerValues(headers, header);
  });
  const wanted = { name, uid, groups, extra };
  if (name !== "") return wanted;
  if (uid === "" && groups.length === 0 && Object.keys(extra).length === 0) return undefined;
  const text = `requested ${goUser(wanted)} without impersonating a user name`;
  throw new ApiError("BadRequest", text);
}

/** As Go prints it, which is how upstream names it. */
function goUser({ name, uid, groups, extra }: User): string {
  const list = (texts: readonly string[]): string =>
    texts.length === 0
      ? "[]string(nil)"
      : `[]string{${texts.map((text) => JSON.stringify(text)).join(", ")}}`;
  const entries = Object.entries(extra).map(
    ([key, values]) => `${JSON.stringify(key)}:${list(values)}`,
  );
  const map =
    entries.length === 0
      ? "map[string][]string(nil)"
      : `map[string][]string{${entries.join(", ")}}`;
  const [nameText, uidText] = [JSON.stringify(name), JSON.stringify(uid)];
  const rest = `Groups:${list(groups)}, Extra:${map}`;
  return `&user.DefaultInfo{Name:${nameText}, UID:${uidText}, ${rest}}`;
}
