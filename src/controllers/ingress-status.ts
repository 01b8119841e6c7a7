/** Tells each Ingress that k3 serves where it is to be reached: at the addresses of `traefik`. */
import { ingressClasses, ingresses, services } from "../client/resources.ts";
import type { Service } from "../gen/core-v1.ts";
import type { Ingress, IngressLoadBalancerStatus } from "../gen/networking-v1.ts";
import { isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { type Controller, type ControllerContext, watchRule } from "../live/controller.ts";
import { ingressName, ingressNamespace, isServedIngress } from "../schema/served-ingress.ts";
import { canonicalJson, mutable } from "./objects.ts";

const serviceKey = `${ingressNamespace}/${ingressName}`;

export function createIngressStatusController({ client, live }: ControllerContext): Controller {
  const ingressSet = live.of(ingresses);
  const classSet = live.of(ingressClasses);
  const serviceSet = live.of(services);
  const all = (): readonly string[] => Array.from(ingressSet.list(), ({ key }) => key);
  return {
    name: "ingress-status",
    concurrent: 2,
    watches: [
      watchRule(ingresses, ({ now }) => [now.key]),
      watchRule(ingressClasses, all),
      watchRule(services, ({ now }) => (now.key === serviceKey ? all() : [])),
    ],
    async reconcile(key) {
      const ingress = ingressSet.get(key)?.object;
      const classes = Array.from(classSet.list(), ({ object }) => object);
      if (ingress === undefined || !isServedIngress(ingress, classes)) return "done";
      const loadBalancer = statusOf(serviceSet.get(serviceKey)?.object);
      const known = ingress.status?.loadBalancer ?? {};
      if (canonicalJson(known) === canonicalJson(loadBalancer)) return "done";
      try {
        const next = { ...mutable<Ingress>(ingress), status: { loadBalancer } };
        await client.update(ingresses, next, { subresource: "status" });
      } catch (error) {
        if (!isReason(error, "NotFound")) throw error;
      }
      return "done";
    },
  };
}

function statusOf(service: DeepReadonly<Service> | undefined): IngressLoadBalancerStatus {
  const points = service?.status?.loadBalancer?.ingress ?? [];
  if (points.length === 0) return {};
  return {
    ingress: points.map(({ ip, hostname }) => ({
      ...(ip === undefined ? {} : { ip }),
      ...(hostname === undefined ? {} : { hostname }),
    })),
  };
}
