/** Role-based access control over the LiveSets of roles and bindings. */

import type { Resource } from "../../client/client.ts";
import { clusterRoleBindings, clusterRoles, roleBindings, roles } from "../../client/resources.ts";
import type { PolicyRule, RoleRef, Subject } from "../../gen/rbac-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { Attributes, Authorizer, Decision } from "../authorizer.ts";
import type { User } from "../request.ts";

type Rule = DeepReadonly<PolicyRule>;
interface Bound {
  readonly subjects?: readonly DeepReadonly<Subject>[];
  readonly roleRef: DeepReadonly<RoleRef>;
}

const denied: Decision = { allowed: false, reason: "" };

/** Asks each authorizer in turn; the first that allows, or denies for good, wins. */
export function unionAuthorizer(authorizers: readonly Authorizer[]): Authorizer {
  return {
    async authorize(attributes) {
      const reasons: string[] = [];
      const errors: string[] = [];
      for (const authorizer of authorizers) {
        const decision = await authorizer.authorize(attributes);
        if (decision.allowed || decision.isFinal) return decision;
        if (decision.reason !== "") reasons.push(decision.reason);
        if (decision.error !== undefined) errors.push(decision.error);
      }
      if (reasons.length === 0 && errors.length === 0) return denied;
      const reason = reasons.join("\n");
      return { allowed: false, reason, ...(errors.length > 0 && { error: errors.join(", ") }) };
    },
    rulesFor(user, namespace) {
      const all = authorizers.flatMap((one) => one.rulesFor?.(user, namespace) ?? []);
      return {
        resourceRules: all.flatMap(({ resourceRules }) => resourceRules),
        nonResourceRules: all.flatMap(({ nonResourceRules }) => nonResourceRules),
        isIncomplete: all.some(({ isIncomplete }) => isIncomplete),
        errors: all.flatMap(({ errors }) => errors),
      };
    },
  };
}

/** `system:masters` may do everything, whatever the roles say. */
export const mastersAuthorizer: Authorizer = {
  authorize: async ({ user }) =>
    user.groups.includes("system:masters") ? { allowed: true, reason: "" } : denied,
};

const bySubject = "subject";

/** One text per subject: how bindings are found without reading them all. */
function subjectKeys(binding: Bound, namespace: string): readonly string[] {
  return (binding.subjects ?? []).flatMap((subject) => {
    switch (subject.kind) {
      case "User":
        return [`user ${subject.name}`];
      case "Group":
        return [`group ${subject.name}`];
      case "ServiceAccount":
        return [`user system:serviceaccount:${subject.namespace || namespace}:${subject.name}`];
      default:
        return [];
    }
  });
}

function userKeys(user: User): readonly string[] {
  return [`user ${user.name}`, ...user.groups.map((group) => `group ${group}`)];
}

const never = new AbortController().signal;

/** Declares the indexes and waits until the first lists of roles and bindings are in. */
async function loadRoles(live: LiveSets): Promise<void> {
  addIndexes(live);
  const sets = [clusterRoleBindings, roleBindings, clusterRoles, roles] as const;
  await Promise.all(sets.map((resource: Resource<KubeObject>) => live.of(resource).ready(never)));
}

function addIndexes(live: LiveSets): void {
  live.of(clusterRoleBindings).addIndex(bySubject, (one) => subjectKeys(one, ""));
  live.of(roleBindings).addIndex(bySubject, (one) => {
    const { namespace = "" } = one.metadata;
    return subjectKeys(one, namespace).map((key) => `${namespace} ${key}`);
  });
}

export function createRbacAuthorizer(live: LiveSets): Authorizer {
  let loading: Promise<void> | undefined;
  let isLoaded = false;
  return {
    async authorize(attributes) {
      if (!isLoaded) {
        loading ??= loadRoles(live);
        await loading;
        isLoaded = true;
      }
      const missing: string[] = [];
      for (const grant of grantsFor(attributes.user, attributes.namespace, live)) {
        if (grant.rules === undefined) missing.push(missingText(grant.roleRef));
        else if (grant.rules.some((rule) => ruleAllows(rule, attributes)))
          return { allowed: true, reason: grantText(grant) };
      }
      return missing.length === 0 ? denied : { allowed: false, reason: missingList(missing) };
    },
    rulesFor(user, namespace) {
      const rules = [...rulesFor(user, namespace, live)].flat();
      return {
        resourceRules: rules.filter((rule) => rule.resources),
        nonResourceRules: rules
          .filter((rule) => rule.nonResourceURLs)
          .map(({ verbs, nonResourceURLs = [] }) => ({ verbs, nonResourceURLs })),
        isIncomplete: false,
        errors: [],
      };
    },
  };
}

