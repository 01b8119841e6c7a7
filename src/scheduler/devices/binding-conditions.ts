/** Whether the devices of a claim are ready for a pod to be bound to where they are. */
import type { DeviceClaim } from "./view.ts";

/** How long upstream waits for devices by default. */
export const bindingMsMax = 600_000;

export type Readiness =
  | { readonly type: "ready" | "waiting" | "timed-out" }
  | { readonly type: "failed"; readonly reason: string; readonly message: string };

type Results = NonNullable<
  NonNullable<NonNullable<NonNullable<DeviceClaim["status"]>["allocation"]>["devices"]>["results"]
>;

function resultsOf({ status }: DeviceClaim): Results {
  return status?.allocation?.devices?.results ?? [];
}

export function hasBindingConditions(claim: DeviceClaim): boolean {
  return resultsOf(claim).some(({ bindingConditions = [] }) => bindingConditions.length > 0);
}

/** The state of the claim's devices; without conditions they are ready at once. */
export function readinessOf(claim: DeviceClaim, now: Date): Readiness {
  for (const result of resultsOf(claim)) {
    const { bindingConditions = [], bindingFailureConditions = [] } = result;
    if (bindingConditions.length === 0) continue;
    const device = (claim.status?.devices ?? []).find(
      (one) =>
        one.driver === result.driver &&
        one.pool === result.pool &&
        one.device === result.device &&
        one.shareID === result.shareID,
    );
    const conditions = (device?.conditions ?? []).filter(({ status }) => status === "True");
    const failed = conditions.find(({ type }) => bindingFailureConditions.includes(type));
    if (failed !== undefined)
      return { type: "failed", reason: failed.reason, message: failed.message };
    const isReady = bindingConditions.every((wanted) =>
      conditions.some(({ type }) => type === wanted),
    );
    if (!isReady) return { type: isTimedOut(claim, now) ? "timed-out" : "waiting" };
  }
  return { type: "ready" };
}

function isTimedOut({ status }: DeviceClaim, now: Date): boolean {
  const since = status?.allocation?.allocationTimestamp;
  return since !== undefined && Date.parse(since) + bindingMsMax < now.getTime();
}
