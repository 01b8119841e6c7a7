/** What webhooks and policies may say about the requests that they want to see. */
import type { FieldError } from "../api/resource-definition.ts";
import type { RuleWithOperations } from "../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { invalid, notSupported, required } from "./field-errors.ts";

const operations = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const scopes = ["*", "Cluster", "Namespaced"];

/** The errors of one rule. */
export function ruleErrors(rule: DeepReadonly<RuleWithOperations>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const lists = [
    ["operations", rule.operations ?? [], "operations"],
    ["apiGroups", rule.apiGroups ?? [], "API groups"],
    ["apiVersions", rule.apiVersions ?? [], "API versions"],
  ] as const;
  for (const [key, values, what] of lists) {
    const field = `${at}.${key}`;
    if (values.length === 0) errors.push(required(field));
    if (values.length > 1 && values.includes("*"))
      errors.push(invalid(field, values, `if '*' is present, must not specify other ${what}`));
    values.forEach((value, index) => {
      if (key === "operations" && !operations.includes(value))
        errors.push(notSupported(`${field}[${index}]`, value, operations));
      if (key === "apiVersions" && value === "") errors.push(required(`${field}[${index}]`));
    });
  }
  if ((rule.resources ?? []).length === 0) errors.push(required(`${at}.resources`));
  if (rule.scope !== undefined && !scopes.includes(rule.scope))
    errors.push(notSupported(`${at}.scope`, rule.scope, scopes));
  return errors;
}

const urlForm = "; desired format: https://host[/path]";

/** The errors of a webhook's URL. */
export function webhookUrlErrors(text: string, at: string): FieldError[] {
  const [, scheme = "", , host = ""] =
    /^(?:([a-z][a-z0-9+.-]*):)?(\/\/([^/?#]*))?/i.exec(text) ?? [];
  const errors: FieldError[] = [];
  if (scheme.toLowerCase() !== "https")
    errors.push(invalid(at, scheme, `'https' is the only allowed URL scheme${urlForm}`));
  const [user, place] = host.includes("@") ? host.split("@") : [undefined, host];
  if (!place) errors.push(invalid(at, "", `host must be specified${urlForm}`));
  if (user !== undefined)
    errors.push(invalid(at, user, "user information is not permitted in the URL"));
  const [, query = "", fragment = ""] = /^[^?#]*(?:\?([^#]*))?(?:#(.*))?$/.exec(text) ?? [];
  if (fragment !== "") errors.push(invalid(at, fragment, "fragments are not permitted in the URL"));
  if (query !== "")
    errors.push(invalid(at, query, "query parameters are not permitted in the URL"));
  return errors;
}
