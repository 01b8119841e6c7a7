/** NodeDeclaredFeatureValidator: a pod is only changed in ways that its node knows. */
import { nodes } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { featuresToChange, missingFeatures } from "../../schema/declared-features.ts";
import type { AdmissionPlugin } from "../admission-plugin.ts";
import { refused } from "../errors.ts";
import { lookUp } from "./look-up.ts";

const name = "NodeDeclaredFeatureValidator";

export const nodeDeclaredFeatures: AdmissionPlugin = {
  name,
  async validate(object, context) {
    const { definition, subresource, verb, live } = context;
    if (definition.group !== "" || definition.plural !== "pods" || verb !== "UPDATE") return;
    if (subresource !== "" && subresource !== "resize") return;
    const pod = object as DeepReadonly<Pod>;
    const old = context.old as DeepReadonly<Pod>;
    const { nodeName } = pod.spec;
    if (!nodeName || old.metadata.generation === pod.metadata.generation) return;
    const needed = featuresToChange(pod.spec, old.spec);
    if (needed.length === 0) return;
    const node = await lookUp(live, nodes, "", nodeName);
    if (node === undefined) throw refused(definition, context.name, `node "${nodeName}" not found`);
    const missing = missingFeatures(needed, node.status?.declaredFeatures);
    if (missing.length === 0) return;
    const what = `pod update requires features ${missing.join(", ")} which are not available`;
    throw refused(definition, context.name, `${what} on node "${nodeName}"`);
  },
};
