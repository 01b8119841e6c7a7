/** Groups below k8s.io and kubernetes.io belong to the project and need its approval. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { CustomResourceDefinition } from "../../gen/apiextensions-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { invalid, required } from "../field-errors.ts";

type Crd = DeepReadonly<CustomResourceDefinition>;

const annotation = "api-approved.kubernetes.io";
const policy = "https://github.com/kubernetes/enhancements/pull/1111";

function isProtected(group: string): boolean {
  return /(^|\.)(k8s|kubernetes)\.io$/.test(group);
}

function stateOf(crd: Crd): "missing" | "approved" | "bypassed" | "invalid" {
  const value = crd.metadata.annotations?.[annotation] ?? "";
  if (value === "") return "missing";
  if (value.startsWith("unapproved")) return "bypassed";
  return URL.canParse(value) ? "approved" : "invalid";
}

/** An error unless the annotation approves the group, or was as it is before. */
export function approvalErrors(crd: Crd, old: Crd | undefined): FieldError[] {
  if (!isProtected(crd.spec.group ?? "")) return [];
  const state = stateOf(crd);
  if (old !== undefined && stateOf(old) === state) return [];
  const field = `metadata.annotations[${annotation}]`;
  const must = `protected groups must have approval annotation "${annotation}"`;
  if (state === "missing") {
    return [required(field, `${must}, see ${policy}`)];
  }
  if (state !== "invalid") return [];
  const value = crd.metadata.annotations?.[annotation];
  const detail = `${must} with either a URL or a reason starting with "unapproved", see ${policy}`;
  return [invalid(field, value, detail)];
}
