/** Short ways to write rules down. */
import type { PolicyRule } from "../../gen/rbac-v1.ts";

export const read = ["get", "list", "watch"];
export const write = ["create", "delete", "deletecollection", "patch", "update"];
export const readWrite = [...read, ...write];

export function rule(verbs: readonly string[], group: string, ...resources: string[]): PolicyRule {
  return { verbs: [...verbs], apiGroups: [group], resources };
}

/** GET on paths that are no resources. */
export function paths(...nonResourceURLs: string[]): PolicyRule {
  return { verbs: ["get"], nonResourceURLs };
}

/** `of`, but only for objects of these names. */
export function named(of: PolicyRule, ...resourceNames: string[]): PolicyRule {
  return { ...of, resourceNames };
}
