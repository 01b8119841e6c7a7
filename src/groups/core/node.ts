/** Nodes. */

import type { FieldError, ResourceDefinition } from "../../api/resource-definition.ts";
import { nodes } from "../../client/resources.ts";
import type { Node, NodeCondition } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelKeyErrors, labelValueErrors } from "../../lib/names.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { forbidden, invalids, oneOf } from "../field-errors.ts";
import type { NodeConnector } from "../node-connector.ts";
import { column, define, wide } from "../row.ts";
import { sameWithout } from "../sign-of-life.ts";
import { validateCidrPair } from "./address-validation.ts";
import { proxy } from "./proxy.ts";

type ReadNode = DeepReadonly<Node>;

function statusCell(node: ReadNode): string {
  const ready = (node.status?.conditions ?? []).find((condition) => condition.type === "Ready");
  const words =
    ready === undefined ? ["Unknown"] : [ready.status === "True" ? "Ready" : "NotReady"];
  if (node.spec?.unschedulable) words.push("SchedulingDisabled");
  return words.join(",");
}

const rolePrefix = "node-role.kubernetes.io/";

function rolesCell(node: ReadNode): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata.labels ?? {})) {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length)
      roles.add(key.slice(rolePrefix.length));
    else if (key === "kubernetes.io/role" && value !== "") roles.add(value);
  }
  return roles.size === 0 ? "<none>" : [...roles].sort().join(",");
}

function address(node: ReadNode, type: string): string {
  return (node.status?.addresses ?? []).find((one) => one.type === type)?.address ?? "<none>";
}

function validate(node: ReadNode, old: ReadNode | undefined): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  (node.spec?.taints ?? []).forEach((taint, index) => {
    // Upstream looks for them in the metadata.
    const at = `metadata.taints[${index}]`;
    const { key, value = "", effect } = taint;
    errors.push(...invalids(`${at}.key`, key, labelKeyErrors(key)));
    errors.push(...invalids(`${at}.value`, value, labelValueErrors(value)));
    errors.push(...oneOf(`${at}.effect`, effect, ["NoSchedule", "PreferNoSchedule", "NoExecute"]));
    const pair = `${key}:${effect}`;
    const detail = "taints must be unique by key and effect pair";
    if (seen.has(pair))
      errors.push({ type: "FieldValueDuplicate", field: at, value: taint, detail });
    seen.add(pair);
  });
  errors.push(...validateCidrPair(node.spec?.podCIDRs ?? [], "spec.podCIDRs"));
  if (old === undefined) return errors;
  if (
    (old.spec?.podCIDRs ?? []).length > 0 &&
    !semanticEqual(node.spec?.podCIDRs, old.spec?.podCIDRs)
  )
    errors.push(
      forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'),
    );
  if (old.spec?.providerID && node.spec?.providerID !== old.spec.providerID)
    errors.push(
      forbidden(
        "spec.providerID",
        'node updates may not change providerID except from "" to valid',
      ),
    );
  return errors;
}

function withoutHeartbeat(condition: DeepReadonly<NodeCondition>): unknown {
  return { ...condition, lastHeartbeatTime: null };
}

/** The row of nodes; `connector` reaches their kubelets. */
export function nodeRow(connector: NodeConnector): ResourceDefinition {
  return define<Node>(nodes, {
    shortNames: ["no"],
    columns: [
      column("Status", statusCell, "The status of the node"),
      column("Roles", rolesCell, "The roles of the node"),
      column("Version", (one) => one.status?.nodeInfo?.kubeletVersion ?? ""),
      wide("Internal-IP", (one) => address(one, "InternalIP")),
      wide("External-IP", (one) => address(one, "ExternalIP")),
      wide("OS-Image", (one) => one.status?.nodeInfo?.osImage || "<unknown>"),
      wide("Kernel-Version", (one) => one.status?.nodeInfo?.kernelVersion || "<unknown>"),
      wide(
        "Container-Runtime",
        (one) => one.status?.nodeInfo?.containerRuntimeVersion || "<unknown>",
      ),
    ],
    age: 2,
    fields: { "spec.unschedulable": (one) => String(one.spec?.unschedulable ?? false) },
    defaults(object) {
      object.spec ??= {};
      if (object.status?.capacity && !object.status.allocatable)
        object.status.allocatable = { ...object.status.capacity };
      if (object.spec.podCIDR && !object.spec.podCIDRs)
        object.spec.podCIDRs = [object.spec.podCIDR];
      if (!object.spec.podCIDR && object.spec.podCIDRs?.[0])
        object.spec.podCIDR = object.spec.podCIDRs[0];
    },
    status: "kept",
    strategy: {
      isSignOfLife: sameWithout<Node>(({ metadata, spec, status }) => [
        metadata,
        spec,
        { ...status, conditions: status?.conditions?.map(withoutHeartbeat) },
      ]),
    },
    validate: (object, { old }) => validate(object, old),
    subresources: { proxy: proxy(connector, "NodeProxyOptions") },
    storagePrefix: "minions",
  });
}
