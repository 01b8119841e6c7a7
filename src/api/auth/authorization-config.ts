/** AuthorizationConfiguration (apiserver.config.k8s.io/v1): whom to ask what users may do. */
import { tryParseDurationNanos } from "../../lib/duration.ts";
import { subdomainErrors } from "../../lib/names.ts";
import {
  type ConfigRecord,
  durationAt,
  flagAt,
  invalidText,
  knownMembers,
  listAt,
  recordAt,
  requiredText,
  textAt,
  throwProblems,
  unsupportedText,
} from "../config-reader.ts";

export interface WebhookSettings {
  /** What denies and allows is remembered by; 0 remembers nothing. */
  readonly authorizedTtlMs: number;
  readonly unauthorizedTtlMs: number;
  readonly timeoutMs: number;
  readonly reviewVersion: "v1" | "v1beta1";
  /** What a webhook that does not answer means. */
  readonly failurePolicy: "NoOpinion" | "Deny";
  readonly kubeconfigFile: string;
  /** CEL over the spec of a SubjectAccessReview; all must hold for the webhook to be asked. */
  readonly matchConditions: readonly string[];
}

export type AuthorizerSettings =
  | { readonly type: "Node" | "RBAC" | "AlwaysAllow" | "AlwaysDeny"; readonly name: string }
  | { readonly type: "Webhook"; readonly name: string; readonly webhook: WebhookSettings };

const limits = { timeoutMsMax: 30_000, matchConditionsMax: 64 } as const;
const types = ["AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"] as const;
type AuthorizerType = (typeof types)[number];
const versions = ["v1", "v1beta1", "v1alpha1"].map((one) => `apiserver.config.k8s.io/${one}`);

/** Throws Error that says in upstream's words all that is wrong. */
export function decodeAuthorizationConfig(value: unknown): readonly AuthorizerSettings[] {
  const root = recordAt(value, "");
  const [apiVersion, kind] = [textAt(root.apiVersion, "apiVersion"), textAt(root.kind, "kind")];
  if (!versions.includes(apiVersion) || kind !== "AuthorizationConfiguration") {
    throw new Error(`no kind "${kind}" is registered for version "${apiVersion}"`);
  }
  knownMembers(root, "", ["apiVersion", "kind", "authorizers"]);
  const list = listAt(root.authorizers, "authorizers");
  if (list.length === 0) {
    throw new Error("authorizers: Required value: at least one authorization mode must be defined");
  }
  const problems: string[] = [];
  const seen = new Set<string>();
  const settings = list.map((one, index) => {
    const path = `authorizers[${index}]`;
    const found = readAuthorizer(recordAt(one, path), path);
    problems.push(...found.problems, ...repeated(found, path, seen));
    return found.settings;
  });
  throwProblems(problems);
  return settings;
}

interface Found {
  readonly settings: AuthorizerSettings;
  readonly problems: readonly string[];
}

/** Only webhooks may be there more than once; names may not. */
function repeated({ settings }: Found, path: string, seen: Set<string>): readonly string[] {
  const { type, name } = settings;
  const keys = { name: `name ${name}`, ...(type === "Webhook" ? {} : { type: `type ${type}` }) };
  return Object.entries(keys).flatMap(([member, key]) => {
    if (!seen.has(key)) {
      seen.add(key);
      return [];
    }
    const value = member === "name" ? name : type;
    return [`${path}.${member}: Duplicate value: ${JSON.stringify(value)}`];
  });
}

function readAuthorizer(record: ConfigRecord, path: string): Found {
  knownMembers(record, path, ["type", "name", "webhook"]);
  const type = textAt(record.type, `${path}.type`);
  const name = textAt(record.name, `${path}.name`);
  const problems = [
    ...(type === ""
      ? [`${path}.type: Required value`]
      : isType(type)
        ? []
        : [unsupportedText(`${path}.type`, type, types)]),
    ...(name === "" ? [`${path}.name: Required value`] : []),
    ...(name === ""
      ? []
      : subdomainErrors(name).map((why) =>
          invalidText(`${path}.name`, name, `authorizer name is invalid: ${why}`),
        )),
  ];
  if (type !== "Webhook") {
    if (record.webhook !== undefined) {
      const why = "may only be specified when type=Webhook";
      problems.push(invalidText(`${path}.webhook`, "non-null", why));
    }
    return { settings: { type: isPlain(type) ? type : "AlwaysDeny", name }, problems };
  }
  if (record.webhook === undefined) {
    problems.push(`${path}.webhook: Required value: required when type=Webhook`);
  }
  const { webhook, problems: more } = readWebhook(recordAt(record.webhook, path), path);
  return { settings: { type, name, webhook }, problems: [...problems, ...more] };
}

function isType(type: string): type is AuthorizerType {
  return (types as readonly string[]).includes(type);
}

function isPlain(type: string): type is Exclude<AuthorizerType, "Webhook"> {
  return isType(type) && type !== "Webhook";
}

