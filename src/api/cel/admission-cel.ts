/** What expressions about admission requests are compiled with, and what they get to see. */
import { namespaces } from "../../client/resources.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { type CelDeclarations, CelEnvironment } from "../../schema/cel/environment.ts";
import { celOfJson } from "../../schema/cel/values.ts";
import type { KubeObject } from "../../schema/object.ts";
import { lookUp } from "../admission/look-up.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import type { ResourceDefinition } from "../resource-definition.ts";
import { requestPart } from "../webhooks/review.ts";
import { authorizerOf, authorizerType, registerAuthorizer } from "./authorizer.ts";

type Shown = DeepReadonly<KubeObject> | null;

const common = {
  object: "dyn",
  oldObject: "dyn",
  request: "dyn",
  authorizer: authorizerType,
} as const;

/** For `matchConditions` of webhooks. */
export const webhookEnvironment = new CelEnvironment(common, registerAuthorizer);
/** For all expressions of admission policies. */
export const policyEnvironment = new CelEnvironment(
  { ...common, params: "dyn", namespaceObject: "dyn", variables: "dyn" },
  (declarations) => {
    registerAuthorizer(declarations);
    registerJsonPatch(declarations);
  },
);

/** `jsonpatch.escapeKey`: a member's name as a part of a JSON pointer (RFC 6901). */
function registerJsonPatch(declarations: CelDeclarations): void {
  class JsonPatchNamespace {}
  declarations.registerType("JsonPatchNamespace", JsonPatchNamespace);
  declarations.registerConstant("jsonpatch", "JsonPatchNamespace", new JsonPatchNamespace());
  declarations.registerFunction(
    "JsonPatchNamespace.escapeKey(string): string",
    (_namespace: JsonPatchNamespace, key: string) =>
      key.replaceAll("~", "~0").replaceAll("/", "~1"),
  );
}

export interface Expression {
  readonly name: string;
  readonly expression: string;
}

/** The bindings of a request, whose objects stand in the version of `definition`. */
export function requestBindings(
  { object, oldObject }: { readonly object: Shown; readonly oldObject: Shown },
  definition: ResourceDefinition,
  context: AdmissionContext,
): Readonly<Record<string, unknown>> {
  return {
    object: celOfJson(object),
    oldObject: celOfJson(oldObject),
    request: celOfJson(requestPart({ definition, object, oldObject }, context)),
    authorizer: authorizerOf(context),
  };
}

/** The namespace of the request for expressions; null for what has none. */
export async function namespaceBinding({
  definition,
  live,
  namespace,
}: AdmissionContext): Promise<unknown> {
  const isNamespace = definition.group === "" && definition.plural === "namespaces";
  if (namespace === "" || isNamespace) return null;
  return celOfJson((await lookUp(live, namespaces, "", namespace)) ?? null);
}

export type MatchOutcome =
  | { readonly type: "match" }
  | { readonly type: "no-match" }
  | { readonly type: "error"; readonly error: Error };

/** All conditions must hold; one that is false outweighs others that failed. */
export async function matchConditions(
  environment: CelEnvironment,
  conditions: readonly DeepReadonly<Expression>[],
  bindings: Readonly<Record<string, unknown>>,
): Promise<MatchOutcome> {
  let error: Error | undefined;
  for (const { expression } of conditions) {
    try {
      if ((await environment.compile(expression, "bool").evaluate(bindings)) !== true) {
        return { type: "no-match" };
      }
    } catch (failure) {
      error ??= failure instanceof Error ? failure : new Error(String(failure));
    }
  }
  return error === undefined ? { type: "match" } : { type: "error", error };
}
