/** Whether a webhook wants to hear of a request: its rules and its selectors. */
import { namespaces } from "../../client/resources.ts";
import type {
  MutatingWebhook,
  RuleWithOperations,
  ValidatingWebhook,
} from "../../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelSelectorOf, matchesLabels } from "../../lib/selector.ts";
import type { KubeObject } from "../../schema/object.ts";
import { lookUp } from "../admission/look-up.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import { notFound } from "../errors.ts";
import { storagePrefixOf } from "../registry.ts";
import type { ResourceDefinition } from "../resource-definition.ts";

export type Webhook = DeepReadonly<MutatingWebhook | ValidatingWebhook>;
type Rule = DeepReadonly<RuleWithOperations>;

/**
 * The resource version in which `rules` want to see the request: that of the request itself or,
 * under the policy Equivalent, another version of the same objects. Undefined: they do not.
 */
export function matchedDefinition(
  rules: readonly Rule[],
  matchPolicy: string | undefined,
  context: AdmissionContext,
): ResourceDefinition | undefined {
  const { definition, registry } = context;
  const wants = (one: ResourceDefinition): boolean =>
    rules.some((rule) => matchesRule(rule, one, context));
  if (wants(definition)) return definition;
  if (matchPolicy === "Exact" || definition.storagePrefix === null) return undefined;
  const place = storagePrefixOf(definition);
  return registry
    .all()
    .find(
      (one) =>
        one !== definition &&
        one.storagePrefix !== null &&
        one.kind === definition.kind &&
        storagePrefixOf(one) === place &&
        wants(one),
    );
}

function matchesRule(rule: Rule, definition: ResourceDefinition, context: AdmissionContext) {
  const has = (list: readonly string[] | undefined, value: string): boolean =>
    (list ?? []).some((one) => one === "*" || one === value);
  return (
    has(rule.operations, context.verb) &&
    has(rule.apiGroups, definition.group) &&
    has(rule.apiVersions, definition.version) &&
    matchesScope(rule.scope, definition, context.namespace) &&
    (rule.resources ?? []).some((text) => {
      const [resource = "", part = ""] = text.split("/");
      const fits = resource === "*" || resource === definition.plural;
      return fits && (part === "*" || part === context.subresource);
    })
  );
}

function matchesScope(
  scope: string | undefined,
  { group, plural }: ResourceDefinition,
  namespace: string,
): boolean {
  // A request for a namespace carries its name as its namespace, yet has none.
  const isNamespaced = namespace !== "" && !(group === "" && plural === "namespaces");
  if (scope === "Namespaced") return isNamespaced;
  if (scope === "Cluster") return !isNamespaced;
  return true;
}

/** Whether the namespace's labels fit; all that has no namespace does. */
export async function matchesNamespace(
  selector: Webhook["namespaceSelector"],
  object: DeepReadonly<KubeObject>,
  context: AdmissionContext,
): Promise<boolean> {
  const wanted = labelSelectorOf(selector ?? {});
  if (wanted.requirements.length === 0) return true;
  const { definition, live, namespace, old, name } = context;
  if (definition.group === "" && definition.plural === "namespaces") {
    const labels = context.subresource === "" ? object.metadata.labels : undefined;
    const own = labels ?? old?.metadata.labels;
    return matchesLabels(
      wanted,
      own ?? (await lookUp(live, namespaces, "", name))?.metadata.labels,
    );
  }
  if (namespace === "") return true;
  const found = await lookUp(live, namespaces, "", namespace);
  if (found === undefined) throw notFound(namespaces, namespace);
  return matchesLabels(wanted, found.metadata.labels);
}

/** Whether the new or the old object's labels fit; what can have no labels never does. */
export function matchesObject(
  selector: Webhook["objectSelector"],
  object: DeepReadonly<KubeObject> | undefined,
  old: DeepReadonly<KubeObject> | undefined,
): boolean {
  const wanted = labelSelectorOf(selector ?? {});
  if (wanted.requirements.length === 0) return true;
  return [object, old].some(
    (one) => one?.metadata !== undefined && matchesLabels(wanted, one.metadata.labels),
  );
}
