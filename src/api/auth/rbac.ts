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

/** Asks each authorizer in turn; the first that allows wins. */
export function unionAuthorizer(authorizers: readonly Authorizer[]): Authorizer {
  return {
    async authorize(attributes) {
      for (const authorizer of authorizers) {
        const decision = await authorizer.authorize(attributes);
        if (decision.allowed) return decision;
      }
      return denied;
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
      for (const rules of rulesFor(attributes.user, attributes.namespace, live)) {
        if (rules.some((rule) => ruleAllows(rule, attributes)))
          return { allowed: true, reason: "" };
      }
      return denied;
    },
  };
}

/** The rules of every role bound to the user, cluster-wide first, then in `namespace`. */
export function* rulesFor(
  user: User,
  namespace: string,
  live: LiveSets,
): Generator<readonly Rule[]> {
  addIndexes(live);
  const keys = userKeys(user);
  for (const key of keys)
    for (const { object } of live.of(clusterRoleBindings).by(bySubject, key))
      yield clusterRules(object.roleRef.name, live);
  if (namespace === "") return;
  for (const key of keys)
    for (const { object } of live.of(roleBindings).by(bySubject, `${namespace} ${key}`)) {
      const { kind, name } = object.roleRef;
      yield kind === "ClusterRole"
        ? clusterRules(name, live)
        : (live.of(roles).get(`${namespace}/${name}`)?.object.rules ?? []);
    }
}

function clusterRules(name: string, live: LiveSets): readonly Rule[] {
  return live.of(clusterRoles).get(name)?.object.rules ?? [];
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
