/** Fills roles with an aggregationRule with the rules of the roles they select. */
import { clusterRoles } from "../client/resources.ts";
import type { ClusterRole, PolicyRule } from "../gen/rbac-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelSelectorOf, matchesLabels } from "../lib/selector.ts";
import { type Controller, type ControllerContext, watchRule } from "../live/controller.ts";
import { canonicalJson, isDeleting, mutable, sameJson } from "./objects.ts";

type LiveRole = DeepReadonly<ClusterRole>;

/** Creates the cluster role aggregation controller. */
export function createClusterRoleAggregationController(context: ControllerContext): Controller {
  const roleSet = context.live.of(clusterRoles);
  return {
    name: "clusterrole-aggregation",
    concurrent: 5,
    watches: [
      watchRule(clusterRoles, function* () {
        for (const { key, object } of roleSet.list()) if (isAggregate(object)) yield key;
      }),
    ],
    async reconcile(key) {
      const role = roleSet.get(key)?.object;
      if (role === undefined || isDeleting(role) || !isAggregate(role)) return "done";
      const rules = aggregatedRules(
        role,
        Array.from(roleSet.list(), ({ object }) => object),
      );
      if (sameJson(role.rules ?? [], rules)) return "done";
      await context.client.update(clusterRoles, { ...mutable<ClusterRole>(role), rules });
      return "done";
    },
  };
}

function isAggregate({ aggregationRule }: LiveRole): boolean {
  return aggregationRule !== undefined && aggregationRule !== null;
}

/** The rules of all selected roles, by selector and by name, each rule once. */
export function aggregatedRules(role: LiveRole, all: readonly LiveRole[]): PolicyRule[] {
  const rules = new Map<string, PolicyRule>();
  const byName = all.toSorted((a, b) =>
    (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1,
  );
  for (const selector of role.aggregationRule?.clusterRoleSelectors ?? []) {
    const matcher = labelSelectorOf(selector);
    for (const { metadata, rules: some } of byName) {
      if (metadata.name === role.metadata.name) continue;
      if (!matchesLabels(matcher, metadata.labels)) continue;
      for (const rule of some ?? []) {
        const text = canonicalJson(rule);
        if (!rules.has(text)) rules.set(text, mutable<PolicyRule>(rule));
      }
    }
  }
  return [...rules.values()];
}
