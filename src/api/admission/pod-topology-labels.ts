/** PodTopologyLabels: a pod learns by labels in which zone and region its node is. */
import { nodes } from "../../client/resources.ts";
import type { Binding, Pod } from "../../gen/core-v1.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { lookUp } from "./look-up.ts";

const keys = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

export const podTopologyLabels: AdmissionPlugin = {
  name: "PodTopologyLabels",
  async mutate(object, context) {
    const { definition, verb, live } = context;
    if (definition.group !== "" || verb !== "CREATE") return;
    const node = await lookUp(live, nodes, "", targetOf(object, context));
    const found = keys.filter((key) => node?.metadata.labels?.[key] !== undefined);
    if (found.length === 0) return;
    const labels = Object.fromEntries(
      found.map((key) => [key, node?.metadata.labels?.[key] ?? ""]),
    );
    object.metadata.labels = { ...object.metadata.labels, ...labels };
  },
};

/** The node that the request names; "" for requests about something else. */
function targetOf(object: KubeObject, { definition, subresource }: AdmissionContext): string {
  if (definition.plural !== "pods" && definition.plural !== "bindings") return "";
  if (subresource === "binding" || definition.plural === "bindings") {
    return (object as Binding).target?.name ?? "";
  }
  return subresource === "" ? ((object as Pod).spec.nodeName ?? "") : "";
}
