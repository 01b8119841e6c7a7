/** What webhooks and policies may say about the requests that they want to see. */
import type { FieldError } from "../api/resource-definition.ts";
import type { RuleWithOperations, ServiceReference } from "../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { label1035Errors, subdomainErrors } from "../lib/names.ts";
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
  errors.push(...resourcesErrors(rule.resources ?? [], `${at}.resources`));
  if (rule.scope !== undefined && !scopes.includes(rule.scope))
    errors.push(notSupported(`${at}.scope`, rule.scope, scopes));
  return errors;
}

/** `pods/*` says all that `pods/log` says. */
function resourcesErrors(resources: readonly string[], at: string): FieldError[] {
  if (resources.length === 0) return [required(at)];
  const errors: FieldError[] = [];
  const wide = new Set<string>();
  let isPlain = false;
  resources.forEach((text, index) => {
    if (text === "") {
      errors.push(required(`${at}[${index}]`));
      return;
    }
    const [resource = "", ...rest] = text.split("/");
    // As upstream has it, the last one without a slash decides.
    if (rest.length === 0) {
      isPlain = text !== "*";
      return;
    }
    const part = rest.join("/");
    for (const covering of [`${resource}/*`, `*/${part}`]) {
      if (!wide.has(covering)) continue;
      const detail = `if '${covering}' is present, must not specify ${text}`;
      errors.push(invalid(`${at}[${index}]`, text, detail));
    }
    if (part === "*" || resource === "*") wide.add(text);
  });
  if (resources.length > 1 && resources.includes("*/*")) {
    const detail = "if '*/*' is present, must not specify other resources";
    errors.push(invalid(at, resources, detail));
  }
  if (resources.includes("*") && isPlain) {
    const detail = "if '*' is present, must not specify other resources without subresources";
    errors.push(invalid(at, resources, detail));
  }
  return errors;
}

const urlForm = "; desired format: https://host[/path]";

/** Why Go reads no URL in a text. */
function urlProblem(text: string): string | undefined {
  if (/\p{Cc}/u.test(text)) return "net/url: invalid control character in URL";
  if (text.startsWith(":")) return "missing protocol scheme";
  const [, rest = ""] = /^(?:[a-z][a-z0-9+.-]*:)?(.*)$/is.exec(text) ?? [];
  if (rest === text && /^[^/?]*:/.test(text))
    return "first path segment in URL cannot contain colon";
  const wrong = /%(?![0-9a-f]{2})(.{0,2})/i.exec(rest)?.[0];
  if (wrong !== undefined) return `invalid URL escape ${JSON.stringify(wrong)}`;
  const [, host = ""] = /^\/\/([^/?#]*)/.exec(rest) ?? [];
  const odd = /[ "<>\\^`{|}]/.exec(host)?.[0];
  if (odd !== undefined) return `invalid character ${JSON.stringify(odd)} in host name`;
  const port = /:([^\]]*)$/.exec(host)?.[0];
  return port !== undefined && !/^:\d*$/.test(port)
    ? `invalid port ${JSON.stringify(port)} after host`
    : undefined;
}

/** The errors of a webhook's URL. */
function webhookUrlErrors(text: string, at: string): FieldError[] {
  const problem = urlProblem(text);
  if (problem !== undefined)
    return [
      required(at, `url must be a valid URL: parse ${JSON.stringify(text)}: ${problem}${urlForm}`),
    ];
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

/** What a webhook is called by; of its own validation only this is left to those who call it. */
interface WebhookClient {
  readonly url?: string | undefined;
  readonly service?: DeepReadonly<ServiceReference> | undefined;
}

/** The errors of where a webhook is; `at` is the field of its client. */
export function webhookClientErrors(client: WebhookClient, at: string): FieldError[] {
  const { url, service } = client;
  if ((url === undefined) === (service === undefined)) {
    return [required(at, "exactly one of url or service is required")];
  }
  if (url !== undefined) return webhookUrlErrors(url, `${at}.url`);
  return service === undefined ? [] : serviceErrors(service, `${at}.service`);
}

function serviceErrors(service: DeepReadonly<ServiceReference>, at: string): FieldError[] {
  const { name, namespace, path = "", port = 443 } = service;
  const errors: FieldError[] = [];
  // Upstream's callers confuse the two.
  if (!namespace) errors.push(required(`${at}.name`));
  if (!name) errors.push(required(`${at}.namespace`));
  if (port < 1 || port > 65_535) {
    const detail = "port is not valid: must be between 1 and 65535, inclusive";
    errors.push(invalid(`${at}.port`, port, detail));
  }
  if (path === "" || path === "/") return errors;
  const field = `${at}.path`;
  if (path === "//") return [...errors, invalid(field, path, "segment[0] may not be empty")];
  if (!path.startsWith("/")) errors.push(invalid(field, path, "must start with a '/'"));
  // The first character is taken for the slash, whatever it is.
  const steps = path.slice(1).replace(/\/$/, "").split("/");
  steps.forEach((step, index) => {
    if (step === "") errors.push(invalid(field, path, `segment[${index}] may not be empty`));
    for (const wrong of step === "" ? [] : subdomainErrors(step)) {
      errors.push(invalid(field, path, `segment[${index}]: ${wrong}`));
    }
  });
  return errors;
}

/** The errors of `admissionReviewVersions`. */
export function reviewVersionErrors(versions: readonly string[], at: string): FieldError[] {
  const known = ["v1", "v1beta1"];
  if (versions.length === 0) return [required(at, `must specify one of ${known.join(", ")}`)];
  const errors = versions.flatMap((version, index) => {
    const field = `${at}[${index}]`;
    if (versions.indexOf(version) < index) return [invalid(field, version, "duplicate version")];
    return label1035Errors(version).map((wrong) => invalid(field, version, wrong));
  });
  if (versions.some((version) => known.includes(version))) return errors;
  return [...errors, invalid(at, versions, `must include at least one of ${known.join(", ")}`)];
}
