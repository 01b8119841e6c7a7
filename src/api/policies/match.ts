/** Which requests an admission policy is about: its constraints, and those of its bindings. */
import type { MatchResources } from "../../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import type { ResourceDefinition } from "../resource-definition.ts";
import { matchedDefinition, matchesNamespace, matchesObject } from "../webhooks/match.ts";

/**
 * The version in which the request is matched, or undefined when `match` is not about it. Without
 * rules, everything that the selectors let through is.
 */
export async function matchResources(
  match: DeepReadonly<MatchResources> | undefined,
  object: DeepReadonly<KubeObject>,
  context: AdmissionContext,
): Promise<ResourceDefinition | undefined> {
  if (match === undefined) return context.definition;
  const { resourceRules, excludeResourceRules = [], matchPolicy } = match;
  const named = (rules: NonNullable<typeof resourceRules>) =>
    rules.filter(({ resourceNames = [] }) => {
      return resourceNames.length === 0 || resourceNames.includes(context.name);
    });
  if (matchedDefinition(named(excludeResourceRules), matchPolicy, context) !== undefined) {
    return undefined;
  }
  const definition =
    resourceRules === undefined || resourceRules.length === 0
      ? context.definition
      : matchedDefinition(named(resourceRules), matchPolicy, context);
  if (definition === undefined) return undefined;
  if (!(await matchesNamespace(match.namespaceSelector, object, context))) return undefined;
  const [now, old] = context.verb === "CONNECT" ? [undefined, undefined] : [object, context.old];
  return matchesObject(match.objectSelector, now, old) ? definition : undefined;
}

/** Policies cannot keep anybody from mending the policies. */
export function isPolicy({ group, plural }: ResourceDefinition): boolean {
  return group === "admissionregistration.k8s.io" && plural.includes("admissionpolic");
}
