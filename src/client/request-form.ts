/** How requests look on the API: paths and media types, the same for every kind of Client. */
import type { KubeObject } from "../schema/object.ts";
import type { PatchType, Resource } from "./client.ts";

export const patchTypes: Readonly<Record<PatchType, string>> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

/** `apps/v1`, or `v1` of the core group. */
export function apiVersionOf(resource: { readonly group: string; readonly version: string }) {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

/** `/apis/apps/v1/namespaces/default/deployments/web/status`; empty parts are left out. */
export function pathOf(
  resource: Resource<KubeObject>,
  namespace: string,
  name: string,
  subresource = "",
): string {
  const root = resource.group === "" ? "/api" : "/apis";
  const inside = resource.namespaced && namespace !== "";
  const place = inside ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  const rest = [resource.plural, name, subresource]
    .filter((part) => part !== "")
    .map(encodeURIComponent)
    .join("/");
  return `${root}/${apiVersionOf(resource)}${place}/${rest}`;
}
