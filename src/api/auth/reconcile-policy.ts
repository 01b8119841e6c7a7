/**
 * Brings the roles and bindings of the bootstrap policy up to date at start: what is missing is
 * added, what an administrator added stays, and `autoupdate=false` leaves an object alone.
 */
import type { Client, Resource } from "../../client/client.ts";
import { clusterRoleBindings, clusterRoles, roleBindings, roles } from "../../client/resources.ts";
import type { ClusterRole, Role, RoleBinding, Subject } from "../../gen/rbac-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import type { KubeObject } from "../../schema/object.ts";
import { autoupdateAnnotation, bootstrapBindings, bootstrapRoles } from "./bootstrap-policy.ts";
import { namespacedBindings, namespacedRoles } from "./namespace-policy.ts";
import { compactRules, uncovered } from "./rule-coverage.ts";

const limits = { raceTriesMax: 3 } as const;

/** Safe to call at every start; the namespaces of namespaced roles must exist. */
export async function ensureBootstrapPolicy(client: Client): Promise<void> {
  await Promise.all([
    ...bootstrapRoles().map((role) => ensure(client, clusterRoles, role, planRole)),
    ...bootstrapBindings().map((one) => ensure(client, clusterRoleBindings, one, planBinding)),
  ]);
}

/** As `ensureBootstrapPolicy`, for the roles inside of kube-system and kube-public. */
export async function ensureNamespacedPolicy(client: Client): Promise<void> {
  await Promise.all([
    ...namespacedRoles().map((role) => ensure<Role>(client, roles, role, planRole)),
    ...namespacedBindings().map((one) => ensure(client, roleBindings, one, planBinding)),
  ]);
}

export type Step<T> =
  | { readonly type: "keep" }
  | { readonly type: "update"; readonly object: T }
  /** What must change cannot be changed. */
  | { readonly type: "recreate" };

type Plan<T> = (existing: T, wanted: T) => Step<T>;

async function ensure<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  wanted: T,
  plan: Plan<T>,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ensureOnce(client, resource, wanted, plan);
    } catch (error) {
      const isRace =
        isReason(error, "Conflict") ||
        isReason(error, "AlreadyExists") ||
        isReason(error, "NotFound");
      if (!isRace || tries === limits.raceTriesMax) throw error;
    }
  }
}

async function ensureOnce<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  wanted: T,
  plan: Plan<T>,
): Promise<void> {
  const { namespace = "", name = "" } = wanted.metadata;
  const existing = await existingOf(client, resource, namespace, name);
  if (existing === undefined) {
    await client.create(resource, wanted);
    return;
  }
  if (existing.metadata.annotations?.[autoupdateAnnotation] === "false") return;
  const step = plan(existing, wanted);
  switch (step.type) {
    case "keep":
      return;
    case "update":
      await client.update(resource, step.object);
      return;
    case "recreate": {
      const { uid } = existing.metadata;
      await client.delete(resource, namespace, name, {
        ...(uid === undefined ? {} : { preconditions: { uid } }),
      });
      await client.create(resource, wanted);
    }
  }
}

async function existingOf<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  namespace: string,
  name: string,
): Promise<T | undefined> {
  try {
    return await client.get(resource, namespace, name);
  } catch (error) {
    if (!isReason(error, "NotFound")) throw error;
    return undefined;
  }
}

/** Labels and annotations of both; what exists wins. */
function withMetadata<T extends KubeObject>(existing: T, wanted: T): T {
  const { labels, annotations } = existing.metadata;
  return {
    ...existing,
    metadata: {
      ...existing.metadata,
      labels: { ...wanted.metadata.labels, ...labels },
      annotations: { ...wanted.metadata.annotations, ...annotations },
    },
  };
}

function stepTo<T extends KubeObject>(existing: T, object: T): Step<T> {
  return semanticEqual(existing, object) ? { type: "keep" } : { type: "update", object };
}

/** Missing rules and selectors are added; the rules of aggregates belong to their controller. */
export function planRole(existing: ClusterRole, wanted: ClusterRole): Step<ClusterRole> {
  const next = withMetadata(existing, wanted);
  if (wanted.aggregationRule) {
    const present = existing.aggregationRule?.clusterRoleSelectors ?? [];
    const missing = (wanted.aggregationRule.clusterRoleSelectors ?? []).filter(
      (selector) => !present.some((one) => semanticEqual(one, selector)),
    );
    next.aggregationRule = { clusterRoleSelectors: [...present, ...missing] };
    return stepTo(existing, next);
  }
  const missing = compactRules(uncovered(existing.rules ?? [], wanted.rules ?? []));
  if (missing.length > 0) next.rules = [...(existing.rules ?? []), ...missing];
  return stepTo(existing, next);
}

/** Missing subjects are added; a binding to another role is made anew. */
export function planBinding<T extends RoleBinding>(existing: T, wanted: T): Step<T> {
  if (!semanticEqual(existing.roleRef, wanted.roleRef)) return { type: "recreate" };
  const next = withMetadata(existing, wanted);
  const key = ({ kind, namespace = "", name }: Subject): string => `${kind} ${namespace}/${name}`;
  const present = new Set((existing.subjects ?? []).map(key));
  const missing = (wanted.subjects ?? []).filter((subject) => !present.has(key(subject)));
  if (missing.length > 0) next.subjects = [...(existing.subjects ?? []), ...missing];
  return stepTo(existing, next);
}
