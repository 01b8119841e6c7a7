/** The parameter objects of a policy binding. */
import type { ParamKind, ParamRef } from "../../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelSelectorOf, matchesLabels } from "../../lib/selector.ts";
import type { KubeObject } from "../../schema/object.ts";
import { everyOf, lookUp } from "../admission/look-up.ts";
import type { AdmissionContext } from "../admission-plugin.ts";

type Param = DeepReadonly<KubeObject>;

/** The policy or a binding is not what it should be: no expression is evaluated. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
  constructor(
    readonly of: "policy" | "binding",
    why: string,
  ) {
    super(`failed to configure ${of}: ${why}`);
  }
}

/**
 * The parameters to evaluate with, one by one; `[null]` for a policy that has none.
 *
 * @throws ConfigurationError when they are missing and the binding does not say that this is fine.
 */
export async function paramsOf(
  kind: DeepReadonly<ParamKind> | undefined,
  ref: DeepReadonly<ParamRef> | undefined,
  context: AdmissionContext,
): Promise<readonly (Param | null)[]> {
  if (kind === undefined) return [null];
  const { apiVersion = "", kind: name = "" } = kind;
  const slash = apiVersion.indexOf("/");
  const [group, version] = [apiVersion.slice(0, Math.max(0, slash)), apiVersion.slice(slash + 1)];
  const definition = context.registry.findKind(group, version, name);
  if (definition === undefined) {
    const wanted = `'${group}/${version}, Kind=${name}'`;
    throw new ConfigurationError(
      "policy",
      `failed to find resource referenced by paramKind: ${wanted}`,
    );
  }
  if (ref === undefined) return [null];
  const wrong = (why: string): ConfigurationError => new ConfigurationError("binding", why);
  if (!definition.namespaced && ref.namespace) {
    throw wrong("paramRef.namespace must not be provided for a cluster-scoped `paramKind`");
  }
  const namespace = definition.namespaced ? ref.namespace || context.namespace : "";
  if (definition.namespaced && namespace === "") {
    throw wrong(
      "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources",
    );
  }
  const found = await findParams(ref, definition, namespace, context);
  if (found.length > 0 || ref.parameterNotFoundAction === "Allow") return found;
  throw wrong("no params found for policy binding with `Deny` parameterNotFoundAction");
}

async function findParams(
  { name, selector }: DeepReadonly<ParamRef>,
  definition: Parameters<typeof everyOf>[1],
  namespace: string,
  { live }: AdmissionContext,
): Promise<readonly Param[]> {
  if (name) {
    const one = await lookUp(live, definition, namespace, name);
    return one === undefined ? [] : [one];
  }
  const wanted = labelSelectorOf(selector);
  const all = await everyOf(live, definition, namespace);
  return all.filter(({ metadata }) => matchesLabels(wanted, metadata.labels));
}
