/** Which Ingresses are k3's own to serve: those of Traefik's class, as K3s has it. */
import type { Ingress, IngressClass } from "../gen/networking-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";

/** The `spec.controller` of the classes that are served. */
export const ingressControllerName = "traefik.io/ingress-controller";
/** The Service that stands for the ingress, and the class that is the default. */
export const ingressName = "traefik";
export const ingressNamespace = "kube-system";

/** Of Ingresses that name their class by annotation only. */
const classAnnotation = "kubernetes.io/ingress.class";

export function isServedIngress(
  { metadata, spec }: DeepReadonly<Ingress>,
  classes: Iterable<DeepReadonly<IngressClass>>,
): boolean {
  const named = spec.ingressClassName;
  if (named !== undefined) {
    for (const one of classes) {
      if (one.metadata.name === named) return one.spec.controller === ingressControllerName;
    }
    return false;
  }
  const byAnnotation = metadata.annotations?.[classAnnotation] ?? "";
  return byAnnotation === "" || byAnnotation === ingressName;
}
