/** audit.k8s.io/v1 Policy: which requests are recorded, and how much of them. */
import { subdomainErrors } from "../../lib/names.ts";
import type { Attributes } from "../authorizer.ts";
import {
  flagAt,
  invalidText,
  listAt,
  recordAt,
  textAt,
  textsAt,
  throwProblems,
  unknownMembers,
  unsupportedText,
} from "../config-reader.ts";
import { type AuditLevel, type AuditStage, auditLevels, auditStages } from "./event.ts";

export interface GroupResources {
  readonly group: string;
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
}

export interface PolicyRule {
  readonly level: AuditLevel;
  readonly users: readonly string[];
  readonly userGroups: readonly string[];
  readonly verbs: readonly string[];
  readonly resources: readonly GroupResources[];
  readonly namespaces: readonly string[];
  readonly nonResourceURLs: readonly string[];
  readonly omitStages: readonly AuditStage[];
  /** Undefined: as the policy says. */
  readonly omitManagedFields: boolean | undefined;
}

export interface AuditPolicy {
  readonly rules: readonly PolicyRule[];
  readonly omitStages: readonly AuditStage[];
  readonly omitManagedFields: boolean;
}

/** What holds for one request. */
export interface RequestAudit {
  readonly level: AuditLevel;
  readonly omitStages: ReadonlySet<AuditStage>;
  readonly omitManagedFields: boolean;
}

/** A request nobody has authenticated has attributes, but no user. */
export type AuditedAttributes = Omit<Attributes, "user"> & {
  readonly user: Attributes["user"] | undefined;
};

export type EvaluateAudit = (attributes: AuditedAttributes) => RequestAudit;

/** The first rule that matches decides; without one nothing is recorded. */
export function auditEvaluator(policy: AuditPolicy): EvaluateAudit {
  const rows = policy.rules.map((rule) => ({
    rule,
    audit: {
      level: rule.level,
      omitStages: new Set([...policy.omitStages, ...rule.omitStages]),
      omitManagedFields: rule.omitManagedFields ?? policy.omitManagedFields,
    },
  }));
  const otherwise: RequestAudit = {
    level: "None",
    omitStages: new Set(policy.omitStages),
    omitManagedFields: policy.omitManagedFields,
  };
  return (attributes) => rows.find(({ rule }) => matchesRule(rule, attributes))?.audit ?? otherwise;
}

function matchesRule(rule: PolicyRule, attributes: AuditedAttributes): boolean {
  const { user, verb } = attributes;
  if (rule.users.length > 0 && !rule.users.includes(user?.name ?? "")) return false;
  const groups = user?.groups ?? [];
  if (rule.userGroups.length > 0 && !groups.some((group) => rule.userGroups.includes(group))) {
    return false;
  }
  if (rule.verbs.length > 0 && !rule.verbs.includes(verb)) return false;
  if (rule.namespaces.length > 0 || rule.resources.length > 0) {
    return matchesResource(rule, attributes);
  }
  if (rule.nonResourceURLs.length > 0) return matchesPath(rule.nonResourceURLs, attributes);
  return true;
}

function matchesPath(urls: readonly string[], attributes: AuditedAttributes): boolean {
  const { isResourceRequest, path } = attributes;
  if (isResourceRequest) return false;
  return urls.some(
    (url) =>
      url === "*" ||
      url === path ||
      (url.endsWith("*") && path.startsWith(url.replace(/\*+$/, ""))),
  );
}

/** What has no namespace is asked for with an empty one. */
function matchesResource(rule: PolicyRule, attributes: AuditedAttributes): boolean {
  if (!attributes.isResourceRequest) return false;
  const { group, namespace, name, resource, subresource } = attributes;
  if (rule.namespaces.length > 0 && !rule.namespaces.includes(namespace)) return false;
  if (rule.resources.length === 0) return true;
  const full = subresource === "" ? resource : `${resource}/${subresource}`;
  return rule.resources.some((one) => {
    if (one.group !== group && one.group !== "*") return false;
    if (one.resources.length === 0) return true;
    if (one.resourceNames.length > 0 && !one.resourceNames.includes(name)) return false;
    return one.resources.some(
      (wanted) =>
        wanted === full ||
        wanted === "*" ||
        (subresource !== "" && wanted === `*/${subresource}`) ||
        wanted === `${resource}/*`,
    );
  });
}

/** Reads a policy; throws Error that says in upstream's words all that is wrong with it. */
export function decodePolicy(value: unknown): AuditPolicy {
  const root = recordAt(value, "");
  const { apiVersion = "", kind = "" } = root;
  if (apiVersion !== "audit.k8s.io/v1" || kind !== "Policy") {
    throw new Error(
      `unknown group version field ${String(apiVersion)}, Kind=${String(kind)} in policy`,
    );
  }
  const policy: AuditPolicy = {
    rules: listAt(root.rules, "rules").map((rule, index) => decodeRule(rule, `rules[${index}]`)),
    omitStages: textsAt(root.omitStages, "omitStages") as readonly AuditStage[],
    omitManagedFields: flagAt(root.omitManagedFields, "omitManagedFields") ?? false,
  };
  throwProblems(policyProblems(policy));
  if (policy.rules.length === 0) throw new Error("loaded illegal policy with 0 rules");
  return policy;
}

