/** Fields behind feature gates that are off: they go before anybody judges or stores them. */
import type { Container, Pod, PodSpec, PodTemplateSpec } from "../../gen/core-v1.ts";
import type { KubeObject } from "../../schema/object.ts";

/** The spec of the pods that an object is or makes. */
function podSpecOf(object: KubeObject): PodSpec | undefined {
  const parts = object as {
    readonly template?: PodTemplateSpec;
    readonly spec?: {
      readonly template?: PodTemplateSpec;
      readonly jobTemplate?: { readonly spec?: { readonly template?: PodTemplateSpec } };
    };
  };
  if (object.kind === "Pod") return (object as Pod).spec;
  const template =
    parts.template ?? parts.spec?.template ?? parts.spec?.jobTemplate?.spec?.template;
  return template?.spec;
}

function dropStopSignal(container: Pick<Container, "lifecycle">): void {
  if (container.lifecycle?.stopSignal === undefined) return;
  delete container.lifecycle.stopSignal;
  if (Object.keys(container.lifecycle).length === 0) delete container.lifecycle;
}

/** Takes what upstream takes away, by default, from pods and templates of pods. */
export function dropGatedFields(object: KubeObject): void {
  const spec = podSpecOf(object);
  if (spec === undefined) return;
  const { containers = [], initContainers = [], ephemeralContainers = [], volumes = [] } = spec;
  for (const one of [...containers, ...initContainers, ...ephemeralContainers]) dropStopSignal(one);
  for (const { projected } of volumes)
    for (const source of projected?.sources ?? []) {
      delete source.clusterTrustBundle;
      delete source.podCertificate;
    }
  delete spec.schedulingGroup;
}
