/**
 * OwnerReferencesPermissionEnforcement: by an owner an object can be made to be deleted, and by
 * blockOwnerDeletion the owner can be kept; both take the rights to do so.
 */
import type { OwnerReference } from "../../gen/meta-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import type { Attributes } from "../authorizer.ts";
import { refused } from "../errors.ts";

type Owners = readonly DeepReadonly<OwnerReference>[];
type Place = Pick<Attributes, "group" | "version" | "resource" | "subresource" | "name">;

function ownersOf(object: DeepReadonly<KubeObject> | undefined): Owners {
  return object?.metadata.ownerReferences ?? [];
}

/** References that block now and did not before. */
function newlyBlocking(owners: Owners, before: Owners): Owners {
  const blocked = new Set(before.filter((one) => one.blockOwnerDeletion).map(({ uid }) => uid));
  return owners.filter(({ blockOwnerDeletion, uid }) => blockOwnerDeletion && !blocked.has(uid));
}

async function may(
  context: AdmissionContext,
  verb: string,
  place: Place,
  namespace: string,
): Promise<{ readonly allowed: boolean; readonly reason: string }> {
  const { user } = context.request;
  const asked = { user, verb, namespace, path: "", isResourceRequest: true, ...place };
  const { allowed, reason = "" } = await context.authorizer.authorize(asked);
  return { allowed, reason };
}

async function checkBlocking(
  context: AdmissionContext,
  { apiVersion, kind, name }: DeepReadonly<OwnerReference>,
): Promise<void> {
  const parts = apiVersion.split("/");
  const [group = "", version = ""] = parts.length === 1 ? ["", ...parts] : parts;
  const owner = context.registry.findKind(group, version, kind);
  const cannot = "cannot set blockOwnerDeletion";
  if (owner === undefined) {
    const mapping = `RESTMapping for APIVersion ${apiVersion} Kind ${kind}`;
    const none = `no matches for kind "${kind}" in version "${apiVersion}"`;
    const why = `${cannot} in this case because cannot find ${mapping}: ${none}`;
    throw refused(context.definition, context.name, why);
  }
  const place = { group, version, resource: owner.plural, subresource: "finalizers", name };
  const namespace = owner.namespaced ? context.namespace : "";
  const { allowed, reason } = await may(context, "update", place, namespace);
  if (allowed) return;
  const what = "if an ownerReference refers to a resource you can't set finalizers on";
  throw refused(context.definition, context.name, `${cannot} ${what}: ${reason}, <nil>`);
}

export const ownerReferences: AdmissionPlugin = {
  name: "OwnerReferencesPermissionEnforcement",
  async validate(object, context) {
    const { definition, subresource, verb, name, namespace } = context;
    if (verb !== "CREATE" && verb !== "UPDATE") return;
    const { group, version, plural: resource } = definition;
    if (group === "" && resource === "pods" && subresource === "status") return;
    const [owners, before] = [ownersOf(object), ownersOf(context.old)];
    if (semanticEqual(owners, before)) return;
    if (verb !== "CREATE") {
      const place = { group, version, resource, subresource, name };
      const { allowed, reason } = await may(context, "delete", place, namespace);
      const why = `cannot set an ownerRef on a resource you can't delete: ${reason}, <nil>`;
      if (!allowed) throw refused(definition, name, why);
    }
    const blocking = newlyBlocking(owners, before);
    if (blocking.length === 0) return;
    const all = { group: "*", version: "*", resource: "*", subresource: "finalizers", name: "*" };
    if ((await may(context, "update", all, "")).allowed) return;
    for (const owner of blocking) await checkBlocking(context, owner);
  },
};
