/** Checks the expressions of ValidatingAdmissionPolicies against the kinds they are about. */
import * as builtIn from "../../client/resources.ts";
import type { ValidatingAdmissionPolicy } from "../../gen/admissionregistration-v1.ts";
import type { CustomResourceDefinition } from "../../gen/apiextensions-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";
import type { KindLookup, TypedKind } from "../../schema/cel/policy/type-check.ts";
import type { Structural } from "../../schema/structural/schema.ts";
import { typeOf } from "../../schema/types.ts";
import { hasCondition } from "../custom-resources/plan.ts";
import { mutable } from "../objects.ts";

const { customResourceDefinitions, validatingAdmissionPolicies } = builtIn;
const name = "validatingadmissionpolicy-status-controller";

/** Creates the controller; its keys are the names of policies. */
export function createPolicyTypeChecker(context: ControllerContext): Controller {
  const policies = context.live.of(validatingAdmissionPolicies);
  return {
    name: "validatingadmissionpolicy-status",
    concurrent: 5,
    watches: [watchRule(validatingAdmissionPolicies, ({ now }) => [now.key])],
    async reconcile(key) {
      const policy = policies.get(key)?.object;
      if (policy === undefined || !isUnseen(policy)) return "done";
      // CEL is only loaded where somebody uses it.
      const { typeWarnings } = await import("../../schema/cel/policy/type-check.ts");
      const lookup = await lookupIn(context);
      const expressionWarnings = typeWarnings(policy.spec ?? {}, lookup);
      const { generation = 0 } = policy.metadata;
      const typeChecking = expressionWarnings.length === 0 ? {} : { expressionWarnings };
      const status = { ...policy.status, observedGeneration: generation, typeChecking };
      const next = { ...mutable<ValidatingAdmissionPolicy>(policy), status };
      await context.client.update(validatingAdmissionPolicies, next as ValidatingAdmissionPolicy, {
        fieldManager: name,
        subresource: "status",
      });
      return "done";
    },
  };
}

function isUnseen({ metadata, status }: DeepReadonly<ValidatingAdmissionPolicy>): boolean {
  return (metadata.generation ?? 0) > (status?.observedGeneration ?? 0);
}

/** The built-in kinds, and those that users defined. */
async function lookupIn({ live }: ControllerContext): Promise<KindLookup> {
  const { kindType } = await import("../../schema/cel/policy/kind-types.ts");
  const { ruleType } = await import("../../schema/structural/rule-types.ts");
  const known = (group: string, version: string, kind: string): TypedKind | undefined => {
    const type = typeOf(group, version, kind);
    return type === undefined ? undefined : { group, version, kind, type: kindType(type) };
  };
  const custom = (
    group: string,
    version: string,
    isWanted: (crd: DeepReadonly<CustomResourceDefinition>) => boolean,
  ): TypedKind | undefined => {
    for (const { object: crd } of live.of(customResourceDefinitions).list()) {
      if (crd.spec.group !== group || !isWanted(crd) || !hasCondition(crd, "Established")) continue;
      const served = crd.spec.versions?.find((one) => one.name === version && one.served);
      const schema = served?.schema?.openAPIV3Schema;
      if (schema === undefined) continue;
      const { kind } = crd.spec.names;
      return { group, version, kind, type: ruleType(schema as Structural, true, kind)?.type };
    }
    return undefined;
  };
  const rows = Object.values(builtIn);
  return {
    byResource(group, version, resource) {
      const row = rows.find(
        (one) => one.group === group && one.version === version && one.plural === resource,
      );
      if (row !== undefined) return known(group, version, row.kind);
      return custom(group, version, ({ spec }) => spec.names.plural === resource);
    },
    byKind(group, version, kind) {
      return (
        known(group, version, kind) ?? custom(group, version, (crd) => crd.spec.names.kind === kind)
      );
    },
  };
}
