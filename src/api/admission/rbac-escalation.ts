/**
 * Nobody grants what they do not have: roles and bindings are checked against the rules of who
 * writes them, unless they may `escalate` or `bind`. Upstream does this in the registry of RBAC.
 */
import { clusterRoles, roles } from "../../client/resources.ts";
import type { ClusterRole, PolicyRule, RoleBinding } from "../../gen/rbac-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { rulesFor } from "../auth/rbac.ts";
import { compactRules, quotedList, ruleText, uncovered } from "../auth/rule-coverage.ts";
import { notFound, refused } from "../errors.ts";

const group = "rbac.authorization.k8s.io";
const everything: readonly PolicyRule[] = [
  { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
  { verbs: ["*"], nonResourceURLs: ["*"] },
];

export const rbacEscalation: AdmissionPlugin = {
  name: "RBACEscalation",
  async mutate(object, context) {
    const { definition, verb, request } = context;
    if (definition.group !== group || (verb !== "CREATE" && verb !== "UPDATE")) return;
    if (request.user.groups.includes("system:masters")) return;
    if (isUnchanged(object, context.old)) return;
    if (definition.plural.endsWith("bindings")) await checkBinding(object as RoleBinding, context);
    else await checkRole(object as ClusterRole, context);
  },
};

/**
 * The garbage collector must be able to take finalizers and owners away. Labels are another
 * matter: by them the rules of one role flow into another.
 */
function isUnchanged(object: KubeObject, old: DeepReadonly<KubeObject> | undefined): boolean {
  if (old === undefined) return false;
  const grants = ({ metadata, ...rest }: DeepReadonly<KubeObject>): object => {
    const { labels = {}, annotations = {} } = metadata;
    return { ...rest, labels, annotations };
  };
  return semanticEqual(grants(object), grants(old));
}

async function checkRole(role: ClusterRole, context: AdmissionContext): Promise<void> {
  const { plural } = context.definition;
  if (await mayBypass("escalate", plural, context.name, context)) return;
  const old = context.old as DeepReadonly<ClusterRole> | undefined;
  checkHeld(role.rules ?? [], context);
  // It can gather anything, and its removal can keep roles from being tightened.
  if (!hasAggregation(role) && !hasAggregation(old)) return;
  if (missing(everything, context).length === 0) return;
  throw refused(
    context.definition,
    context.name,
    "must have cluster-admin privileges to use the aggregationRule",
  );
}

function hasAggregation(role: DeepReadonly<ClusterRole> | undefined): boolean {
  return (role?.aggregationRule?.clusterRoleSelectors ?? []).length > 0;
}

async function checkBinding(binding: RoleBinding, context: AdmissionContext): Promise<void> {
  const { kind, name = "" } = binding.roleRef ?? {};
  const isCluster = kind === "ClusterRole";
  const resource = isCluster ? clusterRoles : roles;
  if (await mayBypass("bind", resource.plural, name, context)) return;
  const key = isCluster ? name : `${context.namespace}/${name}`;
  const found = context.live.of<ClusterRole>(resource).get(key)?.object;
  if (found === undefined) throw notFound(resource, name);
  checkHeld(found.rules ?? [], context);
}

async function mayBypass(
  verb: "escalate" | "bind",
  resource: string,
  name: string,
  context: AdmissionContext,
): Promise<boolean> {
  const { allowed } = await context.authorizer.authorize({
    user: context.request.user,
    verb,
    group,
    version: "v1",
    resource,
    subresource: "",
    namespace: context.namespace,
    name,
    path: "",
    isResourceRequest: true,
  });
  return allowed;
}

type Rules = readonly DeepReadonly<PolicyRule>[];

function missing(wanted: Rules, context: AdmissionContext): Rules {
  const { request, namespace, live } = context;
  return uncovered([...rulesFor(request.user, namespace, live)].flat(), wanted);
}

function checkHeld(wanted: Rules, context: AdmissionContext): void {
  const { definition, name, request } = context;
  const texts = compactRules(missing(wanted, context)).map(ruleText).sort();
  if (texts.length === 0) return;
  const { user } = request;
  throw refused(
    definition,
    name,
    `user ${JSON.stringify(user.name)} (groups=${quotedList(user.groups)}) is attempting to ` +
      `grant RBAC permissions not currently held:\n${texts.join("\n")}`,
  );
}
