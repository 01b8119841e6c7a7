/** Which containers have ended, and which of those are to run again. Pure. */
import type { ContainerState } from "./cri-state.ts";
import type { PodFacts } from "./plan-pod.ts";
import { isSidecar, type NamedContainer } from "./types.ts";

export const stopped: readonly ContainerState["state"][] = ["exited", "unknown"];

/** Whether a container that has ended is to run again. */
export function restarts(
  { pod, restarting }: Pick<PodFacts, "pod" | "restarting">,
  named: NamedContainer,
  { id, exitCode }: Pick<ContainerState, "id" | "exitCode">,
): boolean {
  if (named.kind === "ephemeral") return false;
  if (restarting.has(id)) return true;
  for (const rule of named.container.restartPolicyRules ?? []) {
    const listed = rule.exitCodes?.values?.includes(exitCode) === true;
    const fits = rule.exitCodes?.operator === "NotIn" ? !listed : listed;
    if (fits && rule.action === "Restart") return true;
  }
  const policy = named.container.restartPolicy ?? pod.spec.restartPolicy ?? "Always";
  if (policy === "Never") return false;
  // An init container that succeeded is done, even where app containers run for ever.
  const once = named.kind === "init" && !isSidecar(named);
  if (policy === "OnFailure" || once) return exitCode !== 0;
  return true;
}

export function isAlive(container: ContainerState): boolean {
  return container.state === "running" || container.state === "created";
}