const webhookMembers = [
  "authorizedTTL",
  "cacheAuthorizedRequests",
  "unauthorizedTTL",
  "cacheUnauthorizedRequests",
  "timeout",
  "subjectAccessReviewVersion",
  "matchConditionSubjectAccessReviewVersion",
  "failurePolicy",
  "connectionInfo",
  "matchConditions",
] as const;

function readWebhook(
  record: ConfigRecord,
  path: string,
): { readonly webhook: WebhookSettings; readonly problems: readonly string[] } {
  knownMembers(record, path, webhookMembers);
  const problems: string[] = [];
  // Who leaves times out gets upstream's defaults.
  const time = (name: string, fallback: string, most = Number.POSITIVE_INFINITY): number => {
    const text = textAt(record[name], `${path}.${name}`) || fallback;
    const ms = durationAt(text, `${path}.${name}`);
    const bounds = most === Number.POSITIVE_INFINITY ? "must be > 0s" : "must be > 0s and <= 30s";
    if (tryParseDurationNanos(text) === 0n) problems.push(requiredText(`${path}.${name}`));
    else if (ms < 0 || ms > most) problems.push(invalidText(`${path}.${name}`, text, bounds));
    return ms;
  };
  const oneOf = (name: string, allowed: readonly string[], isNeeded = true): string => {
    const text = textAt(record[name], `${path}.${name}`);
    if (text === "" && isNeeded) problems.push(requiredText(`${path}.${name}`));
    if (text !== "" && !allowed.includes(text)) {
      problems.push(unsupportedText(`${path}.${name}`, text, allowed));
    }
    return text;
  };
  const authorizedTtlMs = time("authorizedTTL", "5m");
  const unauthorizedTtlMs = time("unauthorizedTTL", "30s");
  const timeoutMs = time("timeout", "0s", limits.timeoutMsMax);
  const reviewVersion = oneOf("subjectAccessReviewVersion", ["v1", "v1beta1"]);
  const conditionVersion = oneOf("matchConditionSubjectAccessReviewVersion", ["v1"], false);
  const failurePolicy = oneOf("failurePolicy", ["NoOpinion", "Deny"]);
  const connection = readConnection(record.connectionInfo, `${path}.connectionInfo`);
  const conditions = readConditions(record.matchConditions, `${path}.matchConditions`);
  if (conditionVersion === "" && conditions.expressions.length > 0) {
    const name = "matchConditionSubjectAccessReviewVersion";
    problems.push(requiredText(`${path}.${name}`, "required if match conditions are specified"));
  }
  const caches = (name: string): boolean => flagAt(record[name], `${path}.${name}`) ?? true;
  return {
    webhook: {
      authorizedTtlMs: caches("cacheAuthorizedRequests") ? authorizedTtlMs : 0,
      unauthorizedTtlMs: caches("cacheUnauthorizedRequests") ? unauthorizedTtlMs : 0,
      timeoutMs,
      reviewVersion: reviewVersion === "v1" ? "v1" : "v1beta1",
      failurePolicy: failurePolicy === "NoOpinion" ? "NoOpinion" : "Deny",
      kubeconfigFile: connection.file,
      matchConditions: conditions.expressions,
    },
    problems: [...problems, ...connection.problems, ...conditions.problems],
  };
}

/** Inside of the server there is no pod whose account could be used: a file is what is left. */
function readConnection(
  value: unknown,
  path: string,
): { readonly file: string; readonly problems: readonly string[] } {
  const record = recordAt(value, path);
  knownMembers(record, path, ["type", "kubeConfigFile"]);
  const type = textAt(record.type, `${path}.type`);
  const file = textAt(record.kubeConfigFile, `${path}.kubeConfigFile`);
  const place = `${path}.kubeConfigFile`;
  if (type === "") return { file, problems: [requiredText(`${path}.type`)] };
  if (type !== "KubeConfigFile") {
    return { file, problems: [unsupportedText(`${path}.type`, type, ["KubeConfigFile"])] };
  }
  if (file === "") return { file, problems: [requiredText(place)] };
  const isAbsolute = file.startsWith("/");
  return {
    file,
    problems: isAbsolute ? [] : [invalidText(place, file, "must be an absolute path")],
  };
}

function readConditions(
  value: unknown,
  path: string,
): { readonly expressions: readonly string[]; readonly problems: readonly string[] } {
  const list = listAt(value, path);
  if (list.length > limits.matchConditionsMax) {
    const most = limits.matchConditionsMax;
    const problem = `${path}: Too many: ${list.length}: must have at most ${most} items`;
    return { expressions: [], problems: [problem] };
  }
  const problems: string[] = [];
  const expressions: string[] = [];
  for (const [index, one] of list.entries()) {
    const place = `${path}[${index}].expression`;
    const record = recordAt(one, `${path}[${index}]`);
    knownMembers(record, `${path}[${index}]`, ["expression"]);
    const expression = textAt(record.expression, place);
    if (expression.trim() === "") problems.push(requiredText(place));
    else if (expressions.includes(expression)) {
      problems.push(`${place}: Duplicate value: ${JSON.stringify(expression)}`);
    } else expressions.push(expression);
  }
  return { expressions, problems };
}
