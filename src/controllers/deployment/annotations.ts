/** The annotations by which ReplicaSets remember revisions and the size of their Deployment. */
import { annotations, fenceposts, type LiveDeployment, replicasOf } from "./replica-sets.ts";

/** What belongs to one object alone and is never handed down to a ReplicaSet. */
const notInherited: ReadonlySet<string> = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  "deprecated.deployment.rollback.to",
  ...Object.values(annotations),
]);

const historyCharactersMax = 2000;

export function replicasAnnotations(deployment: LiveDeployment): Record<string, string> {
  const wanted = replicasOf(deployment);
  return {
    [annotations.desiredReplicas]: String(wanted),
    [annotations.maxReplicas]: String(wanted + fenceposts(deployment).maxSurge),
  };
}

/**
 * The annotations the new ReplicaSet must have, or undefined when it has them. A set that was old
 * and is new again (a rollback) takes the next revision and keeps its former ones as history.
 */
export function newSetAnnotations(
  deployment: LiveDeployment,
  present: Readonly<Record<string, string>> | undefined,
  newRevision: bigint,
): Record<string, string> | undefined {
  const wanted: Record<string, string> = { ...present };
  for (const [key, value] of Object.entries(deployment.metadata.annotations ?? {})) {
    if (!notInherited.has(key)) wanted[key] = value;
  }
  const oldText = present?.[annotations.revision];
  const old = /^\d+$/.test(oldText ?? "") ? BigInt(oldText ?? "0") : 0n;
  if (old < newRevision) {
    wanted[annotations.revision] = String(newRevision);
    if (oldText !== undefined) {
      const history = present?.[annotations.revisionHistory];
      wanted[annotations.revisionHistory] = shortened(
        history === undefined || history === "" ? oldText : `${history},${oldText}`,
      );
    }
  }
  const isSame = Object.entries(wanted).every(([key, value]) => present?.[key] === value);
  return isSame ? undefined : wanted;
}

function shortened(history: string): string {
  let kept = history;
  while (kept.length > historyCharactersMax && kept.includes(",")) {
    kept = kept.slice(kept.indexOf(",") + 1);
  }
  return kept;
}
