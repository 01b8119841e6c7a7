/** Which flow schema a request belongs to, by who asks and for what. */
import type {
  FlowSchema,
  NonResourcePolicyRule,
  PolicyRulesWithSubjects,
  ResourcePolicyRule,
  Subject,
} from "../../gen/flowcontrol-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { User } from "../request.ts";

/** What classification looks at. */
export interface RequestDigest {
  readonly user: Pick<User, "name" | "groups">;
  /** The verb of the API for resources, else the method in lower case. */
  readonly verb: string;
  readonly path: string;
  /** Absent for paths that are no resource. */
  readonly resource: DigestedResource | undefined;
}

export interface DigestedResource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly subresource: string;
  readonly namespace: string;
  /** Of the object, or of the only one that a field selector lets through. */
  readonly name: string;
}

/** True when one of the schema's rules is about this request. */
export function matches(schema: DeepReadonly<FlowSchema>, digest: RequestDigest): boolean {
  const { rules } = schema.spec;
  return rules?.some((rule) => matchesRule(rule, digest)) ?? false;
}

function matchesRule(rule: DeepReadonly<PolicyRulesWithSubjects>, digest: RequestDigest): boolean {
  if (!rule.subjects.some((subject) => isAbout(subject, digest.user))) return false;
  const { resource } = digest;
  if (resource === undefined) {
    return rule.nonResourceRules?.some((one) => coversPath(one, digest)) ?? false;
  }
  return rule.resourceRules?.some((one) => coversResource(one, digest.verb, resource)) ?? false;
}

function isAbout(subject: DeepReadonly<Subject>, { name, groups }: RequestDigest["user"]): boolean {
  const { user, group, serviceAccount } = subject;
  switch (subject.kind) {
    case "User":
      return user !== undefined && (user.name === "*" || user.name === name);
    case "Group":
      return group !== undefined && (group.name === "*" || groups.includes(group.name));
    case "ServiceAccount": {
      if (serviceAccount === undefined) return false;
      const inNamespace = `system:serviceaccount:${serviceAccount.namespace}:`;
      if (serviceAccount.name === "*") return name.startsWith(inNamespace);
      return name === `${inNamespace}${serviceAccount.name}`;
    }
    default:
      return false;
  }
}

function coversResource(
  rule: DeepReadonly<ResourcePolicyRule>,
  verb: string,
  { plural, subresource, group, namespace }: DigestedResource,
): boolean {
  const resource = subresource === "" ? plural : `${plural}/${subresource}`;
  if (!holds(rule.verbs, verb)) return false;
  if (!holds(rule.resources, resource) || !holds(rule.apiGroups, group)) return false;
  return namespace === "" ? rule.clusterScope === true : holds(rule.namespaces ?? [], namespace);
}

function coversPath(
  rule: DeepReadonly<NonResourcePolicyRule>,
  { verb, path }: RequestDigest,
): boolean {
  return holds(rule.verbs, verb) && rule.nonResourceURLs.some((one) => isBelow(path, one));
}

/** A rule's path covers what lies below it, with and without a star. */
function isBelow(path: string, rule: string): boolean {
  if (rule === "*" || rule === path) return true;
  const prefix = rule.endsWith("*") ? rule.slice(0, -1) : rule;
  return path.startsWith(prefix.endsWith("/") ? prefix : `${prefix}/`);
}

/** A star stands for all only when it stands alone, as validation wants it. */
function holds(list: readonly string[], value: string): boolean {
  return (list.length === 1 && list[0] === "*") || list.includes(value);
}
