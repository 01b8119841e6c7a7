/** Impersonation: acting as someone else, when allowed to. */
import { ApiError } from "../../lib/api-error.ts";
import type { Attributes, Authorizer, Impersonate } from "../authorizer.ts";
import { forbidden } from "../errors.ts";
import type { User } from "../request.ts";
import { headerValue, headerValues } from "./identity-headers.ts";

const accountPrefix = "system:serviceaccount:";
const extraPrefix = "impersonate-extra-";

interface Wanted {
  readonly user: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** What the headers ask for; undefined when they ask for nothing. */
export function impersonationOf(headers: Headers): Wanted | undefined {
  const user = headerValue(headers, "impersonate-user");
  const uid = headerValue(headers, "impersonate-uid");
  const groups = headerValues(headers, "impersonate-group");
  const extra: Record<string, readonly string[]> = {};
  headers.forEach((_value, name) => {
    if (name.startsWith(extraPrefix))
      extra[decodeURIComponent(name.slice(extraPrefix.length))] = headerValues(headers, name);
  });
  const asksMore = groups.length > 0 || uid !== "" || Object.keys(extra).length > 0;
  if (user === "" && !asksMore) return undefined;
  if (user === "")
    throw new ApiError(
      "InternalError",
      "requested impersonation of groups, uid or extra without impersonating a user",
    );
  return { user, uid, groups, extra };
}

function question(user: User, group: string, resource: string, name: string): Attributes {
  return {
    user,
    verb: "impersonate",
    group,
    version: "v1",
    resource,
    subresource: "",
    namespace: "",
    name,
    path: "",
    isResourceRequest: true,
  };
}

/** Everything that must be allowed before `user` may act as wanted. */
export function questionsOf(user: User, wanted: Wanted): readonly Attributes[] {
  const questions: Attributes[] = [];
  const [namespace = "", name = ""] = wanted.user.startsWith(accountPrefix)
    ? wanted.user.slice(accountPrefix.length).split(":")
    : [];
  if (name === "") questions.push(question(user, "", "users", wanted.user));
  else questions.push({ ...question(user, "", "serviceaccounts", name), namespace });
  for (const group of wanted.groups) questions.push(question(user, "", "groups", group));
  const authentication = "authentication.k8s.io";
  if (wanted.uid !== "") questions.push(question(user, authentication, "uids", wanted.uid));
  for (const [key, list] of Object.entries(wanted.extra))
    for (const value of list)
      questions.push({
        ...question(user, authentication, "userextras", value),
        subresource: key,
      });
  return questions;
}

/** The user that results: groups are completed as for a real login. */
export function impersonatedUser(wanted: Wanted): User {
  const groups = [...wanted.groups];
  const [namespace = "", name = ""] = wanted.user.startsWith(accountPrefix)
    ? wanted.user.slice(accountPrefix.length).split(":")
    : [];
  if (name !== "" && groups.length === 0)
    groups.push("system:serviceaccounts", `system:serviceaccounts:${namespace}`);
  const last =
    wanted.user === "system:anonymous" ? "system:unauthenticated" : "system:authenticated";
  if (!groups.includes(last)) groups.push(last);
  return { name: wanted.user, uid: wanted.uid, groups, extra: wanted.extra };
}

/** Becomes the impersonated user when the headers ask for one and that is allowed. */
export function createImpersonate(authorizer: Authorizer): Impersonate {
  return async (user, headers) => {
    const wanted = impersonationOf(headers);
    if (wanted === undefined) return undefined;
    for (const attributes of questionsOf(user, wanted)) {
      const { allowed, reason } = await authorizer.authorize(attributes);
      if (!allowed) throw forbidden(attributes, reason);
    }
    return { user: impersonatedUser(wanted), constraint: "" };
  };
}
