/** PodResizeValidator: a pod is only resized to what its node could ever give. */
import { nodes } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { compareQuantity, quantityMilliValue, quantityValue } from "../../lib/quantity.ts";
import { podRequests } from "../../schema/pod-resources.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { refused } from "../errors.ts";
import { lookUp } from "./look-up.ts";

const amounts = { cpu: quantityMilliValue, memory: quantityValue } as const;

function refusal(context: AdmissionContext, why: string, reason: string): ApiError {
  const { message, details = {} } = refused(context.definition, context.name, why);
  return new ApiError("Forbidden", message, {
    details: { ...details, causes: [{ reason }] },
  });
}

export const podResizeValidator: AdmissionPlugin = {
  name: "PodResizeValidator",
  async validate(object, context) {
    const { definition, subresource, verb, live } = context;
    const isPod = definition.group === "" && definition.plural === "pods";
    if (!isPod || subresource !== "resize" || verb !== "UPDATE") return;
    const pod = object as DeepReadonly<Pod>;
    const { nodeName } = pod.spec;
    if (!nodeName || context.old?.metadata.generation === pod.metadata.generation) return;
    const node = await lookUp(live, nodes, "", nodeName);
    if (node === undefined) throw refused(definition, context.name, `node "${nodeName}" not found`);
    const os = node.metadata.labels?.["kubernetes.io/os"] ?? "linux";
    const only = `pod resize is only supported on linux nodes, node "${nodeName}" is "${os}"`;
    if (os !== "linux") throw refusal(context, only, "UnsupportedPlatform");
    const requests = podRequests(pod);
    const lacking = (["cpu", "memory"] as const).flatMap((name) => {
      const [asked = "0", there = "0"] = [requests[name], node.status?.allocatable?.[name]];
      if (compareQuantity(asked, there) <= 0) return [];
      const read = amounts[name];
      return [`${name}, requested: ${read(asked)}, allocatable: ${read(there)}`];
    });
    if (lacking.length === 0) return;
    const why = `node didn't have enough allocatable resources: ${lacking.join("; ")}`;
    throw refusal(context, why, "NodeCapacity");
  },
};