const policyMembers = [
  "apiVersion",
  "kind",
  "metadata",
  "rules",
  "omitStages",
  "omitManagedFields",
];
const ruleMembers = [
  "level",
  "users",
  "userGroups",
  "verbs",
  "resources",
  "namespaces",
  "nonResourceURLs",
  "omitStages",
  "omitManagedFields",
];
const resourceMembers = ["group", "resources", "resourceNames"];

/** Members that nobody knows: a policy is used all the same, as upstream has it. */
export function policyWarnings(value: unknown): readonly string[] {
  const root = recordAt(value, "");
  return [
    ...unknownMembers(root, "", policyMembers),
    ...listAt(root.rules, "rules").flatMap((one, index) => {
      const path = `rules[${index}]`;
      const rule = recordAt(one, path);
      const resources = listAt(rule.resources, `${path}.resources`);
      return [
        ...unknownMembers(rule, path, ruleMembers),
        ...resources.flatMap((resource, number) => {
          const place = `${path}.resources[${number}]`;
          return unknownMembers(recordAt(resource, place), place, resourceMembers);
        }),
      ];
    }),
  ];
}

function decodeRule(value: unknown, path: string): PolicyRule {
  const rule = recordAt(value, path);
  const named = (name: string) => textsAt(rule[name], `${path}.${name}`);
  return {
    // Checked with all the rest, so that everything wrong is told at once.
    level: textAt(rule.level, `${path}.level`) as AuditLevel,
    users: named("users"),
    userGroups: named("userGroups"),
    verbs: named("verbs"),
    resources: listAt(rule.resources, `${path}.resources`).map((one) => {
      const { group, resources, resourceNames } = recordAt(one, `${path}.resources`);
      return {
        group: textAt(group, `${path}.resources.group`),
        resources: textsAt(resources, `${path}.resources.resources`),
        resourceNames: textsAt(resourceNames, `${path}.resources.resourceNames`),
      };
    }),
    namespaces: named("namespaces"),
    nonResourceURLs: named("nonResourceURLs"),
    omitStages: named("omitStages") as readonly AuditStage[],
    omitManagedFields: flagAt(rule.omitManagedFields, `${path}.omitManagedFields`),
  };
}

function policyProblems(policy: AuditPolicy): readonly string[] {
  return [
    ...stageProblems(policy.omitStages, "omitStages"),
    ...policy.rules.flatMap((rule, index) => ruleProblems(rule, `rules[${index}]`)),
  ];
}

function ruleProblems(rule: PolicyRule, path: string): readonly string[] {
  const urls = `${path}.nonResourceURLs`;
  const mixed =
    rule.nonResourceURLs.length > 0 && (rule.resources.length > 0 || rule.namespaces.length > 0);
  return [
    ...levelProblems(rule.level, `${path}.level`),
    ...rule.nonResourceURLs.flatMap((url, index) => urlProblems(url, `${urls}[${index}]`)),
    ...rule.resources.flatMap((one) => resourceProblems(one, `${path}.resources`)),
    ...stageProblems(rule.omitStages, `${path}.omitStages`),
    ...(mixed
      ? [
          invalidText(
            urls,
            rule.nonResourceURLs,
            "rules cannot apply to both regular resources and non-resource URLs",
          ),
        ]
      : []),
  ];
}

function levelProblems(level: string, path: string): readonly string[] {
  if ((auditLevels as readonly string[]).includes(level)) return [];
  if (level === "") return [`${path}: Required value`];
  return [unsupportedText(path, level, auditLevels)];
}

function urlProblems(url: string, path: string): readonly string[] {
  if (url === "*") return [];
  const problems: string[] = [];
  if (!url.startsWith("/")) {
    problems.push(invalidText(path, url, "non-resource URL rules must begin with a '/' character"));
  }
  if (url.slice(0, -1).includes("*")) {
    const why = "non-resource URL wildcards '*' must be the final character of the rule";
    problems.push(invalidText(path, url, why));
  }
  return problems;
}

function resourceProblems(one: GroupResources, path: string): readonly string[] {
  const problems: string[] = [];
  if (one.group !== "" && one.group !== "*") {
    const group = subdomainErrors(one.group);
    problems.push(...group.map((why) => invalidText(`${path}.group`, one.group, why)));
  }
  if (one.resourceNames.length > 0 && one.resources.length === 0) {
    const why = "using resourceNames requires at least one resource";
    problems.push(invalidText(`${path}.resourceNames`, one.resourceNames, why));
  }
  return problems;
}

function stageProblems(stages: readonly string[], path: string): readonly string[] {
  const known: readonly string[] = auditStages;
  return stages.flatMap((stage, index) =>
    known.includes(stage)
      ? []
      : [invalidText(`${path}[${index}]`, stage, `allowed stages are ${auditStages.join(",")}`)],
  );
}
