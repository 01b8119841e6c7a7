/** Taints of devices, and which of them a request puts up with. */
import type { DeviceTaint, DeviceToleration } from "../gen/resource-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";

/** Unlike with nodes, an empty key with `Equal` compares values all the same. */
export function toleratesDeviceTaint(
  toleration: DeepReadonly<DeviceToleration>,
  taint: DeepReadonly<DeviceTaint>,
): boolean {
  const { key = "", operator = "", value = "", effect = "" } = toleration;
  if (effect !== "" && effect !== taint.effect) return false;
  if (key !== "" && key !== taint.key) return false;
  if (operator === "Exists") return true;
  return (operator === "" || operator === "Equal") && value === (taint.value ?? "");
}
