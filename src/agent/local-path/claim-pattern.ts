/**
 * Patterns of a storage class with fields of the claim in them: `{{ .PVC.Namespace }}/data`. Of
 * Go's templates they know fields of the claim, and `index` for labels and annotations. Pure.
 */
import type { PersistentVolumeClaim } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";

export interface PatternFacts {
  readonly volumeName: string;
  readonly claim: DeepReadonly<PersistentVolumeClaim>;
}

/** Throws where the pattern holds what no pattern may hold. */
export function render(pattern: string, facts: PatternFacts): string {
  const filled = pattern.replace(/\{\{-?\s*(.*?)\s*-?\}\}/g, (_all, expression: string) =>
    fieldOf(expression, facts),
  );
  if (!filled.includes("{{") && !filled.includes("}}")) return filled;
  throw new Error(`invalid template ${JSON.stringify(pattern)}`);
}

function fieldOf(expression: string, { volumeName, claim }: PatternFacts): string {
  const { name = "", namespace = "", uid = "", labels, annotations } = claim.metadata;
  const plain: Readonly<Record<string, string>> = {
    ".PVName": volumeName,
    ".PVC.Name": name,
    ".PVC.Namespace": namespace,
    ".PVC.UID": uid,
  };
  if (Object.hasOwn(plain, expression)) return plain[expression] ?? "";
  const indexed = /^index\s+\.PVC\.(Labels|Annotations)\s+(?:"([^"\\]*)"|`([^`]*)`)$/.exec(
    expression,
  );
  const dotted = /^\.PVC\.(Labels|Annotations)\.([A-Za-z_]\w*)$/.exec(expression);
  const [, list, ...keys] = indexed ?? dotted ?? [];
  if (list === undefined) throw new Error(`cannot evaluate ${expression} in a template`);
  const key = keys.find((one) => one !== undefined) ?? "";
  return (list === "Labels" ? labels : annotations)?.[key] ?? "";
}
