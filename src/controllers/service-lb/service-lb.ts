/** Gives Services of type LoadBalancer the addresses of nodes, as K3s's ServiceLB does. */
import { endpointSlices, nodes, services } from "../../client/resources.ts";
import type { Service } from "../../gen/core-v1.ts";
import type { Condition } from "../../gen/meta-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";
import { canonicalJson, mutable, timeNow } from "../objects.ts";
import {
  type LiveNode,
  type LiveService,
  type LoadBalancerPlan,
  planLoadBalancers,
} from "./plan.ts";

const all = "all";
const byService = "service-lb";
const conflictCondition = "LoadBalancerPortsError";

/** Creates the controller; all Services are planned together since they share ports. */
export function createServiceLbController(context: ControllerContext): Controller {
  const { live } = context;
  const serviceSet = live.of(services);
  const nodeSet = live.of(nodes);
  const sliceSet = live.of(endpointSlices);
  sliceSet.addIndex(byService, ({ metadata }) => [
    `${metadata.namespace}/${metadata.labels?.["kubernetes.io/service-name"] ?? ""}`,
  ]);
  const hasAny = (): boolean =>
    [...serviceSet.list()].some(({ object }) => object.spec?.type === "LoadBalancer");
  return {
    name: "service-lb",
    concurrent: 1,
    watches: [
      watchRule(services, ({ now, before }) =>
        [now, before].some((one) => one?.object.spec?.type === "LoadBalancer") ? [all] : [],
      ),
      watchRule(nodes, ({ type, now, before }) => {
        const mayMatter = type !== "modified" || before === undefined;
        return hasAny() && (mayMatter || serves(before.object) !== serves(now.object)) ? [all] : [];
      }),
      watchRule(endpointSlices, ({ now }) => (isLocal(now.object) ? [all] : [])),
    ],
    async reconcile() {
      const list = Array.from(serviceSet.list(), ({ object }) => object);
      const plans = planLoadBalancers(
        list,
        Array.from(nodeSet.list(), ({ object }) => object),
        ({ metadata }) =>
          Array.from(
            sliceSet.by(byService, `${metadata.namespace}/${metadata.name}`),
            ({ object }) => object,
          ),
      );
      for (const service of list) {
        const plan = plans.get(`${service.metadata.namespace}/${service.metadata.name}`);
        if (plan !== undefined) await apply(context, service, plan);
        else if (hasLost(service)) await apply(context, service, { ips: [], conflicts: [] });
      }
      return "done";
    },
  };

  function isLocal(slice: { readonly metadata: Service["metadata"] | LiveService["metadata"] }) {
    const name = slice.metadata.labels?.["kubernetes.io/service-name"] ?? "";
    const service = serviceSet.get(`${slice.metadata.namespace}/${name}`)?.object;
    const { type, externalTrafficPolicy } = service?.spec ?? {};
    return type === "LoadBalancer" && externalTrafficPolicy === "Local";
  }
}

/** All of a node that plans look at; heartbeats are not in it. */
function serves({ metadata, spec, status }: LiveNode): string {
  const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status;
  return canonicalJson([metadata.labels, spec?.taints, status?.addresses, ready]);
}

type Writing = Pick<ControllerContext, "client" | "runtime" | "events">;

async function apply(
  { client, runtime, events }: Writing,
  service: LiveService,
  plan: LoadBalancerPlan,
): Promise<void> {
  const wanted = statusOf(service, plan, timeNow(runtime.clock));
  const { loadBalancer = {}, conditions = [] } = service.status ?? {};
  if (canonicalJson({ loadBalancer, conditions }) === canonicalJson(wanted)) return;
  try {
    const next = { ...mutable<Service>(service), status: wanted };
    await client.update(services, next, { subresource: "status" });
  } catch (error) {
    if (isReason(error, "NotFound")) return;
    throw error;
  }
  const { ips, conflicts } = plan;
  const known = (loadBalancer.ingress ?? []).map(({ ip }) => ip).join();
  if (known !== ips.join()) {
    const message = `LoadBalancer Ingress IP addresses updated: ${ips.join(", ")}`;
    events.event(service, "Normal", "UpdatedIngressIP", message);
  }
  if (conflicts.length === 0) return;
  events.event(service, "Warning", "PortConflict", conflictText(conflicts));
}

/** A Service that is no load balancer any more, or is not ours, keeps none of our addresses. */
function hasLost({ spec, status }: LiveService): boolean {
  return spec?.type !== "LoadBalancer" && (status?.loadBalancer?.ingress ?? []).length > 0;
}

function statusOf(service: LiveService, plan: LoadBalancerPlan, now: string) {
  const { conditions = [] } = service.status ?? {};
  const others = conditions.filter(({ type }) => type !== conflictCondition);
  const known = conditions.find(({ type }) => type === conflictCondition);
  const message = conflictText(plan.conflicts);
  const condition: Condition = {
    type: conflictCondition,
    status: "True",
    reason: "PortConflict",
    message,
    lastTransitionTime: known?.lastTransitionTime ?? now,
  };
  return {
    loadBalancer:
      plan.ips.length === 0 ? {} : { ingress: plan.ips.map((ip) => ({ ip, ipMode: "VIP" })) },
    conditions: [...others, ...(plan.conflicts.length === 0 ? [] : [condition])],
  } as NonNullable<Service["status"]>;
}

function conflictText(conflicts: LoadBalancerPlan["conflicts"]): string {
  return conflicts
    .map(
      ({ port, protocol, nodeName, owner }) =>
        `port ${port}/${protocol} on node ${nodeName} is held by Service ${owner}`,
    )
    .join("; ");
}