/** A binding that names the user, and the rules of its role; undefined when there is no such. */
interface Grant {
  readonly rules: readonly Rule[] | undefined;
  readonly roleRef: Bound["roleRef"];
  /** `ClusterRoleBinding "view-all"`, with the namespace of a RoleBinding. */
  readonly binding: string;
  /** `user name` or `group name`: how the user was found in it. */
  readonly subject: string;
}

function* grantsFor(user: User, namespace: string, live: LiveSets): Generator<Grant> {
  addIndexes(live);
  const keys = userKeys(user);
  for (const subject of keys)
    for (const { object, key } of live.of(clusterRoleBindings).by(bySubject, subject)) {
      const { roleRef } = object;
      const binding = `ClusterRoleBinding "${key}"`;
      yield { rules: clusterRules(roleRef.name, live), roleRef, binding, subject };
    }
  if (namespace === "") return;
  for (const subject of keys)
    for (const { object, key } of live.of(roleBindings).by(bySubject, `${namespace} ${subject}`)) {
      const { roleRef } = object;
      const rules =
        roleRef.kind === "ClusterRole"
          ? clusterRules(roleRef.name, live)
          : rulesOf(live.of(roles).get(`${namespace}/${roleRef.name}`)?.object);
      const name = key.slice(key.indexOf("/") + 1);
      yield { rules, roleRef, binding: `RoleBinding "${name}/${namespace}"`, subject };
    }
}

/** The rules of every role bound to the user, cluster-wide first, then in `namespace`. */
export function* rulesFor(
  user: User,
  namespace: string,
  live: LiveSets,
): Generator<readonly Rule[]> {
  for (const { rules } of grantsFor(user, namespace, live)) if (rules !== undefined) yield rules;
}

function clusterRules(name: string, live: LiveSets): readonly Rule[] | undefined {
  return rulesOf(live.of(clusterRoles).get(name)?.object);
}

function rulesOf(role: { readonly rules?: readonly Rule[] } | undefined) {
  return role === undefined ? undefined : (role.rules ?? []);
}

function grantText({ binding, roleRef, subject }: Grant): string {
  const [, kind = "", name = ""] = /^(\S+) (.*)$/.exec(subject) ?? [];
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  const named =
    kind === "user" && account !== null
      ? `ServiceAccount "${account[2]}/${account[1]}"`
      : `${kind === "user" ? "User" : "Group"} "${name}"`;
  return `RBAC: allowed by ${binding} of ${roleRef.kind} "${roleRef.name}" to ${named}`;
}

function missingText({ kind, name }: Bound["roleRef"]): string {
  const plural = kind === "ClusterRole" ? "clusterrole" : "role";
  return `${plural}.rbac.authorization.k8s.io "${name}" not found`;
}

function missingList(texts: readonly string[]): string {
  const distinct = [...new Set(texts)];
  return `RBAC: ${distinct.length === 1 ? distinct[0] : `[${distinct.join(", ")}]`}`;
}

/** Whether one rule covers a request (rbac/v1 PolicyRule). */
export function ruleAllows(rule: Rule, attributes: Attributes): boolean {
  if (!has(rule.verbs, attributes.verb)) return false;
  if (!attributes.isResourceRequest) return coversPath(rule.nonResourceURLs, attributes.path);
  const { group, name } = attributes;
  return (
    has(rule.apiGroups, group) &&
    coversResource(rule.resources, attributes) &&
    (rule.resourceNames === undefined ||
      rule.resourceNames.length === 0 ||
      rule.resourceNames.includes(name))
  );
}

function has(values: readonly string[] | undefined, value: string): boolean {
  return values?.some((one) => one === "*" || one === value) ?? false;
}

function coversResource(values: readonly string[] | undefined, attributes: Attributes): boolean {
  const { resource, subresource } = attributes;
  const full = subresource === "" ? resource : `${resource}/${subresource}`;
  return (
    values?.some(
      (one) => one === "*" || one === full || (subresource !== "" && one === `*/${subresource}`),
    ) ?? false
  );
}

function coversPath(values: readonly string[] | undefined, path: string): boolean {
  return (
    values?.some(
      (one) => one === path || (one.endsWith("*") && path.startsWith(one.slice(0, -1))),
    ) ?? false
  );
}
