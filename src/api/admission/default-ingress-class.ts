/** DefaultIngressClass: an Ingress without a class gets the newest default one. */
import { ingressClasses } from "../../client/resources.ts";
import type { Ingress } from "../../gen/networking-v1.ts";
import type { AdmissionPlugin } from "../admission-plugin.ts";
import { everyOf } from "./look-up.ts";
import { newestFirst } from "./storage.ts";

const defaultAnnotation = "ingressclass.kubernetes.io/is-default-class";
const legacyAnnotation = "kubernetes.io/ingress.class";

export const defaultIngressClass: AdmissionPlugin = {
  name: "DefaultIngressClass",
  async mutate(object, context) {
    const { definition, verb, subresource } = context;
    if (definition.group !== "networking.k8s.io" || definition.plural !== "ingresses") return;
    if (verb !== "CREATE" || subresource !== "") return;
    const ingress = object as Ingress;
    if (ingress.spec?.ingressClassName !== undefined) return;
    if (ingress.metadata.annotations?.[legacyAnnotation] !== undefined) return;
    const classes = await everyOf(context.live, ingressClasses);
    const [newest] = newestFirst(
      classes.filter(({ metadata }) => metadata.annotations?.[defaultAnnotation] === "true"),
    );
    if (newest?.metadata.name === undefined) return;
    ingress.spec = { ...ingress.spec, ingressClassName: newest.metadata.name };
  },
};
